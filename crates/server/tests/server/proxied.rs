//! The PROXY protocol: a trusted proxy's word on whose connection it passes on.

use crate::server::Server;
use hudhud_server::config::{Networks, ProxyProtocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn server(trusted: &[&str]) -> Server {
    let trusted = Networks::try_from(trusted.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("networks");
    Server::with(|config| {
        config.trusted_proxies = trusted;
        config.proxy_protocol = ProxyProtocol::On;
        config.limits.unauthenticated_per_address_max = 1;
    })
    .await
}

async fn say(server: &Server, words: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.expect("the server listens");
    stream.write_all(words.as_bytes()).await.expect("sent");
    stream
}

fn of(client: &str) -> String {
    format!("PROXY TCP4 {client} 192.0.2.9 1000 443\r\n")
}

/// The start of an answer; empty where the connection was closed.
async fn answer(mut stream: TcpStream) -> String {
    let mut start = [0; 12];
    match stream.read_exact(&mut start).await {
        Ok(_) => String::from_utf8_lossy(&start).into_owned(),
        Err(_) => String::new(),
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// Each client behind the proxy has its own share of places, as if it had come itself.
#[tokio::test(flavor = "multi_thread")]
async fn each_client_behind_a_proxy_counts_for_itself() {
    let server = server(&["127.0.0.0/8"]).await;
    // A request each, so that it is known to be taken in, of two clients.
    let mut held = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2"] {
        let mut stream = say(&server, &format!("{}{GET}", of(client))).await;
        stream.read_u8().await.expect("an answer");
        held.push(stream);
    }
    // The second of one client makes its first one go, and nobody else's.
    assert_eq!(answer(say(&server, &format!("{}{GET}", of("192.0.2.1"))).await).await, "HTTP/1.1 200");
    let mut rest = Vec::new();
    held[0].read_to_end(&mut rest).await.ok();
    held[1].write_all(GET.as_bytes()).await.expect("it stays");
    // What is left of the first answer comes before the second.
    let mut said = String::new();
    while said.matches("HTTP/1.1 200").count() == 0 {
        let mut bytes = [0; 4_096];
        let read = held[1].read(&mut bytes).await.expect("it stays");
        assert_ne!(read, 0, "it stays");
        said.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    server.stop().await;
}

/// A proxy that says nothing of a client is not taken for one; whoever is no proxy is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn only_trusted_proxies_say_it_and_they_have_to() {
    let behind = server(&["127.0.0.0/8"]).await;
    assert_eq!(answer(say(&behind, GET).await).await, "", "without its word nobody is served");
    assert_eq!(answer(say(&behind, &format!("PROXY UNKNOWN\r\n{GET}")).await).await, "HTTP/1.1 200");
    behind.stop().await;
    let open = server(&[]).await;
    assert_eq!(answer(say(&open, GET).await).await, "HTTP/1.1 200");
    assert_eq!(answer(say(&open, &format!("{}{GET}", of("192.0.2.1"))).await).await, "HTTP/1.1 400");
    open.stop().await;
}
