//! The listener: takes connections in as far as there is room (`crate::crowd`), has them opened (`crate::door`), gives each so
//! much time and no more, and lets them end when the server stops. What is said over them is in `crate::http`.

use crate::config::{Limits, Networks, ProxyProtocol};
use crate::crowd::{Crowd, Place};
use crate::door::Door;
use crate::http::{HttpMetrics, Peer};
use crate::metered::Metered;
use crate::stream::Stream;
use crate::tls::Tls;
use axum::Router;
use axum::extract::Request;
use axum::serve::{Listener, ListenerExt as _};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Connections that wait in the kernel to be accepted.
pub const BACKLOG: u32 = 1_024;
/// The head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1_024;
/// What the kernel holds of what was written to a connection and not read; it doubles this for its own use.
const KERNEL_SEND_BYTES: usize = 128 * 1_024;
/// Requests at the same time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Bytes that an HTTP/2 connection may send before they are read, on all its streams together: what RFC 9113 begins with.
const WINDOW_BYTES: u32 = 65_535;
/// Bytes that wait to be written on one stream of HTTP/2.
const STREAM_SEND_BYTES_MAX: usize = 64 * 1_024;

/// What is spoken over the connections of a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Versions {
    /// HTTP/1.1, and WebSockets.
    Http1,
    /// HTTP/2 as well.
    Http1And2,
}

/// What a listener needs.
pub struct Listen {
    /// What is served.
    pub router: Router,
    /// What is served where there is no room.
    pub refusing: Router,
    /// Whether over TLS.
    pub encryption: Option<Encryption>,
    /// In which versions of HTTP.
    pub versions: Versions,
    /// For how long.
    pub limits: Limits,
    /// How many, and who goes when there is no room.
    pub crowd: Arc<Crowd>,
    /// Whose connections are shared by many clients.
    pub trusted_proxies: Networks,
    /// What they say first.
    pub proxy_protocol: ProxyProtocol,
    /// What is counted.
    pub metrics: HttpMetrics,
    /// No new connections from then on; those that are there finish their requests.
    pub stop: CancellationToken,
    /// The connections, so that a stop can wait for them.
    pub connections: TaskTracker,
}

/// What a listener that speaks TLS needs beside.
#[derive(Clone)]
pub struct Encryption {
    /// Opens connections.
    pub tls: Arc<Tls>,
    /// What is served to who speaks plain HTTP.
    pub plain: Router,
}

/// A connection, as the requests on it see it.
#[derive(Debug)]
pub struct Connection {
    /// Requests that began, ever.
    requests: AtomicU64,
    /// Requests and WebSockets that go on.
    open: AtomicUsize,
    place: Arc<Place>,
    is_shared: bool,
}

/// A request or a WebSocket that goes on: the connection counts as used while one is there.
#[derive(Debug)]
pub struct Busy(Arc<Connection>);

/// Listens at an address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a server that has just stopped may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Listen {
    /// Serves until it is stopped. The connections go on beside the caller.
    pub async fn run(self, listener: TcpListener) {
        let mut listener = listener.tap_io(|stream| {
            // Frames are small and somebody waits for each: never held back to be sent with the next.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY was not set");
            }
            // Left to itself the kernel would hold megabytes for each client that does not read.
            if let Err(error) = set_socket_send_buffer_size(&*stream, KERNEL_SEND_BYTES) {
                tracing::debug!(%error, "SO_SNDBUF was not set");
            }
        });
        let (stop, connections) = (self.stop.clone(), self.connections.clone());
        let door = Arc::new(Door::of(self));
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = Listener::accept(&mut listener) => accepted,
            };
            let is_shared = door.is_proxy(peer.ip());
            if let Some(arrival) = door.admit(peer, is_shared) {
                connections.spawn(door.clone().take(stream, arrival));
            }
        }
    }

    pub(crate) fn builder(&self) -> Builder<TokioExecutor> {
        let header_timeout = Duration::from_millis(self.limits.header_timeout_ms);
        let idle_timeout = Duration::from_millis(self.limits.idle_timeout_ms);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(HEAD_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(idle_timeout)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .initial_connection_window_size(WINDOW_BYTES)
            .initial_stream_window_size(WINDOW_BYTES)
            .max_send_buf_size(STREAM_SEND_BYTES_MAX)
            .enable_connect_protocol();
        match self.versions {
            Versions::Http1 => builder.http1_only(),
            Versions::Http1And2 => builder,
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(
    stream: Stream,
    peer: SocketAddr,
    connection: Arc<Connection>,
    router: Router,
    builder: Builder<TokioExecutor>,
    limits: Limits,
    stop: CancellationToken,
) {
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
    let place = connection.place.clone();
    let stream = Metered::new(stream, place.clone());
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
            () = place.given_away() => {
                tracing::debug!(%peer, "a connection made room");
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

impl Connection {
    /// A connection in its place, on which nothing was asked yet.
    pub(crate) fn new(place: Arc<Place>, is_shared: bool) -> Self {
        Self { requests: AtomicU64::new(0), open: AtomicUsize::new(0), place, is_shared }
    }

    /// Its place among all.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Whether a trusted proxy shares it among its clients.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Notes that a request or a WebSocket goes on, until the answer is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.open.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }
}

impl Busy {
    /// The place of the connection.
    pub fn place(&self) -> &Arc<Place> {
        &self.0.place
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
