//! Time, randomness and tasks: nothing in the roles or the client takes these from its surroundings, so that a simulation
//! can replay a run exactly.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// All time.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time in microseconds since the Unix epoch. May jump.
    fn now_us(&self) -> u64;

    /// Time since some fixed moment of this process. Never goes back.
    fn monotonic(&self) -> Duration;

    /// Waits, in monotonic time.
    async fn sleep(&self, duration: Duration);
}

/// All randomness.
pub trait Rng: Send + Sync + 'static {
    /// Fills the slice. Cryptographically strong outside a simulation.
    fn fill(&self, bytes: &mut [u8]);
}

/// All tasks.
#[async_trait]
pub trait Spawn: Send + Sync + 'static {
    /// Runs a future beside the caller, until it ends or the process does.
    fn spawn(&self, future: BoxFuture<'static, ()>);

    /// Runs something that computes for long, away from the threads that serve sockets, and waits for it.
    async fn compute(&self, work: Box<dyn FnOnce() + Send>);
}

/// The three, as everything that needs them holds them.
#[derive(Clone)]
pub struct Runtime {
    /// All time.
    pub clock: Arc<dyn Clock>,
    /// All randomness.
    pub rng: Arc<dyn Rng>,
    /// All tasks.
    pub tasks: Arc<dyn Spawn>,
}

impl Runtime {
    /// Random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill(&mut bytes);
        bytes
    }

    /// A duration between zero and `most`, each as likely: full jitter.
    pub fn jitter(&self, most: Duration) -> Duration {
        let fraction = u32::from_be_bytes(self.random()) as f64 / f64::from(u32::MAX);
        most.mul_f64(fraction)
    }

    /// The future's output, or `None` if it takes longer than this.
    pub async fn timeout<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut sleep = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            // Most calls of an engine in this process are over by now: no timer for those.
            let sleep = sleep.get_or_insert_with(|| self.clock.sleep(limit));
            sleep.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}
