//! The servers of this run, each started when the first test needs it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;

/// The nodes of the one datacentre, and the copies of everything in it: one may be away.
pub const NODES: &str = "3";

pub struct Servers {
    folder: TempDir,
    cassandra: OnceLock<u16>,
    kafka: OnceLock<u16>,
}

/// A server for one test. Dropping it stops it.
pub struct Running {
    script: &'static str,
    folder: PathBuf,
}

impl Servers {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), cassandra: OnceLock::new(), kafka: OnceLock::new() }
    }

    /// The port of Cassandra, on 127.0.0.1 and as many further addresses as there are nodes.
    pub fn cassandra(&self) -> u16 {
        *self.cassandra.get_or_init(|| {
            let port = free_port();
            script("cassandra", &["start"], self.folder.path(), &[NODES, "--port", &port.to_string()]);
            port
        })
    }

    /// The port of Kafka, on as many addresses.
    pub fn kafka(&self) -> u16 {
        *self.kafka.get_or_init(|| {
            let port = free_port();
            script("kafka", &["start"], self.folder.path(), &[NODES, "--port", &port.to_string()]);
            port
        })
    }

    /// A Kafka of a test's own, with so many brokers, and its port.
    pub fn own_kafka(&self, nodes: &str) -> (u16, Running) {
        let port = free_port();
        let folder = self.folder.path().join(format!("kafka-{port}"));
        script("kafka", &["start"], &folder, &[nodes, "--port", &port.to_string()]);
        (port, Running { script: "kafka", folder })
    }

    /// A Redis of a test's own, which takes no more than so many bytes, and its port.
    pub fn redis(&self, bytes_max: u64) -> (u16, Running) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        drop(listener);
        let folder = self.folder.path().join(format!("redis-{port}"));
        script("redis", &["start"], &folder, &["--port", &port.to_string(), "--bytes", &bytes_max.to_string()]);
        (port, Running { script: "redis", folder })
    }

    pub fn stop(&self) {
        if self.cassandra.get().is_some() {
            script("cassandra", &["stop"], self.folder.path(), &[]);
        }
        if self.kafka.get().is_some() {
            script("kafka", &["stop"], self.folder.path(), &[]);
        }
    }
}

/// Two in a row, on all addresses of the nodes.
fn free_port() -> u16 {
    // Those that were given out and are not listened on yet.
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let is_free = |port: u16| {
        ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
            .iter()
            .all(|address| [port, port + 1].iter().all(|port| TcpListener::bind((*address, *port)).is_ok()))
    };
    loop {
        let port = NEXT.fetch_add(250, Ordering::Relaxed);
        // Below the ports that the system gives out.
        assert!(port < 32_000, "two free ports");
        if is_free(port) {
            return port;
        }
    }
}

impl Running {
    /// Stops it now.
    pub fn stop(self) {}

    /// Has its script do something to some nodes of it.
    pub fn to_nodes(&self, what: &str, nodes: &[&str]) {
        script(self.script, &[what], &self.folder, nodes);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        script(self.script, &["stop"], &self.folder, &[]);
    }
}

fn script(name: &str, before: &[&str], folder: &Path, behind: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/cluster").join(name);
    let done = Command::new(&script).args(before).arg(folder).args(behind).output().expect("the script runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{} {} failed: {said}", script.display(), before.join(" "));
}
