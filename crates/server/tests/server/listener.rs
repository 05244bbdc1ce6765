//! Connections beyond the limits: too many, too slow.

use crate::server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the server says until it closes the connection.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // A reset is a close as well.
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// A connection beyond the limit is told to come back later, and operators still see how the server is.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_limit_of_connections() {
    let server = Server::with(|config| config.limits.connections_max = 1).await;
    let mut held = TcpStream::connect(server.address()).await.expect("the server listens");
    held.write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("sent");
    held.read_u8().await.expect("it was taken in");
    let refused = server.get("/").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"), "{refused:?}");
    assert_eq!(server.get("/healthz").await.status, 200);
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
