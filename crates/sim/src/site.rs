//! The server side as a whole: engines, network, servers.

use crate::disk::{BusDisk, CacheBox, StoreDisk};
use crate::network::{GatewayMap, Network};
use crate::plan::Arrangement;
use crate::server::{MachineClock, Server};
use crate::world::World;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Everything that serves.
pub struct Site {
    world: World,
    messages: Arc<StoreDisk>,
    directory: Arc<StoreDisk>,
    bus: Arc<BusDisk>,
    cache: Arc<CacheBox>,
    gateways: Arc<GatewayMap>,
    network: Arc<Network>,
    servers: OnceLock<Vec<Arc<Server>>>,
}

impl Site {
    /// The site of the plan, its servers started.
    pub fn new(world: &World) -> Arc<Self> {
        // The engines' own clock: it decides nothing but when rows expire.
        let clock = Arc::new(MachineClock::new(world, 0, 0));
        let messages = StoreDisk::new(world, "messages", clock.clone());
        let directory = match world.plan().one_store {
            true => messages.clone(),
            false => StoreDisk::new(world, "directory", clock.clone()),
        };
        let site = Arc::new(Self {
            world: world.clone(),
            messages,
            directory,
            bus: BusDisk::new(world),
            cache: CacheBox::new(world, clock),
            gateways: GatewayMap::new(world),
            network: Network::new(world),
            servers: OnceLock::new(),
        });
        let names: &[&str] = match world.plan().arrangement {
            Arrangement::AllInOne => &["s1"],
            Arrangement::TwoServers => &["s1", "s2"],
        };
        let servers = site.servers.get_or_init(|| names.iter().map(|name| Server::new(&site, name)).collect());
        servers.iter().for_each(|server| server.start());
        site
    }

    /// The world that it is in.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The database of conversations.
    pub fn messages(&self) -> &Arc<StoreDisk> {
        &self.messages
    }

    /// The database of accounts; it may be the same.
    pub fn directory(&self) -> &Arc<StoreDisk> {
        &self.directory
    }

    /// The message bus.
    pub fn bus(&self) -> &Arc<BusDisk> {
        &self.bus
    }

    /// The cache.
    pub fn cache(&self) -> &Arc<CacheBox> {
        &self.cache
    }

    /// The way to the gateways.
    pub fn gateways(&self) -> &Arc<GatewayMap> {
        &self.gateways
    }

    /// The way to the devices.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// The servers, running or not.
    pub fn servers(&self) -> &[Arc<Server>] {
        self.servers.get().map_or(&[], Vec::as_slice)
    }

    /// The power goes: every process, and of every disk what was not synced.
    pub fn lose_power(&self) {
        self.world.note(format_args!("the power goes"));
        self.world.count(|totals| totals.power_losses += 1);
        self.servers().iter().for_each(|server| server.kill(false));
        self.bus.crash();
        self.messages.lose_power();
        if !self.world.plan().one_store {
            self.directory.lose_power();
        }
        self.cache.restart();
    }

    /// Ends every fault: what died runs, what stood still goes on, clocks are right.
    pub fn heal(&self) {
        for server in self.servers() {
            if let Some(run) = server.running() {
                run.process().go_on();
            }
            server.start();
        }
        self.network.heal();
        self.gateways.part(Duration::ZERO);
        for disk in [&self.messages, &self.directory] {
            disk.stall(Duration::ZERO);
            disk.fill(Duration::ZERO);
        }
        self.bus.stall(Duration::ZERO);
        self.bus.fill(Duration::ZERO);
    }
}
