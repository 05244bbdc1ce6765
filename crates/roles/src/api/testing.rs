//! What tests of the api stand on: an api on memory engines, on a clock that stands still, with a seeded rng.

use super::{Api, Caller};
use crate::metrics::Metrics;
use crate::presence::Presence;
use crate::services::Services;
use crate::session::{Lease, Registered, Session, Sessions};
use crate::settings::{PasswordCost, Settings};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use hudhud_ports::memory::{self, BusOptions, Local, ManualClock};
use hudhud_ports::{
    Claim, Delivery, Error, ErrorKind, GatewayInbox, GatewayRef, Key, Payload, Result, Row, Scan, Spawn, Store, Target,
    Write,
};
use hudhud_proto::v1::{LogIn, LoggedIn, Register};
use hudhud_proto::{AccountId, ConnectionId, MessageId, ProtocolError};
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::yield_now;

/// When every test begins: 2026-01-01T00:00:00Z, in microseconds since the Unix epoch.
pub(crate) const BEGIN_US: u64 = 1_767_225_600_000_000;
/// The address that everything comes from unless a test says otherwise.
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The password of every account.
pub(crate) const PASSWORD: &str = "correct horse";

/// A store that lets other tasks run before and after each call, so that what can race does, and that counts.
pub(crate) struct Stepping {
    store: Arc<memory::Store>,
    /// How often a row was asked for.
    pub(crate) gets: AtomicU64,
    scans: AtomicU64,
    writes: AtomicU64,
    /// The next so many claims are made and then answered with a timeout.
    pub(crate) claims_time_out: AtomicU64,
}

impl Stepping {
    /// How many batches a power loss could take now.
    pub(crate) fn unsynced(&self) -> usize {
        self.store.unsynced()
    }
}

#[async_trait]
impl Store for Stepping {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        yield_now().await;
        let row = self.store.get(key).await;
        yield_now().await;
        row
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        yield_now().await;
        let rows = self.store.scan(scan).await;
        yield_now().await;
        rows
    }

    /// One partition after the other, as a replicated engine may.
    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        self.writes.fetch_add(writes.len() as u64, Ordering::SeqCst);
        for batch in writes.chunk_by(|one, next| one.key.partition == next.key.partition) {
            yield_now().await;
            self.store.write(batch.to_vec()).await?;
        }
        yield_now().await;
        Ok(())
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        yield_now().await;
        let claim = self.store.claim(write).await;
        let time_out = |left: u64| left.checked_sub(1);
        match self.claims_time_out.fetch_update(Ordering::SeqCst, Ordering::SeqCst, time_out) {
            Ok(_) => Err(Error::new(ErrorKind::Timeout, "test", "claim")),
            Err(_) => claim,
        }
    }

    async fn flush(&self) -> Result<()> {
        yield_now().await;
        self.store.flush().await
    }
}

/// What a request cost: calls of the store, and password hashes, which cost more than all the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Work {
    pub(crate) gets: u64,
    pub(crate) scans: u64,
    pub(crate) writes: u64,
    pub(crate) hashes: u64,
}

/// Tasks that are counted where they compute for long: in the api these are password hashes.
struct CountedTasks {
    tasks: Arc<dyn Spawn>,
    computed: Arc<AtomicU64>,
}

#[async_trait]
impl Spawn for CountedTasks {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.tasks.spawn(future);
    }

    async fn compute(&self, work: Box<dyn FnOnce() + Send>) {
        self.computed.fetch_add(1, Ordering::SeqCst);
        self.tasks.compute(work).await;
    }
}

/// An api and what is beneath it.
pub(crate) struct Fixture {
    pub(crate) api: Arc<Api>,
    pub(crate) services: Services,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) clock: Arc<ManualClock>,
    /// The directory and the messages: one store.
    pub(crate) store: Arc<Stepping>,
    hashes: Arc<AtomicU64>,
    gateway: Arc<RecordingGateway>,
    gateway_ref: GatewayRef,
}

/// A gateway that writes down what it is to deliver, and takes all of it.
#[derive(Default)]
struct RecordingGateway {
    delivered: Mutex<Vec<(Target, Payload)>>,
    connections: AtomicU64,
}

impl GatewayInbox for RecordingGateway {
    fn deliver(&self, batch: Vec<Delivery>) -> Vec<Target> {
        let mut delivered = self.delivered.lock();
        for delivery in batch {
            delivered.extend(delivery.targets.iter().map(|target| (*target, delivery.payload.clone())));
        }
        Vec::new()
    }
}

/// Services on memory engines, and the parts that a test may want to reach.
fn build(settings: Settings) -> (Services, Arc<ManualClock>, Arc<Stepping>, Arc<Local>) {
    let (runtime, clock) = memory::runtime(BEGIN_US, 7);
    let store = Arc::new(Stepping {
        store: Arc::new(memory::Store::new(clock.clone())),
        gets: AtomicU64::new(0),
        scans: AtomicU64::new(0),
        writes: AtomicU64::new(0),
        claims_time_out: AtomicU64::new(0),
    });
    let gateways = Arc::new(Local::new());
    let services = Services {
        messages: store.clone(),
        directory: store.clone(),
        bus: Arc::new(memory::Bus::new(BusOptions::default())),
        cache: Arc::new(memory::Cache::new(clock.clone(), 1024 * 1024)),
        gateways: gateways.clone(),
        runtime,
        settings: Arc::new(settings),
        metrics: Arc::new(Metrics::new().0),
    };
    (services, clock, store, gateways)
}

