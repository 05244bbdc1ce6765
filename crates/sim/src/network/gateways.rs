//! The way from dispatchers to gateways: pushes that get lost, fail, come twice or late.

use crate::server::{Process, Pulse};
use crate::world::World;
use async_trait::async_trait;
use hudhud_ports::{Delivery, Error, ErrorKind, GatewayInbox, GatewayRef, Gateways, Result, Target};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Which gateway runs in which process, and where it takes what is pushed.
type Registered = BTreeMap<GatewayRef, (Process, Arc<dyn GatewayInbox>)>;

/// What is lost on a way that carries one direction only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// What is asked does not arrive.
    Questions,
    /// It arrives, and is done; the answer does not.
    Answers,
}

/// By the one and the other: until when, and which of the ways is cut.
type HalfParted = BTreeMap<(Arc<str>, Arc<str>), (Duration, Way)>;

/// All gateways of all servers.
pub struct GatewayMap {
    world: World,
    gateways: Mutex<Registered>,
    /// Until then servers do not reach each other.
    parted_until: Mutex<Duration>,
    /// Pairs of servers of which the first hears nothing of the second, or is not heard, and until when.
    half_parted: Mutex<HalfParted>,
}

/// A server's way to them.
pub struct ServerGateways {
    map: Arc<GatewayMap>,
    process: Process,
}

impl GatewayMap {
    /// None yet.
    pub fn new(world: &World) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            gateways: Mutex::default(),
            parted_until: Mutex::default(),
            half_parted: Mutex::default(),
        })
    }

    /// A gateway can be reached from now on.
    pub fn add(&self, gateway: GatewayRef, process: &Process, inbox: Arc<dyn GatewayInbox>) {
        self.gateways.lock().insert(gateway, (process.clone(), inbox));
    }

    /// The gateways of this process are gone.
    pub fn remove(&self, process: &Process) {
        self.gateways.lock().retain(|gateway, _| gateway.name != *process.name());
    }

    /// Servers do not reach each other until then.
    pub fn part(&self, until: Duration) {
        *self.parted_until.lock() = until;
    }

    /// What one server pushes to another is lost until then, or the answer is.
    pub fn part_half(&self, from: &Arc<str>, to: &Arc<str>, until: Duration, way: Way) {
        self.half_parted.lock().insert((from.clone(), to.clone()), (until, way));
    }

    /// Servers reach each other again.
    pub fn heal(&self) {
        *self.parted_until.lock() = Duration::ZERO;
        self.half_parted.lock().clear();
    }

    fn lost_way(&self, from: &Arc<str>, to: &Arc<str>) -> Option<Way> {
        let half_parted = self.half_parted.lock();
        half_parted.get(&(from.clone(), to.clone())).filter(|(until, _)| self.world.now() < *until).map(|(_, way)| *way)
    }

    async fn deliver(&self, gateway: &GatewayRef, batch: Vec<Delivery>) -> Vec<Target> {
        let found = self.gateways.lock().get(gateway).cloned();
        if let Some((process, inbox)) = found
            && process.runs().await
        {
            return inbox.deliver(batch);
        }
        targets(&batch)
    }
}

fn targets(batch: &[Delivery]) -> Vec<Target> {
    let targets: BTreeSet<Target> = batch.iter().flat_map(|delivery| delivery.targets.iter().copied()).collect();
    targets.into_iter().collect()
}

impl ServerGateways {
    /// The way of this process.
    pub fn new(map: &Arc<GatewayMap>, process: &Process) -> Self {
        Self { map: map.clone(), process: process.clone() }
    }

    fn failed(&self, gateway: &GatewayRef, kind: ErrorKind) -> Error {
        self.map.world.note(format_args!("a push from {} to {} failed: {kind:?}", self.process.name(), gateway.name));
        Error::new(kind, "simulated", "push")
    }
}

#[async_trait]
impl Gateways for ServerGateways {
    async fn push(&self, gateway: &GatewayRef, batch: Vec<Delivery>) -> Result<Vec<Target>> {
        let map = &self.map;
        let world = &map.world;
        let weather = &world.plan().weather;
        let (from, to) = (self.process.name(), &gateway.name);
        let remote = from != to;
        if remote && world.now() < *map.parted_until.lock() {
            world.sleep(world.draw(|chance| chance.millis(0..4_000))).await;
            return Err(self.failed(gateway, ErrorKind::Unavailable));
        }
        if let Some(way) = map.lost_way(from, to).filter(|_| remote) {
            if way == Way::Answers {
                map.deliver(gateway, batch).await;
            }
            world.sleep(world.draw(|chance| chance.millis(100..4_000))).await;
            return Err(self.failed(gateway, ErrorKind::Timeout));
        }
        if remote {
            world.sleep(world.draw(|chance| chance.millis(0..4))).await;
        }
        if world.strikes(weather.push_lost) {
            world.note(format_args!("a push of {} from {from} to {to} was lost", batch.len()));
            return Ok(Vec::new());
        }
        if world.strikes(weather.push_late) {
            let wait = world.draw(|chance| chance.millis(5..3_000));
            world.note(format_args!("a push of {} from {from} to {to} comes {wait:?} late", batch.len()));
            let (map, gateway) = (map.clone(), gateway.clone());
            world.spawn(async move {
                map.world.sleep(wait).await;
                // Nobody asks any more who was there.
                map.deliver(&gateway, batch).await;
            });
            return Ok(Vec::new());
        }
        if world.strikes(weather.push_fails) {
            if world.draw(|chance| chance.hits(500_000)) {
                map.deliver(gateway, batch).await;
                return Err(self.failed(gateway, ErrorKind::Timeout));
            }
            return Err(self.failed(gateway, ErrorKind::Unavailable));
        }
        let again = world.strikes(weather.push_twice).then(|| batch.clone());
        let count = batch.len();
        let mut absent = map.deliver(gateway, batch).await;
        if let Some(again) = again {
            absent = map.deliver(gateway, again).await;
        }
        debug_assert_ne!(self.process.pulse(), Pulse::Dead, "the caller runs");
        world.note(format_args!("{from} pushed {count} to {to}, {} absent", absent.len()));
        Ok(absent)
    }
}
