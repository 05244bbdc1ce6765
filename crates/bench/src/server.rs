//! The server that is measured: started here, with limits that the load does not meet.

use crate::account::{AUDIENCE, ISSUER, Issuer};
use crate::destination::{Certificate, Destination, Transport};
use crate::proc::Process;
use anyhow::{Context as _, bail, ensure};
use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(120);
/// How long an end may take.
const END_MAX: Duration = Duration::from_secs(60);
/// How often it is asked whether it is ready.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// The secret of the backend that vouches for the accounts.
pub const SECRET: &[u8] = b"a secret that is only good for measuring";

/// The files of its certificate and of that one's key, where it speaks TLS.
const CERTIFICATE: &str = "certificate.pem";
const CERTIFICATE_KEY: &str = "key.pem";

/// The rates that the load would meet: all of it is a few addresses' and some devices'.
const RATES: [&str; 9] = [
    "sends",
    "commands",
    "look_ups_per_address",
    "look_ups_in_all",
    "accounts_per_address",
    "accounts_in_all",
    "group_adds",
    "group_adds_per_address",
    "group_adds_in_all",
];

/// What a bus made durable.
#[derive(Clone, Copy, Debug, Default)]
pub struct BusCounts {
    /// Records that were appended.
    pub records: u64,
    /// Times that it waited for the disk.
    pub syncs: u64,
}

impl BusCounts {
    /// What was added since an earlier moment.
    pub fn since(self, earlier: Self) -> Self {
        Self { records: self.records - earlier.records, syncs: self.syncs - earlier.syncs }
    }

    /// Records that shared a wait for the disk, on average.
    pub fn records_per_sync(self) -> f64 {
        self.records as f64 / self.syncs.max(1) as f64
    }
}

/// A server process. Killed when dropped.
pub struct Server {
    destination: Destination,
    /// Where it listens, then where it does for operators.
    addresses: [SocketAddr; 2],
    process: Process,
    child: Child,
    start_time: Duration,
    folder: PathBuf,
    binary: PathBuf,
}

impl Server {
    /// Starts the `hudhud` of a path on a folder, and waits until it is ready.
    pub async fn start(binary: &Path, folder: &Path, transport: Transport) -> anyhow::Result<Self> {
        ensure!(binary.exists(), "{} is not there: build it (`cargo build --release`)", binary.display());
        // Free now: the server takes them a moment later.
        let free = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let addresses = [free[0].local_addr()?, free[1].local_addr()?];
        drop(free);
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("jwt.key"), SECRET)?;
        let certificate = match transport {
            Transport::Plain => None,
            Transport::Tls => Some(Certificate::new()?),
        };
        if let Some(Certificate { certificate, key }) = &certificate {
            std::fs::write(folder.join(CERTIFICATE), certificate)?;
            std::fs::write(folder.join(CERTIFICATE_KEY), key)?;
        }
        std::fs::write(folder.join("hudhud.toml"), config(folder, transport))?;
        let destination = Destination::new(addresses[0], certificate.map(|made| made.certificate))?;
        let (child, start_time) = spawn(binary, folder, addresses).await?;
        let process = Process::new(child.id());
        Ok(Self {
            destination,
            addresses,
            process,
            child,
            start_time,
            folder: folder.to_owned(),
            binary: binary.to_owned(),
        })
    }

    /// Where it listens.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What its bus has made durable since it was started.
    pub async fn bus(&self) -> anyhow::Result<BusCounts> {
        let page = get(self.addresses[1], "/metrics").await.context("the server tells no metrics")?;
        Ok(BusCounts {
            records: metric(&page, "hudhud_bus_records_total")?,
            syncs: metric(&page, "hudhud_bus_syncs_total")?,
        })
    }

    /// How long its start took until it was ready.
    pub fn start_time(&self) -> Duration {
        self.start_time
    }

    /// Who vouches for accounts.
    pub fn issuer(&self) -> Issuer {
        Issuer::new(SECRET)
    }

    /// Kills it with -9 and starts it again on the same data.
    pub async fn kill_and_start(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        (self.child, self.start_time) = spawn(&self.binary, &self.folder, self.addresses).await?;
        self.process = Process::new(self.child.id());
        Ok(())
    }

    /// Asks it to end and waits until it has.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        bail!("the server does not end")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// As many descriptors as this process may have: each connection takes one, here and in the server, which inherits it.
pub fn raise_descriptor_limit() -> anyhow::Result<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

async fn spawn(binary: &Path, folder: &Path, at: [SocketAddr; 2]) -> anyhow::Result<(Child, Duration)> {
    let log = File::options().create(true).append(true).open(folder.join("server.log"))?;
    let mut command = Command::new(binary);
    command
        .args(["serve", "--log", "warn", "--listen"])
        .arg(at[0].to_string())
        .arg("--operators-listen")
        .arg(at[1].to_string());
    command.arg("--config").arg(folder.join("hudhud.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{} can't be run", binary.display()))?;
    while !is_ready(at[1]).await {
        if let Some(status) = child.try_wait()? {
            bail!("the server ended with {status}: {} says why", folder.join("server.log").display());
        }
        if started.elapsed() > START_MAX {
            child.kill().ok();
            bail!("the server is not ready after {START_MAX:?}");
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok((child, started.elapsed()))
}

async fn is_ready(address: SocketAddr) -> bool {
    get(address, "/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Asks for a page. Head and body of the answer, whatever its status.
async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The value of a metric without labels.
fn metric(page: &str, name: &str) -> anyhow::Result<u64> {
    let mut values = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = values.next().with_context(|| format!("the server has no metric {name}"))?;
    value.trim().parse().with_context(|| format!("{name} {value} is no number"))
}

/// Everything as it ships, but for [`RATES`].
fn config(folder: &Path, transport: Transport) -> String {
    let mut config = format!(
        "data = {data:?}\n\n[[jwt_issuers]]\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\nalgorithm = \"HS256\"\n\
         key_file = {key:?}\n\n[rates]\n",
        data = folder.join("data"),
        key = folder.join("jwt.key"),
    );
    for rate in RATES {
        writeln!(config, "{rate} = {{ burst = 1000000000, interval_ms = 1 }}").expect("a string takes everything");
    }
    if transport == Transport::Tls {
        let [certificate, key] = [CERTIFICATE, CERTIFICATE_KEY].map(|name| folder.join(name));
        writeln!(config, "\n[tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}")
            .expect("a string takes everything");
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_told_from_its_help_and_from_longer_names() {
        let page = "HTTP/1.1 200 OK\r\n\r\n# HELP bus_records Records.\nbus_records_total_more 1\nbus_records_total 12\n# EOF\n";
        assert_eq!(metric(page, "bus_records_total").expect("it is there"), 12);
        let error = metric(page, "bus_syncs_total").expect_err("it is not there");
        assert!(error.to_string().contains("no metric bus_syncs_total"), "{error}");
    }
}
