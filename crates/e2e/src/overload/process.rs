//! A server with a configuration of its own, whose memory and processor time are watched.

use crate::hudhud::{self, Hudhud, Usage};
use rustix::process::Signal;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::net::TcpListener;

/// How long a start or an end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
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

/// A `hudhud serve`.
pub struct Server {
    address: SocketAddr,
    operators: SocketAddr,
    process: Hudhud,
    data: PathBuf,
    log: PathBuf,
}

impl Server {
    /// Starts one in this folder with these lines under `[limits]`, and waits until it is ready.
    pub async fn start(folder: &Path, limits: &str) -> Self {
        Self::with(folder, limits, |_| {}).await
    }

    /// The same, with something done to the command before it is run.
    pub async fn with(folder: &Path, limits: &str, change: impl FnOnce(&mut Command)) -> Self {
        let free = [free_port().await, free_port().await];
        let [address, operators] = free.each_ref().map(|listener| listener.local_addr().expect("it is bound"));
        drop(free);
        let config = folder.join("hudhud.toml");
        std::fs::write(&config, format!("{CONFIG}[limits]\n{limits}\n")).expect("the folder can be written");
        let mut command = Command::new(hudhud::binary().unwrap_or_else(|error| panic!("{error}")));
        command.args(["serve", "--log", "warn", "--listen"]).arg(address.to_string());
        command.arg("--operators-listen").arg(operators.to_string());
        let data = folder.join("data");
        command.arg("--config").arg(&config).arg("--data").arg(&data);
        let log = folder.join("hudhud.log");
        let file = File::create(&log).expect("the folder can be written");
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        change(&mut command);
        let process = Hudhud::spawn(&mut command).unwrap_or_else(|error| panic!("{error}"));
        let mut server = Self { address, operators, process, data, log };
        match server.process.ready(operators, PATIENCE).await {
            Ok(None) => server,
            Ok(Some(status)) => panic!("the server ended with {status} instead of starting: {}", server.said()),
            Err(error) => panic!("{error}: {}", server.said()),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for operators.
    pub fn operators(&self) -> SocketAddr {
        self.operators
    }

    /// What it has used.
    pub fn usage(&self) -> Usage {
        self.process.usage()
    }

    /// One of its metrics, by its whole name.
    pub async fn metric(&self, name: &str) -> i64 {
        let page = self.get("/metrics").await;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {page}"))
    }

    /// The whole answer to an operator's request; empty where there is none.
    pub async fn get(&self, path: &str) -> String {
        hudhud::get(self.operators, path).await
    }

    /// Backs it up into a folder that is not there, and removes that again.
    pub async fn back_up(&self, to: &Path) {
        let mut command = tokio::process::Command::new(hudhud::binary().unwrap_or_else(|error| panic!("{error}")));
        let done = command.arg("backup").arg(to).arg("--data").arg(&self.data).output().await.expect("it runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        std::fs::remove_dir_all(to).expect("it is there");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until it has ended. Returns how, and what it said on the standard error.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let status = self.process.ended(PATIENCE).await.unwrap_or_else(|error| panic!("{error}: {}", self.said()));
        (status, self.said())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("text")
    }
}

async fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}
