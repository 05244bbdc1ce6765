//! A server that hangs: HAProxy asks whether it is ready, leaves it alone when it does not answer, and comes back to it.

use crate::client::{Client, State, state};
use crate::product::{Algorithm, Balancer, Product};
use crate::servers::{Servers, Tls};
use rustix::process::Signal;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::time::Instant;

const SERVERS: usize = 3;
const SOCKETS: usize = 30;
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 8, 1);
/// How long a server that is back may be without a new connection: it gets few at first.
const BACK_MAX: Duration = Duration::from_secs(60);

async fn hangs(tls: Tls) {
    let servers = Servers::start(tls, SERVERS, &[]).await;
    let balancer = Balancer::start(Product::HaProxy, Algorithm::RoundRobin, &servers).await;
    let client = Client::new(&servers.certified.authority, balancer.address());
    let mut sockets = client.sockets(HONEST, SOCKETS).await;
    assert_eq!(servers.sockets(SOCKETS).await, [SOCKETS / SERVERS; SERVERS]);
    servers.all[0].signal(Signal::STOP);
    balancer.has_noticed(0, "DOWN").await;
    // Each of them would wait for a minute if it went to the first.
    let asked = Instant::now();
    sockets.extend(client.sockets(HONEST, SOCKETS).await);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    servers.all[0].signal(Signal::CONT);
    balancer.has_noticed(0, "UP").await;
    assert_eq!(servers.sockets(2 * SOCKETS).await[0], SOCKETS / SERVERS);
    for socket in &mut sockets {
        assert_eq!(state(socket).await, State::Open, "it was on a server that hung, or on another one");
    }
    while servers.sockets(sockets.len()).await[0] == SOCKETS / SERVERS {
        assert!(asked.elapsed() < BACK_MAX, "nobody comes to the one that is back");
        sockets.push(client.socket(HONEST).await.expect("opened"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_leaves_a_server_alone_that_hangs_until_it_is_back() {
    let _turn = crate::TURN.lock().await;
    hangs(Tls::Ended).await;
    hangs(Tls::PassedThrough).await;
}
