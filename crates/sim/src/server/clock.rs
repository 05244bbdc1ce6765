//! A machine's clock: off by some, drifting, and set now and then.

use crate::world::World;
use async_trait::async_trait;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// The clock of one machine.
pub struct MachineClock {
    world: World,
    /// How much faster than true time, in millionths.
    drift_ppm: i64,
    offset_us: AtomicI64,
}

impl MachineClock {
    /// A clock that is off by so many microseconds.
    pub fn new(world: &World, drift_ppm: i64, offset_us: i64) -> Self {
        Self { world: world.clone(), drift_ppm, offset_us: AtomicI64::new(offset_us) }
    }

    /// Sets it to so many microseconds ahead of true time (or behind), but for its drift.
    pub fn set(&self, offset_us: i64) {
        self.offset_us.store(offset_us, Ordering::Relaxed);
    }

    /// What it shows, in microseconds since the Unix epoch.
    pub fn wall_us(&self) -> u64 {
        let elapsed_us = i64::try_from(self.world.now().as_micros()).expect("runs are short");
        let drift_us = elapsed_us * self.drift_ppm / 1_000_000;
        self.world.true_us().saturating_add_signed(drift_us + self.offset_us.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl hudhud_ports::Clock for MachineClock {
    fn now_us(&self) -> u64 {
        self.wall_us()
    }

    fn monotonic(&self) -> Duration {
        self.world.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.world.sleep(duration).await;
    }
}
