//! The order in which everything starts and stops.

use crate::admin::{self, Admin};
use crate::config::{Config, Limits, Networks, ProxyProtocol, Role};
use crate::crowd::{Bounds, Crowd};
use crate::engines::{self, BusMetrics};
use crate::exit::Failure;
use crate::fatal::{self, Alarm};
use crate::files;
use crate::http::{self, Http, HttpMetrics, Operators, Origins, Readiness};
use crate::listen::{self, Encryption, Listen, Versions};
use crate::openapi;
use crate::peers::{self, Inbox};
use crate::room::Room;
use crate::roster;
use crate::tls::{self, TlsMetrics};
use axum::Router;
use hudhud_engines::Engines;
use hudhud_ports::Store;
use hudhud_ports::memory::Local;
use hudhud_roles::Services;
use hudhud_roles::api::{self, Api};
use hudhud_roles::dispatcher::Dispatcher;
use hudhud_roles::gateway::{Budget, Gateway};
use hudhud_roles::metrics::Metrics;
use hudhud_roles::presence::Presence;
use hudhud_roles::session::Sessions;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stop waits for requests that are being answered, and for the dispatcher's last batch.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// How often, and how many times, a stop looks whether everybody let go of the engines.
const RELEASE_POLL: Duration = Duration::from_millis(5);
const RELEASE_POLLS_MAX: u32 = 400;

/// A server that runs. Dropping it leaves it running; [`Running::stop`] ends it.
pub struct Running {
    /// For clients, where this process serves any.
    public: Option<Listening>,
    operators: Listening,
    /// For other processes, where there are some and this one has a gateway.
    peers: Option<Listening>,
    scheme: &'static str,
    first_invite: Option<String>,
    engines: Engines,
    local: Arc<Local>,
    readiness: Arc<Readiness>,
    gateway: Option<Arc<Gateway>>,
    dispatcher: Option<(Arc<Dispatcher>, JoinHandle<()>)>,
    alarm: Alarm,
    drain: Duration,
    /// How long balancers have to see that it is not ready, whoever is connected.
    notice: Duration,
}

