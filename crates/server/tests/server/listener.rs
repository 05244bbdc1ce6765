//! Connections beyond the limits: too many, too slow.

use crate::client::{Client, open};
use crate::server::Server;
use futures_util::StreamExt as _;
use hudhud_proto::Encoding;
use hudhud_proto::v1::{self, client_frame::Command, server_frame::Event};
use hudhud_server::config::Networks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the server says until it closes the connection.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // A reset is a close as well.
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// A connection that stays open, on which a token was shown.
async fn proved(server: &Server, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.expect("the server listens");
    let request = format!("POST /v1/ping HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.read_u8().await.expect("it was taken in");
    stream
}

/// A connection beyond the limit is told to come back later, and operators still see how the server is.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_limit_of_connections() {
    let server = Server::with(|config| config.limits.connections_max = 1).await;
    let alice = server.register("alice").await;
    let held = proved(&server, &alice.token).await;
    let refused = server.get("/").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"), "{refused:?}");
    assert_eq!(server.watch("/healthz").await.status, 200);
    drop(held);
    server.stop().await;
}

/// Who says nothing, half a head or half a body is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_not_waited_for() {
    let server = Server::with(|config| {
        config.limits.header_timeout_ms = 50;
        config.limits.body_timeout_ms = 50;
        config.limits.idle_timeout_ms = 50;
    })
    .await;
    let half_body =
        b"POST /v1/register HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    for (sent, answer) in [
        (&b""[..], ""),
        (b"PRI * HTTP/2.0", ""),
        (b"GET / HTTP/1.1\r\nhost:", ""),
        (half_body, "HTTP/1.1 408 Request Timeout"),
    ] {
        let mut stream = TcpStream::connect(server.address()).await.expect("the server listens");
        stream.write_all(sent).await.expect("sent");
        let said = until_closed(stream).await;
        assert!(said.starts_with(answer) && said.is_empty() == answer.is_empty(), "{said:?} after {sent:?}");
    }
    server.stop().await;
}

/// Connections that say nothing take the places of one another, and never that of somebody who proved who it is.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_make_room() {
    let server = Server::with(|config| {
        config.limits.connections_max = 8;
        config.limits.unauthenticated_max = 4;
    })
    .await;
    let alice = server.register("alice").await;
    let held = proved(&server, &alice.token).await;
    let mut client = Client::of(&server, &alice, Encoding::Protobuf).await;
    let first = TcpStream::connect(server.address()).await.expect("the server listens");
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.address()).await.expect("the server listens"));
    }
    assert_eq!(until_closed(first).await, "", "the oldest makes room without a word");
    assert_eq!(server.get("/").await.status, 200, "there is always room for one more");
    assert!(matches!(client.request(Command::Ping(v1::Ping::default())).await, Event::Pong(_)), "who is known stays");
    let answer = server.watch("/metrics").await;
    assert!(answer.text().contains("hudhud_tcp_refused_total 0"), "{}", answer.text());
    drop((held, silent));
    server.stop().await;
}

/// A frame that is begun before the hello costs the server a bounded part of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_sends_little() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address()).await.expect("the server listens");
    let upgrade = "GET /v1/ws HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        sec-websocket-protocol: hudhud.v1.proto\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 101");
    // Final, binary, masked, 100,000 bytes long, of which less comes.
    stream.write_all(b"\x82\xff\x00\x00\x00\x00\x00\x01\x86\xa0aaaa").await.expect("sent");
    // It may be closed before all of it is written.
    let _ = stream.write_all(&[0; 70_000]).await;
    until_closed(stream).await;
    server.stop().await;
}

/// Behind a proxy the address that counts is the one that the proxy names.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_each_client_has_its_own_share() {
    let server = Server::with(|config| {
        config.limits.unauthenticated_per_address_max = 1;
        config.trusted_proxies = Networks::try_from(vec!["127.0.0.0/8".to_owned()]).expect("a network");
    })
    .await;
    let protocol = ("sec-websocket-protocol", "hudhud.v1.proto");
    let from = |address| [protocol, ("x-forwarded-for", address)];
    let mut first = open(&server, &from("192.0.2.1")).await.expect("it opens");
    let mut other = open(&server, &from("192.0.2.2")).await.expect("it opens");
    let _second = open(&server, &from("192.0.2.1")).await.expect("it opens");
    while let Some(Ok(message)) = first.next().await {
        assert!(message.is_close(), "the address has one place for strangers, and the second took it");
    }
    let waits = tokio::time::timeout(std::time::Duration::from_millis(100), other.next()).await;
    assert!(waits.is_err(), "another address has its own");
    server.stop().await;
}
