//! A damaged row of a conversation: the process ends with what to do, rather than go on without a message that it accepted.

use crate::server::{Server, config, message_id};
use bytes::Bytes;
use hudhud_ports::Write;
use hudhud_proto::v1;
use hudhud_proto::{AccountId, ConversationId, Message as _, MessageId, Shard};
use hudhud_roles::tables;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_conversation_ends_the_process_and_skips_no_accepted_record() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    let send =
        json!({ "directWith": bob.account, "messageId": message_id(1).to_string(), "content": { "text": "hi" } });
    let accepted = server.command("send", &alice, send).await;
    let bytes = |base64: &Value| {
        let holder = json!({ "conversation": base64 });
        serde_json::from_value::<v1::Received>(holder).expect("base64 of an id").conversation
    };
    let conversation = ConversationId::from_slice(&bytes(&accepted["conversation"])).expect("an id");
    let fetch = json!({ "conversation": accepted["conversation"], "fromSeq": "1" });
    // There is no such conversation until a dispatcher made it.
    while server.post("fetch", Some(&bob.token), fetch.clone()).await.status != 200 {
        tokio::task::yield_now().await;
    }
    let folder = server.stop().await;

    let row = tables::member(conversation, AccountId::new([9; 16]));
    let engines = hudhud_server::open_engines(&config(&folder)).await.expect("it opens");
    let damaged = Write { key: row.clone(), value: Some(Bytes::from_static(&[0xff; 8])), version: 1 };
    engines.messages.write(vec![damaged]).await.expect("it writes");
    let id = MessageId::v7(1, [7; 10]);
    let body = v1::submit::Body::Content(v1::Content {
        content_type: "text/plain".into(),
        payload: Bytes::from_static(b"accepted before the damage was found"),
        ..Default::default()
    });
    let record = v1::Record {
        conversation: conversation.to_bytes(),
        account: bytes(&json!(bob.account)),
        device: Bytes::from_static(&[5; 16]),
        accepted_us: 1,
        body: Some(v1::record::Body::Submit(v1::Submit {
            message_id: id.to_bytes(),
            body: Some(body),
            ..Default::default()
        })),
    };
    let shard = Shard::of(conversation, engines.bus.shards());
    engines.bus.append(shard, vec![record.encode_to_bytes()]).await.expect("it is appended");

    let messages = engines.messages.clone();
    let running = hudhud_server::start_on(config(&folder), engines).await.unwrap_or_else(|e| panic!("{e}"));
    let failure = tokio::time::timeout(PATIENCE, running.failed()).await.expect("it ends");
    assert_eq!(failure.code(), 70, "{failure}");
    assert!(failure.to_string().contains("corrupt") && failure.to_string().contains("restore a backup"), "{failure}");
    messages.write(vec![tables::delete(row, 2)]).await.expect("it writes");
    drop(messages);
    running.stop().await;

    let server = Server::again(folder, |_| {}).await;
    loop {
        let page = server.command("fetch", &bob, fetch.clone()).await;
        let entries = page["entries"].as_array().cloned().unwrap_or_default();
        if let [_, second] = &entries[..] {
            assert_eq!(second["content"]["text"], "accepted before the damage was found");
            break;
        }
        tokio::task::yield_now().await;
    }
    server.stop().await;
}
