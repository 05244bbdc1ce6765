//! Commands over HTTP: one endpoint each, the same handlers as over a WebSocket.

use super::body::{Held, collect};
use super::headers::RequestId;
use super::problem::Problem;
use super::{Http, address};
use crate::listen::Connection;
use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hudhud_proto::command::{self, Access, CommandInfo};
use hudhud_proto::v1::{ErrorCode, ServerFrame, client_frame::Command};
use hudhud_roles::api::Who;
use hudhud_roles::gateway::{Budget, Charge};
use std::net::IpAddr;
use std::sync::Arc;

/// `POST /v1/{command}`.
pub async fn command(
    State(http): State<Arc<Http>>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    Extension(connection): Extension<Arc<Connection>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    if !http.takes_commands {
        return Err(Problem::not_found("this process takes no commands over HTTP: those with the role api do"));
    }
    let info = path.ok().and_then(|Path(name)| command::find(&name)).ok_or_else(no_such_command)?;
    if info.access == Access::Connection {
        let detail = format!("{} is about a connection: send it over the WebSocket at /v1/ws", info.name);
        return Err(Problem::not_found(detail));
    }
    let (parts, body) = request.into_parts();
    let address = address::client(&parts.extensions, &parts.headers, &http.trusted_proxies);
    let who = authenticate(&http, info, &parts.headers, address).await?;
    if let Who::Account(caller) = &who {
        connection.place().prove(caller.account);
        let span = tracing::Span::current();
        span.record("account", tracing::field::display(caller.account));
        span.record("device", tracing::field::display(caller.device));
    }
    // Of what waits in memory for clients; held until the answer is written.
    let mut charge = http.budget.charge();
    let body = read(&http, &parts.headers, body, &mut charge).await?;
    if !http.budget.admits(info) {
        return Err(Budget::deferred().into());
    }
    let mut command = command::from_json(info.name, &body)?;
    if let Command::Send(send) = &mut command {
        // A client can't know whether a request that broke off was carried out, so every one may be a repetition.
        send.resend = true;
    }
    let event = http.api.handle(&who, command).await.map_err(|mut error| {
        if error.code == ErrorCode::Internal {
            error.message = format!("{} (request {request_id})", error.message);
        }
        error
    })?;
    let answer = command::answer_to_json(ServerFrame { request: 0, event: Some(event) }).to_string();
    charge.set(answer.len());
    let mut response = Response::new(Body::new(Held::new(answer.into(), charge)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn no_such_command() -> Problem {
    Problem::not_found("there is no such command: GET /openapi.json lists them")
}

/// Whoever gives a command that needs no token is anonymous, even if there is one.
async fn authenticate(http: &Http, info: &CommandInfo, headers: &HeaderMap, address: IpAddr) -> Result<Who, Problem> {
    if info.access == Access::Anonymous {
        return Ok(Who::Anonymous(address));
    }
    let token = headers.get(header::AUTHORIZATION).and_then(bearer);
    let token = token.ok_or_else(|| {
        let detail = "this command needs an access token: send Authorization: Bearer <token>";
        Problem::of_http(StatusCode::UNAUTHORIZED, ErrorCode::Unauthenticated, detail)
    })?;
    Ok(Who::Account(http.api.authenticate(token, address).await?))
}

/// The token in `Bearer <token>` (RFC 6750 §2.1). The scheme is compared without case (RFC 9110 §11.1).
pub(crate) fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start())
}

/// The whole body, if it is JSON, small enough and here in time. A body that is not there needs no type.
async fn read(http: &Http, headers: &HeaderMap, body: Body, charge: &mut Charge) -> Result<Bytes, Problem> {
    let wrong_type = || {
        let detail = "send the command's message as application/json";
        Problem::of_http(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::Invalid, detail)
    };
    let content_type = headers.get(header::CONTENT_TYPE);
    if content_type.is_some_and(|value| !is_json(value)) {
        return Err(wrong_type());
    }
    let whole = http.runtime.timeout(http.body_timeout, collect(body, charge)).await;
    let bytes = whole.ok_or_else(|| {
        let detail = format!("the body did not arrive within {} ms", http.body_timeout.as_millis());
        Problem::of_http(StatusCode::REQUEST_TIMEOUT, ErrorCode::Invalid, detail)
    })??;
    if content_type.is_none() && !bytes.is_empty() { Err(wrong_type()) } else { Ok(bytes) }
}

fn is_json(value: &HeaderValue) -> bool {
    let essence = value.to_str().ok().and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers are read as their RFCs spell them, not only as most clients do.
    #[test]
    fn headers_are_read_generously() {
        let value = |text| HeaderValue::from_static(text);
        assert_eq!(bearer(&value("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&value("bearer  abc")), Some("abc"));
        assert_eq!(bearer(&value("Basic abc")), None);
        assert!(is_json(&value("application/json; charset=utf-8")) && is_json(&value("Application/JSON")));
        assert!(!is_json(&value("text/plain")) && !is_json(&value("application/jsonp")));
    }
}
