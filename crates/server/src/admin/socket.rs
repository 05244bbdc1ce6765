//! The admin API for whoever has the data: a Unix socket in the data folder, which its owner alone may open.

use super::serve::OverSocket;
use axum::extract::Request;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

const SOCKET: &str = "operators.sock";
/// How long the head of a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at the same time; more wait.
const CONNECTIONS_MAX: usize = 16;

/// Where the socket of a data folder is.
pub fn path(data: &Path) -> PathBuf {
    data.join(SOCKET)
}

/// Whether a server has this data folder open and answers.
pub fn is_served(data: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path(data)).is_ok()
}

/// Serves in the data folder until it is stopped. The tasks are tracked, so that a stop waits for them.
pub fn listen(data: &Path, router: Router, stop: CancellationToken, tasks: &TaskTracker) {
    let path = path(data);
    let listener = match bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            let path = path.display();
            tracing::warn!(%error, %path, "no socket for operators: `hudhud backup` works while the server is stopped");
            return;
        }
    };
    let (router, connections) = (router.layer(Extension(OverSocket)), tasks.clone());
    tasks.spawn(async move {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
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
            let (router, stop) = (router.clone(), stop.clone());
            connections.spawn(async move {
                serve(stream, router, stop).await;
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

async fn serve(stream: UnixStream, router: Router, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| router.clone().oneshot(request));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            // What was asked is answered.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an operator went away");
    }
}
