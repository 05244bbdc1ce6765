//! The server's listener with nothing behind it, for the suites of other people that test HTTP/2 and WebSockets: an echo.
//!
//! Connections are taken and WebSockets are opened by the code and with the settings of the server. Two things differ: a message
//! may have 16 MiB, as the suites send such, and a request is answered once its body is there, so that an answer does not
//! overtake what is wrong with the rest of the request.

use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http_body_util::BodyExt as _;
use hudhud_server::config::{Limits, Networks, ProxyProtocol};
use hudhud_server::crowd::{Bounds, Crowd};
use hudhud_server::http::{HttpMetrics, Messages, open_socket};
use hudhud_server::listen::{Connection, Listen, Versions};
use std::io::{self, Write as _};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The largest message of the suites.
const MESSAGE_BYTES_MAX: usize = 16 * 1_024 * 1_024;

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(io::stdout(), "echo listens on http://{}", listener.local_addr()?)?;
    let router = Router::new().route("/", any(answer));
    let (limits, metrics) = (Limits::default(), HttpMetrics::unregistered());
    let listen = Listen {
        refusing: router.clone(),
        router,
        encryption: None,
        proxy_protocol: ProxyProtocol::Off,
        versions: Versions::Http1And2,
        crowd: Crowd::new(Bounds::from(&limits), metrics.clone()),
        trusted_proxies: Networks::default(),
        limits,
        metrics,
        stop: CancellationToken::new(),
        connections: TaskTracker::new(),
    };
    listen.run(listener).await;
    Ok(())
}

async fn answer(
    Extension(connection): Extension<Arc<Connection>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response {
    if let Ok(upgrade) = upgrade {
        let (place, around) = (connection.place().clone(), Some(connection.busy()));
        return open_socket(upgrade, MESSAGE_BYTES_MAX, &TaskTracker::new(), place, around, echo);
    }
    match request.into_body().collect().await {
        Ok(_) => Body::from("echo\n").into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn echo(mut messages: Messages) {
    while let Some(message) = messages.receive().await {
        if messages.send([message]).await.is_err() {
            return;
        }
    }
}
