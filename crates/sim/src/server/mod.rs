//! A server: a machine with a clock, and on it, one after the other, runs of a process with some roles or all.

mod clock;
mod tasks;

pub use clock::MachineClock;
pub use tasks::{Process, Pulse};

use crate::chance::NodeRng;
use crate::disk::{ServerBus, ServerCache, ServerStore};
use crate::network::{ServerEnd, ServerGateways};
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

/// Which roles a process has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roles {
    /// All of them.
    All,
    /// Gateway and api, which are one process: the gateway calls the api itself.
    Front,
    /// The dispatcher.
    Dispatcher,
}

/// A machine that runs a server process, or does not at the moment.
pub struct Server {
    world: World,
    site: Arc<Site>,
    name: Arc<str>,
    roles: Roles,
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
    front: Option<Front>,
    dispatcher: Option<Arc<Dispatcher>>,
}

/// What devices reach.
#[derive(Clone)]
pub struct Front {
    api: Arc<Api>,
    gateway: Arc<Gateway>,
}

impl Server {
    /// A machine without a process. Its clock is wrong as far as the plan has it.
    pub fn new(site: &Arc<Site>, name: &str, roles: Roles) -> Arc<Self> {
        let world = site.world().clone();
        let (drift_ppm, offset_us) =
            world.draw(|chance| (chance.within(0..200) as i64 - 100, chance.within(0..400_000) as i64 - 200_000));
        let clock = Arc::new(MachineClock::new(&world, drift_ppm, offset_us));
        Arc::new(Self { site: site.clone(), name: name.into(), roles, clock, state: Mutex::default(), world })
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

    /// Starts a process if none runs. It is ended, and started again, when one of its engines gives up.
    pub fn start(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.run.is_some() {
            return;
        }
        state.starts += 1;
        self.world.note(format_args!("{} starts", self.name));
        let run = Run::start(self, state.starts);
        let (server, process) = (self.clone(), run.process.clone());
        state.run = Some(Arc::new(run));
        self.world.spawn(async move {
            process.alarmed().await;
            let world = &server.world;
            let (notices, restarts) = world.draw(|chance| (chance.millis(0..20), chance.millis(50..3_000)));
            world.sleep(notices).await;
            if process.pulse() != Pulse::Dead {
                server.kill(true);
                world.sleep(restarts).await;
                server.start();
            }
        });
    }

    /// Kills the process. Without power nobody is told that it is gone, and its disks are another matter.
    pub fn kill(&self, with_power: bool) {
        let Some(run) = self.state.lock().run.take() else { return };
        self.world.count(|totals| totals.server_crashes += 1);
        self.world.note(format_args!("{} dies", self.name));
        run.process.kill();
        self.site.network().process_ended(&run.process, with_power);
        self.site.gateways().remove(&run.process);
        if with_power && self.world.plan().arrangement.is_embedded() {
            self.site.engines_died();
        }
    }

    /// Ends the process as an operator does: connections are told to go, what was begun is done.
    pub async fn drain(&self, spread: Duration) {
        let Some(run) = self.running() else { return };
        self.world.note(format_args!("{} drains", self.name));
        let (drained, is_drained) = tokio::sync::oneshot::channel();
        let draining = run.clone();
        run.process.spawn(Box::pin(async move {
            if let Some(front) = &draining.front {
                front.gateway.drain(spread).await;
            }
            if let Some(dispatcher) = &draining.dispatcher {
                dispatcher.stop();
            }
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
    fn start(server: &Server, number: u64) -> Self {
        let Server { world, site, name, roles, clock, .. } = server;
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
        let front = (*roles != Roles::Dispatcher).then(|| Front::start(site, &process, &services, &sessions));
        let dispatcher = (*roles != Roles::Front).then(|| dispatch(&process, services, sessions));
        Self { process, runtime, front, dispatcher }
    }

    /// As the system sees it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What devices reach of it, if they do.
    pub fn front(&self) -> Option<&Front> {
        self.front.as_ref()
    }

    /// Takes a connection in.
    pub fn serve(&self, transport: Box<ServerEnd>, encoding: Encoding, address: IpAddr) {
        let Some(Front { gateway, .. }) = self.front.clone() else { return };
        self.process.spawn(Box::pin(async move { gateway.serve(transport, encoding, address).await }));
    }
}

impl Front {
    fn start(site: &Site, process: &Process, services: &Services, sessions: &Arc<Sessions>) -> Self {
        let presence = Arc::new(Presence::new(services, sessions.clone()));
        let api = Arc::new(Api::new(services.clone(), sessions.clone(), presence.clone()));
        let (sessions, name) = (sessions.clone(), process.name());
        let gateway = Gateway::new(services.clone(), api.clone(), sessions, presence, name, "");
        site.gateways().add(gateway.reference().clone(), process, gateway.clone());
        let (starting, clock) = (gateway.clone(), services.runtime.clock.clone());
        process.spawn(Box::pin(async move {
            while starting.start().await.is_err() {
                clock.sleep(Duration::from_millis(300)).await;
            }
        }));
        Self { api, gateway }
    }

    /// Its api, for who asks without a connection.
    pub fn api(&self) -> &Arc<Api> {
        &self.api
    }
}

fn dispatch(process: &Process, services: Services, sessions: Arc<Sessions>) -> Arc<Dispatcher> {
    let dispatcher = Dispatcher::new(services, sessions);
    let (dispatching, this) = (dispatcher.clone(), process.clone());
    process.spawn(Box::pin(async move {
        if let Err(error) = dispatching.run().await {
            this.dispatcher_stopped(&error);
        }
    }));
    dispatcher
}
