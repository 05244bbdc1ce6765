//! The servers of this run, each started when the first test needs it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The nodes of the one datacentre, and the copies of everything in it: one may be away.
pub const NODES: &str = "3";

pub struct Servers {
    folder: TempDir,
    cassandra: OnceLock<u16>,
}

/// A server for one test. Dropping it stops it.
pub struct Running {
    script: &'static str,
    folder: PathBuf,
}

impl Servers {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), cassandra: OnceLock::new() }
    }

    /// The port of Cassandra, on 127.0.0.1 and as many further addresses as there are nodes.
    pub fn cassandra(&self) -> u16 {
        *self.cassandra.get_or_init(|| {
            // Two in a row, on all addresses of the nodes.
            let is_free = |port: &u16| {
                ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
                    .iter()
                    .all(|address| [*port, *port + 1].iter().all(|port| TcpListener::bind((*address, *port)).is_ok()))
            };
            // Below the ports that the system gives out.
            let port = (20_000..32_000).step_by(250).find(is_free).expect("two free ports");
            script("cassandra", &["start"], self.folder.path(), &[NODES, "--port", &port.to_string()]);
            port
        })
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
    }
}

impl Running {
    /// Stops it now.
    pub fn stop(self) {}
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
