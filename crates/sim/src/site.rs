//! The server side as a whole: engines, network, servers.

use crate::check;
use crate::disk::{BusDisk, CacheBox, StoreDisk};
use crate::network::{GatewayMap, Network};
use crate::server::{MachineClock, Roles, Server};
use crate::world::World;
use std::sync::{Arc, OnceLock};

/// Whether the power stays on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// Disks keep what they were given.
    On,
    /// They keep what was synced, and a part of the rest.
    Lost,
}

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
        let nodes = world.plan().arrangement.nodes();
        let server = |(name, roles): &(&str, Roles)| Server::new(&site, name, *roles);
        let servers = site.servers.get_or_init(|| nodes.iter().map(server).collect());
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

    /// A process that had the engines in it is gone: what the system had not been given is lost, and of a disk that could
    /// not sync, what was not synced.
    pub fn engines_died(&self) {
        self.bus.crash();
        self.cache.restart();
        for disk in [&self.messages, &self.directory] {
            if disk.is_broken() {
                disk.lose_power();
            }
        }
    }

    /// The log is lost, and another epoch begins once the servers are started again. `power`: as they lose power, too.
    pub fn lose_log(&self, power: Power) {
        match power {
            Power::Lost => self.lose_power(),
            Power::On => {
                self.servers().iter().for_each(|server| server.kill(true));
                self.messages.restart();
                self.directory.restart();
            }
        }
        self.bus.lose();
        // What a store lost before may not have been made again yet, and now will not be.
        let has_lost = self.messages.has_lost() || self.directory.has_lost();
        let power = if has_lost { Power::Lost } else { power };
        check::lost::log_lost(&self.world, self.messages.rows(), power);
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
        self.gateways.heal();
        self.messages.heal();
        self.directory.heal();
        self.bus.heal();
    }
}
