//! One server is asked to end, while people are connected and others ask: no request fails, and everybody on a WebSocket is told
//! to go and finds another server.

use crate::client::{Client, Socket, State, state};
use crate::product::{Algorithm, Balancer, Product};
use crate::servers::{Servers, Tls};
use rustix::process::Signal;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;

const SERVERS: usize = 3;
const SOCKETS: usize = 30;
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 8, 1);
/// The `drain_ms` that the files are made for. Two checks that fail take 1.2 s; the rest is for a busy machine.
const OUT_MAX: Duration = Duration::from_secs(3);
/// How long clients try, and how often.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(20);
/// "The server stops, connect again."
const GOING_AWAY: u16 = 1001;

/// What is asked all the time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Pages alone, which a balancer may ask for twice.
    Pages,
    /// Commands too, which it may not.
    PagesAndCommands,
    /// Both, half of them on connections that are kept.
    OnKeptConnections,
}

/// Requests, one after the other, until they are told to end.
pub struct Flow {
    is_over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<usize>>,
}

impl Flow {
    fn start(client: &Client, asked: Asked) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let tasks = (0..4).map(|n| {
            let (client, is_over) = (client.clone(), is_over.clone());
            tokio::spawn(async move {
                let from = Ipv4Addr::new(127, 0, 7, n + 1);
                let (line, expected) = match (asked, n % 2) {
                    (Asked::Pages, _) | (_, 1) => ("GET /openapi.json", 200),
                    _ => ("POST /v1/lookUp", 401),
                };
                let is_kept = asked == Asked::OnKeptConnections && n < 2;
                let headers = if is_kept { "" } else { "connection: close\r\n" };
                let (mut count, mut kept) = (0, None);
                while !is_over.load(Ordering::Relaxed) {
                    let mut connection = match kept.take() {
                        Some(connection) => connection,
                        None => client.connect(from).await.expect("the balancer listens"),
                    };
                    let status = connection.ask(line, headers, r#"{"handle":"alice"}"#).await;
                    assert_eq!(status.expect("answered"), expected, "{line} after {count}");
                    kept = is_kept.then_some(connection);
                    count += 1;
                }
                count
            })
        });
        let tasks = tasks.collect();
        Self { is_over, tasks }
    }

    /// Commands and pages.
    pub fn of_everything(client: &Client) -> Self {
        Self::start(client, Asked::PagesAndCommands)
    }

    /// Ends it, and returns how many requests were answered. Fails where one was not.
    pub async fn end(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        let mut count = 0;
        for task in self.tasks {
            count += task.await.expect("every request is answered, by a server");
        }
        count
    }
}

