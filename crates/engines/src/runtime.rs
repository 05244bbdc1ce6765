//! The real runtime: the machine's clocks, the kernel's randomness, tokio's tasks.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use hudhud_ports::{Clock, Rng, Runtime, Spawn};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

struct SystemClock {
    started: Instant,
}

#[async_trait]
impl Clock for SystemClock {
    fn now_us(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

struct KernelRng;

impl Rng for KernelRng {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("a kernel that gives no randomness can't run a messenger");
    }
}

struct TokioTasks;

#[async_trait]
impl Spawn for TokioTasks {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        tokio::spawn(future);
    }

    async fn compute(&self, work: Box<dyn FnOnce() + Send>) {
        if let Err(error) = tokio::task::spawn_blocking(work).await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// The real runtime. Its tasks and sleeps must be used inside a tokio runtime that has its time driver on.
pub fn runtime() -> Runtime {
    Runtime {
        clock: Arc::new(SystemClock { started: Instant::now() }),
        rng: Arc::new(KernelRng),
        tasks: Arc::new(TokioTasks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn computations_are_waited_for_and_time_moves() {
        let runtime = runtime();
        let before = runtime.clock.monotonic();
        let (sender, receiver) = std::sync::mpsc::channel();
        runtime.tasks.compute(Box::new(move || sender.send(42).expect("it is waited for"))).await;
        assert_eq!(receiver.try_recv(), Ok(42));
        runtime.clock.sleep(Duration::from_millis(1)).await;
        assert!(runtime.clock.monotonic() >= before + Duration::from_millis(1));
        assert_ne!(runtime.random::<16>(), runtime.random::<16>());
        assert!(runtime.clock.now_us() > 1_700_000_000_000_000);
    }
}
