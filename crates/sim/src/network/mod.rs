//! The network between devices and servers, and the one among servers.

mod gateways;
mod link;

pub use gateways::{GatewayMap, ServerGateways, Way};
pub use link::{DeviceEnd, End, Link, ServerEnd};

use crate::server::{Process, Pulse, Server};
use crate::world::World;
use hudhud_client::Closed;
use hudhud_proto::Encoding;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// All connections, and who can't make any.
pub struct Network {
    world: World,
    links: Mutex<Vec<Weak<Link>>>,
    /// Devices without a network, and until when.
    cut_off: Mutex<BTreeMap<Arc<str>, Duration>>,
}

impl Network {
    /// Nobody is connected.
    pub fn new(world: &World) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), links: Mutex::default(), cut_off: Mutex::default() })
    }

    /// Connects a device to one of these servers, as a balancer would: one that is there, by chance.
    pub async fn connect(
        &self,
        device: Arc<str>,
        number: u8,
        encoding: Encoding,
        servers: &[Arc<Server>],
    ) -> Result<DeviceEnd, Closed> {
        let world = &self.world;
        let failed = |reason: &str| Err(Closed { code: None, reason: reason.into() });
        world.sleep(world.draw(|chance| chance.millis(1..2 + world.plan().latency_ms_max))).await;
        if self.is_cut_off(&device) {
            world.sleep(world.draw(|chance| chance.millis(10..5_000))).await;
            return failed("there is no network");
        }
        let serving = |server: &Arc<Server>| server.running().filter(|run| run.front().is_some());
        let there: Vec<_> = servers.iter().filter_map(serving).collect();
        let Some(run) = world.draw(|chance| chance.pick(&there).cloned()) else {
            return failed("no server is there");
        };
        let server = run.process().name().clone();
        world.note(format_args!("{device} connected to {server}"));
        let (device_end, server_end, link) = Link::new(world, device, server);
        {
            let mut links = self.links.lock();
            links.retain(|link| link.strong_count() > 0);
            links.push(Arc::downgrade(&link));
        }
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, number));
        run.serve(Box::new(server_end), encoding, address);
        Ok(device_end)
    }

    /// A process is gone. Its system closes its connections, or there is no system left to do so.
    pub fn process_ended(&self, process: &Process, with_power: bool) {
        for link in self.links() {
            if link.server() == &**process.name() {
                if with_power {
                    link.reset(End::Device);
                } else {
                    link.become_hole();
                }
            }
        }
    }

    /// A machine is back: it knows nothing of older connections, and says so to who writes to it.
    pub fn process_started(&self, process: &Process) {
        debug_assert_eq!(process.pulse(), Pulse::Running);
        for link in self.links() {
            if link.server() == &**process.name() {
                link.reset(End::Device);
            }
        }
    }

    /// A device has no network until then. Its connection, if any, carries nothing any more; it may be told or not.
    pub fn cut_off(&self, device: &Arc<str>, until: Duration) {
        self.cut_off.lock().insert(device.clone(), until);
        for link in self.links().into_iter().filter(|link| link.device() == &**device) {
            link.become_hole();
            if self.world.draw(|chance| chance.hits(500_000)) {
                link.reset(End::Device);
            }
        }
    }

    /// Every connection of a server is cut: both ends notice at once.
    pub fn cut_all(&self, server: &str) {
        for link in self.links().into_iter().filter(|link| link.server() == server) {
            link.reset(End::Device);
            link.reset(End::Server);
        }
    }

    /// Every device has a network again.
    pub fn heal(&self) {
        self.cut_off.lock().clear();
    }

    /// Some connection that is there.
    pub fn any_link(&self) -> Option<Arc<Link>> {
        let links = self.links();
        self.world.draw(|chance| chance.pick(&links).cloned())
    }

    fn is_cut_off(&self, device: &Arc<str>) -> bool {
        self.cut_off.lock().get(device).is_some_and(|until| self.world.now() < *until)
    }

    fn links(&self) -> Vec<Arc<Link>> {
        let links = self.links.lock();
        links.iter().filter_map(Weak::upgrade).filter(|link| !link.is_over()).collect()
    }
}
