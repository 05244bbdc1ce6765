//! HAProxy and nginx as processes, with the files of `deploy`. What belongs to a machine is replaced in them: addresses, paths,
//! users, and how many files may be open.

use crate::servers::{Certified, Servers, Tls};
use hudhud_e2e::process::free_port;
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

/// How long a start, a reload or an end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
/// The servers in the files.
const NAMES: [(&str, &str); 3] = [("one", "10.0.0.11"), ("two", "10.0.0.12"), ("three", "10.0.0.13")];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Product {
    HaProxy,
    Nginx,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    RoundRobin,
    LeastConnections,
    RandomOfTwo,
    Hash,
}

impl Algorithm {
    pub const ALL: [Self; 4] = [Self::RoundRobin, Self::LeastConnections, Self::RandomOfTwo, Self::Hash];

    /// The line of the file.
    fn line(self, product: Product) -> &'static str {
        match (product, self) {
            (Product::HaProxy, Self::RoundRobin) => "\n  balance roundrobin\n",
            (Product::HaProxy, Self::LeastConnections) => "\n  balance leastconn\n",
            (Product::HaProxy, Self::RandomOfTwo) => "\n  balance random(2)\n",
            (Product::HaProxy, Self::Hash) => "\n  balance source\n",
            (Product::Nginx, Self::RoundRobin) => "\n",
            (Product::Nginx, Self::LeastConnections) => "\n    least_conn;\n",
            (Product::Nginx, Self::RandomOfTwo) => "\n    random two least_conn;\n",
            (Product::Nginx, Self::Hash) => "\n    hash $remote_addr consistent;\n",
        }
    }
}

/// A balancer before servers. Ends when it is dropped.
pub struct Balancer {
    place: Place,
    process: Child,
}

/// What its file depends on, beside what is chosen.
struct Place {
    product: Product,
    tls: Tls,
    address: SocketAddr,
    /// Where its files are.
    folder: PathBuf,
    /// Of each server: where it listens for people, and for operators.
    servers: Vec<[SocketAddr; 2]>,
    certificate: PathBuf,
    key: PathBuf,
    both: PathBuf,
}

