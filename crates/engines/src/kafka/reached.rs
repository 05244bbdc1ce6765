//! How far the shards had come, remembered by the store: a log that is lost, or cut, is not taken for one that is new.

use super::topic::Cluster;
use super::{ENGINE, Url, frame};
use crate::remembered;
use hudhud_ports::{Error, ErrorKind, Result, Store};
use hudhud_proto::{Position, Shard};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is written down while shards move.
const INTERVAL: Duration = Duration::from_secs(10);
/// A partition may have no leader just now, and one that has just taken over may not know yet how far its log is acknowledged.
const TRIES_MAX: u32 = 10;
const TRY_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Reached {
    store: Option<Arc<dyn Store>>,
    state: Mutex<State>,
}

struct State {
    /// Of each shard, what was committed last.
    positions: Vec<Position>,
    saved: Vec<Position>,
    saved_at: Instant,
}

impl Reached {
    /// What the store remembers. Without a store that is nothing.
    ///
    /// # Errors
    /// When this epoch is not the one to go on with.
    pub(super) async fn load(url: &Url, shards: u32, store: Option<Arc<dyn Store>>) -> Result<Self> {
        let remembered = match &store {
            Some(store) => remembered::load_all(&**store).await?,
            None => remembered::Remembered::default(),
        };
        let mut positions = vec![Position::ZERO; shards as usize];
        for (shard, position) in remembered.shards {
            if position.epoch() > url.epoch {
                return Err(refused(format!(
                    "the store has seen the bus in epoch {}, and the URL says {}: every node has to say the same, \
                     ?epoch={}",
                    position.epoch(),
                    url.epoch,
                    position.epoch()
                )));
            }
            if let Some(known) = positions.get_mut(shard.0 as usize) {
                *known = position;
            }
        }
        if remembered.bus != Position::ZERO && remembered.bus.epoch() >= url.epoch {
            return Err(refused(format!(
                "the store has seen another bus, in epoch {}: records of this one have to come behind it, so say \
                 ?epoch={} or more",
                remembered.bus.epoch(),
                u32::from(remembered.bus.epoch()) + 1
            )));
        }
        let state = State { saved: positions.clone(), positions, saved_at: Instant::now() };
        Ok(Self { store, state: Mutex::new(state) })
    }

    /// Refuses a log that ends before what is remembered of it.
    pub(super) async fn check(&self, url: &Url, cluster: &Cluster, shards: u32) -> Result<()> {
        let mut tries = 0;
        loop {
            let outcome = cluster.ends(shards).await.and_then(|ends| {
                let ends: Vec<Position> = ends.into_iter().map(|end| frame::before(url.epoch, end)).collect();
                match self.behind(url.epoch, &ends) {
                    None => Ok(()),
                    Some((shard, end, known)) => {
                        Err(lost(url, &format!("partition {shard} ends at {end:?}, and was consumed up to {known:?}")))
                    }
                }
            });
            tries += 1;
            if outcome.is_ok() || tries >= TRIES_MAX {
                return outcome;
            }
            tokio::time::sleep(TRY_INTERVAL).await;
        }
    }

    /// The same where there is no log.
    pub(super) fn check_nothing(&self, url: &Url) -> Result<()> {
        match self.behind(url.epoch, &[]) {
            None => Ok(()),
            Some((shard, _, known)) => {
                Err(lost(url, &format!("it is not there, and its partition {shard} was consumed up to {known:?}")))
            }
        }
    }

    /// A shard that ends before what is known of it in this epoch.
    fn behind(&self, epoch: u16, ends: &[Position]) -> Option<(usize, Position, Position)> {
        let state = self.state.lock();
        let begin = Position::new(epoch, 0);
        let all = state.positions.iter().enumerate();
        let mut all = all.map(|(shard, known)| (shard, ends.get(shard).copied().unwrap_or(begin), *known));
        all.find(|(_, end, known)| known > end)
    }

