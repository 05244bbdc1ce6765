//! Who gets how many connections, for each algorithm, product and place where TLS ends.

use crate::client::{Client, Socket};
use crate::product::{Algorithm, Balancer, Product};
use crate::servers::{Servers, Tls};
use rustix::process::Signal;
use std::net::Ipv4Addr;

const SERVERS: usize = 3;
const SOCKETS: usize = 300;
/// Of two by chance the one with fewer: far from what chance alone could do to a server.
const RANDOM_MIN: usize = 60;
const CLIENTS: usize = 60;
/// Clients that a ring gives each server at least. The rings of nginx depend on ports, which are others each time.
const HASHED_MIN: usize = 2;
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 8, 1);

/// Opens a socket for each client in turn, and returns who got it.
async fn places(client: &Client, servers: &Servers) -> Vec<usize> {
    let (mut places, mut sockets) = (Vec::new(), Vec::new());
    for n in 0..CLIENTS {
        let before = servers.sockets(n).await;
        let from = Ipv4Addr::new(127, 0, 8, u8::try_from(n + 1).expect("few"));
        sockets.push(client.socket(from).await.unwrap_or_else(|error| panic!("{from}: {error}")));
        let after = servers.sockets(n + 1).await;
        places.push((0..after.len()).find(|server| after[*server] > before[*server]).expect("one has it"));
    }
    drop(sockets);
    servers.sockets(0).await;
    places
}

/// Opens some sockets one by one, and returns each with who has it.
async fn placed(client: &Client, servers: &Servers, count: usize) -> Vec<(Socket, usize)> {
    let mut placed = Vec::new();
    for n in 0..count {
        let before = servers.sockets(n).await;
        let socket = client.socket(HONEST).await.expect("opened");
        let after = servers.sockets(n + 1).await;
        placed.push((socket, (0..after.len()).find(|server| after[*server] > before[*server]).expect("one has it")));
    }
    placed
}

/// A server that has connections already gets no more until the others have as many.
async fn fills_the_others_first(client: &Client, servers: &Servers) -> Vec<usize> {
    const LOADED: usize = 20;
    let placed = placed(client, servers, SERVERS * LOADED).await;
    assert_eq!(servers.sockets(SERVERS * LOADED).await, [LOADED; SERVERS]);
    let mut sockets: Vec<_> = placed.into_iter().filter(|(_, server)| *server == 0).map(|(socket, _)| socket).collect();
    assert_eq!(servers.sockets(LOADED).await, [LOADED, 0, 0]);
    sockets.extend(client.sockets(HONEST, 2 * LOADED).await);
    assert_eq!(servers.sockets(SERVERS * LOADED).await, [LOADED; SERVERS], "the first had connections already");
    sockets.extend(client.sockets(HONEST, SOCKETS - SERVERS * LOADED).await);
    servers.sockets(SOCKETS).await
}

/// A client comes to the same server again, and only a server's own clients move when it goes.
async fn moves_only_the_clients_of_who_went(client: &Client, balancer: &Balancer, servers: &mut Servers) -> Vec<usize> {
    let first = places(client, servers).await;
    assert_eq!(places(client, servers).await, first, "the same clients, the same servers");
    let counts: Vec<_> = (0..SERVERS).map(|n| first.iter().filter(|server| **server == n).count()).collect();
    assert!(counts.iter().all(|count| *count >= HASHED_MIN), "{counts:?}");
    let last = servers.all.pop().expect("there are three");
    last.signal(Signal::KILL);
    last.ended().await;
    balancer.has_noticed(SERVERS - 1, "DOWN").await;
    let then = places(client, servers).await;
    for (n, (before, after)) in first.iter().zip(&then).enumerate() {
        assert!(before == after || *before == SERVERS - 1, "client {n} moved from {before} to {after}");
    }
    counts
}

/// Has every algorithm spread connections, and returns how it did.
async fn spread(product: Product, tls: Tls) -> String {
    let _turn = crate::TURN.lock().await;
    let mut servers = Servers::start(tls, SERVERS, &[]).await;
    let mut said = String::new();
    // The last of them takes a server away.
    for algorithm in Algorithm::ALL {
        let balancer = Balancer::start(product, algorithm, &servers).await;
        let client = Client::new(&servers.certified.authority, balancer.address());
        let counts = match algorithm {
            Algorithm::RoundRobin => {
                let _sockets = client.sockets(HONEST, SOCKETS).await;
                let counts = servers.sockets(SOCKETS).await;
                assert_eq!(counts, [SOCKETS / SERVERS; SERVERS]);
                counts
            }
            Algorithm::LeastConnections => {
                let counts = fills_the_others_first(&client, &servers).await;
                assert!(counts.iter().all(|count| count.abs_diff(SOCKETS / SERVERS) <= 1), "{counts:?}");
                counts
            }
            Algorithm::RandomOfTwo => {
                let _sockets = client.sockets(HONEST, SOCKETS).await;
                let counts = servers.sockets(SOCKETS).await;
                assert!(counts.iter().all(|count| *count >= RANDOM_MIN), "{counts:?}");
                counts
            }
            Algorithm::Hash => moves_only_the_clients_of_who_went(&client, &balancer, &mut servers).await,
        };
        said += &format!("{product:?}, TLS {tls:?}, {algorithm:?}: {counts:?}\n");
        drop(balancer);
        servers.sockets(0).await;
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_that_ends_tls_spreads_as_it_is_told() {
    println!("{}", spread(Product::HaProxy, Tls::Ended).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_that_passes_tls_through_spreads_as_it_is_told() {
    println!("{}", spread(Product::HaProxy, Tls::PassedThrough).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_that_ends_tls_spreads_as_it_is_told() {
    println!("{}", spread(Product::Nginx, Tls::Ended).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_that_passes_tls_through_spreads_as_it_is_told() {
    println!("{}", spread(Product::Nginx, Tls::PassedThrough).await);
}
