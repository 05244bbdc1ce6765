//! The engines of a cluster, real ones, started from packages by `scripts/cluster`: Cassandra and Kafka of three nodes, of which
//! one may be away, and Redis.

use crate::process::free_port;
use anyhow::{Context as _, Result, ensure};
use hudhud_engines::{Mode, Options, Urls};
use hudhud_ports::Store;
use hudhud_roles::tables;
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Nodes of Cassandra and of Kafka, and the copies of everything.
pub const NODES: usize = 3;
/// Of the bus.
const SHARDS: u32 = 8;
/// Where the ports of the nodes are looked for, below those that the system gives out.
const PORTS: std::ops::Range<u16> = 12_000..19_000;
/// How far what is tried is apart.
const PORTS_STEP: usize = 111;

/// A product.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Product {
    /// The databases.
    Cassandra,
    /// The bus.
    Kafka,
    /// The cache.
    Redis,
    /// What is before our processes.
    HaProxy,
}

impl Product {
    fn script(self) -> &'static str {
        match self {
            Self::Cassandra => "cassandra",
            Self::Kafka => "kafka",
            Self::Redis => "redis",
            Self::HaProxy => "haproxy",
        }
    }
}

/// All engines, in a folder. Dropping them stops them.
pub struct Engines {
    folder: PathBuf,
    cassandra: u16,
    kafka: u16,
    redis: u16,
}

impl Engines {
    /// Starts them side by side, and makes keyspaces, tables and topic.
    pub async fn start(folder: &Path) -> Result<Self> {
        let (cassandra, kafka) = (free_ports(0)?, free_ports(1)?);
        let engines = Self { folder: folder.to_owned(), cassandra, kafka, redis: free_port().await?.port() };
        let start = |product, nodes: Option<usize>, port: u16| {
            let port = ["--port".to_owned(), port.to_string()];
            engines.script(product, "start", nodes.map(|nodes| nodes.to_string()).into_iter().chain(port).collect())
        };
        // All of them to the end, whatever becomes of one: what still starts can't be stopped.
        let (cassandra, kafka, redis) = tokio::join!(
            start(Product::Cassandra, Some(NODES), engines.cassandra),
            start(Product::Kafka, Some(NODES), engines.kafka),
            start(Product::Redis, None, engines.redis),
        );
        cassandra.and(kafka).and(redis)?;
        let options = Options { shards: SHARDS, tables: tables::ALL, ..Options::default() };
        hudhud_engines::migrate(&engines.urls(), &options, Mode::Apply).await?;
        Ok(engines)
    }

    /// Where they are.
    pub fn urls(&self) -> Urls {
        let database = |name| {
            let (nodes, port) = (NODES, self.cassandra);
            let servers = (1..=nodes).map(|node| format!("127.0.0.{node}:{port}")).collect::<Vec<_>>().join(",");
            format!("cassandra://{servers}/{name}?datacenter=dc1&replication=dc1:{nodes}")
        };
        let brokers = (1..=NODES).map(|node| format!("127.0.0.{node}:{}", self.kafka)).collect::<Vec<_>>().join(",");
        Urls {
            messages: database("messages"),
            directory: database("directory"),
            bus: format!("kafka://{brokers}/hudhud"),
            cache: format!("redis://127.0.0.1:{}", self.redis),
        }
    }

    /// Shards of the bus.
    pub fn shards(&self) -> u32 {
        SHARDS
    }

    /// The database of conversations.
    pub async fn messages(&self) -> Result<Arc<dyn Store>> {
        let urls = Urls { bus: "memory:".into(), cache: "memory:".into(), ..self.urls() };
        let options = Options { tables: tables::ALL, ..Options::default() };
        Ok(hudhud_engines::open(&urls, &options, hudhud_engines::runtime().clock).await?.messages)
    }

    /// Sends a node, counted from 1, a signal.
    pub fn signal(&self, product: Product, node: usize, signal: Signal) -> Result<()> {
        let name = match product {
            Product::Cassandra | Product::Kafka => format!("{}-{node}", product.script()),
            Product::Redis => format!("redis-{}", self.redis),
            Product::HaProxy => "haproxy".to_owned(),
        };
        let file = self.folder.join(format!("{name}.pid"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("{} does not run", file.display()))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw).context("no number of a process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Starts a node again that has ended, on what it had.
    pub async fn restart(&self, product: Product, node: usize) -> Result<()> {
        let (action, words) = match product {
            Product::Cassandra | Product::Kafka => ("restart", vec![node.to_string()]),
            Product::Redis => ("start", vec!["--port".to_owned(), self.redis.to_string()]),
            Product::HaProxy => ("restart", Vec::new()),
        };
        self.script(product, action, words).await
    }

    /// Runs the script of a product.
    pub async fn script(&self, product: Product, action: &'static str, words: Vec<String>) -> Result<()> {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || script(product, action, &folder, &words)).await?
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        for product in [Product::HaProxy, Product::Redis, Product::Kafka, Product::Cassandra] {
            // What can't be stopped is told by whoever looks for what is left; there is nobody here to tell.
            _ = script(product, "stop", &self.folder, &[]);
        }
    }
}

fn script(product: Product, action: &str, folder: &Path, words: &[String]) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/cluster").join(product.script());
    let done = Command::new(&script).arg(action).arg(folder).args(words).output();
    let done = done.with_context(|| format!("{} can't be run", script.display()))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(
        done.status.success(),
        "{} {action}: {said} (is everything installed? `scripts/deps cluster`)",
        script.display()
    );
    Ok(())
}

/// Two ports in a row that are free on the addresses of all nodes. `other` tells those of one product from those of another.
fn free_ports(other: usize) -> Result<u16> {
    let first = (std::process::id() as usize + other * PORTS.len() / 2) % PORTS.len();
    let ports = (0..PORTS.len()).step_by(PORTS_STEP).map(|at| PORTS.start + ((first + at) % PORTS.len()) as u16);
    let is_free = |port: &u16| {
        (1..=NODES).all(|node| {
            [*port, *port + 1].iter().all(|port| TcpListener::bind((format!("127.0.0.{node}"), *port)).is_ok())
        })
    };
    ports.into_iter().find(is_free).context("no ports are free")
}
