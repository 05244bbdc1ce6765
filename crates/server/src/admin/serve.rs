//! One request: who asks, whether it may, what it wants, and that it asked.

use super::operations::{OPERATIONS, Operation};
use super::{Answer, PREFIX, openapi};
use crate::config::{Limits, Rates};
use crate::http::pages::typed;
use crate::http::{bearer, problem::Problem};
use crate::safekeeping::{self, BYTES_PER_S};
use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, get, on};
use axum::{Extension, Router};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hudhud_engines::Embedded;
use hudhud_proto::v1::ErrorCode;
use hudhud_proto::{ProtocolError, TokenId};
use hudhud_roles::api::Api;
use hudhud_roles::api::admin::reports::Which;
use hudhud_roles::api::admin::{self, Ask, Scope, accounts, conversations, invites, limits, reports, tokens};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What is sent with a request.
const BODY_BYTES_MAX: usize = 64 * 1_024;

/// What the handlers share.
pub struct Admin {
    /// What carries it out.
    pub api: Arc<Api>,
    /// The limits that this process goes by.
    pub limits: Limits,
    /// Likewise.
    pub rates: Rates,
    /// What backups are made of.
    pub embedded: Option<Embedded>,
    /// One backup at a time.
    pub writing: Semaphore,
    /// Ends a backup.
    pub stop: CancellationToken,
}

/// Who asked over the socket: whoever has the data may do everything.
#[derive(Clone, Copy, Debug)]
pub struct OverSocket;

