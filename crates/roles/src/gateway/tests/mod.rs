//! Connections on memory engines and a transport of channels, on a clock that stands still until it is told.

mod greeting;
mod lease;
mod lying_cache;
mod pushing;
mod sending;
mod staying;

use super::*;
use crate::api::testing::{ADDRESS, Fixture};
use crate::api::{Caller, Who};
use crate::session::{Post, Recipient, Session};
use crate::settings::Settings;
use crate::tables;
use async_trait::async_trait;
use hudhud_ports::memory::Local;
use hudhud_ports::{Cache, Claim, Error, ErrorKind, Key, Row, Scan, Store, Table, Write};
use hudhud_proto::v1::{ErrorCode, ServerFrame, client_frame::Command};
use hudhud_proto::{AccountId, MessageId};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::task::{Context, Poll};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, yield_now};

/// Turns of the scheduler in which everything that can happen without time passing has happened.
const TURNS: usize = 1_000;

async fn settle() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// A store whose calls to some tables fail, or wait.
struct Faulty {
    store: Arc<dyn Store>,
    failing: Mutex<BTreeSet<&'static str>>,
    held: watch::Sender<BTreeSet<&'static str>>,
}

impl Faulty {
    async fn pass(&self, table: &Table) -> Result<()> {
        let mut held = self.held.subscribe();
        held.wait_for(|held| !held.contains(table.name)).await.expect("the store lives");
        match self.failing.lock().contains(table.name) {
            true => Err(Error::new(ErrorKind::Unavailable, "faulty", "call")),
            false => Ok(()),
        }
    }

    fn hold(&self, table: &Table) {
        self.held.send_modify(|held| _ = held.insert(table.name));
    }

    fn let_go(&self) {
        self.held.send_modify(BTreeSet::clear);
    }
}

#[async_trait]
impl Store for Faulty {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.pass(key.table).await?;
        self.store.get(key).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.pass(scan.table).await?;
        self.store.scan(scan).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        for write in &writes {
            self.pass(write.key.table).await?;
        }
        self.store.write(writes).await
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        self.store.claim(write).await
    }

    async fn flush(&self) -> Result<()> {
        self.store.flush().await
    }
}

struct World {
    fixture: Fixture,
    store: Arc<Faulty>,
    services: Services,
    local: Arc<Local>,
    gateway: Arc<Gateway>,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(Fixture::with(change).await, |services| services.cache.clone()).await
    }

    async fn on(fixture: Fixture, cache: impl FnOnce(&Services) -> Arc<dyn Cache>) -> Self {
        let store = Arc::new(Faulty {
            store: fixture.store.clone(),
            failing: Mutex::default(),
            held: watch::Sender::new(BTreeSet::new()),
        });
        let local = Arc::new(Local::new());
        let services = Services {
            directory: store.clone(),
            messages: store.clone(),
            gateways: local.clone(),
            cache: cache(&fixture.services),
            ..fixture.services.clone()
        };
        let gateway = gateway(&services, &local, "gw");
        gateway.start().await.expect("started");
        Self { fixture, store, services, local, gateway }
    }

    /// Registers an account, without connecting it. Returns the token of its device.
    async fn register(&self, handle: &str) -> (Caller, String) {
        let logged_in = self.fixture.register(handle, "").await.expect("registered");
        (self.fixture.caller(&logged_in.token).await.expect("just registered"), logged_in.token)
    }

    fn connect(&self) -> Client {
        Client::connect(&self.gateway, Encoding::Protobuf)
    }

    /// A connection of this token, welcomed.
    async fn hello(&self, token: &str) -> Client {
        let mut client = self.connect();
        client.hello(token).await;
        client
    }

    async fn post(&self, to: &Caller, n: u8) -> Vec<AccountId> {
        let payload = Payload::Frame(typing(n));
        self.gateway.sessions.deliver(vec![Post { payload, to: vec![Recipient::Account(to.account)] }]).await
    }

    async fn sessions_of(&self, caller: &Caller) -> Vec<Session> {
        self.gateway.sessions.of_accounts(&[caller.account]).await.expect("read")
    }

    async fn pass(&self, time: Duration) {
        self.fixture.clock.advance(time);
        settle().await;
    }
}

fn gateway(services: &Services, local: &Local, name: &str) -> Arc<Gateway> {
    let sessions = Arc::new(Sessions::new(services));
    let presence = Arc::new(Presence::new(services, sessions.clone()));
    let api = Arc::new(Api::new(services.clone(), sessions.clone(), presence.clone()));
    let gateway = Gateway::new(services.clone(), api, sessions, presence, name, "");
    local.register(gateway.reference().clone(), gateway.clone());
    gateway
}

