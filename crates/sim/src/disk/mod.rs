//! Engines that keep what they promise and nothing beyond: memory engines behind latency, refusals, lost answers, late writes,
//! stalls and losses of power.

mod bus;
mod cache;
mod consumer;
mod store;

pub use bus::{BusDisk, ServerBus};
pub use cache::{CacheBox, ServerCache};
pub use store::{ServerStore, StoreDisk};

use crate::chance::PerMillion;
use crate::world::World;
use hudhud_ports::{Error, ErrorKind};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const ENGINE: &str = "simulated";

/// What is the same for every disk.
struct Machine {
    world: World,
    /// How often its power went: what was under way before is lost.
    power_losses: AtomicU64,
    stalled_until: Mutex<Duration>,
    full_until: Mutex<Duration>,
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
}

impl Machine {
    fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            power_losses: AtomicU64::new(0),
            stalled_until: Mutex::default(),
            full_until: Mutex::default(),
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
    }

    fn fate(&self, refuses: PerMillion, times_out: PerMillion, writes: bool) -> Fate {
        let world = &self.world;
        if writes && world.now() < *self.full_until.lock() {
            return Fate::Refused(ErrorKind::Full);
        }
        if world.strikes(refuses) {
            return Fate::Refused(ErrorKind::Unavailable);
        }
        if world.strikes(times_out) { Fate::Unanswered } else { Fate::Done }
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
