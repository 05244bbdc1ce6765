//! Two people chat, in both encodings: one tick, two ticks, coloured ticks.

use crate::client::Client;
use crate::server::{Person, Server, message_id};
use hudhud_proto::v1::{self, Content, ReceiptKind, client_frame::Command, entry, server_frame::Event};
use hudhud_proto::{AccountId, Encoding, Message as _};

fn account(person: &Person) -> bytes::Bytes {
    let text = format!("{{\"account\":\"{}\"}}", person.account);
    let profile: v1::Profile = serde_json::from_str(&text).expect("an id");
    AccountId::from_slice(&profile.account).expect("16 bytes").to_bytes()
}

fn text(text: &str) -> Content {
    Content { content_type: "text/plain".into(), payload: text.to_owned().into(), ..Default::default() }
}

/// A message goes from one to the other and its ticks come back, whichever encoding either speaks.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_and_its_ticks() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    for (round, (mine, theirs)) in (1..).zip([
        (Encoding::Protobuf, Encoding::Protobuf),
        (Encoding::Protobuf, Encoding::Json),
        (Encoding::Json, Encoding::Protobuf),
        (Encoding::Json, Encoding::Json),
    ]) {
        let mut sender = Client::of(&server, &alice, mine).await;
        let mut receiver = Client::of(&server, &bob, theirs).await;
        let id = message_id(round);
        let send = v1::Send {
            direct_with: account(&bob),
            message_id: id.to_bytes(),
            content: text("hello").into(),
            ..Default::default()
        };
        let Event::Accepted(accepted) = sender.request(Command::Send(send)).await else { panic!("not accepted") };
        assert_eq!(accepted.message_id, id.to_bytes());

        let Event::Entry(entry) = receiver.push().await else { panic!("no entry") };
        assert_eq!((entry.message_id.clone(), entry.sender.clone()), (id.to_bytes(), account(&alice)));
        assert_eq!(entry.body, Some(entry::Body::Content(text("hello"))));
        let Event::Entry(own) = sender.push().await else { panic!("no entry of its own") };
        assert_eq!(own.encode_to_vec(), entry.encode_to_vec());

        let (conversation, seq) = (entry.conversation, entry.seq);
        for (command, kind) in [
            (Command::Received(v1::Received { conversation: conversation.clone(), seq }), ReceiptKind::Received),
            (Command::Read(v1::Read { conversation: conversation.clone(), seq }), ReceiptKind::Read),
        ] {
            assert!(matches!(receiver.request(command).await, Event::Done(_)));
            let Event::Receipt(receipt) = sender.push().await else { panic!("no receipt") };
            assert_eq!((receipt.kind.as_known(), receipt.seq), (Some(kind), seq));
            assert_eq!((receipt.account, receipt.conversation), (account(&bob), conversation.clone()));
        }
    }
    server.stop().await;
}

/// Who was away finds in the inbox what came meanwhile, and fetches it.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_finds_what_came() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    let mut sender = Client::of(&server, &alice, Encoding::Protobuf).await;
    for n in 1..=3 {
        let send = v1::Send {
            direct_with: account(&bob),
            message_id: message_id(n).to_bytes(),
            content: text(&format!("message {n}")).into(),
            ..Default::default()
        };
        assert!(matches!(sender.request(Command::Send(send)).await, Event::Accepted(_)));
        // Sequenced, as it comes back.
        assert!(matches!(sender.push().await, Event::Entry(_)));
    }
    let mut receiver = Client::of(&server, &bob, Encoding::Json).await;
    let Event::ChangePage(page) = receiver.request(Command::Changes(v1::Changes::default())).await else {
        panic!("no changes")
    };
    let [row] = page.rows.as_slice() else { panic!("one conversation, not {:?}", page.rows) };
    assert!(row.head_seq >= 3 && page.inbox_version == row.head_seq && !page.more);
    let fetch = v1::Fetch { conversation: row.conversation.clone(), from_seq: 1, ..Default::default() };
    let Event::EntryPage(page) = receiver.request(Command::Fetch(fetch)).await else { panic!("no page") };
    let texts = page.entries.iter().filter_map(|entry| match &entry.body {
        Some(entry::Body::Content(content)) => Some(String::from_utf8_lossy(&content.payload).into_owned()),
        _ => None,
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["message 1", "message 2", "message 3"]);
    drop((sender, receiver));
    server.stop().await;
}
