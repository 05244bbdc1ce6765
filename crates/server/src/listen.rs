//! The listener: takes connections in up to a limit, gives each so much time and no more, and lets them end when the server
//! stops. What is said over them is in `crate::http`.

use crate::config::Limits;
use crate::http::{HttpMetrics, Peer};
use axum::Router;
use axum::extract::Request;
use axum::serve::{Listener, ListenerExt as _};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Connections beyond the limit that are told so at the same time. Still more are closed without a word.
const REFUSALS_MAX: usize = 64;
/// The head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1_024;
/// Requests at the same time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// What a listener needs.
pub struct Listen {
    /// What is served.
    pub router: Router,
    /// What is served where there is no room.
    pub refusing: Router,
    /// How many, and for how long.
    pub limits: Limits,
    /// What is counted.
    pub metrics: HttpMetrics,
    /// No new connections from then on; those that are there finish their requests.
    pub stop: CancellationToken,
    /// The connections, so that a stop can wait for them.
    pub connections: TaskTracker,
}

/// A connection, as the requests on it see it.
#[derive(Debug)]
pub struct Connection {
    /// Requests that began, ever.
    requests: AtomicU64,
    /// Requests and WebSockets that go on.
    open: AtomicUsize,
    metrics: HttpMetrics,
    _permit: OwnedSemaphorePermit,
}

/// A request or a WebSocket that goes on: the connection counts as used while one is there.
#[derive(Debug)]
pub struct Busy(Arc<Connection>);

impl Listen {
    /// Serves until it is stopped. The connections go on beside the caller.
    pub async fn run(self, listener: TcpListener) {
        let mut listener = listener.tap_io(|stream| {
            // Frames are small and somebody waits for each: never held back to be sent with the next.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY was not set");
            }
        });
        let room = Arc::new(Semaphore::new(self.limits.connections_max.min(Semaphore::MAX_PERMITS)));
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = Listener::accept(&mut listener) => accepted,
            };
            if let Ok(permit) = room.clone().try_acquire_owned() {
                self.take(stream, peer, permit, self.router.clone());
            } else {
                self.metrics.tcp_refused.inc();
                if let Ok(permit) = refusals.clone().try_acquire_owned() {
                    self.take(stream, peer, permit, self.refusing.clone());
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit, router: Router) {
        self.metrics.tcp_connections.inc();
        let connection = Arc::new(Connection {
            requests: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            metrics: self.metrics.clone(),
            _permit: permit,
        });
        let serve = serve(stream, peer, connection, router, self.limits.clone(), self.stop.clone());
        self.connections.spawn(serve);
    }
}

/// Serves one connection to its end.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    connection: Arc<Connection>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let builder = builder(&limits);
    let of_requests = connection.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        of_requests.requests.fetch_add(1, Ordering::Relaxed);
        let busy = of_requests.busy();
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(of_requests.clone());
        let answer = router.clone().oneshot(request);
        async move {
            let answer = answer.await;
            drop(busy);
            answer
        }
    });
    let mut served = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut patience = Duration::from_millis(limits.header_timeout_ms);
    let mut ending = false;
    let mut requests_before = 0;
    loop {
        tokio::select! {
            biased;
            // An error is a client's: it broke off, was too slow, or does not speak HTTP.
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "a connection broke");
                }
                return;
            }
            () = stop.cancelled(), if !ending => {
                ending = true;
                served.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(patience) => {
                let requests = connection.requests.load(Ordering::Relaxed);
                let is_idle = connection.open.load(Ordering::Relaxed) == 0 && requests == requests_before;
                if is_idle && ending {
                    return;
                }
                if is_idle {
                    ending = true;
                    served.as_mut().graceful_shutdown();
                }
                requests_before = requests;
                patience = Duration::from_millis(limits.idle_timeout_ms);
            }
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let header_timeout = Duration::from_millis(limits.header_timeout_ms);
    let idle_timeout = Duration::from_millis(limits.idle_timeout_ms);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(idle_timeout)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .enable_connect_protocol();
    builder
}

impl Connection {
    /// Notes that a request or a WebSocket goes on, until the answer is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.open.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.tcp_connections.dec();
    }
}