/// Settings that make passwords cheap.
fn cheap() -> Settings {
    Settings { password: PasswordCost { memory_kib: 8, passes: 1 }, ..Settings::default() }
}

/// Services on memory engines.
pub(crate) fn services() -> Services {
    build(cheap()).0
}

impl Fixture {
    /// An empty server with the default settings.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// An empty server whose settings were changed.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = cheap();
        change(&mut settings);
        let (mut services, clock, store, gateways) = build(settings);
        let hashes = Arc::new(AtomicU64::new(0));
        let tasks = CountedTasks { tasks: services.runtime.tasks.clone(), computed: hashes.clone() };
        services.runtime.tasks = Arc::new(tasks);
        let sessions = Arc::new(Sessions::new(&services));
        let presence = Arc::new(Presence::new(&services, sessions.clone()));
        let api = Arc::new(Api::new(services.clone(), sessions.clone(), presence));
        let gateway = Arc::new(RecordingGateway::default());
        let gateway_ref = GatewayRef { name: "test".into(), incarnation: 1 };
        gateways.register(gateway_ref.clone(), gateway.clone());
        Lease::new(&services, gateway_ref.clone(), "").take().await.expect("memory engines do not fail");
        Self { api, services, sessions, clock, store, hashes, gateway, gateway_ref }
    }

    /// Registers an account with this handle, and its first device.
    pub(crate) async fn account(&self, handle: &str) -> Caller {
        let logged_in = self.register(handle, "").await.expect("registered");
        self.caller(&logged_in.token).await.expect("just registered")
    }

    /// Another device of an account.
    pub(crate) async fn device(&self, handle: &str) -> Caller {
        let logged_in = self.log_in(handle, PASSWORD).await.expect("logged in");
        self.caller(&logged_in.token).await.expect("just logged in")
    }

    /// Registers a handle with an invite, or without.
    pub(crate) async fn register(&self, handle: &str, invite: &str) -> Result<LoggedIn, ProtocolError> {
        let register = Register {
            handle: handle.into(),
            password: PASSWORD.into(),
            invite: invite.into(),
            device_name: "laptop".into(),
            ..Default::default()
        };
        super::accounts::register(&self.api, ADDRESS, register).await
    }

    /// Logs in with this password.
    pub(crate) async fn log_in(&self, handle: &str, password: &str) -> Result<LoggedIn, ProtocolError> {
        let log_in = LogIn { handle: handle.into(), password: password.into(), device_name: "phone".into() };
        super::accounts::log_in(&self.api, ADDRESS, log_in).await
    }

    /// Who holds a token.
    pub(crate) async fn caller(&self, token: &str) -> Result<Caller, ProtocolError> {
        self.api.authenticate(token, ADDRESS).await
    }

    /// Connects a caller's device to the test's gateway: from now on [`Self::delivered_to`] has what it gets.
    pub(crate) async fn connect(&self, caller: &Caller) -> Caller {
        let session = Session {
            account: caller.account,
            device: caller.device,
            gateway: self.gateway_ref.clone(),
            connection: ConnectionId(self.gateway.connections.fetch_add(1, Ordering::SeqCst)),
            token: caller.token,
            active: true,
            number: 0,
            connected_us: self.services.now_us(),
            since_us: self.services.now_us(),
        };
        match self.sessions.register(session).await.expect("memory engines do not fail") {
            Registered::Yes(session) => Caller { session: Some(session), ..caller.clone() },
            Registered::Replaced(by) => panic!("it does not count, and {by:?} is later"),
        }
    }

    /// What was delivered to a device so far, in order.
    pub(crate) fn delivered_to(&self, caller: &Caller) -> Vec<Payload> {
        let is_it = |target: &Target| (target.account, target.device) == (caller.account, caller.device);
        let delivered = self.gateway.delivered.lock();
        delivered.iter().filter(|(target, _)| is_it(target)).map(|(_, payload)| payload.clone()).collect()
    }

    /// What something comes to, and what it costs.
    pub(crate) async fn cost<T>(&self, something: impl Future<Output = T>) -> (T, Work) {
        let so_far = || {
            let counts = [&self.store.gets, &self.store.scans, &self.store.writes, &self.hashes];
            counts.map(|count| count.load(Ordering::SeqCst))
        };
        let before = so_far();
        let outcome = something.await;
        let after = so_far();
        let [gets, scans, writes, hashes] = std::array::from_fn(|n| after[n] - before[n]);
        (outcome, Work { gets, scans, writes, hashes })
    }

    /// A new message id of the clock's time.
    pub(crate) fn message_id(&self) -> MessageId {
        MessageId::v7(self.services.now_us() / 1_000, self.services.runtime.random())
    }
}

/// An account that is not there.
pub(crate) const NOBODY: AccountId = AccountId::new([0xee; 16]);
