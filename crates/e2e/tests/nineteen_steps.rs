//! The nineteen steps of a message and its receipts, each seen to happen, in their order, on a running server with its
//! embedded engines, behind a balancer. ARCHITECTURE.md lists them and links each to the line that does it.

use hudhud_e2e::{Balancer, Journal, Wire, watch};
use hudhud_proto::v1::{Content, Read, ReceiptKind, Received, Send, client_frame::Command, entry, server_frame::Event};
use hudhud_proto::{Encoding, MessageId};
use hudhud_server::Config;
use std::time::{Duration, SystemTime};

fn receipt(kind: ReceiptKind) -> impl Fn(Event) -> Option<u64> {
    move |event| match event {
        Event::Receipt(receipt) if receipt.kind == kind => Some(receipt.seq),
        _ => None,
    }
}

async fn the_nineteen_steps(encoding: Encoding) {
    let folder = tempfile::tempdir().expect("a folder");
    let any = ([127, 0, 0, 1], 0).into();
    let mut config = Config { data: folder.path().to_owned(), listen: any, drain_ms: 0, ..Config::default() };
    config.operators.listen = any;
    let journal = Journal::default();
    let mut engines = hudhud_server::open_engines(&config).await.expect("an empty folder opens");
    watch(&mut engines, &journal);
    let server = hudhud_server::start_on(config, engines).await.expect("a free port");
    let balancer = Balancer::start(server.address().expect("it has every role"), journal.clone()).await;
    let (mut alice, _) = Wire::register(balancer, encoding, "alice").await;
    let (mut bob, bobs) = Wire::register(balancer, encoding, "bob").await;
    // Presence is looked up beside the connection; let that end, so that what is noted now is the message's.
    tokio::time::sleep(Duration::from_millis(300)).await;
    journal.clear();

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    let message = MessageId::v7(now.as_millis() as u64, [7; 10]);
    let content = Content { content_type: "text/plain".into(), payload: "hi".into(), ..Default::default() };
    let send = Send {
        direct_with: bobs.account,
        message_id: message.to_bytes(),
        content: content.into(),
        ..Default::default()
    };
    journal.note("alice's app calls the send API");
    let request = alice.say(Command::Send(send)).await;
    let Event::Accepted(accepted) = alice.answer(request).await else { panic!("not accepted") };
    assert_eq!(accepted.message_id, message.to_bytes());
    let entry = bob.pushed(|event| match event {
        Event::Entry(entry) => Some(entry),
        _ => None,
    });
    let entry = entry.await;
    journal.note("bob's app has the message");
    assert!(matches!(&entry.body, Some(entry::Body::Content(content)) if *content.payload == *b"hi"));

    let conversation = entry.conversation;
    journal.note("bob's app says: received");
    bob.ask(Command::Received(Received { conversation: conversation.clone(), seq: entry.seq })).await;
    assert_eq!(alice.pushed(receipt(ReceiptKind::Received)).await, entry.seq);
    journal.note("alice's app shows two ticks");

    journal.note("bob's app says: read");
    bob.ask(Command::Read(Read { conversation, seq: entry.seq })).await;
    assert_eq!(alice.pushed(receipt(ReceiptKind::Read)).await, entry.seq);
    journal.note("alice's app shows two coloured ticks");

    journal.assert_in_order(&[
        "alice's app calls the send API",       // 1
        "the balancer passes it on",            // 2
        "the accepted message is stored",       // 3
        "the bus is given: message",            // 4
        "the dispatcher reads: message",        // 5, and
        "the timeline has the entry",           //    its place in the log
        "the cache is asked who is where",      // 6
        "bob's app has the message",            // 7
        "bob's app says: received",             // 8
        "the database knows: received",         // 9
        "the bus is given: received",           // 10
        "the dispatcher reads: received",       // 11
        "the cache is asked who is where",      // 12
        "alice's app shows two ticks",          // 13
        "bob's app says: read",                 // 14
        "the database knows: read",             // 15
        "the bus is given: read",               // 16
        "the dispatcher reads: read",           // 17
        "the cache is asked who is where",      // 18
        "alice's app shows two coloured ticks", // 19
    ]);
    drop((alice, bob));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nineteen_steps_happen_in_order_in_protobuf() {
    Box::pin(the_nineteen_steps(Encoding::Protobuf)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nineteen_steps_happen_in_order_in_json() {
    Box::pin(the_nineteen_steps(Encoding::Json)).await;
}
