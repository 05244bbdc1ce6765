//! The WebSocket's opening: who may, and in which encoding. What is said over it is the gateway's business.

use super::operators::closed;
use super::problem::Problem;
use super::transport::{Messages, Socket};
use super::{Http, address, no_room};
use crate::crowd::Place;
use crate::listen::{Busy, Connection};
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use hudhud_proto::Encoding;
use hudhud_proto::limits::FRAME_BYTES_MAX;
use hudhud_proto::v1::ErrorCode;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// A connection that says nothing costs its buffers, so they are small; one that says much fills them often, which costs less
/// than it looks: each holds a frame of a text message.
const READ_BUFFER_BYTES: usize = 1_024;
/// Frames that leave together are written together, so many bytes at a time. Holds no memory while nothing is written.
const WRITE_BUFFER_BYTES: usize = 16 * 1_024;
/// What may come over a WebSocket until somebody said hello with a valid token: a registration or some log-ins, and the hello.
pub const STRANGER_BYTES_MAX: usize = 64 * 1_024;

/// `GET /v1/ws` over HTTP/1.1, `CONNECT /v1/ws` over HTTP/2 (RFC 8441).
pub async fn upgrade(
    State(http): State<Arc<Http>>,
    Extension(connection): Extension<Arc<Connection>>,
    parts: Parts,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.protocols(Encoding::ALL.map(Encoding::subprotocol)),
        Err(rejection) => return not_an_upgrade(&rejection),
    };
    let Some(gateway) = http.gateway.clone() else {
        return Problem::not_found("this process holds no WebSockets: gateways do").into_response();
    };
    if let Some(why) = http.readiness.refusal().or_else(|| closed(Some(&gateway))) {
        return Problem::unavailable(why, 1_000).into_response();
    }
    if !http.origins.allow(&parts.headers, &parts.uri) {
        let detail = "pages of this origin may not connect here: its operator has to add it to allowed_origins";
        return Problem::of_http(StatusCode::FORBIDDEN, ErrorCode::Forbidden, detail).into_response();
    }
    let asked = upgrade.selected_protocol().and_then(|name| name.to_str().ok());
    let Some(encoding) = Encoding::ALL.into_iter().find(|encoding| Some(encoding.subprotocol()) == asked) else {
        let known = Encoding::ALL.map(Encoding::subprotocol).join(" or ");
        let detail = format!("ask for the subprotocol {known} in Sec-WebSocket-Protocol");
        return Problem::of_http(StatusCode::BAD_REQUEST, ErrorCode::Invalid, detail).into_response();
    };
    let address = address::client(&parts.extensions, &parts.headers, &http.trusted_proxies);
    // A socket that has a connection to itself has its place as well.
    let has_all = parts.version == Version::HTTP_11 && !connection.is_shared();
    let place = match has_all {
        true => connection.place().clone(),
        false => match http.crowd.enter(Some(address::network(address))) {
            Some(place) => place,
            None => return no_room().into_response(),
        },
    };
    place.bound(STRANGER_BYTES_MAX);
    // An upgraded connection of HTTP/1.1 is nothing but the socket any more; one of HTTP/2 goes on around it.
    let around = (parts.version != Version::HTTP_11).then(|| connection.busy());
    let sockets = http.sockets.clone();
    open(upgrade, FRAME_BYTES_MAX, &sockets, place, around, move |messages| async move {
        gateway.serve(Box::new(Socket::new(messages, encoding)), encoding, address).await;
    })
}

/// Opens a WebSocket as every one of this server is opened, and serves it in a task of its own, in its place; with the
/// listener's connection around it where that goes on.
pub fn open<S, F>(
    upgrade: WebSocketUpgrade,
    frame_bytes_max: usize,
    sockets: &TaskTracker,
    place: Arc<Place>,
    around: Option<Busy>,
    serve: S,
) -> Response
where
    S: FnOnce(Messages) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let sockets = sockets.clone();
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_frame_size(frame_bytes_max)
        .max_message_size(frame_bytes_max)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a WebSocket broke while it was opened"))
        .on_upgrade(move |socket| {
            // A task of its own: the upgrade's would keep hyper's buffers for as long as the socket lives.
            sockets.spawn(async move {
                serve(Messages::new(socket, place, around)).await;
            });
            std::future::ready(())
        })
}

/// RFC 6455 §4.4 and RFC 9110 §15.5.22: says what would be an upgrade.
fn not_an_upgrade(rejection: &WebSocketUpgradeRejection) -> Response {
    let detail = format!("{}. Open a WebSocket of version 13 here", rejection.body_text());
    let mut response = Problem::of_http(StatusCode::UPGRADE_REQUIRED, ErrorCode::Invalid, detail).into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}
