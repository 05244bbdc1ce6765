//! The worker of one shard.

use super::batch::{Batch, Fanout, States};
use super::fanout::{self, BulkLane};
use super::{Core, Ended, Progressed};
use hudhud_ports::{Record, ShardConsumer};
use hudhud_proto::Position;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Applied records after which a commit is due even if little time has passed.
const COMMIT_RECORDS_MAX: usize = 4_096;
/// Of a bus that lost no log yet.
const FIRST_EPOCH: u16 = 1;

/// Consumes one shard.
pub(super) struct Worker {
    core: Core,
    consumer: Box<dyn ShardConsumer>,
    states: States,
    bulk: BulkLane,
    progressed: Progressed,
    /// Everything up to here is applied, but for what the bulk lane still has.
    applied: Position,
    committed: Position,
    /// What the logs of earlier epochs made is in the stores for good.
    epoch: u16,
    /// Records applied since the last commit, and when the first of them was.
    uncommitted: usize,
    since: Duration,
}

impl Worker {
    pub(super) fn new(core: Core, consumer: Box<dyn ShardConsumer>) -> Self {
        let settings = &core.services.settings;
        let states = States::new(settings.conversations_cached_max, settings.dispatch_batch_max);
        let progressed = Arc::new(Notify::new());
        let bulk = BulkLane::start(&core, progressed.clone());
        Self {
            core,
            consumer,
            states,
            bulk,
            progressed,
            applied: Position::ZERO,
            committed: Position::ZERO,
            epoch: FIRST_EPOCH,
            uncommitted: 0,
            since: Duration::ZERO,
        }
    }

    /// Consumes until the end.
    pub(super) async fn run(mut self) -> Ended {
        let shard = self.consumer.shard();
        tracing::debug!(shard = shard.0, "a shard is assigned");
        let ended = match self.consume().await {
            Ok(never) => match never {},
            Err(ended) => ended,
        };
        if let Ended::Stopped = ended {
            // What is applied need not be applied again. If this fails, it is, and that does no harm.
            while self.bulk.is_behind(self.applied) {
                self.progressed.notified().await;
            }
            if let Err(error) = self.commit().await {
                tracing::debug!(shard = shard.0, ?error, "the last commit failed");
            }
        }
        tracing::debug!(shard = shard.0, ?ended, "a shard is given back");
        ended
    }

    async fn consume(&mut self) -> Result<std::convert::Infallible, Ended> {
        let batch_max = self.core.services.settings.dispatch_batch_max;
        let interval = self.core.services.settings.commit_interval;
        let core = self.core.clone();
        loop {
            let clock = self.core.services.runtime.clock.clone();
            let commit_in = (self.since + interval).saturating_sub(clock.monotonic());
            tokio::select! {
                biased;
                () = core.stop_asked() => return Err(Ended::Stopped),
                () = self.progressed.notified() => {
                    if let Some(ended) = self.bulk.take_end() {
                        return Err(ended);
                    }
                }
                () = clock.sleep(commit_in), if self.uncommitted > 0 => self.commit().await?,
                records = self.consumer.next(batch_max) => match records {
                    Ok(Some(records)) => self.apply(records).await?,
                    Ok(None) => return Err(Ended::Revoked),
                    Err(error) if error.is_retryable() => {
                        tracing::warn!(%error, "the bus can't be read; the dispatcher tries again");
                        clock.sleep(super::RETRY_MAX).await;
                    }
                    Err(error) => return Err(Ended::Failed(error)),
                },
            }
            if self.uncommitted >= COMMIT_RECORDS_MAX {
                self.commit().await?;
            }
        }
    }

    /// Applies records together: each kind of write is one call for the whole batch.
    async fn apply(&mut self, records: Vec<Record>) -> Result<(), Ended> {
        let Some(last) = records.last().map(|record| record.position) else {
            return Ok(());
        };
        if last.epoch() > self.epoch {
            // Before anything is made of the new log: what the lost one made can't be made again.
            self.flush().await?;
            self.epoch = last.epoch();
        }
        let mut batch = Batch::default();
        for record in &records {
            batch.apply(&self.core, &mut self.states, record).await?;
        }
        let Batch { timeline, heads, marks, fanout: Fanout { inbox, posts }, bulk, .. } = batch;
        let (heads, marks) = (heads.into_values().collect(), marks.into_values().collect());
        let inbox = inbox.into_values().collect();
        // A crash between any two of these is mended by the replay: each is found by the one before.
        fanout::write(&self.core, "write what follows from records", vec![timeline, heads, marks, inbox]).await?;
        for (position, job) in bulk {
            self.bulk.queue(position, job).await?;
        }
        fanout::push(&self.core, posts).await;
        self.core.services.metrics.dispatch_batch.observe(records.len() as f64);
        if self.uncommitted == 0 {
            self.since = self.core.services.runtime.clock.monotonic();
        }
        self.uncommitted += records.len();
        self.applied = last;
        Ok(())
    }

    /// Makes everything applied survive the loss of power, then tells the bus. Never the other way round: what is committed is
    /// not replayed.
    async fn commit(&mut self) -> Result<(), Ended> {
        let position = self.bulk.done_up_to(self.applied);
        if position > self.committed {
            self.flush().await?;
            match self.consumer.commit(position).await {
                Ok(()) => self.committed = position,
                Err(error) if error.is_retryable() => tracing::warn!(%error, "a commit failed; the next one covers it"),
                Err(error) if error.kind() == hudhud_ports::ErrorKind::Fenced => return Err(Ended::Revoked),
                Err(error) => return Err(Ended::Failed(error)),
            }
        }
        self.uncommitted = usize::from(self.committed < self.applied);
        self.since = self.core.services.runtime.clock.monotonic();
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        let services = &self.core.services;
        self.core.persist("flush the messages", || services.messages.flush()).await?;
        self.core.persist("flush the directory", || services.directory.flush()).await
    }
}
