//! The program `hudhud` as a process: where it is, what it uses, whether it answers, how it ends. What is different from test
//! to test, its configuration, disk and clock, is in [`crate::process`] and [`crate::overload`].

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How often it is looked whether something has happened.
pub const POLL: Duration = Duration::from_millis(20);
/// How long a server that is well may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A process of the program. Killed when dropped.
pub struct Hudhud(Child);

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Memory that it has now, in bytes.
    pub resident_bytes: u64,
    /// Processor time since it was started, in hundredths of a second (the unit of `/proc`).
    pub ticks: u64,
}

/// Beside the program that runs, or a folder above where that is a test: `cargo build --workspace` makes both.
pub fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut places = own.ancestors().skip(1).take(2).map(|folder| folder.join("hudhud"));
    places.find(|path| path.exists()).with_context(|| {
        format!("no server is built beside {}: run `cargo build --workspace --bin hudhud`", own.display())
    })
}

/// The whole answer to a request; empty where there is none.
pub async fn get(address: SocketAddr, path: &str) -> String {
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

/// Whether a server there says that it is ready.
pub async fn is_ready(address: SocketAddr) -> bool {
    let asked = tokio::time::timeout(ANSWER_MAX, get(address, "/readyz")).await;
    asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

impl Hudhud {
    /// Runs it.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        Ok(Self(command.spawn().with_context(|| format!("{} can't be run", program.display()))?))
    }

    /// What it writes to the standard error, where that is a pipe that nobody took.
    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.0.stderr.take()
    }

    /// The number of the process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid(), signal).context("the server is not there")
    }

    /// How it has ended, if it has.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "it has not ended after {within:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until it is ready. Returns how it ended where it did that instead.
    pub async fn ready(&mut self, address: SocketAddr, within: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + within;
        while !is_ready(address).await {
            if let Some(status) = self.status()? {
                return Ok(Some(status));
            }
            ensure!(Instant::now() < deadline, "it is not ready after {within:?}");
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    }

    /// What it has used. On Linux.
    pub fn usage(&self) -> Usage {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).expect("it runs, on Linux");
        let status = read("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
        let kib = resident.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number");
        let stat = read("stat");
        // Behind the name, which may hold anything: the 12th and 13th fields are the times in user and kernel mode.
        let (_, fields) = stat.rsplit_once(')').expect("Linux says so");
        let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
        Usage { resident_bytes: kib * 1_024, ticks: ticks.sum() }
    }
}

impl Drop for Hudhud {
    fn drop(&mut self) {
        // An error means that it has ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