/// A listener that runs, and the tasks of its connections.
struct Listening {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Starts a server and returns once it listens. To be called inside a tokio runtime, in which it then runs.
pub async fn start(config: Config) -> Result<Running, Failure> {
    let engines = open_engines(&config).await?;
    start_on(config, engines).await
}

/// Opens the engines that a configuration names, for [`start_on`].
pub async fn open_engines(config: &Config) -> Result<Engines, Failure> {
    config.check()?;
    engines::open(config, hudhud_engines::runtime().clock).await
}

/// As [`start`], on engines that are open already: a test may have put something in front of them.
pub async fn start_on(config: Config, engines: Engines) -> Result<Running, Failure> {
    config.check()?;
    let settings = Arc::new(config.settings()?);
    // Before anything runs: nothing has to be stopped where an address is taken. Who connects already waits.
    let has_gateway = config.has(Role::Gateway);
    let serves_clients = has_gateway || config.has(Role::Api);
    let public = match serves_clients {
        true => Some(bind(config.listen, "--listen or HUDHUD_LISTEN")?),
        false => None,
    };
    let choice = "--operators-listen or HUDHUD_OPERATORS__LISTEN";
    let (operators_listener, operators) = bind(config.operators.listen, choice)?;
    let (inbox, peers) = match (config.peers.listen.filter(|_| has_gateway), &config.peers.secret) {
        (Some(address), Some(secret)) => {
            let (listener, listening) = bind(address, "HUDHUD_PEERS__LISTEN")?;
            (Some(Inbox::new(&config, secret.clone(), listener, listening.address)), Some(listening))
        }
        _ => (None, None),
    };
    let alarm = Alarm::default();
    let runtime = hudhud_engines::runtime();
    let (metrics, mut registry) = Metrics::new();
    let http_metrics = HttpMetrics::register(&mut registry);
    if let Some(embedded) = &engines.embedded {
        BusMetrics::register(&mut registry, embedded.bus_counts());
    }
    let tls_metrics = TlsMetrics::register(&mut registry);
    // The files that it names are read before anything runs, too.
    let clock = runtime.clock.clone();
    let tls = match &public {
        Some((_, public)) => tls::start(&config, clock, tls_metrics, &public.stop, &public.tasks)?,
        None => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let local = Arc::new(Local::new());
    let (messages, directory) = databases(&alarm, &engines);
    let services = Services {
        gateways: peers::gateways(&config, &local, &directory, &runtime.clock)?,
        messages,
        directory,
        bus: fatal::bus(&alarm, engines.bus.clone()),
        cache: engines.cache.clone(),
        runtime,
        settings,
        metrics: Arc::new(metrics),
    };

    let sessions = Arc::new(Sessions::new(&services));
    let presence = Arc::new(Presence::new(&services, sessions.clone()));
    let api = Arc::new(Api::new(services.clone(), sessions.clone(), presence.clone()));
    let gateway = has_gateway.then(|| {
        let address = inbox.as_ref().map_or("", |inbox| &inbox.address);
        Gateway::new(services.clone(), api.clone(), sessions.clone(), presence, &config.gateway, address)
    });
    if let Some(gateway) = &gateway {
        local.register(gateway.reference().clone(), gateway.clone());
        // Before the lease says where it is.
        if let (Some(inbox), Some(peers)) = (inbox, &peers) {
            inbox.serve(gateway.reference().clone(), gateway.clone(), peers.stop.clone(), &peers.tasks);
        }
        gateway.start().await.map_err(unopened)?;
    }

    roster::complete(&services, engines.embedded.as_ref()).await?;
    let readiness = Arc::new(Readiness::default());
    let dispatcher = config.has(Role::Dispatcher).then(|| {
        let dispatcher = Dispatcher::new(services.clone(), sessions);
        let dispatching = tokio::spawn(dispatch(dispatcher.clone(), alarm.clone(), readiness.clone()));
        (dispatcher, dispatching)
    });
    let first_invite = match config.has(Role::Api) {
        true => api::first_invite(&services).await.map_err(unopened)?.map(|invite| invite.code),
        false => None,
    };

    let mut limits = config.limits.clone();
    limits.connections_max = files::connections_max(limits.connections_max);
    let memory_bytes_max = limits.memory_bytes_max();
    let admin = Admin {
        api: api.clone(),
        limits: limits.clone(),
        rates: config.rates.clone(),
        embedded: engines.embedded.clone(),
        writing: Semaphore::new(1),
        stop: operators.stop.clone(),
    };
    let for_operators = Operators {
        readiness: readiness.clone(),
        gateway: gateway.clone(),
        registry: config.operators.metrics.then_some(registry),
        admin: Arc::new(admin),
        runtime: services.runtime.clone(),
    };
    let for_operators = http::operators_router(Arc::new(for_operators));
    if engines.embedded.is_some() && config.data.is_dir() {
        admin::socket::listen(&config.data, for_operators.clone(), operators.stop.clone(), &operators.tasks);
    }
    operators.run(operators_listener, for_operators, limits.clone());
    let public = public.map(|(listener, public)| {
        let crowd = Crowd::new(Bounds::from(&limits), http_metrics.clone());
        let schema = openapi::Schema::load();
        let http = Arc::new(Http {
            api,
            takes_commands: config.has(Role::Api),
            budget: gateway.as_ref().map_or_else(|| Budget::of(&services), |gateway| gateway.budget().clone()),
            gateway: gateway.clone(),
            runtime: services.runtime.clone(),
            readiness: readiness.clone(),
            metrics: http_metrics.clone(),
            openapi: openapi::document(&schema).to_string().into(),
            schema,
            origins: Origins::new(&config.allowed_origins),
            crowd: crowd.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            body_timeout: Duration::from_millis(limits.body_timeout_ms),
            sockets: public.tasks.clone(),
        });
        let listen = Listen {
            refusing: http::refusing_router(&http),
            encryption: tls.map(|tls| Encryption { tls, plain: http::plain_router(&http) }),
            router: http::router(http),
            versions: Versions::Http1And2,
            limits,
            crowd,
            trusted_proxies: config.trusted_proxies.clone(),
            proxy_protocol: config.proxy_protocol,
            metrics: http_metrics,
            stop: public.stop.clone(),
            connections: public.tasks.clone(),
        };
        public.tasks.spawn(listen.run(listener));
        public
    });
    readiness.ready();
    let (address, operators_address) = (public.as_ref().map(|public| public.address), operators.address);
    let (roles, gateway_name) = (&config.roles, &config.gateway);
    tracing::info!(?roles, ?address, %operators_address, gateway = gateway_name, memory_bytes_max, "started");
    let drain = Duration::from_millis(config.drain_ms);
    let has_proxies = config.trusted_proxies != Networks::default();
    Ok(Running {
        public,
        operators,
        peers,
        scheme,
        first_invite,
        engines,
        local,
        readiness,
        gateway,
        dispatcher,
        alarm,
        drain,
        notice: if has_proxies && serves_clients { drain } else { Duration::ZERO },
    })
}

/// Both databases, watched.
fn databases(alarm: &Alarm, engines: &Engines) -> (Arc<dyn Store>, Arc<dyn Store>) {
    // One disk is full once, whichever database is told.
    let room = |name| Arc::new(Room::of(name));
    let store_room = room(if engines.embedded.is_some() { "store" } else { "messages" });
    let messages = fatal::store(alarm, &store_room, engines.messages.clone());
    let directory = match Arc::ptr_eq(&engines.messages, &engines.directory) {
        // What is one engine stays one: what is written to both databases is one call then.
        true => messages.clone(),
        false if engines.embedded.is_some() => fatal::store(alarm, &store_room, engines.directory.clone()),
        false => fatal::store(alarm, &room("directory"), engines.directory.clone()),
    };
    (messages, directory)
}

/// An engine that was opened and does not work.
fn unopened(error: hudhud_ports::Error) -> Failure {
    Failure::Open(error.into())
}

/// `choice` says what else could have been chosen.
fn bind(address: SocketAddr, choice: &'static str) -> Result<(TcpListener, Listening), Failure> {
    let failure = |source: std::io::Error| match source.kind() {
        ErrorKind::AddrInUse => Failure::AddressInUse { address, choice },
        _ => Failure::Listen { address, choice, source },
    };
    let listener = listen::bind(address).map_err(failure)?;
    let address = listener.local_addr().map_err(failure)?;
    Ok((listener, Listening { address, stop: CancellationToken::new(), tasks: TaskTracker::new() }))
}

impl Listening {
    fn run(&self, listener: TcpListener, router: Router, limits: Limits) {
        let metrics = HttpMetrics::unregistered();
        let listen = Listen {
            refusing: router.clone(),
            router,
            encryption: None,
            versions: Versions::Http1,
            limits,
            crowd: Crowd::new(http::OPERATORS_CONNECTIONS, metrics.clone()),
            trusted_proxies: Networks::default(),
            proxy_protocol: ProxyProtocol::Off,
            metrics,
            stop: self.stop.clone(),
            connections: self.tasks.clone(),
        };
        self.tasks.spawn(listen.run(listener));
    }

    /// No connections any more: requests are finished, but not for ever.
    async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(FINISH_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(address = %self.address, "some requests did not end in time");
        }
    }
}

/// Runs the dispatcher. Whatever ends it without being asked to ends the process: messages would be accepted and go nowhere.
async fn dispatch(dispatcher: Arc<Dispatcher>, alarm: Alarm, readiness: Arc<Readiness>) {
    if let Err(error) = dispatcher.run().await {
        readiness.failed();
        alarm.raise(&error);
    }
}

impl Running {
    /// Where it listens for clients, with the port that was taken for port 0; none where no role of it serves them.
    pub fn address(&self) -> Option<SocketAddr> {
        self.public.as_ref().map(|public| public.address)
    }

