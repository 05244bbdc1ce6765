//! The other end of the admin API: one request over the socket of a data folder, or over HTTP or HTTPS with a token.

use super::{PREFIX, socket};
use crate::Failure;
use crate::reach::{self, Stream, within};
use crate::safekeeping::Backup;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Where a server is asked.
#[derive(Clone, Debug)]
pub enum Reach {
    /// Over the socket in its data folder.
    Socket(PathBuf),
    /// At a URL, with a token.
    Url {
        /// Of the operators' listener, or of what stands before it.
        uri: Uri,
        /// An admin token.
        token: String,
        /// A certificate of an authority, in PEM, beside the usual ones.
        authority: Option<PathBuf>,
    },
}

/// Asks for one thing, and waits however long it takes.
pub async fn ask(reach: &Reach, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let (stream, host, token): (Box<dyn Stream>, String, Option<&str>) = match reach {
        Reach::Socket(data) => (Box::new(over_socket(data).await?), "localhost".into(), None),
        Reach::Url { uri, token, authority } => {
            let host = uri.authority().map(ToString::to_string).unwrap_or_default();
            let stream = reach::connect(uri, authority.as_deref()).await;
            let unreachable = |error| Failure::Unreachable { at: uri.to_string(), why: format!("{error}") };
            (stream.map_err(unreachable)?, host, Some(token))
        }
    };
    let broken = |error: hyper::Error| Failure::Unreachable { at: host.clone(), why: error.to_string() };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<bytes::Bytes>>(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(format!("{PREFIX}{path}")).header(HOST, &host);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let sent = body.map(|body| body.to_string()).unwrap_or_default();
    let request = request.body(Full::from(sent)).map_err(|_| {
        Failure::Refused("an id, a code or the token has characters that none has: look at what you gave".into())
    })?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.map_err(broken)?.to_bytes();
    connection.abort();
    let value: Value = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or_default() };
    match status {
        200..=299 => Ok(value),
        _ => Err(refused(status, &value)),
    }
}

/// Asks the server that has this data folder open for a backup. `None` where there is none.
pub async fn back_up(data: &Path, to: &Path, bytes_per_s: u64) -> Option<Result<Backup, Failure>> {
    if let Err(error) = UnixStream::connect(socket::path(data)).await
        && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
    {
        return None;
    }
    let body = json!({ "folder": to, "bytesPerS": bytes_per_s });
    let answer = ask(&Reach::Socket(data.to_owned()), "POST", "/backups", Some(&body)).await;
    let read = |value| {
        let why = "the server's answer is not understood: is it of another version?";
        serde_json::from_value(value).map_err(|_| Failure::Refused(why.into()))
    };
    Some(answer.and_then(read))
}

/// What a server refused, with the exit code for it.
fn refused(status: u16, problem: &Value) -> Failure {
    let code = match status {
        401 | 403 => 77,
        408 | 429 | 503 | 507 => 75,
        500..=599 => 70,
        _ => 73,
    };
    let message = problem["detail"].as_str().map(str::to_owned);
    let message =
        message.unwrap_or_else(|| format!("HTTP {status}, and no word why: is this Hudhud's operators' port?"));
    Failure::Answered { code, message }
}

async fn over_socket(data: &Path) -> Result<UnixStream, Failure> {
    let path = socket::path(data);
    within(UnixStream::connect(&path)).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::Unreachable {
            at: path.display().to_string(),
            why: "no server has this data folder open: start it, or name its folder with --data or --config".into(),
        },
        _ => Failure::File { path, source: error },
    })
}
