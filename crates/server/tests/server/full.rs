//! A disk that is full: whoever wants to store something is told so before anything is stored, everything else goes on, and
//! once there is room it all works again by itself.

use crate::client::{Client, error};
use crate::server::{PASSWORD, Person, Server, config, message_id};
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::{Bus, Claim, Error, ErrorKind, Key, Membership, Result, Row, Scan, Store, Write};
use hudhud_proto::v1::{self, ErrorCode, client_frame::Command, server_frame::Event};
use hudhud_proto::{Encoding, Position, Shard};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An engine on a disk that is full when it is said to be.
struct Disk<E: ?Sized> {
    is_full: Arc<AtomicBool>,
    engine: Arc<E>,
}

impl<E: ?Sized> Disk<E> {
    fn room(&self, op: &'static str) -> Result<()> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Full, "test", op)),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Disk<dyn Store> {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.engine.get(key).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.engine.scan(scan).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        self.room("write")?;
        self.engine.write(writes).await
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        self.room("claim")?;
        self.engine.claim(write).await
    }

    async fn flush(&self) -> Result<()> {
        self.engine.flush().await
    }
}

#[async_trait]
impl Bus for Disk<dyn Bus> {
    fn shards(&self) -> u32 {
        self.engine.shards()
    }

    async fn append(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        self.room("append")?;
        self.engine.append(shard, records).await
    }

    async fn join(&self) -> Result<Box<dyn Membership>> {
        self.engine.join().await
    }
}

/// A server whose databases, and whose bus, are on disks that can be full.
async fn server() -> (Server, [Arc<AtomicBool>; 2]) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder);
    let mut engines = hudhud_server::open_engines(&config).await.expect("it opens");
    let [databases, log] = [Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false))];
    for store in [&mut engines.messages, &mut engines.directory] {
        *store = Arc::new(Disk { is_full: databases.clone(), engine: store.clone() });
    }
    engines.bus = Arc::new(Disk { is_full: log.clone(), engine: engines.bus.clone() });
    let running = hudhud_server::start_on(config, engines).await.unwrap_or_else(|failure| panic!("{failure}"));
    (Server { running, folder }, [databases, log])
}

fn to(person: &Person, n: u8, text: &str) -> Value {
    json!({ "directWith": person.account, "messageId": message_id(n).to_string(), "content": { "text": text } })
}

/// The texts of a conversation, once there are so many.
async fn texts(server: &Server, person: &Person, conversation: &Value, count: usize) -> Vec<String> {
    loop {
        let fetch = json!({ "conversation": conversation, "fromSeq": "1" });
        let page = server.post("fetch", Some(&person.token), fetch).await;
        let entries = page.json()["entries"].as_array().cloned().unwrap_or_default();
        if entries.len() >= count {
            return entries.iter().map(|entry| entry["content"]["text"].as_str().unwrap_or("?").to_owned()).collect();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_answered_before_anything_is_stored_and_recovers_by_itself() {
    let (server, disks) = server().await;
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    let conversation = server.command("send", &alice, to(&bob, 1, "before")).await["conversation"].clone();
    assert_eq!(texts(&server, &bob, &conversation, 1).await, ["before"]);
    let mut socket = Client::of(&server, &alice, Encoding::Json).await;
    let changes = v1::Changes::default();
    let Event::ChangePage(page) = socket.request(Command::Changes(changes)).await else { panic!("no changes") };
    let own = page.rows.first().expect("the chat with bob").clone();
    drop(socket);
    for (n, is_full) in (2..).step_by(2).zip(&disks) {
        // Each time a new one: on the old one the message that failed would come first.
        let mut socket = Client::of(&server, &alice, Encoding::Json).await;
        is_full.store(true, Ordering::SeqCst);
        let refused = server.post("send", Some(&alice.token), to(&bob, n, "nobody reads this")).await;
        assert_eq!((refused.status, refused.header("retry-after")), (507, "5"), "{refused:?}");
        let problem = refused.json();
        assert_eq!((&problem["code"], &problem["type"]), (&json!("ERROR_CODE_FULL"), &json!("/problems/full")));
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("nothing was stored")), "{problem}");
        let send = v1::Send {
            conversation: own.conversation.clone(),
            message_id: message_id(n + 1).to_bytes(),
            content: v1::Content {
                content_type: "text/plain".into(),
                payload: Bytes::from_static(b"nor this"),
                ..Default::default()
            }
            .into(),
            ..Default::default()
        };
        let refused = error(socket.request(Command::Send(send)).await);
        assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::Full, 5_000));
        // Who reads is served, and balancers keep sending people here.
        assert_eq!(texts(&server, &bob, &conversation, 1).await, ["before"]);
        assert_eq!(server.watch("/readyz").await.status, 200);
        is_full.store(false, Ordering::SeqCst);
    }
    server.command("send", &alice, to(&bob, 9, "after")).await;
    assert_eq!(texts(&server, &bob, &conversation, 2).await, ["before", "after"]);
    server.stop().await;
}

/// Registering stores an account, so it needs room as well.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_registers_on_a_full_disk() {
    let (server, [databases, _]) = server().await;
    let register = json!({ "handle": "alice", "password": PASSWORD });
    databases.store(true, Ordering::SeqCst);
    assert_eq!(server.post("register", None, register.clone()).await.status, 507);
    databases.store(false, Ordering::SeqCst);
    assert_eq!(server.post("register", None, register).await.status, 200);
    server.stop().await;
}
