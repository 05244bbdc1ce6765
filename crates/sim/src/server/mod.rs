//! A server: a machine with a clock, and on it, one after the other, runs of a process with all roles.

mod clock;
mod tasks;

pub use clock::MachineClock;
pub use tasks::{Process, Pulse};

use crate::chance::NodeRng;
use crate::disk::{ServerBus, ServerCache, ServerStore};
use crate::network::{ServerEnd, ServerGateways};
use crate::plan::Arrangement;
use crate::site::Site;
use crate::world::World;
use hudhud_ports::{Runtime, Spawn as _};
use hudhud_proto::Encoding;
use hudhud_roles::Services;
use hudhud_roles::api::Api;
use hudhud_roles::dispatcher::Dispatcher;
use hudhud_roles::gateway::Gateway;
use hudhud_roles::metrics::Metrics;
use hudhud_roles::presence::Presence;
use hudhud_roles::session::Sessions;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A machine that runs a server process, or does not at the moment.
pub struct Server {
    world: World,
    site: Arc<Site>,
    name: Arc<str>,
    clock: Arc<MachineClock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    starts: u64,
    run: Option<Arc<Run>>,
}

/// One run of the process.
pub struct Run {
    process: Process,
    runtime: Runtime,
    api: Arc<Api>,
    gateway: Arc<Gateway>,
    dispatcher: Arc<Dispatcher>,
}

impl Server {
    /// A machine without a process. Its clock is wrong as far as the plan has it.
    pub fn new(site: &Arc<Site>, name: &str) -> Arc<Self> {
        let world = site.world().clone();
        let (drift_ppm, offset_us) =
            world.draw(|chance| (chance.within(0..200) as i64 - 100, chance.within(0..400_000) as i64 - 200_000));
        let clock = Arc::new(MachineClock::new(&world, drift_ppm, offset_us));
        Arc::new(Self { site: site.clone(), name: name.into(), clock, state: Mutex::default(), world })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its clock.
    pub fn clock(&self) -> &MachineClock {
        &self.clock
    }

    /// The process that runs on it, if one does.
    pub fn running(&self) -> Option<Arc<Run>> {
        self.state.lock().run.clone()
    }

    /// Starts a process if none runs.
    pub fn start(&self) {
        let mut state = self.state.lock();
        if state.run.is_none() {
            state.starts += 1;
            self.world.note(format_args!("{} starts", self.name));
            state.run = Some(Arc::new(Run::start(&self.site, &self.name, &self.clock, state.starts)));
        }
    }

    /// Kills the process. Without power nobody is told that it is gone, and its disks are another matter.
    pub fn kill(&self, with_power: bool) {
        let Some(run) = self.state.lock().run.take() else { return };
        self.world.count(|totals| totals.server_crashes += 1);
        self.world.note(format_args!("{} dies", self.name));
        run.process.kill();
        self.site.network().process_ended(&run.process, with_power);
        self.site.gateways().remove(&run.process);
        if with_power && self.world.plan().arrangement == Arrangement::AllInOne {
            // Its engines were part of it: what the system had not been given is lost.
            self.site.bus().crash();
            self.site.cache().restart();
        }
    }

    /// Ends the process as an operator does: connections are told to go, what was begun is done.
    pub async fn drain(&self, spread: Duration) {
        let Some(run) = self.running() else { return };
        self.world.note(format_args!("{} drains", self.name));
        let (drained, is_drained) = tokio::sync::oneshot::channel();
        let draining = run.clone();
        run.process.spawn(Box::pin(async move {
            draining.gateway.drain(spread).await;
            draining.dispatcher.stop();
            draining.runtime.clock.sleep(Duration::from_millis(200)).await;
            // Who drains may have given up.
            let _ = drained.send(());
        }));
        // An error means that the process died meanwhile.
        let _ = is_drained.await;
        self.kill(true);
    }
}

impl Run {
    fn start(site: &Arc<Site>, name: &Arc<str>, clock: &Arc<MachineClock>, number: u64) -> Self {
        let world = site.world();
        let process = Process::new(world, name.clone());
        site.network().process_started(&process);
        let rng = Arc::new(NodeRng::new(world.stream(&format!("{name} {number}"))));
        let runtime = Runtime { clock: clock.clone(), rng, tasks: Arc::new(process.clone()) };
        let (metrics, _) = Metrics::new();
        let services = Services {
            messages: Arc::new(ServerStore::new(site.messages(), &process)),
            directory: Arc::new(ServerStore::new(site.directory(), &process)),
            bus: Arc::new(ServerBus::new(site.bus(), &process)),
            cache: Arc::new(ServerCache::new(site.cache())),
            gateways: Arc::new(ServerGateways::new(site.gateways(), &process)),
            runtime: runtime.clone(),
            settings: Arc::new(world.plan().settings.clone()),
            metrics: Arc::new(metrics),
        };
        let sessions = Arc::new(Sessions::new(&services));
        let presence = Arc::new(Presence::new(&services, sessions.clone()));
        let api = Arc::new(Api::new(services.clone(), sessions.clone(), presence.clone()));
        let gateway = Gateway::new(services.clone(), api.clone(), sessions.clone(), presence, name, "");
        let dispatcher = Dispatcher::new(services, sessions);
        site.gateways().add(gateway.reference().clone(), &process, gateway.clone());

        let (starting, runs) = (gateway.clone(), runtime.clone());
        process.spawn(Box::pin(async move {
            while starting.start().await.is_err() {
                runs.clock.sleep(Duration::from_millis(300)).await;
            }
        }));
        let (dispatching, world, name) = (dispatcher.clone(), world.clone(), name.clone());
        process.spawn(Box::pin(async move {
            if let Err(error) = dispatching.run().await {
                world.note(format_args!("the dispatcher of {name} stopped: {error}"));
                world.observer().violate(0, format!("the dispatcher of {name} stopped: {error}"), Vec::new());
            }
        }));
        Self { process, runtime, api, gateway, dispatcher }
    }

    /// As the system sees it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its api, for who asks without a connection.
    pub fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// Takes a connection in.
    pub fn serve(&self, transport: Box<ServerEnd>, encoding: Encoding, address: IpAddr) {
        let gateway = self.gateway.clone();
        self.process.spawn(Box::pin(async move { gateway.serve(transport, encoding, address).await }));
    }
}
