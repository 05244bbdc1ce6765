//! The server as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long a start may take, recovery and a busy machine included.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a polite end may take.
const END_MAX: Duration = Duration::from_secs(30);

/// A `hudhud serve` on a port and a folder that stay the same over restarts. Killed when dropped.
pub struct Server {
    binary: PathBuf,
    address: SocketAddr,
    data: PathBuf,
    child: Child,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub async fn start(data: &Path) -> Self {
        // Beside the test's own binary: `cargo test --workspace` builds both.
        let test = std::env::current_exe().expect("the test has a file");
        let binary = test.ancestors().nth(2).expect("target/debug/deps").join("hudhud");
        assert!(binary.exists(), "{} is not built: run `cargo build -p hudhud-server`", binary.display());
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let child = spawn(&binary, address, data);
        let mut server = Self { binary, address, data: data.to_owned(), child };
        server.ready().await;
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it with -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was killed");
    }

    /// Starts it again after [`Self::kill`], on the same port and folder.
    pub async fn start_again(&mut self) {
        self.child = spawn(&self.binary, self.address, &self.data);
        self.ready().await;
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(&mut self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill is there");
        assert!(killed.success());
        let deadline = tokio::time::Instant::now() + END_MAX;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(tokio::time::Instant::now() < deadline, "it does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(status.success(), "it ended with {status}");
    }

    async fn ready(&mut self) {
        let deadline = tokio::time::Instant::now() + START_MAX;
        while !answers_ready(self.address).await {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                panic!("the server ended with {status} instead of starting: what it said is above");
            }
            assert!(tokio::time::Instant::now() < deadline, "it is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(binary: &Path, address: SocketAddr, data: &Path) -> Child {
    let mut command = Command::new(binary);
    command.args(["serve", "--log", "error", "--listen"]).arg(address.to_string()).arg("--data").arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("it is an executable")
}

async fn answers_ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    ask.await.is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}
