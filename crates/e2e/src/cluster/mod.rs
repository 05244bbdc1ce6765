//! A cluster as it is meant to be run: roles in processes of their own, on real engines, behind a real balancer, on this machine.

mod engines;
mod fault;
mod rounds;

pub use engines::{Engines, NODES, Product};
pub use fault::Fault;
pub use rounds::{Round, run};

use crate::clock::Clock;
use crate::disk::Disk;
use crate::fleet::Seen;
use crate::process::{Server, free_port};
use anyhow::{Result, ensure};
use hudhud_sim::chance::Chance;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What every process knows. It stays on this machine.
const SECRET: &str = "known-to-every-process-of-the-test";
/// Over how long a stop spreads its goodbyes.
const DRAIN_MS: u64 = 500;

/// What a process of a cluster does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Holds WebSockets.
    Gateway,
    /// Takes commands over HTTP.
    Api,
    /// Dispatches.
    Dispatcher,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Api => "api",
            Self::Dispatcher => "dispatcher",
        }
    }
}

/// Processes, engines and balancer. Dropping it stops all.
pub struct Cluster {
    /// Two.
    pub gateways: Vec<Server>,
    /// Two.
    pub apis: Vec<Server>,
    /// Two.
    pub dispatchers: Vec<Server>,
    /// What they are on.
    pub engines: Engines,
    /// Everything that clients have seen.
    pub seen: Arc<Seen>,
    /// All chance.
    pub chance: Chance,
    balancer: SocketAddr,
    machine: Machine,
}

/// Where our processes live.
struct Machine {
    disk: Arc<Disk>,
    clock: Arc<Clock>,
    folder: PathBuf,
}

impl Cluster {
    /// Starts everything: half a minute on a machine with nothing else to do, and 3 GiB.
    pub async fn start(folder: &Path, chance: Chance) -> Result<Self> {
        let engines = Engines::start(&folder.join("engines")).await?;
        let machine = Machine {
            disk: Arc::new(Disk::new(folder)?),
            clock: Arc::new(Clock::new(folder)?),
            folder: folder.to_owned(),
        };
        let mut processes = Vec::new();
        for role in [Role::Dispatcher, Role::Gateway, Role::Api] {
            processes.push([machine.start(role, 1, &engines).await?, machine.start(role, 2, &engines).await?]);
        }
        let [dispatchers, gateways, apis]: [[Server; 2]; 3] =
            processes.try_into().map_err(|_| anyhow::anyhow!("three roles were started"))?;
        let balancer = free_port().await?;
        let behind = |servers: &[Server]| {
            servers.iter().map(|it| format!("{}/{}", it.address(), it.operators().port())).collect::<Vec<_>>()
        };
        let mut words = vec!["--port".to_owned(), balancer.port().to_string(), "--gateways".to_owned()];
        words.extend(behind(&gateways));
        words.push("--apis".to_owned());
        words.extend(behind(&apis));
        engines.script(Product::HaProxy, "start", words).await?;
        Ok(Self {
            gateways: gateways.into(),
            apis: apis.into(),
            dispatchers: dispatchers.into(),
            engines,
            seen: Arc::default(),
            chance,
            balancer,
            machine,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.balancer
    }

    /// A process more.
    pub async fn start_another(&self, role: Role) -> Result<Server> {
        self.machine.start(role, 3, &self.engines).await
    }

    /// All processes of ours.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Server> {
        self.gateways.iter_mut().chain(&mut self.apis).chain(&mut self.dispatchers)
    }

    /// Fails where one of our processes ended by itself.
    pub fn all_run(&mut self) -> Result<()> {
        for process in self.processes() {
            ensure!(process.is_running()?, "a process ended by itself: {}", process.said());
        }
        Ok(())
    }

    /// Stops our processes, as one is asked to.
    pub async fn stop(&mut self) -> Result<()> {
        for process in self.processes() {
            process.terminate().await?;
        }
        Ok(())
    }

    /// Lets something last for so many milliseconds.
    async fn hold(&mut self, millis: std::ops::Range<u64>) -> Duration {
        let duration = self.chance.millis(millis);
        tokio::time::sleep(duration).await;
        duration
    }
}

impl Machine {
    async fn start(&self, role: Role, number: usize, engines: &Engines) -> Result<Server> {
        let urls = engines.urls();
        let name = format!("{}-{number}", role.name());
        let mut environment: Vec<(String, String)> = [
            ("ROLES", role.name().to_owned()),
            ("GATEWAY", name.clone()),
            ("SHARDS", engines.shards().to_string()),
            ("DRAIN_MS", DRAIN_MS.to_string()),
            ("TRUSTED_PROXIES", "127.0.0.1".to_owned()),
            ("PEERS__SECRET", SECRET.to_owned()),
            ("ENGINES__MESSAGES", urls.messages),
            ("ENGINES__DIRECTORY", urls.directory),
            ("ENGINES__BUS", urls.bus),
            ("ENGINES__CACHE", urls.cache),
        ]
        .map(|(name, value)| (format!("HUDHUD_{name}"), value))
        .into();
        if role == Role::Gateway {
            environment.push(("HUDHUD_PEERS__LISTEN".to_owned(), free_port().await?.to_string()));
        }
        Server::start_as(&name, environment, self.disk.clone(), self.clock.clone(), &self.folder).await
    }
}
