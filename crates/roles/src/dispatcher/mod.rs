//! The dispatcher: reads the bus, gives every message its place in its conversation, stores it and fans it out.
//!
//! It is the only writer of timelines. A shard of the bus is consumed by one dispatcher at a time, in order; what it makes of a
//! record is a pure function ([`crate::conversation`]) of the record, its position and the conversation, so a replay after a
//! crash, or a stale dispatcher that does not know yet that it was replaced, makes the same writes with the same versions.
//! Hence there are no locks, counters or transactions here, and no write waits for the disk on its own: before positions are
//! committed, the stores are flushed once; what a power loss takes before that is made again from the bus.
//!
//! Called by nobody: a process starts it ([`Dispatcher::run`]) and stops it ([`Dispatcher::stop`]).

mod batch;
mod fanout;
mod lost;
#[cfg(test)]
mod recovery_tests;
mod shard;
#[cfg(test)]
mod tests;

use crate::services::Services;
use crate::session::Sessions;
use hudhud_ports::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// The longest wait between two tries of a port's call.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// The first wait.
const RETRY_MIN: Duration = Duration::from_millis(20);

/// The dispatcher of a process: one worker per assigned shard.
pub struct Dispatcher {
    core: Core,
}

/// What workers share. Cheap to clone.
#[derive(Clone)]
struct Core {
    services: Services,
    sessions: Arc<Sessions>,
    stop: Arc<Stop>,
}

/// That the dispatcher is to stop. Not a `watch`: that wakes who waits in a random order, and a simulated run has to replay.
#[derive(Default)]
struct Stop {
    asked: AtomicBool,
    told: Notify,
}

/// Why a worker ends.
#[derive(Debug)]
enum Ended {
    /// It was asked to.
    Stopped,
    /// The shard is another dispatcher's.
    Revoked,
    /// An engine can't keep its promises any more.
    Failed(Error),
}

impl Dispatcher {
    /// A dispatcher that is not running yet.
    pub fn new(services: Services, sessions: Arc<Sessions>) -> Arc<Self> {
        Arc::new(Self { core: Core { services, sessions, stop: Arc::default() } })
    }

    /// Consumes the shards that are assigned to this process until [`stop`](Self::stop). Returns once every worker has
    /// committed and ended. An error means that the process must stop: an engine can't keep its promises, or what it stores
    /// is damaged, so that a record which was accepted can't be applied.
    pub async fn run(&self) -> Result<(), Error> {
        let (ended, mut endings) = mpsc::unbounded_channel();
        let mut membership = match self.core.persist("join the bus", || self.core.services.bus.join()).await {
            Ok(membership) => membership,
            Err(Ended::Failed(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        let mut workers = 0_usize;
        loop {
            let stopping = self.core.stop.is_asked();
            if stopping && workers == 0 {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.core.stop_asked(), if !stopping => {}
                Some(ending) = endings.recv() => {
                    workers -= 1;
                    if let Ended::Failed(error) = ending {
                        self.stop();
                        return Err(error);
                    }
                }
                shard = membership.assigned(), if !stopping => match shard {
                    Ok(consumer) => {
                        workers += 1;
                        let worker = shard::Worker::new(self.core.clone(), consumer);
                        let ended = ended.clone();
                        self.core.services.runtime.tasks.spawn(Box::pin(async move {
                            // Nobody listens any more when another worker failed: the process ends anyway.
                            let _ = ended.send(worker.run().await);
                        }));
                    }
                    Err(error) if error.is_retryable() => {
                        tracing::warn!(%error, "no shards are assigned");
                        self.core.services.runtime.clock.sleep(RETRY_MAX).await;
                    }
                    Err(error) => {
                        self.stop();
                        return Err(error);
                    }
                },
            }
        }
    }

    /// Ends all workers after the batch in hand.
    pub fn stop(&self) {
        self.core.stop.ask();
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Stop {
    fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Core {
    /// Waits until the dispatcher is asked to stop, or is gone.
    async fn stop_asked(&self) {
        // From here on nobody is told without being heard.
        let told = self.stop.told.notified();
        if !self.stop.is_asked() {
            told.await;
        }
    }

    /// Calls a port until it succeeds: what was accepted is never given up. Ends early only when the dispatcher stops, or with
    /// an error that no repetition mends.
    async fn persist<T, F>(&self, what: &'static str, call: impl Fn() -> F) -> Result<T, Ended>
    where
        F: Future<Output = hudhud_ports::Result<T>>,
    {
        let Services { runtime, settings, .. } = &self.services;
        let mut wait = RETRY_MIN;
        let mut failures = 0_u32;
        loop {
            let outcome = runtime.timeout(settings.call_timeout, call()).await;
            let error = match outcome {
                Some(Ok(value)) => {
                    if failures > 0 {
                        tracing::info!(what, failures, "the dispatcher goes on");
                    }
                    return Ok(value);
                }
                Some(Err(error)) => error,
                None => Error::new(ErrorKind::Timeout, "dispatcher", what),
            };
            if !error.is_retryable() {
                return Err(Ended::Failed(error));
            }
            // Said once, however long it lasts.
            match failures {
                0 => tracing::warn!(%error, what, "the dispatcher tries again until it succeeds"),
                _ => tracing::debug!(%error, what, failures, "the dispatcher tries again"),
            }
            failures = failures.saturating_add(1);
            tokio::select! {
                biased;
                () = self.stop_asked() => return Err(Ended::Stopped),
                () = runtime.clock.sleep(wait) => {}
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
    }
}

/// Wakes a worker when its bulk lane has come further.
type Progressed = Arc<Notify>;
