//! A balancer's configuration changes while people are connected: nobody loses a connection, and no request fails.

use crate::client::{Client, State, state};
use crate::drain::Flow;
use crate::product::{Algorithm, Balancer, Product};
use crate::servers::{Servers, Tls};
use std::net::Ipv4Addr;

const SOCKETS: usize = 200;
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 8, 1);

async fn nobody_notices(product: Product, tls: Tls) -> String {
    let _turn = crate::TURN.lock().await;
    let servers = Servers::start(tls, 2, &[]).await;
    let balancer = Balancer::start(product, Algorithm::LeastConnections, &servers).await;
    let client = Client::new(&servers.certified.authority, balancer.address());
    let mut sockets = client.sockets(HONEST, SOCKETS).await;
    let flow = Flow::of_everything(&client);
    for algorithm in [Algorithm::Hash, Algorithm::RoundRobin] {
        balancer.reload(algorithm, None).await;
        sockets.extend(client.sockets(HONEST, 10).await);
    }
    let answered = flow.end().await;
    for (n, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(state(socket).await, State::Open, "socket {n}");
    }
    servers.sockets(SOCKETS + 20).await;
    format!("{product:?}, TLS {tls:?}: {} sockets kept, {answered} requests answered", sockets.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_haproxy_is_reloaded() {
    println!("{}", nobody_notices(Product::HaProxy, Tls::Ended).await);
    println!("{}", nobody_notices(Product::HaProxy, Tls::PassedThrough).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_nginx_is_reloaded() {
    println!("{}", nobody_notices(Product::Nginx, Tls::Ended).await);
    println!("{}", nobody_notices(Product::Nginx, Tls::PassedThrough).await);
}