    /// Notes the epoch.
    pub(super) async fn begin(&self, epoch: u16) -> Result<()> {
        let begin = Position::new(epoch, 0);
        self.state.lock().positions.iter_mut().for_each(|position| *position = begin.max(*position));
        self.save().await
    }

    /// A commit; now and then written down with those of other shards. A store that fails now is written to later.
    pub(super) async fn note(&self, shard: Shard, position: Position) {
        {
            let mut state = self.state.lock();
            let known = &mut state.positions[shard.0 as usize];
            *known = position.max(*known);
            if self.store.is_none() || state.saved_at.elapsed() < INTERVAL {
                return;
            }
            // Whoever comes meanwhile leaves it to this one.
            state.saved_at = Instant::now();
        }
        if let Err(error) = self.save().await {
            tracing::warn!(%error, "how far the bus is can't be written down now");
        }
    }

    /// Writes down what changed.
    pub(super) async fn save(&self) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let (positions, changed) = {
            let state = self.state.lock();
            let all = (0..).map(Shard).zip(state.positions.iter().zip(&state.saved));
            let changed = all.filter(|(_, (position, saved))| position > saved);
            let changed: Vec<_> = changed.map(|(shard, (position, _))| (shard, *position)).collect();
            (state.positions.clone(), changed)
        };
        if changed.is_empty() {
            return Ok(());
        }
        remembered::save_shards(&**store, &changed).await?;
        self.state.lock().saved = positions;
        Ok(())
    }
}

fn lost(url: &Url, what: &str) -> Error {
    let cause = format!(
        "topic {}: {what}. Records that were acknowledged are gone. If they can't be brought back, begin a new log: say \
         ?epoch={} on every node and run `hudhud migrate`; devices send again what was accepted and not delivered",
        url.topic,
        u32::from(url.epoch) + 1
    );
    Error::new(ErrorKind::Corrupt, ENGINE, "open").because(cause)
}

fn refused(cause: String) -> Error {
    Error::new(ErrorKind::Invalid, ENGINE, "open").because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudhud_ports::memory;

    fn store() -> Arc<dyn Store> {
        Arc::new(memory::Store::new(Arc::new(memory::ManualClock::new(0))))
    }

    fn url(epoch: u16) -> Url {
        Url::parse(&format!("//one/bus?epoch={epoch}")).expect("valid")
    }

    async fn load(epoch: u16, store: &Arc<dyn Store>) -> Result<Reached> {
        Reached::load(&url(epoch), 2, Some(store.clone())).await
    }

    #[tokio::test]
    async fn what_was_reached_is_remembered_for_the_next_start() {
        let store = store();
        let reached = load(2, &store).await.expect("nothing is remembered");
        reached.begin(2).await.expect("saved");
        reached.note(Shard(1), frame::before(2, 5)).await;
        reached.save().await.expect("saved");
        let reached = load(2, &store).await.expect("the same epoch");
        assert_eq!(reached.behind(2, &[frame::before(2, 0), frame::before(2, 5)]), None);
        let short = [frame::before(2, 9), frame::before(2, 4)];
        assert_eq!(reached.behind(2, &short).map(|(shard, ..)| shard), Some(1));
        let error = reached.check_nothing(&url(2)).expect_err("it is gone");
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("?epoch=3"), "{error}");
        let error = load(1, &store).await.err().expect("an older epoch").to_string();
        assert!(error.contains("?epoch=2"), "{error}");
        let reached = load(3, &store).await.expect("a newer epoch");
        assert_eq!(reached.behind(3, &[Position::new(3, 0); 2]), None);
    }

    #[tokio::test]
    async fn another_bus_comes_before_this_one() {
        let store = store();
        remembered::save(&*store, Position::new(4, 77)).await.expect("saved");
        let error = load(4, &store).await.err().expect("not behind it").to_string();
        assert!(error.contains("?epoch=5"), "{error}");
        load(5, &store).await.expect("behind it");
    }
}