impl Balancer {
    /// Starts it, and waits until it listens.
    pub async fn start(product: Product, algorithm: Algorithm, servers: &Servers) -> Self {
        let address = free_port().await.expect("a free port");
        let folder = servers.folder().join(format!("balancer-{}", address.port()));
        std::fs::create_dir(&folder).expect("made");
        let Certified { certificate, key, both, .. } = &servers.certified;
        let place = Place {
            product,
            tls: servers.tls,
            address,
            folder,
            servers: servers.all.iter().map(|server| [server.address(), server.operators()]).collect(),
            certificate: certificate.clone(),
            key: key.clone(),
            both: both.clone(),
        };
        place.write(algorithm, None);
        let process = place.command().spawn().expect("scripts/deps e2e installs it");
        let mut balancer = Self { place, process };
        let deadline = Instant::now() + PATIENCE;
        // To its end: it takes a turn, which has to be over before others come.
        while end_of_connection(address).await.is_err() {
            let ended = balancer.process.try_wait().expect("it is ours");
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}: {}", balancer.place.said());
            tokio::time::sleep(POLL).await;
        }
        balancer
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.place.address
    }

    /// Changes the algorithm and, where one is named, takes a server out, while it runs. Returns once new connections go that way.
    pub async fn reload(&self, algorithm: Algorithm, out: Option<usize>) {
        self.place.write(algorithm, out);
        let pid = Pid::from_child(&self.process);
        let deadline = Instant::now() + PATIENCE;
        match self.place.product {
            Product::HaProxy => {
                let before = self.worker().await;
                kill_process(pid, Signal::USR2).expect("it runs");
                while self.worker().await.is_none_or(|worker| Some(worker) == before) {
                    assert!(Instant::now() < deadline, "it is not reloaded: {}", self.place.said());
                    tokio::time::sleep(POLL).await;
                }
            }
            Product::Nginx => {
                let before = children(pid);
                kill_process(pid, Signal::HUP).expect("it runs");
                while before.iter().any(|worker| is_serving(*worker)) || children(pid) == before {
                    assert!(Instant::now() < deadline, "it is not reloaded: {}", self.place.said());
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// Says something to HAProxy on its socket; empty where it does not listen.
    pub async fn say(&self, words: &str) -> String {
        let ask = async {
            let mut stream = UnixStream::connect(self.place.folder.join("admin.sock")).await?;
            stream.write_all(format!("{words}\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.map(|_| answer)
        };
        ask.await.unwrap_or_default()
    }

    /// Waits until HAProxy has this to say about a server: "UP", "DOWN", "DRAIN". nginx has nothing to say.
    pub async fn has_noticed(&self, server: usize, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        if self.place.product == Product::Nginx {
            return;
        }
        loop {
            let table = self.say("show stat").await;
            let row = format!("hudhud,{},", NAMES[server].0);
            let row = table.lines().find(|line| line.starts_with(&row));
            if row.is_some_and(|row| row.split(',').nth(17) == Some(state)) {
                return;
            }
            assert!(Instant::now() < deadline, "{} is not {state}: {row:?}", NAMES[server].0);
            tokio::time::sleep(POLL).await;
        }
    }

    async fn worker(&self) -> Option<u32> {
        let said = self.say("show info").await;
        said.lines().find_map(|line| line.strip_prefix("Pid: ")?.parse().ok())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Asked to, so that it ends its workers; an error means that it has ended.
        kill_process(Pid::from_child(&self.process), Signal::TERM).ok();
        self.process.wait().ok();
    }
}

/// Replaces what must be there once.
fn replace(text: &mut String, from: &str, to: &str) {
    assert_eq!(text.matches(from).count(), 1, "{from:?} is not once in:\n{text}");
    *text = text.replace(from, to);
}

impl Place {
    /// Writes the file as it is run here, and has the product look at it.
    fn write(&self, algorithm: Algorithm, out: Option<usize>) {
        let file = self.folder.join("configuration");
        std::fs::write(&file, self.render(algorithm, out)).expect("written");
        let mut command = self.command();
        command.arg(if self.product == Product::HaProxy { "-c" } else { "-t" });
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        let output = output.expect("scripts/deps e2e installs it");
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(output.status.success() && !said.contains("[WARNING]"), "{}:\n{said}", file.display());
    }

    fn render(&self, algorithm: Algorithm, out: Option<usize>) -> String {
        let name = match (self.product, self.tls) {
            (Product::HaProxy, Tls::Ended) => "haproxy/haproxy.cfg",
            (Product::HaProxy, Tls::PassedThrough) => "haproxy/passthrough.cfg",
            (Product::Nginx, Tls::Ended) => "nginx/nginx.conf",
            (Product::Nginx, Tls::PassedThrough) => "nginx/passthrough.conf",
        };
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        let mut text = std::fs::read_to_string(deploy.join(name)).expect("it is there");
        replace(&mut text, Algorithm::LeastConnections.line(self.product), algorithm.line(self.product));
        match self.product {
            Product::HaProxy => self.haproxy(&mut text, out),
            Product::Nginx => self.nginx(&mut text, out),
        }
        text
    }

    /// The port of the servers in the files.
    fn port(&self) -> u16 {
        if self.tls == Tls::Ended { 8080 } else { 8443 }
    }

    fn haproxy(&self, text: &mut String, out: Option<usize>) {
        for line in ["log /dev/log local0 notice", "chroot /var/lib/haproxy", "user haproxy", "group haproxy"] {
            replace(text, &format!("\n  {line}\n"), "\n");
        }
        replace(text, "\n  maxconn 50000\n", "\n  maxconn 1000\n");
        replace(text, "/run/haproxy/admin.sock mode 660", &format!("{}/admin.sock mode 600", self.folder.display()));
        replace(text, "bind :443", &format!("bind {}", self.address));
        if self.tls == Tls::Ended {
            replace(text, "/etc/haproxy/hudhud.pem", &self.both.display().to_string());
        }
        // Each has another here.
        replace(text, " check port 8081 ", " check ");
        for (n, (name, host)) in NAMES.iter().enumerate() {
            let line = self.servers.get(n).map(|[public, operators]| {
                let disabled = if out == Some(n) { " disabled" } else { "" };
                format!("\n  server {name} {public} port {}{disabled}", operators.port())
            });
            replace(text, &format!("\n  server {name} {host}:{}", self.port()), &line.unwrap_or_default());
        }
    }

    fn nginx(&self, text: &mut String, out: Option<usize>) {
        replace(text, "\nuser www-data;\n", "\n");
        replace(text, "\nworker_rlimit_nofile 65536;\n", "\n");
        replace(text, "worker_connections 32768", "worker_connections 1000");
        replace(text, "listen 443", &format!("listen {}", self.address));
        if self.tls == Tls::Ended {
            replace(text, "/etc/nginx/hudhud.pem", &self.certificate.display().to_string());
            replace(text, "/etc/nginx/hudhud.key", &self.key.display().to_string());
            let path = |what| format!("  {what}_temp_path {}/{what};\n", self.folder.display());
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(path).concat();
            replace(text, "\nhttp {\n", &format!("\nhttp {{\n{paths}"));
        }
        for (n, (_, host)) in NAMES.iter().enumerate() {
            let further = " max_fails=1 fail_timeout=5s max_conns=25000";
            let line = self.servers.get(n).map(|[public, _]| {
                let down = if out == Some(n) { " down" } else { "" };
                format!("\n    server {public}{further}{down};")
            });
            let from = format!("\n    server {host}:{}{further};", self.port());
            replace(text, &from, &line.unwrap_or_default());
        }
    }

    fn command(&self) -> Command {
        let configuration = self.folder.join("configuration");
        let mut command = match self.product {
            // With a master, which reloads.
            Product::HaProxy => {
                let mut command = Command::new("haproxy");
                command.args(["-W", "-db", "-f"]).arg(configuration);
                command
            }
            Product::Nginx => {
                let mut command = Command::new("nginx");
                command.arg("-e").arg(self.folder.join("log")).arg("-c").arg(configuration);
                command.arg("-g").arg(format!("pid {}/pid; daemon off;", self.folder.display()));
                command
            }
        };
        // Debian has them where root looks for programs.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("made");
        command.env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

/// Connects, says nothing, and waits until the other end has closed.
async fn end_of_connection(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.shutdown().await?;
    // A reset is an end too.
    stream.read_to_end(&mut Vec::new()).await.ok();
    Ok(())
}

/// The processes that this one has started.
fn children(pid: Pid) -> Vec<i32> {
    let pid = pid.as_raw_nonzero();
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it runs, on Linux");
    list.split_whitespace().map(|child| child.parse().expect("a number")).collect()
}

/// Whether a worker of nginx takes connections: one that does not says so in its title.
fn is_serving(pid: i32) -> bool {
    let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    !title.is_empty() && !title.contains("shutting down")
}