/// Who asks.
enum Actor {
    Socket,
    Token(tokens::Holder),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reason {
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct NewInvite {
    #[serde(deserialize_with = "given")]
    valid_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichRefusal {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution {
    resolution: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewToken {
    #[serde(default)]
    label: String,
    scopes: Vec<String>,
    #[serde(deserialize_with = "whole")]
    valid_s: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewBackup {
    folder: PathBuf,
    bytes_per_s: Option<u64>,
}

/// A number that is whole, however it is written: to JSON Schema 60.0 is the integer 60.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let written = number.as_f64().filter(|it| it.fract() == 0.0 && (0.0..u64::MAX as f64).contains(it));
    let whole = number.as_u64().or_else(|| written.map(|it| it as u64));
    whole.ok_or_else(|| serde::de::Error::custom(format!("{number} is no whole number from 0")))
}

/// The same, where it may be left out.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    whole(deserializer).map(Some)
}

/// Everything under `/admin`.
pub fn router<S: Clone + Send + Sync + 'static>(admin: Arc<Admin>) -> Router<S> {
    let document: Bytes = openapi::document().to_string().into();
    let document = get(move || async move { typed(document, "application/json") });
    let mut router = Router::new().route("/admin/openapi.json", document);
    for operation in OPERATIONS {
        let filter = match operation.method {
            "GET" => MethodFilter::GET,
            "DELETE" => MethodFilter::DELETE,
            _ => MethodFilter::POST,
        };
        let serve = move |State(admin): State<Arc<Admin>>,
                          over_socket: Option<Extension<OverSocket>>,
                          parameters: RawPathParams,
                          request: Request| async move {
            serve(operation, &admin, over_socket.is_some(), &parameters, request).await
        };
        router = router.route(&format!("{PREFIX}{}", operation.path), on(filter, serve));
    }
    router.with_state(admin)
}

async fn serve(
    operation: &Operation,
    admin: &Admin,
    over_socket: bool,
    parameters: &RawPathParams,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let by = if over_socket { Ok(Actor::Socket) } else { authenticate(admin, &parts.headers).await };
    let parameters: BTreeMap<&str, &str> = parameters.iter().collect();
    let outcome = match &by {
        Ok(by) => match may(by, operation) {
            Ok(()) => carry_out(operation, admin, by, &parameters, &parts.uri, body).await,
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.clone().into()),
    };
    audit(operation, by.as_ref().ok(), &parameters, &outcome);
    let answer = outcome?;
    let status = answer.status();
    Ok(match answer {
        Answer::Done => status.into_response(),
        Answer::Found(value) | Answer::Made(value) | Answer::Asked(value) => {
            (status, typed(value.to_string(), "application/json")).into_response()
        }
    })
}

async fn authenticate(admin: &Admin, headers: &HeaderMap) -> Result<Actor, ProtocolError> {
    let token = headers.get(header::AUTHORIZATION).and_then(bearer).unwrap_or_default();
    tokens::authenticate(&admin.api, token).await.map(Actor::Token)
}

fn may(by: &Actor, operation: &Operation) -> Result<(), ProtocolError> {
    let forbidden = |why: String| Err(ProtocolError::new(ErrorCode::Forbidden, why));
    match (by, operation.scope) {
        (Actor::Socket, _) => Ok(()),
        (Actor::Token(_), None) => forbidden("this is asked on the server's machine, over operators.sock".into()),
        (Actor::Token(holder), Some(scope)) if holder.may(scope) => Ok(()),
        (Actor::Token(_), Some(scope)) => forbidden(format!("this needs a token with the scope {scope}")),
    }
}

/// Every request leaves a line: who, what, on which ids, and what came of it. Nothing that anybody wrote, and no secret.
fn audit(operation: &Operation, by: Option<&Actor>, on: &BTreeMap<&str, &str>, outcome: &Result<Answer, Problem>) {
    let by = match by {
        None => "nobody".to_owned(),
        Some(Actor::Socket) => "socket".to_owned(),
        Some(Actor::Token(holder)) => format!("token {}", holder.token),
    };
    let on: Vec<String> = on.iter().map(|(name, value)| format!("{name} {}", shown(name, value))).collect();
    let (on, action) = (on.join(", "), operation.id);
    match outcome {
        Ok(_) => tracing::info!(target: "hudhud::audit", by, action, on, "an operator asked"),
        Err(problem) => {
            tracing::warn!(target: "hudhud::audit", by, action, on, refused = problem.code(), "an operator was refused")
        }
    }
}

/// A path's value as the log has it: of a code, which is a secret while it is valid, its beginning.
fn shown(name: &str, value: &str) -> String {
    match name {
        "code" => format!("{}…", value.chars().take(4).collect::<String>()),
        _ => value.chars().filter(|c| !c.is_control()).take(64).collect(),
    }
}

async fn carry_out(
    operation: &Operation,
    admin: &Admin,
    by: &Actor,
    parameters: &BTreeMap<&str, &str>,
    uri: &Uri,
    body: Body,
) -> Result<Answer, Problem> {
    let api = &admin.api;
    let body = collect(body, Duration::from_millis(admin.limits.body_timeout_ms)).await?;
    let query = query(uri, operation)?;
    let ask = ask(&query)?;
    let text = |name: &str| parameters.get(name).copied().unwrap_or_default();
    let account = || accounts::find(api, text("account"));
    let conversation = || text("conversation").parse().map_err(ProtocolError::from);
    Ok(match operation.id {
        "listAccounts" => found(accounts::list(api, &ask).await?),
        "getAccount" => found(accounts::show(api, account().await?).await?),
        "suspendAccount" => done(accounts::suspend(api, account().await?, &read::<Reason>(&body)?.reason).await?),
        "unsuspendAccount" => done(accounts::unsuspend(api, account().await?).await?),
        "deleteAccount" => done(admin::delete(api, account().await?, &read::<Reason>(&body)?.reason).await?),
        "resetPassword" => made(accounts::reset_password(api, account().await?).await?),
        "listDevices" => found(json!({ "items": accounts::devices(api, account().await?).await? })),
        "revokeDevice" => {
            let device = text("device").parse().map_err(ProtocolError::from)?;
            done(accounts::revoke_device(api, account().await?, device).await?)
        }
        "listAccountConversations" => found(accounts::conversations(api, account().await?, &ask).await?),
        "getConversation" => found(conversations::show(api, conversation()?).await?),
        "listMembers" => found(conversations::members(api, conversation()?, &ask).await?),
        "removeMember" => {
            let member = accounts::find(api, text("member")).await?;
            asked(conversations::remove_member(api, conversation()?, member).await?)
        }
        "closeConversation" => asked(conversations::close(api, conversation()?, &read::<Reason>(&body)?.reason).await?),
        "listInvites" => found(invites::list(api, &ask).await?),
        "createInvite" => {
            let valid = read::<NewInvite>(&body)?.valid_s.map(Duration::from_secs);
            made(invites::create(api, valid).await?)
        }
        "revokeInvite" => done(invites::revoke(api, text("code")).await?),
        "getLimits" => found(json!({ "limits": admin.limits, "rates": admin.rates })),
        "listRefusals" => found(json!({ "items": limits::refusals(api) })),
        "resetRefusal" => done(limits::reset(api, &read::<WhichRefusal>(&body)?.id)?),
        "listReports" => found(reports::list(api, which(&query)?, &ask).await?),
        "getReport" => found(reports::show(api, text("report").parse().map_err(ProtocolError::from)?).await?),
        "resolveReport" => {
            let report = text("report").parse().map_err(ProtocolError::from)?;
            done(reports::resolve(api, report, &read::<Resolution>(&body)?.resolution).await?)
        }
        "listTokens" => found(tokens::list(api, &ask).await?),
        "createToken" => {
            let new: NewToken = read(&body)?;
            let scopes = new.scopes.iter().map(|scope| scope.parse()).collect::<Result<Vec<Scope>, _>>()?;
            let maker = match by {
                Actor::Socket => None,
                Actor::Token(holder) => Some(holder),
            };
            let valid = Duration::from_secs(new.valid_s);
            made(tokens::create(api, maker, &new.label, &scopes, valid).await?)
        }
        "revokeToken" => {
            let token: TokenId = text("token").parse().map_err(ProtocolError::from)?;
            done(tokens::revoke(api, token).await?)
        }
        "createBackup" => made(back_up(admin, read(&body)?).await?),
        other => unreachable!("{other} is in the table of operations and not here"),
    })
}

/// Writes a backup, one at a time.
async fn back_up(admin: &Admin, new: NewBackup) -> Result<safekeeping::Backup, Problem> {
    let refuse = |why: &str| Problem::from(ProtocolError::new(ErrorCode::Conflict, why));
    let embedded = admin.embedded.clone().ok_or_else(|| refuse(safekeeping::NOT_EMBEDDED))?;
    let _permit = admin.writing.try_acquire().map_err(|_| refuse("a backup is being written already: wait for it"))?;
    let (to, stop) = (new.folder, admin.stop.clone());
    tracing::info!(to = %to.display(), "a backup begins");
    let bytes_per_s = new.bytes_per_s.unwrap_or(BYTES_PER_S);
    let outcome = safekeeping::blocking(move || safekeeping::back_up(&embedded, &to, bytes_per_s, stop)).await;
    match outcome {
        Ok(backup) => {
            tracing::info!(bytes = backup.bytes, took_ms = backup.took_ms, "a backup is whole");
            Ok(backup)
        }
        Err(failure @ crate::Failure::Refused(_)) => Err(refuse(&failure.to_string())),
        Err(failure) => {
            tracing::warn!(%failure, "a backup failed");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Err(Problem::of_http(status, ErrorCode::Internal, failure.to_string()))
        }
    }
}

fn found(value: impl Serialize) -> Answer {
    Answer::Found(to_json(value))
}

fn made(value: impl Serialize) -> Answer {
    Answer::Made(to_json(value))
}

fn asked(value: impl Serialize) -> Answer {
    Answer::Asked(to_json(value))
}

fn done((): ()) -> Answer {
    Answer::Done
}

fn to_json(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("structs of texts and numbers are JSON")
}

async fn collect(body: Body, limit: Duration) -> Result<Bytes, Problem> {
    let whole = tokio::time::timeout(limit, Limited::new(body, BODY_BYTES_MAX).collect()).await.map_err(|_| {
        let detail = format!("the body did not arrive within {} ms", limit.as_millis());
        Problem::of_http(StatusCode::REQUEST_TIMEOUT, ErrorCode::Invalid, detail)
    });
    let collected = whole?.map_err(|error| {
        let detail = format!("the body can't be read ({error}): it has at most {BODY_BYTES_MAX} bytes");
        Problem::of_http(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::Limit, detail)
    });
    Ok(collected?.to_bytes())
}

/// A body; an empty one stands for `{}`.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProtocolError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| ProtocolError::invalid(format!("the body: {error}")))
}

/// What is in the query. Nothing that is asked for needs to be escaped.
fn query<'a>(uri: &'a Uri, operation: &Operation) -> Result<BTreeMap<&'a str, &'a str>, ProtocolError> {
    let mut query = BTreeMap::new();
    for part in uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if !operation.query.contains(&name) {
            let known = match operation.query {
                [] => "none".to_owned(),
                known => known.join(", "),
            };
            let name: String = name.chars().take(64).collect();
            return Err(ProtocolError::invalid(format!("there is no {name:?} in this query; it knows: {known}")));
        }
        query.insert(name, value);
    }
    Ok(query)
}

fn ask(query: &BTreeMap<&str, &str>) -> Result<Ask, ProtocolError> {
    let limit = query.get("limit").map(|limit| limit.parse::<usize>()).transpose();
    let limit = limit.map_err(|_| ProtocolError::invalid(format!("limit is 1 to {}", admin::PAGE_MAX)))?;
    Ok(Ask { cursor: query.get("cursor").map(|cursor| (*cursor).to_owned()), limit })
}

fn which(query: &BTreeMap<&str, &str>) -> Result<Which, ProtocolError> {
    match query.get("state").copied() {
        None | Some("open") => Ok(Which::Open),
        Some("resolved") => Ok(Which::Resolved),
        Some("all") => Ok(Which::All),
        Some(_) => Err(ProtocolError::invalid("state is open, resolved or all")),
    }
}
