//! Everything that is served: commands over HTTP, the WebSocket, the OpenAPI document; and, on a listener of its own, what
//! operators see.
//!
//! Every error is a problem document ([`problem`]). Sockets are in `crate::listen`; what commands do is in `hudhud_roles::api`.

mod address;
mod body;
mod commands;
mod headers;
mod metrics;
mod operators;
mod origin;
pub(crate) mod pages;
pub mod problem;
mod readiness;
mod socket;
mod transport;

pub use address::{Peer, network};
pub(crate) use commands::bearer;
pub use metrics::HttpMetrics;
pub use operators::{CONNECTIONS as OPERATORS_CONNECTIONS, Operators, router as operators_router};
pub use origin::Origins;
pub use readiness::Readiness;
pub use socket::{STRANGER_BYTES_MAX, open as open_socket};
pub use transport::Messages;

use crate::config::Networks;
use crate::crowd::Crowd;
use crate::openapi::Schema;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use hudhud_ports::Runtime;
use hudhud_proto::v1::ErrorCode;
use hudhud_roles::api::Api;
use hudhud_roles::gateway::{Budget, Gateway};
use problem::Problem;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;

/// When to come back where there was no room for a connection, in milliseconds.
const NO_ROOM_RETRY_MS: u32 = 5_000;

/// What the handlers share.
pub struct Http {
    /// All commands.
    pub api: Arc<Api>,
    /// Whether they are taken over HTTP.
    pub takes_commands: bool,
    /// Where WebSockets go; none where this process takes none.
    pub gateway: Option<Arc<Gateway>>,
    /// The memory that everything shares which waits for a client.
    pub budget: Arc<Budget>,
    /// Time and randomness.
    pub runtime: Runtime,
    /// Whether requests are wanted.
    pub readiness: Arc<Readiness>,
    /// What is counted of HTTP itself.
    pub metrics: HttpMetrics,
    /// The OpenAPI document.
    pub openapi: Bytes,
    /// What the words in problems and pages come from.
    pub schema: Schema,
    /// Pages that may connect.
    pub origins: Origins,
    /// All connections.
    pub crowd: Arc<Crowd>,
    /// Proxies whose word on addresses is believed.
    pub trusted_proxies: Networks,
    /// How long a body may take.
    pub body_timeout: Duration,
    /// The WebSockets, so that a stop can wait for them.
    pub sockets: TaskTracker,
}

/// Everything that is served, for connections that this process has room for.
pub fn router(http: Arc<Http>) -> Router {
    let router = pages::router()
        // Flow 02: the balancer picked this server: by either way the request reaches the send-message API here.
        .route("/v1/ws", get(socket::upgrade).connect(socket::upgrade))
        .route("/v1/{command}", post(commands::command));
    let cross_origin = http.origins.cors();
    let seen = http.seen();
    finish(router, http, seen, "there is nothing at this path: GET /openapi.json lists what there is")
        .layer(tower::util::option_layer(cross_origin))
}

/// What is served to connections beyond the limit: why.
pub fn refusing_router(http: &Http) -> Router {
    let refuse = || async { no_room() };
    Router::new().fallback(refuse).layer(axum::middleware::from_fn_with_state(http.seen(), headers::add))
}

/// What is served to who speaks plain HTTP where TLS is spoken: what to do.
pub fn plain_router(http: &Http) -> Router {
    let detail = "this port speaks TLS: begin the address with https:// or wss://";
    let refuse = move || async move { Problem::of_http(StatusCode::BAD_REQUEST, ErrorCode::Invalid, detail) };
    Router::new().fallback(refuse).layer(axum::middleware::from_fn_with_state(http.seen(), headers::add))
}

impl Http {
    fn seen(&self) -> headers::Seen {
        headers::Seen { runtime: self.runtime.clone(), metrics: self.metrics.clone() }
    }
}

/// There is no place for a connection more.
fn no_room() -> Problem {
    Problem::unavailable("this server, or your address, has all the connections that it may", NO_ROOM_RETRY_MS)
}

/// What is the same for every path. `nothing` is for paths where there is nothing.
fn finish<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    state: S,
    seen: headers::Seen,
    nothing: &'static str,
) -> Router {
    router
        .fallback(move || async move { Problem::not_found(nothing) })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn_with_state(seen, headers::add))
        .with_state(state)
}

/// A handler's panic is a bug of ours. The panic itself is in the log by now: the hook of `telemetry` wrote it.
fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    let detail = "the server has a bug; its log says more under the id in X-Request-Id";
    let problem = Problem::of_http(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, detail);
    axum::response::IntoResponse::into_response(problem)
}