/// Opens a WebSocket. Until then a server may refuse, and the client tries again, as it does; at no time where none is given.
async fn socket(client: &Client, refused_until: Option<Instant>) -> Socket {
    loop {
        match client.socket(HONEST).await {
            Ok(socket) => return socket,
            Err(tungstenite::Error::Http(answer)) if refused_until.is_some_and(|until| Instant::now() < until) => {
                assert_eq!(answer.status(), 503);
            }
            Err(error) => panic!("no server takes it: {error}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Asks the first server to end; beforehand the operator has taken it out where that is said.
async fn drain(product: Product, tls: Tls, taken_out: bool, asked: Asked) -> String {
    let _turn = crate::TURN.lock().await;
    let mut servers = Servers::start(tls, SERVERS, &[]).await;
    let balancer = Balancer::start(product, Algorithm::RoundRobin, &servers).await;
    let client = Client::new(&servers.certified.authority, balancer.address());
    let mut sockets = client.sockets(HONEST, SOCKETS).await;
    assert_eq!(servers.sockets(SOCKETS).await, [SOCKETS / SERVERS; SERVERS]);
    let flow = Flow::start(&client, asked);
    if taken_out && product == Product::HaProxy {
        balancer.say("set server hudhud/one state drain").await;
        balancer.has_noticed(0, "DRAIN").await;
    } else if taken_out {
        balancer.reload(Algorithm::RoundRobin, Some(0)).await;
    }
    servers.all[0].signal(Signal::TERM);
    let asked_to_end = Instant::now();
    let mut out = String::new();
    if !taken_out && product == Product::HaProxy {
        balancer.has_noticed(0, "DOWN").await;
        let noticed = asked_to_end.elapsed();
        out = format!("out after {noticed:?}, ");
        assert!(noticed < OUT_MAX, "people were sent to a server that ends for {noticed:?}");
    }
    // It is out, or refuses, and those who are connected stay until it tells them.
    for socket in &mut sockets {
        assert_eq!(state(socket).await, State::Open, "after {:?}, before it had to", asked_to_end.elapsed());
    }
    let patience = (product == Product::Nginx && !taken_out).then(|| asked_to_end + PATIENCE);
    for _ in 0..SOCKETS {
        sockets.push(socket(&client, patience).await);
    }
    let counts = servers.sockets(2 * SOCKETS).await;
    assert_eq!(counts[0], SOCKETS / SERVERS, "the first got no more: {counts:?}");
    let (status, said) = servers.all.remove(0).ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    let mut told = 0;
    for socket in &mut sockets {
        match state(socket).await {
            State::Open => {}
            State::Closed(GOING_AWAY) => told += 1,
            other => panic!("a WebSocket is {other:?}"),
        }
    }
    assert_eq!(told, SOCKETS / SERVERS, "those of the server that ended, and nobody else");
    // They come back, and find another one.
    for _ in 0..told {
        sockets.push(socket(&client, patience).await);
    }
    servers.sockets(2 * SOCKETS).await;
    let answered = flow.end().await;
    assert!(answered > 20, "{answered} requests are no flow");
    format!("{product:?}, TLS {tls:?}, taken out {taken_out}: {out}{answered} requests answered, none failed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_sees_that_a_server_goes_and_nothing_is_lost() {
    println!("{}", drain(Product::HaProxy, Tls::Ended, false, Asked::OnKeptConnections).await);
}

/// A server on which nobody is has nothing to wait for, and listens all the same until HAProxy has seen that it goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_people_goes_and_no_request_fails() {
    let _turn = crate::TURN.lock().await;
    let mut servers = Servers::start(Tls::Ended, SERVERS, &[]).await;
    let balancer = Balancer::start(Product::HaProxy, Algorithm::RoundRobin, &servers).await;
    let client = Client::new(&servers.certified.authority, balancer.address());
    let flow = Flow::start(&client, Asked::OnKeptConnections);
    servers.all[0].signal(Signal::TERM);
    balancer.has_noticed(0, "DOWN").await;
    let (status, said) = servers.all.remove(0).ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    let answered = flow.end().await;
    assert!(answered > 20, "{answered} requests are no flow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_that_passes_tls_through_sees_that_a_server_goes_and_nothing_is_lost() {
    println!("{}", drain(Product::HaProxy, Tls::PassedThrough, false, Asked::PagesAndCommands).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_taken_out_of_haproxy_is_missed_by_nobody() {
    println!("{}", drain(Product::HaProxy, Tls::Ended, true, Asked::PagesAndCommands).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_taken_out_of_nginx_is_missed_by_nobody() {
    println!("{}", drain(Product::Nginx, Tls::Ended, true, Asked::PagesAndCommands).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_taken_out_of_nginx_that_passes_tls_through_is_missed_by_nobody() {
    println!("{}", drain(Product::Nginx, Tls::PassedThrough, true, Asked::PagesAndCommands).await);
}

/// Nobody told nginx: it notices when the server has gone, and asks another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_asks_another_server_once_one_has_gone() {
    println!("{}", drain(Product::Nginx, Tls::Ended, false, Asked::Pages).await);
}