fn typing(n: u8) -> Bytes {
    crate::presence::push(typing_event(n))
}

fn typing_event(n: u8) -> Event {
    Event::TypingNotice(v1::TypingNotice { account: vec![n].into(), typing: true, ..Default::default() })
}

/// The other end of a connection.
struct Client {
    encoding: Encoding,
    frames: mpsc::UnboundedSender<Bytes>,
    written: Arc<Mutex<Vec<Bytes>>>,
    closed: Arc<Mutex<Option<u16>>>,
    reads: watch::Sender<bool>,
    task: JoinHandle<()>,
    last_request: u64,
}

struct Channels {
    frames: mpsc::UnboundedReceiver<Bytes>,
    written: Arc<Mutex<Vec<Bytes>>>,
    closed: Arc<Mutex<Option<u16>>>,
    reads: watch::Receiver<bool>,
}

#[async_trait]
impl Transport for Channels {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.frames.poll_recv(context)
    }

    async fn send(&mut self, frames: Vec<Bytes>) -> std::result::Result<(), Closed> {
        self.reads.wait_for(|reads| *reads).await.map_err(|_| Closed)?;
        yield_now().await;
        self.written.lock().extend(frames);
        Ok(())
    }

    async fn close(&mut self, code: u16, _: &str) {
        *self.closed.lock() = Some(code);
    }
}

impl Client {
    fn connect(gateway: &Arc<Gateway>, encoding: Encoding) -> Self {
        let (frames, receiver) = mpsc::unbounded_channel();
        let (reads, reading) = watch::channel(true);
        let written = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(Mutex::new(None));
        let channels = Channels { frames: receiver, written: written.clone(), closed: closed.clone(), reads: reading };
        let task = tokio::spawn(gateway.clone().serve(Box::new(channels), encoding, ADDRESS));
        Self { encoding, frames, written, closed, reads, task, last_request: 0 }
    }

    fn give(&mut self, command: Command) -> u64 {
        self.last_request += 1;
        let frame = v1::ClientFrame { request: self.last_request, command: Some(command) };
        self.raw(self.encoding.encode_client(&frame));
        self.last_request
    }

    fn raw(&self, frame: impl Into<Bytes>) {
        // A closed connection takes nothing more.
        let _ = self.frames.send(frame.into());
    }

    fn say_hello(&mut self, token: &str, active: bool) {
        self.say_hello_numbered(token, active, 0);
    }

    fn say_hello_numbered(&mut self, token: &str, active: bool, connection_number: u64) {
        self.give(Command::Hello(v1::Hello {
            token: token.into(),
            client: "test/1".into(),
            active,
            connection_number,
        }));
    }

    async fn hello(&mut self, token: &str) {
        self.say_hello(token, false);
        settle().await;
        let events = self.events();
        assert!(matches!(events[..], [Event::Welcome(_)]), "{events:?}");
    }

    /// The frames that came since the last call.
    fn received(&self) -> Vec<ServerFrame> {
        let written = std::mem::take(&mut *self.written.lock());
        written.iter().map(|frame| self.encoding.decode_server(frame).expect("a frame")).collect()
    }

    fn events(&self) -> Vec<Event> {
        self.received().into_iter().map(|frame| frame.event.expect("an event")).collect()
    }

    /// Gives a command and waits for its answer.
    async fn ask(&mut self, command: Command) -> Event {
        let request = self.give(command);
        settle().await;
        let answer = self.received().into_iter().find(|frame| frame.request == request);
        answer.expect("an answer").event.expect("an event")
    }

    fn close_code(&self) -> Option<u16> {
        *self.closed.lock()
    }

    fn codes(&self) -> Vec<Option<ErrorCode>> {
        self.events().iter().map(error_code).collect()
    }

    /// Closes as a client does.
    async fn hang_up(self) {
        drop(self.frames);
        self.task.await.expect("it ended");
        settle().await;
    }
}

fn error_code(event: &Event) -> Option<ErrorCode> {
    match event {
        Event::Error(error) => error.code.as_known(),
        _ => None,
    }
}

fn ping() -> Command {
    Command::Ping(v1::Ping::default())
}

fn message(world: &World, to: &Caller, n: u8) -> v1::Send {
    let mut id = *world.fixture.message_id().as_bytes();
    id[15] = n;
    let content = v1::Content { content_type: "text/plain".into(), payload: vec![n].into(), ..Default::default() };
    v1::Send {
        direct_with: to.account.to_bytes(),
        message_id: MessageId::new(id).to_bytes(),
        content: content.into(),
        ..Default::default()
    }
}
