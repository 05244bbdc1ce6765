//! Those who keep a server busy with nothing.

use super::link::Source;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often a trickling connection sends a byte.
const TRICKLE: Duration = Duration::from_secs(1);
/// How long one that was closed stays away.
const AWAY: Duration = Duration::from_secs(1);
/// Connections that are begun at the same time.
const BEGUN_AT_ONCE: usize = 64;
/// How long it may take until all are there.
const GATHERED_MAX: Duration = Duration::from_secs(60);

/// What they do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Connect and never say a byte.
    Silent,
    /// The head of a request, a byte each second.
    SlowHead,
    /// A whole head, then the body, a byte each second.
    SlowBody,
    /// A WebSocket on which nobody says hello.
    SilentWebSocket,
    /// A WebSocket, and on it a long frame, a byte each second.
    SlowFrame,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Silent, Self::SlowHead, Self::SlowBody, Self::SilentWebSocket, Self::SlowFrame];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::SlowHead => "a byte of a head each second",
            Self::SlowBody => "a byte of a body each second",
            Self::SilentWebSocket => "a WebSocket without a hello",
            Self::SlowFrame => "a byte of a frame each second",
        }
    }

    /// What is said at once, and what is said a byte at a time behind it.
    fn says(self) -> (&'static [u8], &'static [u8]) {
        const UPGRADE: &[u8] =
            b"GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            sec-websocket-protocol: hudhud.v1.proto\r\n\r\n";
        match self {
            Self::Silent => (b"", b""),
            Self::SlowHead => (b"GET / HTTP/1.1\r\nx-slow: ", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            Self::SlowBody => (
                b"POST /v1/register HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 100000\r\n\r\n",
                b"{                                              ",
            ),
            Self::SilentWebSocket => (UPGRADE, b""),
            // Final, binary, masked, 100,000 bytes long.
            Self::SlowFrame => {
                (UPGRADE, b"\x82\xff\x00\x00\x00\x00\x00\x01\x86\xa0aaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
            }
        }
    }
}

/// Many of a kind. Whoever is closed comes again. They end when this is dropped.
pub struct Flood {
    connected: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Flood {
    /// Sends so many, and returns once all were connected, or nearly all are at the same time.
    pub async fn start(kind: Kind, to: SocketAddr, count: usize) -> Self {
        let connected = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(AtomicUsize::new(0));
        let turns = Arc::new(tokio::sync::Semaphore::new(BEGUN_AT_ONCE));
        let mut tasks = JoinSet::new();
        for n in 0..count {
            let (connected, begun, turns) = (connected.clone(), begun.clone(), turns.clone());
            tasks.spawn(async move {
                let mut is_first = true;
                loop {
                    let turn = turns.acquire().await.expect("nobody closes it");
                    let stream = Source::foreign(n).connect(to).await;
                    if std::mem::take(&mut is_first) {
                        begun.fetch_add(1, Ordering::Relaxed);
                    }
                    drop(turn);
                    if let Ok(stream) = stream {
                        connected.fetch_add(1, Ordering::Relaxed);
                        // However it ends, it comes again.
                        let _ = hold(stream, kind).await;
                        connected.fetch_sub(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(AWAY).await;
                }
            });
        }
        let deadline = Instant::now() + GATHERED_MAX;
        while begun.load(Ordering::Relaxed) < count && Instant::now() < deadline {
            tokio::time::sleep(TRICKLE / 20).await;
        }
        Self { connected, _tasks: tasks }
    }

    /// How many are connected now.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }
}

/// Does its worst until the server closes the connection.
async fn hold(mut stream: TcpStream, kind: Kind) -> io::Result<()> {
    let (at_once, trickle) = kind.says();
    stream.write_all(at_once).await?;
    let (mut reader, mut writer) = stream.split();
    let mut buffer = [0; 512];
    let mut rest = trickle.iter().cycle();
    loop {
        tokio::select! {
            biased;
            read = reader.read(&mut buffer) => if read? == 0 { return Ok(()) },
            () = tokio::time::sleep(TRICKLE), if !trickle.is_empty() => {
                let byte = rest.next().expect("it goes on for ever");
                writer.write_all(&[*byte]).await?;
            }
        }
    }
}
