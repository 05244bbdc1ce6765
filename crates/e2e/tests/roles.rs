//! Roles in processes of their own: what one does reaches the others through the engines that they share and by gRPC, and
//! nowhere else. The engines are in memory here, so that only the roles are looked at.

use hudhud_e2e::Wire;
use hudhud_e2e::hudhud::is_ready;
use hudhud_engines::{Engines, Options, Urls};
use hudhud_proto::v1::{Content, Entry, Read, ReceiptKind, Received, RevokeToken, Send, WatchPresence};
use hudhud_proto::v1::{client_frame::Command, entry, server_frame::Event};
use hudhud_proto::{AccountId, Encoding, MessageId};
use hudhud_server::config::{Peers, Role};
use hudhud_server::{Config, Running};
use std::net::SocketAddr;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SECRET: &str = "what-every-process-of-this-test-knows";

/// What all processes share. Each gets what looks like an engine of its own.
struct Cluster(Engines);

impl Cluster {
    async fn new() -> Self {
        Self(memory().await)
    }

    /// A process with these roles; where it serves clients, if it does.
    async fn start(&self, name: &str, roles: &[Role]) -> (Running, Option<SocketAddr>) {
        let any = ([127, 0, 0, 1], 0).into();
        let mut config =
            Config { roles: roles.to_vec(), gateway: name.into(), listen: any, drain_ms: 0, ..Config::default() };
        config.operators.listen = any;
        // Only said here: the test opens other engines, which are shared all the same.
        let shared = || Some("shared:".to_owned());
        (config.engines.messages, config.engines.directory, config.engines.bus) = (shared(), shared(), shared());
        config.peers = Peers { secret: Some(SECRET.into()), listen: Some(any), address: None };
        let mut engines = memory().await;
        engines.messages = self.0.messages.clone();
        engines.directory = self.0.directory.clone();
        engines.bus = self.0.bus.clone();
        engines.cache = self.0.cache.clone();
        let running = hudhud_server::start_on(config, engines).await.expect("a free port");
        assert!(is_ready(running.operators_address()).await);
        let address = running.address();
        (running, address)
    }
}

async fn memory() -> Engines {
    let clock = hudhud_engines::runtime().clock;
    hudhud_engines::open(&Urls::all("memory:"), &Options::default(), clock).await.expect("memory opens")
}

