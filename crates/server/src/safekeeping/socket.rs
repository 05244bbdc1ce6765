//! How a command reaches the server that has the data folder open: a Unix socket in that folder, for whoever may read the data
//! anyway. One request and one answer per connection, a line of JSON each.

use super::backup::{Backup, back_up};
use super::blocking;
use crate::Failure;
use hudhud_engines::Embedded;
use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const SOCKET: &str = "operators.sock";
/// A request or an answer.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// How long a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at the same time; more wait.
const CONNECTIONS_MAX: usize = 4;

/// What is asked of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Write a backup.
    BackUp {
        /// Into this folder, an absolute path.
        to: PathBuf,
        /// So fast.
        bytes_per_s: u64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    BackedUp(Backup),
    Failed { code: u8, message: String },
}

/// Listens in the data folder until the server stops. The tasks are tracked, so that a stop waits for them.
pub fn listen(data: &Path, engines: Embedded, stop: CancellationToken, tasks: &TaskTracker) {
    let path = data.join(SOCKET);
    let listener = match bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "no socket for operators: `hudhud backup` works while the server is stopped");
            return;
        }
    };
    let connections = tasks.clone();
    tasks.spawn(async move {
        let (room, writing) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Arc::new(Semaphore::new(1)));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "an operator can't connect");
                    tokio::time::sleep(REQUEST_TIMEOUT).await;
                    continue;
                }
            };
            let permit = room.clone().acquire_owned().await.expect("it is never closed");
            let (engines, stop, writing) = (engines.clone(), stop.clone(), writing.clone());
            connections.spawn(async move {
                if let Err(error) = serve(stream, engines, stop, &writing).await {
                    tracing::warn!(%error, "an operator went away");
                }
                drop(permit);
            });
        }
        // Nobody answers any more; an error means that somebody removed it.
        std::fs::remove_file(&path).ok();
    });
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        // Left behind by a server that was killed: this process has the folder now.
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn serve(stream: UnixStream, engines: Embedded, stop: CancellationToken, writing: &Semaphore) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(LINE_BYTES_MAX));
    tokio::time::timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await??;
    let answer = match serde_json::from_str(&line) {
        Ok(Request::BackUp { to, bytes_per_s }) => match writing.try_acquire() {
            Ok(_permit) => {
                tracing::info!(to = %to.display(), "a backup begins");
                let outcome = blocking(move || back_up(&engines, &to, bytes_per_s, stop)).await;
                match &outcome {
                    Ok(backup) => tracing::info!(bytes = backup.bytes, took_ms = backup.took_ms, "a backup is whole"),
                    Err(failure) => tracing::warn!(%failure, "a backup failed"),
                }
                outcome
            }
            Err(_) => Err(Failure::Refused("a backup is being written already: wait for it".into())),
        },
        Err(error) => Err(Failure::Refused(format!("the server does not understand this: {error}"))),
    };
    let answer = match answer {
        Ok(backup) => Answer::BackedUp(backup),
        Err(failure) => Answer::Failed { code: failure.code(), message: failure.to_string() },
    };
    let mut line = serde_json::to_vec(&answer).expect("numbers and strings are JSON");
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.shutdown().await
}

/// Whether a server has this data folder open and answers.
pub fn is_served(data: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(data.join(SOCKET)).is_ok()
}

/// Asks the server that has this data folder open. `None` where there is none.
pub async fn ask(data: &Path, request: &Request) -> Option<Result<Backup, Failure>> {
    let path = data.join(SOCKET);
    let stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return None,
        Err(source) => return Some(Err(Failure::File { path, source })),
    };
    let exchange = async {
        let (reader, mut writer) = stream.into_split();
        let mut line = serde_json::to_vec(request).expect("numbers and strings are JSON");
        line.push(b'\n');
        writer.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(reader.take(LINE_BYTES_MAX)).read_line(&mut answer).await?;
        serde_json::from_str(&answer).map_err(io::Error::other)
    };
    Some(match exchange.await {
        Ok(Answer::BackedUp(backup)) => Ok(backup),
        Ok(Answer::Failed { code, message }) => Err(Failure::Answered { code, message }),
        Err(source) => Err(Failure::File { path, source }),
    })
}
