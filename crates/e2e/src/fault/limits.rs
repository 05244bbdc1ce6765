//! The process may not have what it needs.

use super::{SHOWS_MAX, World};
use crate::hudhud::POLL;
use crate::memory::Bound;
use crate::process::Allowed;
use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Files and sockets that the server may have, and the sockets that want to be served. More would not even be connected: those
/// behind the limit wait in the kernel, which has room for some hundred.
const FILES: u64 = 256;
const SOCKETS: usize = 300;
/// Sockets that are opened at once where each costs memory, and how many at most: this process may not have many either.
const WAVE: usize = 50;
const STRANGERS_MAX: usize = 500;
/// How long opening a socket may take.
const CONNECT_MAX: Duration = Duration::from_secs(1);

pub(super) async fn no_files(world: &mut World) -> Result<String> {
    world.server.kill().await?;
    world.server.start_with(Allowed { files: Some(FILES) }).await?;
    world.everybody_gets_through().await.context("before there are too many")?;
    let deadline = Instant::now() + SHOWS_MAX;
    let mut strangers = Vec::new();
    // Once more if it took so long that the first of them were sent away: none of them ever ends its request.
    // Or until some had to make room: strangers go before a descriptor is missing.
    while world.server.is_ready().await && !strangers.iter().any(was_closed) {
        ensure!(Instant::now() < deadline, "{} sockets, and it still takes others", strangers.len());
        strangers.clear();
        for _ in 0..SOCKETS {
            strangers.extend(open(world.server.address()).await);
        }
    }
    world.everybody_gets_through().await.context("while there are too many")?;
    ensure!(world.server.is_running()?, "it ended: {}", world.server.said());
    let count = strangers.len();
    drop(strangers);
    let deadline = Instant::now() + SHOWS_MAX;
    while !world.server.is_ready().await {
        ensure!(Instant::now() < deadline, "the others are gone, and it takes nobody: {}", world.server.said());
        tokio::time::sleep(POLL).await;
    }
    world.server.kill().await?;
    world.server.start_again().await?;
    Ok(format!("{count} sockets where {FILES} files may be open; who is there goes on"))
}

pub(super) async fn no_memory(world: &mut World) -> Result<String> {
    let bound = Bound::set(world.server.pid())?;
    let mut strangers = Vec::new();
    let deadline = Instant::now() + SHOWS_MAX;
    while world.server.is_running()? {
        ensure!(Instant::now() < deadline, "it goes on without memory: {bound}");
        if strangers.len() < STRANGERS_MAX {
            for _ in 0..WAVE {
                strangers.extend(open(world.server.address()).await);
            }
        }
        tokio::time::sleep(POLL).await;
    }
    let status = world.server.ended(Duration::ZERO).await?;
    ensure!(!status.success(), "without memory it ended with {status}");
    drop((bound, strangers));
    world.server.start_again().await?;
    Ok(format!("ended with {status}"))
}

/// A connection with half a request. None where that is not to be had: the server has ended, or does not take any more.
async fn open(server: SocketAddr) -> Option<TcpStream> {
    let opening = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await?;
        std::io::Result::Ok(stream)
    };
    tokio::time::timeout(CONNECT_MAX, opening).await.ok()?.ok()
}

/// Whether the other end has ended a socket, or said what it does not say to one that asked for nothing yet.
fn was_closed(stream: &TcpStream) -> bool {
    let mut byte = [0];
    match stream.try_read(&mut byte) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}