/// The body of what a command over HTTP is answered with, behind its status.
async fn post(address: SocketAddr, command: &str, token: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let length = body.len();
    let request = format!(
        "POST /v1/{command} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
}

fn message(n: u8) -> MessageId {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    MessageId::v7(now.as_millis() as u64, [n; 10])
}

fn text(to: &hudhud_proto::v1::LoggedIn, n: u8, text: &'static str) -> Command {
    let content = Content { content_type: "text/plain".into(), payload: text.into(), ..Default::default() };
    let send = Send {
        direct_with: to.account.clone(),
        message_id: message(n).to_bytes(),
        content: content.into(),
        ..Default::default()
    };
    Command::Send(send)
}

async fn entry(wire: &mut Wire) -> Entry {
    wire.pushed(|event| match event {
        Event::Entry(entry) => Some(entry),
        _ => None,
    })
    .await
}

async fn receipt(wire: &mut Wire, wanted: ReceiptKind) -> u64 {
    wire.pushed(|event| match event {
        Event::Receipt(receipt) if receipt.kind == wanted => Some(receipt.seq),
        _ => None,
    })
    .await
}

fn says(entry: &Entry, text: &str) -> bool {
    matches!(&entry.body, Some(entry::Body::Content(content)) if *content.payload == *text.as_bytes())
}

/// A message and both of its receipts, between people on two gateways, with the commands and the dispatching elsewhere; then
/// one gateway goes, and who was on it goes on at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_receipts_cross_processes() {
    let cluster = Cluster::new().await;
    let (dispatcher, nothing) = cluster.start("dispatcher", &[Role::Dispatcher]).await;
    assert_eq!(nothing, None, "clients have nothing to ask a dispatcher");
    let (first, at_first) = cluster.start("first", &[Role::Gateway]).await;
    let (second, at_second) = cluster.start("second", &[Role::Gateway]).await;
    let (api, at_api) = cluster.start("api", &[Role::Api]).await;
    let [at_first, at_second, at_api] =
        [at_first, at_second, at_api].map(|address| address.expect("it serves clients"));

    let (mut alice, alices) = Wire::register(at_first, Encoding::Protobuf, "alice").await;
    let (mut bob, bobs) = Wire::register(at_second, Encoding::Json, "bob").await;
    let watch = WatchPresence { accounts: vec![bobs.account.clone()] };
    let Event::PresenceList(presences) = alice.ask(Command::WatchPresence(watch)).await else { panic!("no presences") };
    assert!(presences.accounts[0].online, "bob is on another gateway: {presences:?}");

    assert!(matches!(alice.ask(text(&bobs, 1, "over a socket")).await, Event::Accepted(_)));
    let found = entry(&mut bob).await;
    assert!(says(&found, "over a socket"), "{found:?}");
    let conversation = found.conversation.clone();
    bob.ask(Command::Received(Received { conversation: conversation.clone(), seq: found.seq })).await;
    assert_eq!(receipt(&mut alice, ReceiptKind::Received).await, found.seq);
    bob.ask(Command::Read(Read { conversation: conversation.clone(), seq: found.seq })).await;
    assert_eq!(receipt(&mut alice, ReceiptKind::Read).await, found.seq);

    let id = message(2).to_string();
    let direct_with = AccountId::from_slice(&bobs.account).expect("an account");
    let body = format!(
        r#"{{"directWith":"{direct_with}","messageId":"{id}","content":{{"contentType":"text/plain","text":"over HTTP"}}}}"#
    );
    let (status, answer) = post(at_api, "send", &alices.token, &body).await;
    assert_eq!(status, 200, "{answer}");
    let found = entry(&mut bob).await;
    assert!(says(&found, "over HTTP"), "{found:?}");
    assert!(says(&entry(&mut alice).await, "over HTTP"), "her own device has it too");

    // Each does its own part and says so.
    assert_eq!(post(at_first, "listDevices", &alices.token, "{}").await.0, 404);
    let refused = tokio_tungstenite::connect_async(format!("ws://{at_api}/v1/ws")).await;
    assert!(refused.expect_err("an api holds no sockets").to_string().contains("404"));

    let stopping = tokio::spawn(first.stop());
    alice.pushed(|event| matches!(event, Event::GoingAway(_)).then_some(())).await;
    drop(alice);
    stopping.await.expect("it does not panic");
    let mut alice = Wire::connect(at_second, Encoding::Protobuf).await;
    alice.hello(&alices.token).await;
    bob.ask(text(&alices, 3, "are you there?")).await;
    assert!(says(&entry(&mut alice).await, "are you there?"));

    drop((alice, bob));
    second.stop().await;
    api.stop().await;
    dispatcher.stop().await;
}

/// A token that is revoked through one process closes the connections that it opened at another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_shut_out_everywhere() {
    let cluster = Cluster::new().await;
    let (dispatcher, _) = cluster.start("dispatcher", &[Role::Dispatcher]).await;
    let (gateway, address) = cluster.start("gateway", &[Role::Gateway]).await;
    let (api, at_api) = cluster.start("api", &[Role::Api]).await;
    let (address, at_api) = (address.expect("it serves clients"), at_api.expect("it serves clients"));

    let (mut alice, alices) = Wire::register(address, Encoding::Protobuf, "alice").await;
    let create = hudhud_proto::v1::CreateToken { label: "bot".into(), valid_s: 3_600 };
    let Event::TokenCreated(created) = alice.ask(Command::CreateToken(create)).await else { panic!("no token") };
    let mut bot = Wire::connect(address, Encoding::Protobuf).await;
    bot.hello(&created.token).await;
    let revoke = RevokeToken { id: created.id.clone() };
    let body = serde_json::to_string(&revoke).expect("messages are JSON");
    assert_eq!(post(at_api, "revokeToken", &alices.token, &body).await.0, 200);
    bot.closed().await;
    drop(alice);
    gateway.stop().await;
    api.stop().await;
    dispatcher.stop().await;
}
