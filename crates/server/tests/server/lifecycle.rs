//! Starting, stopping and not starting.

use crate::client::Client;
use crate::server::{Server, config, message_id};
use hudhud_proto::Encoding;
use hudhud_proto::v1::server_frame::Event;
use hudhud_server::Failure;
use serde_json::json;
use tokio::net::TcpStream;

/// A stop tells clients to go and to come back, closes, and takes nobody in any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_goodbye() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    let mut client = Client::of(&server, &alice, Encoding::Json).await;
    let address = server.address();
    let stopping = tokio::spawn(server.stop());
    assert!(matches!(client.push().await, Event::GoingAway(_)));
    client.socket.close(None).await.expect("it was open");
    let folder = stopping.await.expect("it stops");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    drop(folder);
}

/// What was accepted before a stop is there after the next start, and log-ins last.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    let send =
        json!({ "directWith": bob.account, "messageId": message_id(1).to_string(), "content": { "text": "hello" } });
    let conversation = server.command("send", &alice, send).await["conversation"].clone();
    let server = Server::again(server.stop().await, |_| {}).await;
    let fetch = json!({ "conversation": conversation, "fromSeq": "1" });
    // Accepted means durable, not sequenced: the dispatcher may still be at it.
    let page = loop {
        let page = server.post("fetch", Some(&bob.token), fetch.clone()).await;
        if page.status == 200 {
            break page.json();
        }
        tokio::task::yield_now().await;
    };
    let entries = page["entries"].as_array().expect("a list");
    assert!(entries.iter().any(|entry| entry["content"]["text"] == "hello"), "{page}");
    server.stop().await;
}

/// A data folder belongs to one server at a time; the second is told what to do, and its exit code says it to programs.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_has_one_server() {
    let server = Server::start().await;
    let failure = hudhud_server::start(config(&server.folder)).await.err().expect("the folder is in use");
    assert_eq!(failure.code(), 73, "{failure}");
    assert!(failure.to_string().contains("another process"), "{failure}");
    server.stop().await;
}

/// A port that is taken is named, with what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_has_one_server() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut second = config(&folder);
    second.listen = server.address();
    let failure = hudhud_server::start(second).await.err().expect("the port is in use");
    assert!(matches!(failure, Failure::AddressInUse { .. }) && failure.code() == 69);
    assert!(failure.to_string().contains("--listen"), "{failure}");
    let mut second = config(&folder);
    second.operators.listen = server.running.operators_address();
    let failure = hudhud_server::start(second).await.err().expect("that port is in use as well");
    assert!(failure.code() == 69 && failure.to_string().contains("--operators-listen"), "{failure}");
    server.stop().await;
}

/// A folder that can't be made is a one-line error.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("data"), "a file").expect("written");
    let failure = hudhud_server::start(config(&folder)).await.err().expect("a file is no folder");
    assert_eq!(failure.code(), 73);
    assert!(failure.to_string().contains("--data") && failure.to_string().lines().count() == 1, "{failure}");
}
