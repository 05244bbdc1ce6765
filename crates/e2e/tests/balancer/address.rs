//! Limits count the client's own address behind a balancer, and nobody else's word on it.

use crate::client::{Client, Http, State, state};
use crate::product::{Algorithm, Balancer, Product};
use crate::servers::{Servers, Tls};
use hudhud_e2e::overload::Source;
use std::net::Ipv4Addr;

/// Registrations that an address has, for a long time.
const BURST: usize = 3;
const RATE: (&str, &str) = ("HUDHUD_RATES__ACCOUNTS_PER_ADDRESS", "{ burst = 3, interval_ms = 3600000 }");
/// WebSockets on which nobody said hello, of one address.
const STRANGERS: (&str, &str) = ("HUDHUD_LIMITS__UNAUTHENTICATED_PER_ADDRESS_MAX", "8");

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 9, last)
}

/// Registers with a handle of its own and says what the answer was.
async fn register(client: &Client, from: Ipv4Addr, n: usize, headers: &str) -> u16 {
    let mut connection = client.connect(from).await.expect("it listens");
    let body = format!(r#"{{"handle":"p{}.{n}","password":"correct horse"}}"#, from.octets()[3]);
    connection.ask("POST /v1/register", headers, &body).await.expect("answered")
}

async fn counted_by_address(product: Product, tls: Tls) {
    let _turn = crate::TURN.lock().await;
    let servers = Servers::start(tls, 1, &[RATE, STRANGERS]).await;
    let balancer = Balancer::start(product, Algorithm::LeastConnections, &servers).await;
    let client = Client::new(&servers.certified.authority, balancer.address());
    // Each has its own, whatever it says about itself.
    for last in 1..=3 {
        for n in 0..BURST {
            assert_eq!(register(&client, address(last), n, "").await, 200, "{last}, {n}");
        }
        assert_eq!(register(&client, address(last), BURST, "").await, 429);
        let lie = "x-forwarded-for: 127.0.9.77\r\nx-forwarded-for: 127.0.9.78\r\nforwarded: for=127.0.9.79\r\n";
        assert_eq!(register(&client, address(last), BURST, lie).await, 429, "it is somebody else for the asking");
    }
    // A WebSocket counts for its client too: the oldest stranger of an address makes room, and nobody else's.
    let mut other = client.socket(address(5)).await.expect("opened");
    let mut strangers = Vec::new();
    for _ in 0..12 {
        strangers.push(client.socket(address(4)).await.expect("opened"));
    }
    assert_eq!(servers.sockets(9).await, [9]);
    assert_eq!(state(&mut other).await, State::Open);
    drop(strangers);
    straight(&servers).await;
}

/// Somebody who does not come from the balancer, and says that he does.
async fn straight(servers: &Servers) {
    let [server] = &servers.all[..] else { panic!("there is one") };
    let from = address(20);
    let client = Client::new(&servers.certified.authority, server.address());
    for n in 0..=BURST {
        let body = format!(r#"{{"handle":"straight{n}","password":"correct horse"}}"#);
        let forwarded = format!("x-forwarded-for: 127.0.9.{}\r\n", 100 + n);
        let status = match servers.tls {
            Tls::PassedThrough => {
                let mut connection = client.connect(from).await.expect("it listens");
                connection.ask("POST /v1/register", &forwarded, &body).await
            }
            Tls::Ended => {
                let source = Source { address: Some(from), receive_bytes: None };
                let mut connection = Http(source.connect(server.address()).await.expect("it listens"));
                connection.ask("POST /v1/register", &forwarded, &body).await
            }
        };
        assert_eq!(status.expect("answered"), if n < BURST { 200 } else { 429 }, "{n}");
    }
    // In the PROXY protocol: to who is not trusted these are no words of HTTP, and none of TLS.
    let source = Source { address: Some(from), receive_bytes: None };
    let mut connection = Http(source.connect(server.address()).await.expect("it listens"));
    let line = "PROXY TCP4 127.0.9.150 127.0.0.1 1000 443\r\nPOST /v1/register";
    let body = r#"{"handle":"straight9","password":"correct horse"}"#;
    let status = connection.ask(line, "", body).await;
    assert!(!matches!(status, Ok(200..400)), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_haproxy_that_ends_tls_are_counted_each() {
    counted_by_address(Product::HaProxy, Tls::Ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_haproxy_that_passes_tls_through_are_counted_each() {
    counted_by_address(Product::HaProxy, Tls::PassedThrough).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_nginx_that_ends_tls_are_counted_each() {
    counted_by_address(Product::Nginx, Tls::Ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_nginx_that_passes_tls_through_are_counted_each() {
    counted_by_address(Product::Nginx, Tls::PassedThrough).await;
}
