//! Engines that keep what they promise and nothing beyond: memory engines behind latency, refusals, lost answers, late writes,
//! stalls and losses of power.

mod bus;
mod cache;
mod consumer;
mod store;
mod told;

pub use bus::{BusDisk, ServerBus};
pub use cache::{CacheBox, ServerCache};
pub use store::{ServerStore, StoreDisk};

use crate::chance::PerMillion;
use crate::network::Way;
use crate::world::World;
use hudhud_ports::{Error, ErrorKind};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Of so many partitions one can't be read where rows are damaged.
const DAMAGED_ONE_IN: u8 = 8;
const ENGINE: &str = "simulated";

/// What is the same for every disk.
struct Machine {
    world: World,
    /// How often its power went: what was under way before is lost.
    power_losses: AtomicU64,
    stalled_until: Mutex<Duration>,
    full_until: Mutex<Duration>,
    /// Which partitions can't be read, by what their names hash to, and until when.
    damaged_until: Mutex<(u8, Duration)>,
    /// Servers that do not reach it, or do not hear of it, and until when.
    parted: Mutex<BTreeMap<Arc<str>, (Duration, Way)>>,
    /// The next sync fails.
    sync_fails: AtomicBool,
    /// A sync failed: nobody knows what is on the disk, and nothing is promised until the process starts anew.
    broken: AtomicBool,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It is done and answered.
    Done,
    /// It is refused, and nothing of it is done.
    Refused(ErrorKind),
    /// It is not answered. A write may be done nevertheless.
    Unanswered,
    /// It does not arrive.
    Unreached,
    /// It is done, and the answer does not arrive.
    Unheard,
}

impl Machine {
    fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            power_losses: AtomicU64::new(0),
            stalled_until: Mutex::default(),
            full_until: Mutex::default(),
            damaged_until: Mutex::default(),
            parted: Mutex::default(),
            sync_fails: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// Which power-on this is.
    fn power(&self) -> u64 {
        self.power_losses.load(Ordering::Relaxed)
    }

    fn lose_power(&self) {
        self.power_losses.fetch_add(1, Ordering::Relaxed);
        *self.stalled_until.lock() = Duration::ZERO;
        *self.full_until.lock() = Duration::ZERO;
        self.sync_fails.store(false, Ordering::Relaxed);
        self.broken.store(false, Ordering::Relaxed);
    }

    fn part(&self, server: &Arc<str>, until: Duration, way: Way) {
        self.parted.lock().insert(server.clone(), (until, way));
    }

    fn lost_way(&self, server: &str) -> Option<Way> {
        self.parted.lock().get(server).filter(|(until, _)| self.world.now() < *until).map(|(_, way)| *way)
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Whether this sync fails; if so, nothing that follows is done.
    fn fails_to_sync(&self) -> bool {
        if self.sync_fails.swap(false, Ordering::Relaxed) {
            self.broken.store(true, Ordering::Relaxed);
        }
        self.is_broken()
    }

    fn heal(&self) {
        *self.stalled_until.lock() = Duration::ZERO;
        *self.full_until.lock() = Duration::ZERO;
        self.damaged_until.lock().1 = Duration::ZERO;
        self.parted.lock().clear();
        self.sync_fails.store(false, Ordering::Relaxed);
    }

    fn fate(&self, by: &str, refuses: PerMillion, times_out: PerMillion, writes: bool) -> Fate {
        let world = &self.world;
        if self.is_broken() {
            return Fate::Refused(ErrorKind::Fatal);
        }
        match self.lost_way(by) {
            Some(Way::Questions) => return Fate::Unreached,
            Some(Way::Answers) => return Fate::Unheard,
            None => {}
        }
        if writes && world.now() < *self.full_until.lock() {
            return Fate::Refused(ErrorKind::Full);
        }
        if world.strikes(refuses) {
            return Fate::Refused(ErrorKind::Unavailable);
        }
        if world.strikes(times_out) { Fate::Unanswered } else { Fate::Done }
    }

    /// Whether what is stored there turns out to be damaged when it is read. It is one partition of [`DAMAGED_ONE_IN`].
    fn is_damaged(&self, partition: &[u8]) -> bool {
        let (which, until) = *self.damaged_until.lock();
        let hash = partition.iter().fold(0_u8, |hash, byte| hash.wrapping_mul(31).wrapping_add(*byte));
        self.world.now() < until && hash % DAMAGED_ONE_IN == which
    }

    /// The way to the engine, and what it takes to get to the call: mostly nothing that a timer could tell.
    async fn reach(&self) {
        let wait = self.world.draw(|chance| match chance.below(100) {
            0..70 => Duration::ZERO,
            70..98 => chance.millis(1..4),
            _ => chance.millis(4..80),
        });
        if !wait.is_zero() {
            self.world.sleep(wait).await;
        }
        let until = *self.stalled_until.lock();
        if self.world.now() < until {
            self.world.sleep_until(until).await;
        }
    }

    /// How long a caller waits for an answer that does not come.
    async fn wait_in_vain(&self) {
        let wait = self.world.draw(|chance| chance.millis(100..4_000));
        self.world.sleep(wait).await;
    }
}

fn error(kind: ErrorKind, op: &'static str) -> Error {
    Error::new(kind, ENGINE, op)
}