    /// What its URLs begin with: `https` where it speaks TLS itself, else `http`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Where it listens for operators, likewise.
    pub fn operators_address(&self) -> SocketAddr {
        self.operators.address
    }

    /// The code with which the first person can register, where that needs an invite and nobody has registered.
    pub fn first_invite(&self) -> Option<&str> {
        self.first_invite.as_deref()
    }

    /// Waits until an engine can't keep its promises any more, or what it stores is damaged. The process must end then,
    /// without [`Self::stop`].
    pub fn failed(&self) -> impl Future<Output = Failure> + Send + 'static {
        let alarm = self.alarm.clone();
        async move { alarm.raised().await }
    }

    /// Stops in order: it is not ready any more, and says so to whoever asks; clients are told to go and connect again later;
    /// no new connections; requests are finished; the dispatcher ends behind its last batch; the engines are closed. Takes
    /// `drain_ms` and some seconds at most.
    pub async fn stop(self) {
        self.readiness.draining();
        let drained = async {
            if let Some(gateway) = &self.gateway {
                gateway.drain(self.drain).await;
            }
        };
        // A balancer sends requests until it has seen it; they would meet a listener that is gone.
        tokio::join!(drained, tokio::time::sleep(self.notice));
        if let Some(public) = &self.public {
            public.stop().await;
        }
        if let Some((dispatcher, dispatching)) = self.dispatcher {
            dispatcher.stop();
            if tokio::time::timeout(FINISH_TIMEOUT, dispatching).await.is_err() {
                tracing::warn!(
                    "the dispatcher did not end in time; it goes on behind its last commit at the next start"
                );
            }
        }
        if let Some(peers) = &self.peers {
            peers.stop().await;
        }
        self.operators.stop().await;
        if let Some(gateway) = &self.gateway {
            // The gateways know the gateway and it knows them: whoever does not cut that keeps the engines.
            self.local.unregister(gateway.reference());
        }
        let stores = [Arc::downgrade(&self.engines.messages), Arc::downgrade(&self.engines.directory)];
        let bus = Arc::downgrade(&self.engines.bus);
        let has_folder = self.engines.embedded.is_some();
        if let Err(error) = self.engines.close().await {
            tracing::warn!(%error, "an engine was not closed; the next start recovers it");
        }
        drop(self.gateway);
        // Another server may open the same folder now: tasks that clean up behind a request let go of it within moments.
        for _ in 0..if has_folder { RELEASE_POLLS_MAX } else { 0 } {
            if bus.strong_count() == 0 && stores.iter().all(|store| store.strong_count() == 0) {
                break;
            }
            tokio::time::sleep(RELEASE_POLL).await;
        }
        tracing::info!("stopped");
    }
}
