//! A million frames that nobody should send, against a server process: it neither panics nor grows, each connection is closed
//! with the code that fits, and two people chat on as if nothing were.

mod frames;
mod hostile;

use frames::{Conversation, FRAMES_PER_CONNECTION};
use hudhud_e2e::Wire;
use hudhud_e2e::overload::Server;
use hudhud_proto::v1::{self, ReceiptKind, client_frame::Command, server_frame::Event};
use hudhud_proto::{AccountId, Encoding, MessageId};
use rustix::process::Signal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const FRAMES: u64 = 1_000_000;
/// Frames after which the server has all the memory that it takes for such clients.
const WARM_UP_FRAMES: u64 = 200_000;
/// How much more it may take for the rest. What it keeps of the two who chat is in this.
const GROWTH_BYTES_MAX: u64 = 32 * 1_024 * 1_024;
/// Hostile clients at the same time.
const CLIENTS: u64 = 16;
/// Another one makes other frames.
const SEED: u64 = 20_261_122;
/// Between two messages of those who chat.
const PAUSE: Duration = Duration::from_millis(20);
/// Messages that they exchange at least.
const MESSAGES_MIN: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_malformed_frames() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), "").await;
    let over = Arc::new(AtomicBool::new(false));
    let chat = tokio::spawn(chat(server.address(), over.clone()));

    let begun = Instant::now();
    attack(server.address(), 0, WARM_UP_FRAMES).await;
    let before = server.usage().resident_bytes;
    attack(server.address(), WARM_UP_FRAMES, FRAMES).await;
    let after = server.usage().resident_bytes;
    let took = begun.elapsed();

    over.store(true, Ordering::Relaxed);
    let messages = chat.await.expect("nothing that they sent is missing");
    assert!(messages >= MESSAGES_MIN, "only {messages} messages went through");
    let grown = after.saturating_sub(before);
    assert!(grown <= GROWTH_BYTES_MAX, "the server grew from {before} to {after} bytes");
    server.signal(Signal::TERM);
    let (status, log) = server.ended().await;
    assert!(status.success(), "it ended with {status}");
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "the server had something to say: {log}");
    println!(
        "{FRAMES} frames in {} s; {} MiB resident after {WARM_UP_FRAMES}, {} MiB at the end; {messages} messages meanwhile",
        took.as_secs(),
        before >> 20,
        after >> 20,
    );
}

/// Sends frames until so many have been read by the server, counted over all clients.
async fn attack(server: SocketAddr, from: u64, to: u64) {
    let corpus: Arc<[Vec<u8>]> = hudhud_fuzz::corpus("client_frames").expect("it is in the repository").into();
    let frames = FRAMES_PER_CONNECTION as u64;
    assert!(from.is_multiple_of(frames) && to.is_multiple_of(frames));
    let next = Arc::new(AtomicU64::new(from / frames));
    let read = Arc::new(AtomicU64::new(0));
    let clients = (0..CLIENTS).map(|_| {
        let (corpus, next, read) = (corpus.clone(), next.clone(), read.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= to / frames {
                    return;
                }
                let conversation = Conversation::new(&corpus, SEED + number);
                // Many addresses, as one has no ports for so many connections in so short a time.
                let [.., high, low] = number.to_be_bytes();
                let from = IpAddr::V4(Ipv4Addr::new(127, 1, high, low));
                let code = hostile::hold(server, from, &conversation).await;
                assert_eq!(code, conversation.close_code, "connection {number}, which ends with {}", conversation.end);
                read.fetch_add(frames, Ordering::Relaxed);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("each connection is closed as it should be");
    }
    assert_eq!(read.load(Ordering::Relaxed), to - from);
}

/// Two people: one writes, the other has each message once and in order, and the first one learns it. Returns how many.
async fn chat(server: SocketAddr, over: Arc<AtomicBool>) -> u64 {
    let (mut alice, _) = Wire::register(server, Encoding::Protobuf, "alice").await;
    let (mut bobby, account) = Wire::register(server, Encoding::Json, "bobby").await;
    let account = AccountId::from_slice(&account.account).expect("an id");
    let mut sent = 0_u64;
    while !over.load(Ordering::Relaxed) {
        sent += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let [.., a, b, c, d] = sent.to_be_bytes();
        let message = MessageId::v7(now.as_millis() as u64, [a, b, c, d, 0, 0, 0, 0, 0, 0]);
        let content = v1::Content { content_type: "text/plain".into(), payload: "hello".into(), ..Default::default() };
        let send = v1::Send {
            direct_with: account.to_bytes(),
            message_id: message.as_bytes().to_vec().into(),
            content: content.into(),
            ..Default::default()
        };
        let Event::Accepted(accepted) = alice.ask(Command::Send(send)).await else { panic!("not accepted") };
        let entry = bobby.pushed(|event| if let Event::Entry(entry) = event { Some(entry) } else { None }).await;
        assert_eq!((entry.seq, &entry.message_id[..]), (sent, &message.as_bytes()[..]));
        let received = v1::Received { conversation: accepted.conversation, seq: sent };
        assert!(matches!(bobby.ask(Command::Received(received)).await, Event::Done(_)));
        alice
            .pushed(|event| matches!(event, Event::Receipt(receipt) if is_received(&receipt, sent)).then_some(()))
            .await;
        tokio::time::sleep(PAUSE).await;
    }
    sent
}

fn is_received(receipt: &v1::Receipt, seq: u64) -> bool {
    receipt.kind.as_known() == Some(ReceiptKind::Received) && receipt.seq == seq
}
