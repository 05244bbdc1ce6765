//! Commands over HTTP.

use crate::server::{PASSWORD, Server, message_id};
use serde_json::json;

/// Somebody registers, logs in again, and both log-ins are devices of the account.
#[tokio::test(flavor = "multi_thread")]
async fn people_register_and_log_in() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    let again =
        server.post("logIn", None, json!({ "handle": "@Alice", "password": PASSWORD, "deviceName": "phone" })).await;
    assert_eq!((again.status, &again.json()["account"]), (200, &json!(alice.account)));
    let devices = server.command("listDevices", &alice, json!({})).await;
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(2), "{devices}");
    let wrong = server.post("logIn", None, json!({ "handle": "alice", "password": "wrong horse" })).await;
    assert_eq!(wrong.status, 401, "{wrong:?}");
    server.stop().await;
}

/// A body that is not there is an empty message, and needs no content type.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_will_do_where_nothing_is_asked() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    let request = hyper::Request::post("/v1/getPrivacy").header("authorization", format!("Bearer {}", alice.token));
    let answer = server.request(request.body(Default::default()).expect("a request")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    server.stop().await;
}

/// A message that is sent twice over HTTP with the same id stands in the log once, though nobody said that it is a repetition.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_can_be_repeated() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    let send = json!({
        "directWith": bob.account,
        "messageId": message_id(1).to_string(),
        "content": { "text": "hello" },
    });
    let first = server.command("send", &alice, send.clone()).await;
    let second = server.command("send", &alice, send).await;
    assert_eq!(first["messageId"], second["messageId"]);
    let other =
        json!({ "directWith": bob.account, "messageId": message_id(2).to_string(), "content": { "text": "bye" } });
    server.command("send", &alice, other).await;
    let conversation = &first["conversation"];
    // Commands of one conversation are sequenced in order: once "bye" is there, "hello" has been, as often as it ever will be.
    let entries = loop {
        let page =
            server.post("fetch", Some(&bob.token), json!({ "conversation": conversation, "fromSeq": "1" })).await;
        let page = if page.status == 200 { page.json() } else { json!({}) };
        let entries = page["entries"].as_array().cloned().unwrap_or_default();
        if entries.iter().any(|entry| entry["content"]["text"] == "bye") {
            break entries;
        }
        tokio::task::yield_now().await;
    };
    let texts: Vec<_> = entries.iter().filter_map(|entry| entry["content"]["text"].as_str()).collect();
    assert_eq!(texts, ["hello", "bye"]);
    server.stop().await;
}
