//! Every embedded engine against the one in memory, under random operations.

use async_trait::async_trait;
use bytes::Bytes;
use hudhud_engines::{fjall, log, moka};
use hudhud_ports::conformance::{bus, cache, store};
use hudhud_ports::memory::ManualClock;
use hudhud_ports::{Bus, Store};
use hudhud_proto::Shard;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(1_700_000_000_000_000))
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future);
}

struct StoreInFolder {
    folder: TempDir,
    clock: Arc<ManualClock>,
    open: Option<Arc<fjall::Store>>,
}

#[async_trait]
impl store::Harness for StoreInFolder {
    async fn reopen(&mut self) -> Arc<dyn Store> {
        if let Some(store) = self.open.take() {
            store.close().await.expect("closed");
        }
        let options = fjall::StoreOptions::default();
        let store = fjall::Store::open(self.folder.path(), options, self.clock.clone()).expect("opened");
        self.open.insert(Arc::new(store)).clone()
    }
}

const SMALL_LOG: log::BusOptions = log::BusOptions {
    shards: bus::SHARDS,
    segment_bytes: 8 * 1024,
    backlog_bytes_max: 1 << 30,
    log_bytes_max: 1 << 30,
    unread_bytes_max: 16 * 1024,
};

struct BusInFolder {
    folder: TempDir,
    open: Option<Arc<log::Bus>>,
}

#[async_trait]
impl bus::Harness for BusInFolder {
    async fn reopen(&mut self) -> Arc<dyn Bus> {
        if let Some(bus) = self.open.take() {
            bus.close().await.expect("closed");
        }
        self.open.insert(Arc::new(log::Bus::open(self.folder.path(), SMALL_LOG).expect("opened"))).clone()
    }
}

/// The records of a shard that are not committed. Appends another one, which marks the end.
async fn uncommitted(folder: &Path, shard: Shard, end: &'static str) -> Vec<Bytes> {
    let bus = log::Bus::open(folder, SMALL_LOG).expect("opened");
    let mut member = bus.join().await.expect("joined");
    // Held until all are there: a consumer that is dropped is assigned again.
    let mut consumers = Vec::new();
    for _ in 0..SMALL_LOG.shards {
        consumers.push(member.assigned().await.expect("assigned"));
    }
    let consumer = consumers.iter_mut().find(|consumer| consumer.shard() == shard).expect("all are there");
    bus.append(shard, vec![Bytes::from(end)]).await.expect("appended");
    let mut records = Vec::new();
    while records.last().is_none_or(|last| last != end) {
        let next = consumer.next(3).await.expect("read").expect("assigned");
        records.extend(next.into_iter().map(|record| record.bytes));
    }
    records.pop();
    bus.close().await.expect("closed");
    records
}

/// The last segment of a log.
fn last_segment(folder: &Path) -> std::path::PathBuf {
    let names = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("listed").path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().expect("there is one")
}

/// A seal, without the zeros at its end.
const SEAL_BYTES: usize = 20;

/// What the last append of a log looks like when the power goes before its fsync.
#[derive(Clone, Debug)]
enum Tear {
    /// The rest was never written.
    Cut,
    /// The rest is something else.
    Garbage(u8),
    /// These many bytes were never written, but what comes behind them was.
    Hole(usize),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// A store on fjall answers as the one in memory, also after it was closed and opened.
    #[test]
    fn a_store_is_as_the_one_in_memory(ops in store::ops()) {
        block_on(async {
            let clock = clock();
            let folder = tempfile::tempdir().expect("a folder");
            let mut harness = StoreInFolder { folder, clock: clock.clone(), open: None };
            store::check(&mut harness, clock, ops).await;
        });
    }

    /// A bus on disk gives the same records as the one in memory, also after it was closed and opened.
    #[test]
    fn a_bus_is_as_the_one_in_memory(ops in bus::ops()) {
        block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            bus::check(&mut BusInFolder { folder, open: None }, ops).await;
        });
    }

    /// A cache on moka answers as the one in memory.
    #[test]
    fn a_cache_is_as_the_one_in_memory(ops in cache::ops()) {
        block_on(async {
            let clock = clock();
            cache::check(Arc::new(moka::Cache::new(clock.clone(), 1 << 20)), clock, ops).await;
        });
    }

    /// Whatever a power loss leaves of the last append: everything before it is there, and of it a beginning at most.
    #[test]
    fn a_torn_tail_takes_nothing_that_was_acknowledged(
        acknowledged in 0..6_usize,
        sizes in prop::collection::vec(0..600_usize, 1..5),
        at in any::<prop::sample::Index>(),
        tear in prop_oneof![Just(Tear::Cut), any::<u8>().prop_map(Tear::Garbage), (1..700_usize).prop_map(Tear::Hole)],
    ) {
        block_on(async {
            let (folder, shard) = (tempfile::tempdir().expect("a folder"), Shard(2));
            let path = folder.path();
            let record = |n: usize, size: usize| Bytes::from(vec![b'a' + u8::try_from(n).expect("few"); size]);
            let mut wanted: Vec<Bytes> = Vec::new();
            let bus = log::Bus::open(path, SMALL_LOG).expect("opened");
            for n in 0..acknowledged {
                wanted.push(record(n, 100));
                bus.append(shard, vec![record(n, 100)]).await.expect("appended");
            }
            bus.close().await.expect("closed");
            let segment = last_segment(path);
            let (before, commits) = (std::fs::read(&segment).expect("read"), std::fs::read(path.join("commits")));

            let last: Vec<Bytes> = sizes.iter().enumerate().map(|(n, size)| record(10 + n, *size)).collect();
            let bus = log::Bus::open(path, SMALL_LOG).expect("opened");
            bus.append(shard, last.clone()).await.expect("appended");
            bus.close().await.expect("closed");
            std::fs::write(path.join("commits"), commits.expect("read")).expect("as before");

            let mut bytes = std::fs::read(&segment).expect("read");
            let start = before.iter().zip(&bytes).position(|(one, other)| one != other).expect("something was appended");
            // The seal behind it is written once it is synced: when the power goes before that, there is none.
            let sealed = bytes.iter().rposition(|byte| *byte != 0).expect("something was appended") + 1;
            let end = sealed - SEAL_BYTES;
            bytes[end..sealed].fill(0);
            let torn = start + at.index(end - start);
            match tear {
                Tear::Cut => bytes[torn..end].fill(0),
                Tear::Garbage(byte) => bytes[torn..end].fill(byte),
                Tear::Hole(length) => bytes[torn..end.min(torn + length)].fill(0),
            }
            std::fs::write(&segment, bytes).expect("torn");

            let found = uncommitted(path, shard, "end").await;
            let (kept, rest) = found.split_at_checked(wanted.len()).expect("what was acknowledged is there");
            assert_eq!(kept, wanted);
            assert!(last.starts_with(rest), "{rest:?} is no beginning of the last append");
            // And what was cut off stays away.
            let again = uncommitted(path, shard, "another end").await;
            assert_eq!(again, [&found[..], &[Bytes::from("end")]].concat());
        });
    }
}
