//! A server as a process of its own, with a configuration of its own, whose memory and processor time are watched.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// How long a start or an end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked whether something has happened.
const POLL: Duration = Duration::from_millis(20);
/// What every server of these has in its configuration: passwords that cost little, and no limits that a test would meet which
/// registers a thousand people from one address, and adds them to a group of somebody who does not know them.
const CONFIG: &str = "\
drain_ms = 1000
[registration]
password_memory_kib = 64
password_passes = 1
[rates]
accounts_per_address = { burst = 1000000, interval_ms = 1 }
group_adds = { burst = 1000000, interval_ms = 1 }
";

/// A `hudhud serve`. Killed when dropped.
pub struct Server {
    address: SocketAddr,
    child: Child,
    log: PathBuf,
}

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Memory that it has now, in bytes.
    pub resident_bytes: u64,
    /// Processor time since it was started, in hundredths of a second (the unit of `/proc`).
    pub ticks: u64,
}

impl Server {
    /// Starts one in this folder with these lines under `[limits]`, and waits until it is ready.
    pub async fn start(folder: &Path, limits: &str) -> Self {
        Self::with(folder, limits, |_| {}).await
    }

    /// The same, with something done to the command before it is run.
    pub async fn with(folder: &Path, limits: &str, change: impl FnOnce(&mut Command)) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let config = folder.join("hudhud.toml");
        std::fs::write(&config, format!("{CONFIG}[limits]\n{limits}\n")).expect("the folder can be written");
        let mut command = Command::new(binary());
        command.args(["serve", "--log", "warn", "--listen"]).arg(address.to_string());
        command.arg("--config").arg(&config).arg("--data").arg(folder.join("data"));
        let log = folder.join("hudhud.log");
        let file = File::create(&log).expect("the folder can be written");
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        change(&mut command);
        let child = command.spawn().expect("it is an executable");
        let mut server = Self { address, child, log };
        let deadline = Instant::now() + PATIENCE;
        while !answers(address, "/readyz").await.starts_with("HTTP/1.1 200") {
            if let Some(status) = server.child.try_wait().expect("it is our child") {
                panic!("the server ended with {status} instead of starting: {}", server.said());
            }
            assert!(Instant::now() < deadline, "it is not ready");
            tokio::time::sleep(POLL).await;
        }
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has used.
    pub fn usage(&self) -> Usage {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs, on Linux")
        };
        let status = read("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
        let kib = resident.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number");
        let stat = read("stat");
        // Behind the name, which may hold anything: the 12th and 13th fields are the times in user and kernel mode.
        let (_, fields) = stat.rsplit_once(')').expect("Linux says so");
        let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
        Usage { resident_bytes: kib * 1_024, ticks: ticks.sum() }
    }

    /// One of its metrics, by its whole name.
    pub async fn metric(&self, name: &str) -> i64 {
        let page = self.get("/metrics").await;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {page}"))
    }

    /// The whole answer to a request; empty where there is none.
    pub async fn get(&self, path: &str) -> String {
        answers(self.address, path).await
    }

    /// Sends it a signal, by its name.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Waits until it has ended. Returns how, and what it said on the standard error.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return (status, self.said());
            }
            assert!(Instant::now() < deadline, "it does not end");
            tokio::time::sleep(POLL).await;
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("text")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Beside the program that runs, or one folder up where that is a test: `cargo build --workspace` makes both.
fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a file");
    let binary = own.ancestors().skip(1).take(2).map(|folder| folder.join("hudhud")).find(|path| path.exists());
    binary.expect("hudhud is not built: run `cargo build --workspace`")
}

async fn answers(address: SocketAddr, path: &str) -> String {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    ask.await.map_or_else(|_| String::new(), |answer| String::from_utf8_lossy(&answer).into_owned())
}
