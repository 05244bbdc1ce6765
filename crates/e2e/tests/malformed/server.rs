//! The server as a process whose log is kept and whose memory is watched.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a polite end may take.
const END_MAX: Duration = Duration::from_secs(60);
/// What the server says once it listens, before its address.
const LISTENS: &str = "listens on http://";

/// A `hudhud` on a free port. Killed when dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts it, and returns once it listens.
    pub async fn start(folder: &Path) -> Self {
        // Beside the test's own binary: `cargo test --workspace` builds both.
        let test = std::env::current_exe().expect("the test has a file");
        let binary = test.ancestors().nth(2).expect("target/debug/deps").join("hudhud");
        assert!(binary.exists(), "{} is not built: run `cargo build --workspace`", binary.display());
        let log = folder.join("log");
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--data"])
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a file in an empty folder"))
            .spawn()
            .expect("it is an executable");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut lines = said.lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.split_once(LISTENS).map(|(_, address)| address.to_owned()));
        let address = address.expect("it says where it listens").parse().expect("an address");
        Self { child, address, log }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The memory that it has now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs, on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        kib * 1_024
    }

    /// Asks it to end, waits until it has, and returns what it logged.
    pub async fn terminate(&mut self) -> String {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill is there");
        assert!(told.success());
        let deadline = tokio::time::Instant::now() + END_MAX;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(tokio::time::Instant::now() < deadline, "it does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(status.success(), "it ended with {status}");
        std::fs::read_to_string(&self.log).expect("it was made at the start")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
