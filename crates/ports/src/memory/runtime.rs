//! A runtime for tests of single parts: time moves when it is told to, randomness is a counter's hash.

use crate::{Clock, Rng, Runtime, Spawn};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// A clock that stands still until [`ManualClock::advance`] moves it.
pub struct ManualClock {
    started_us: u64,
    elapsed: watch::Sender<Duration>,
}

impl ManualClock {
    /// Shows this time, in microseconds since the Unix epoch.
    pub fn new(now_us: u64) -> Self {
        Self { started_us: now_us, elapsed: watch::Sender::new(Duration::ZERO) }
    }

    /// Moves time forward and wakes who slept until then.
    pub fn advance(&self, by: Duration) {
        self.elapsed.send_modify(|elapsed| *elapsed += by);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_us(&self) -> u64 {
        let elapsed_us = u64::try_from(self.elapsed.borrow().as_micros()).unwrap_or(u64::MAX);
        self.started_us.saturating_add(elapsed_us)
    }

    fn monotonic(&self) -> Duration {
        *self.elapsed.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let mut elapsed = self.elapsed.subscribe();
        let until = self.monotonic().saturating_add(duration);
        elapsed.wait_for(|now| *now >= until).await.expect("the clock outlives who borrows it");
    }
}

struct CountedRng(AtomicU64);

impl Rng for CountedRng {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

struct TokioTasks;

#[async_trait]
impl Spawn for TokioTasks {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        tokio::spawn(future);
    }

    async fn compute(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

/// A runtime that stands at this time, makes its random bytes from this seed and spawns on the tokio runtime it is used
/// in; and its clock. Not for secrets.
pub fn runtime(now_us: u64, seed: u64) -> (Runtime, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(now_us));
    let rng = Arc::new(CountedRng(AtomicU64::new(seed)));
    (Runtime { clock: clock.clone(), rng, tasks: Arc::new(TokioTasks) }, clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_their_time_has_come() {
        let (runtime, clock) = runtime(5, 1);
        let sleeper = tokio::spawn({
            let clock = runtime.clock.clone();
            async move { clock.sleep(Duration::from_secs(2)).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.expect("woken");
        assert_eq!(runtime.clock.now_us(), 2_000_005);
        assert_ne!(runtime.random::<12>(), runtime.random::<12>());
    }
}
