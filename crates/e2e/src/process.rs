//! The server as a process of its own.

use crate::clock::Clock;
use crate::disk::Disk;
use crate::hudhud::{self, Hudhud};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;

/// The environment variable that says what servers log, for whoever looks for why something failed.
pub const LOG: &str = "HUDHUD_E2E_LOG";

/// How long a start may take, recovery and a busy machine included.
const START_MAX: Duration = Duration::from_secs(60);
/// How long an end may take that was asked for, or that something must lead to.
pub const END_MAX: Duration = Duration::from_secs(60);
/// Below the ports that connections get by themselves: while the server is away, one of those could be connected to itself.
const PORTS: Range<u16> = 20_000..32_000;
/// How far the first ports of two processes are apart.
const PORTS_PER_PROCESS: usize = 64;
/// Lines of the log that are shown with a failure.
const LINES_SHOWN: usize = 20;

/// A `hudhud serve` on two ports, a disk and a clock that stay the same over restarts.
pub struct Server {
    binary: PathBuf,
    address: SocketAddr,
    operators: SocketAddr,
    disk: Arc<Disk>,
    clock: Arc<Clock>,
    /// What it is told beside where it listens and keeps its data.
    environment: Vec<(String, String)>,
    log: PathBuf,
    /// Where the log of this start begins.
    log_from: u64,
    process: Hudhud,
    /// Writes what it says into the log, to its end.
    listener: Option<JoinHandle<()>>,
}

/// What a start allows the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Allowed {
    /// Files and sockets; what this process may have, if left out.
    pub files: Option<u64>,
}

impl Server {
    /// Starts it and waits until it is ready. Its log goes into the folder.
    pub async fn start(disk: Arc<Disk>, clock: Arc<Clock>, folder: &Path) -> Result<Self> {
        Self::start_as("server", Vec::new(), disk, clock, folder).await
    }

    /// As [`Self::start`], of one among several: its log has this name, and variables of the environment say what it does.
    pub async fn start_as(
        name: &str,
        environment: Vec<(String, String)>,
        disk: Arc<Disk>,
        clock: Arc<Clock>,
        folder: &Path,
    ) -> Result<Self> {
        let binary = hudhud::binary()?;
        let (address, operators) = (free_port().await?, free_port().await?);
        let log = folder.join(format!("{name}.log"));
        let Spawned { process, log_from, listener } =
            spawn(&binary, [address, operators], &disk, &clock, &environment, &log, Allowed::default())?;
        let listener = Some(listener);
        let mut server =
            Self { binary, address, operators, disk, clock, environment, log, log_from, process, listener };
        server.ready().await?;
        Ok(server)
    }

    /// Where it listens for operators.
    pub fn operators(&self) -> SocketAddr {
        self.operators
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of the process.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills it with -9.
    pub async fn kill(&mut self) -> Result<()> {
        ensure!(self.is_running()?, "it has ended by itself: {}", self.said());
        self.signal(Signal::KILL)?;
        self.ended(END_MAX).await.map(drop)
    }

    /// Asks it to end, and waits until it has, as a supervisor would.
    pub async fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.ended(END_MAX).await?;
        ensure!(status.success(), "asked to end, it ended with {status}: {}", self.said());
        Ok(())
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.status()?.is_none())
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let status = self.process.ended(within).await.with_context(|| self.said())?;
        if let Some(listener) = self.listener.take() {
            listener.join().expect("it does not panic");
        }
        Ok(status)
    }

    /// Starts it again after it has ended.
    pub async fn start_again(&mut self) -> Result<()> {
        self.start_with(Allowed::default()).await
    }

    /// Starts it again with limits.
    pub async fn start_with(&mut self, allowed: Allowed) -> Result<()> {
        self.spawn(allowed)?;
        self.ready().await
    }

    /// Starts it again where it must refuse to, and waits until it has.
    pub async fn start_in_vain(&mut self) -> Result<ExitStatus> {
        self.spawn(Allowed::default())?;
        self.ended(START_MAX).await
    }

    fn spawn(&mut self, allowed: Allowed) -> Result<()> {
        let Self { binary, address, operators, disk, clock, environment, log, .. } = self;
        let spawned = spawn(binary, [*address, *operators], disk, clock, environment, log, allowed)?;
        (self.process, self.log_from, self.listener) = (spawned.process, spawned.log_from, Some(spawned.listener));
        Ok(())
    }

    /// What it has logged since its last start: the last lines.
    pub fn said(&self) -> String {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(said.get(self.log_from as usize..).unwrap_or_default()).into_owned();
        let lines: Vec<_> = said.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        hudhud::is_ready(self.operators).await
    }

    async fn ready(&mut self) -> Result<()> {
        if self.process.ready(self.operators, START_MAX).await.with_context(|| self.said())?.is_some() {
            let status = self.ended(END_MAX).await?;
            bail!("the server ended with {status} instead of starting: {}", self.said());
        }
        Ok(())
    }
}

/// An address of this machine at which nobody listens, and which no connection gets by itself.
pub async fn free_port() -> Result<SocketAddr> {
    /// Ports that this process has looked at. Two servers never get the same one, although neither listens yet.
    static LOOKED_AT: AtomicUsize = AtomicUsize::new(0);
    // Where the search begins: processes that run at the same time do not get into each other's way.
    let first = std::process::id() as usize * PORTS_PER_PROCESS;
    for _ in PORTS {
        let next = first + LOOKED_AT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (next % PORTS.len()) as u16;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).await.is_ok() {
            return Ok(address);
        }
    }
    bail!("no port of {PORTS:?} is free")
}

struct Spawned {
    process: Hudhud,
    log_from: u64,
    listener: JoinHandle<()>,
}

fn spawn(
    binary: &Path,
    [address, operators]: [SocketAddr; 2],
    disk: &Disk,
    clock: &Clock,
    environment: &[(String, String)],
    log: &Path,
    allowed: Allowed,
) -> Result<Spawned> {
    let mut words = disk.enter();
    if let Some(files) = allowed.files {
        words.extend(["prlimit".to_owned(), format!("--nofile={files}:{files}")]);
    }
    words.push(binary.display().to_string());
    let filter = std::env::var(LOG).unwrap_or_else(|_| "warn".to_owned());
    words.extend(["serve", "--log", &filter, "--listen"].map(str::to_owned));
    words.extend([
        address.to_string(),
        "--operators-listen".to_owned(),
        operators.to_string(),
        "--data".to_owned(),
        disk.data().display().to_string(),
    ]);
    let mut log = File::options().create(true).append(true).open(log)?;
    let log_from = log.metadata()?.len();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    clock.give_to(&mut command);
    let mut process = Hudhud::spawn(&mut command).context("where it is none of ours it is of util-linux")?;
    let mut stderr = process.take_stderr().expect("it is piped");
    // A pipe, not the file: a server whose files may not grow must be able to say so.
    let listener = std::thread::spawn(move || {
        // An error means that the test's own disk is full, which shows everywhere else too.
        std::io::copy(&mut stderr, &mut log).ok();
    });
    Ok(Spawned { process, log_from, listener })
}
