//! What every [`Bus`] must do.

use super::{cases, failure};
use crate::limits::{RECORD_BYTES_MAX, RECORDS_MAX};
use crate::memory;
use crate::{Bus, ErrorKind, Membership, Record, ShardConsumer};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use hudhud_proto::{Position, Shard};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a case runs on.
#[derive(Clone)]
pub struct Subject {
    /// The bus: empty, without members, with [`SHARDS`] shards.
    pub bus: Arc<dyn Bus>,
    /// From how many bytes of uncommitted records on it must be full, if it has such a limit; 100 KiB or more.
    pub backlog_bytes_max: Option<usize>,
}

/// How many shards the subject has.
pub const SHARDS: u32 = 4;

cases! { Subject:
    positions_increase_and_records_come_in_their_order,
    records_of_one_append_are_neighbours,
    records_come_only_to_their_shard,
    any_bytes_are_a_record,
    an_append_of_nothing_does_nothing,
    limits_are_kept,
    a_consumer_gets_no_more_than_it_asks_for,
    a_waiting_consumer_is_woken,
    dropped_calls_lose_nothing,
    everybody_appends_at_once,
    the_next_consumer_starts_behind_the_last_commit,
    an_older_commit_takes_nothing_back,
    the_first_member_gets_every_shard,
    every_shard_has_one_consumer_whoever_comes_and_goes,
    a_dropped_consumer_is_assigned_again,
    a_full_backlog_refuses_until_it_is_committed,
}

const SHARD: Shard = Shard(1);

fn record(text: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(text.as_ref())
}

impl Subject {
    async fn append(&self, shard: Shard, text: impl AsRef<[u8]>) -> Position {
        self.bus.append(shard, vec![record(text)]).await.expect("appended")[0]
    }

    /// A member that has every shard.
    async fn join(&self) -> (Box<dyn Membership>, Consumers) {
        let mut member = self.bus.join().await.expect("joined");
        let consumers = assigned(&mut member, SHARDS).await;
        (member, consumers)
    }
}

type Consumers = BTreeMap<Shard, Box<dyn ShardConsumer>>;

async fn assigned(member: &mut Box<dyn Membership>, count: u32) -> Consumers {
    let mut consumers = BTreeMap::new();
    for _ in 0..count {
        let consumer = member.assigned().await.expect("assigned");
        assert!(consumers.insert(consumer.shard(), consumer).is_none(), "a shard was assigned twice");
    }
    consumers
}

/// The next records, exactly so many.
async fn read(consumer: &mut Box<dyn ShardConsumer>, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(consumer.next(count - records.len()).await.expect("read").expect("still assigned"));
    }
    records
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.bytes).into_owned()).collect()
}

fn consumer(consumers: &mut Consumers, shard: Shard) -> &mut Box<dyn ShardConsumer> {
    consumers.get_mut(&shard).expect("every shard is there")
}

async fn positions_increase_and_records_come_in_their_order(it: Subject) {
    let (_member, mut consumers) = it.join().await;
    let mut appended = Vec::new();
    for n in 0..50 {
        let bytes = record(n.to_string());
        let position = it.append(SHARD, &bytes).await;
        assert!(position > Position::ZERO);
        appended.push(Record { position, bytes });
    }
    assert!(appended.is_sorted_by(|one, next| one.position < next.position));
    assert_eq!(read(consumer(&mut consumers, SHARD), 50).await, appended);
}

async fn records_of_one_append_are_neighbours(it: Subject) {
    let writers = (0..4).map(|writer| {
        let it = it.clone();
        tokio::spawn(async move {
            for n in 0..10 {
                let records = (0..5).map(|part| record(format!("{writer} {n} {part}"))).collect();
                let positions = it.bus.append(SHARD, records).await.expect("appended");
                assert!(positions.len() == 5 && positions.is_sorted_by(|one, next| one < next));
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("it does not panic");
    }
    let (_member, mut consumers) = it.join().await;
    let records = texts(&read(consumer(&mut consumers, SHARD), 200).await);
    for append in records.chunks(5) {
        let (first, _) = append[0].rsplit_once(' ').expect("as appended");
        let wanted: Vec<_> = (0..5).map(|part| format!("{first} {part}")).collect();
        assert_eq!(append, wanted);
    }
}

async fn records_come_only_to_their_shard(it: Subject) {
    for n in 0..20 {
        it.append(Shard(n % SHARDS), n.to_string()).await;
    }
    let (_member, mut consumers) = it.join().await;
    for (shard, consumer) in &mut consumers {
        let wanted: Vec<_> = (0..5).map(|n| (n * SHARDS + shard.0).to_string()).collect();
        assert_eq!(texts(&read(consumer, 5).await), wanted);
        assert!(consumer.next(9).now_or_never().is_none(), "there are no more");
    }
}

async fn any_bytes_are_a_record(it: Subject) {
    let records = vec![record(""), record([0; 100]), record([0xff; 100]), record(vec![7; RECORD_BYTES_MAX])];
    it.bus.append(SHARD, records.clone()).await.expect("appended");
    let (_member, mut consumers) = it.join().await;
    let read: Vec<_> = read(consumer(&mut consumers, SHARD), 4).await.into_iter().map(|record| record.bytes).collect();
    assert!(read == records, "they are not the same");
}

async fn an_append_of_nothing_does_nothing(it: Subject) {
    assert_eq!(it.bus.append(SHARD, Vec::new()).await.expect("appended"), []);
    let (_member, mut consumers) = it.join().await;
    it.append(SHARD, "something").await;
    assert_eq!(texts(&read(consumer(&mut consumers, SHARD), 1).await), ["something"]);
}

async fn limits_are_kept(it: Subject) {
    assert_eq!(it.bus.shards(), SHARDS);
    let too_large = record(vec![7; RECORD_BYTES_MAX + 1]);
    assert_eq!(failure(it.bus.append(Shard(SHARDS), vec![record("x")]).await), ErrorKind::Invalid);
    assert_eq!(failure(it.bus.append(SHARD, vec![record("x"), too_large]).await), ErrorKind::Invalid);
    assert_eq!(failure(it.bus.append(SHARD, vec![record("x"); RECORDS_MAX + 1]).await), ErrorKind::Invalid);
    it.bus.append(SHARD, vec![record("good"); RECORDS_MAX]).await.expect("appended");
    let (_member, mut consumers) = it.join().await;
    let records = read(consumer(&mut consumers, SHARD), RECORDS_MAX).await;
    assert!(records.iter().all(|record| record.bytes == "good"), "nothing of what was invalid is there");
}

async fn a_consumer_gets_no_more_than_it_asks_for(it: Subject) {
    it.bus.append(SHARD, vec![record("x"); 10]).await.expect("appended");
    let (_member, mut consumers) = it.join().await;
    let consumer = consumer(&mut consumers, SHARD);
    for max in [1, 3, 2] {
        let records = consumer.next(max).await.expect("read").expect("assigned");
        assert!((1..=max).contains(&records.len()), "{} records, not {max}", records.len());
    }
}

async fn a_waiting_consumer_is_woken(it: Subject) {
    let (_member, mut consumers) = it.join().await;
    let mut waiting = consumers.remove(&SHARD).expect("every shard is there");
    let waiting = tokio::spawn(async move { texts(&read(&mut waiting, 1).await) });
    tokio::task::yield_now().await;
    it.append(SHARD, "at last").await;
    assert_eq!(waiting.await.expect("it does not panic"), ["at last"]);
}

async fn dropped_calls_lose_nothing(it: Subject) {
    let mut member = it.bus.join().await.expect("joined");
    let mut consumers = BTreeMap::new();
    while consumers.len() < SHARDS as usize {
        if let Some(consumer) = member.assigned().now_or_never() {
            let consumer = consumer.expect("assigned");
            consumers.insert(consumer.shard(), consumer);
        }
        tokio::task::yield_now().await;
    }
    for n in 0..30 {
        it.append(SHARD, n.to_string()).await;
    }
    let mut records = Vec::new();
    while records.len() < 30 {
        // Dropped unless it is ready at once, again and again, but for some progress.
        let next = match consumer(&mut consumers, SHARD).next(3).now_or_never() {
            Some(next) => next,
            None => consumer(&mut consumers, SHARD).next(3).await,
        };
        records.extend(next.expect("read").expect("assigned"));
    }
    assert_eq!(texts(&records), (0..30).map(|n| n.to_string()).collect::<Vec<_>>());
}

async fn everybody_appends_at_once(it: Subject) {
    let writers = (0..16_u32).map(|writer| {
        let it = it.clone();
        tokio::spawn(async move {
            for n in 0..50 {
                it.append(Shard(writer % SHARDS), format!("{writer} {n}")).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let (_member, mut consumers) = it.join().await;
    for (shard, consumer) in &mut consumers {
        let records = texts(&read(consumer, 200).await);
        for writer in (0..16).filter(|writer| writer % SHARDS == shard.0) {
            let of_writer: Vec<_> =
                records.iter().filter_map(|text| text.strip_prefix(&format!("{writer} "))).collect();
            assert_eq!(of_writer, (0..50).map(|n| n.to_string()).collect::<Vec<_>>(), "each once, in order");
        }
    }
    for writer in writers {
        writer.await.expect("it does not panic");
    }
}

async fn the_next_consumer_starts_behind_the_last_commit(it: Subject) {
    for n in 0..10 {
        it.append(SHARD, n.to_string()).await;
    }
    let (member, mut consumers) = it.join().await;
    let first = consumer(&mut consumers, SHARD);
    let records = read(first, 8).await;
    first.commit(records[4].position).await.expect("committed");
    drop(member);
    let (_member, mut consumers) = it.join().await;
    assert_eq!(texts(&read(consumer(&mut consumers, SHARD), 5).await), ["5", "6", "7", "8", "9"]);
}

async fn an_older_commit_takes_nothing_back(it: Subject) {
    for n in 0..3 {
        it.append(SHARD, n.to_string()).await;
    }
    let (member, mut consumers) = it.join().await;
    let first = consumer(&mut consumers, SHARD);
    let records = read(first, 3).await;
    first.commit(records[1].position).await.expect("committed");
    first.commit(records[0].position).await.expect("an older commit is none");
    drop(member);
    let (_member, mut consumers) = it.join().await;
    assert_eq!(texts(&read(consumer(&mut consumers, SHARD), 1).await), ["2"]);
}

async fn the_first_member_gets_every_shard(it: Subject) {
    let (_member, consumers) = it.join().await;
    assert_eq!(consumers.into_keys().collect::<Vec<_>>(), (0..SHARDS).map(Shard).collect::<Vec<_>>());
}

async fn every_shard_has_one_consumer_whoever_comes_and_goes(it: Subject) {
    let (first, mut before) = it.join().await;
    let position = it.append(SHARD, "x").await;
    read(consumer(&mut before, SHARD), 1).await;
    let second = it.bus.join().await.expect("joined");
    drop(first);
    drop(second);
    let (_third, mut after) = it.join().await;
    for (shard, consumer) in &mut before {
        assert_eq!(consumer.next(1).await.expect("asked"), None, "{shard:?} is another member's");
    }
    let outcome = consumer(&mut before, SHARD).commit(position).await;
    assert_eq!(failure(outcome), ErrorKind::Fenced);
    assert_eq!(texts(&read(consumer(&mut after, SHARD), 1).await), ["x"], "it was not committed");
}

async fn a_dropped_consumer_is_assigned_again(it: Subject) {
    it.append(SHARD, "x").await;
    let (mut member, mut consumers) = it.join().await;
    read(consumer(&mut consumers, SHARD), 1).await;
    consumers.remove(&SHARD);
    let mut again = member.assigned().await.expect("assigned");
    assert_eq!(again.shard(), SHARD);
    assert_eq!(texts(&read(&mut again, 1).await), ["x"], "it was not committed");
}

async fn a_full_backlog_refuses_until_it_is_committed(it: Subject) {
    let Some(backlog_bytes_max) = it.backlog_bytes_max else { return };
    let (_member, mut consumers) = it.join().await;
    let large = vec![7; 10_000];
    let mut count = 0;
    let refused = loop {
        match it.bus.append(SHARD, vec![record(&large)]).await {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
        assert!(count * 10_000 <= backlog_bytes_max + 10_000, "it takes more than its limit");
    };
    assert_eq!(refused.kind(), ErrorKind::Full);
    assert!(refused.is_retryable() && count >= backlog_bytes_max / 10_000 / 2, "full after {count}");
    let consumer = consumer(&mut consumers, SHARD);
    let records = read(consumer, count).await;
    assert!(consumer.next(1).now_or_never().is_none(), "what was refused is not there");
    consumer.commit(records[count - 1].position).await.expect("committed");
    it.append(SHARD, "fits").await;
    assert_eq!(texts(&read(consumer, 1).await), ["fits"]);
}

/// An engine under random operations.
#[async_trait]
pub trait Harness: Send {
    /// Closes the bus and opens it again, with [`SHARDS`] shards: records and commits must be as before.
    async fn reopen(&mut self) -> Arc<dyn Bus>;
}

/// What happens to a bus.
#[derive(Clone, Debug)]
pub enum Op {
    /// Appends records of these lengths to a shard.
    Append(u32, Vec<usize>),
    /// Reads records of a shard, at most so many.
    Read(u32, usize),
    /// Commits what was read of a shard.
    Commit(u32),
    /// Drops the consumer of a shard and takes it again.
    Retake(u32),
    /// All members go, and one comes.
    Rejoin,
    /// See [`Harness::reopen`].
    Reopen,
}

/// Random operations.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let shard = 0..SHARDS;
    let op = prop_oneof![
        8 => (shard.clone(), vec(prop_oneof![0..50_usize, 0..3_000_usize], 1..5)).prop_map(|(s, sizes)| Op::Append(s, sizes)),
        6 => (shard.clone(), 1..9_usize).prop_map(|(shard, max)| Op::Read(shard, max)),
        4 => shard.clone().prop_map(Op::Commit),
        1 => shard.prop_map(Op::Retake),
        1 => Just(Op::Rejoin),
        1 => any::<bool>().prop_map(|_| Op::Reopen),
    ];
    vec(op, 1..80)
}

/// One bus, and who reads it.
struct Reader {
    bus: Arc<dyn Bus>,
    member: Option<Box<dyn Membership>>,
    consumers: Consumers,
    read: BTreeMap<u32, Position>,
}

impl Reader {
    async fn new(bus: Arc<dyn Bus>) -> Self {
        let mut reader = Self { bus, member: None, consumers: BTreeMap::new(), read: BTreeMap::new() };
        reader.rejoin().await;
        reader
    }

    async fn rejoin(&mut self) {
        self.leave();
        let mut member = self.bus.join().await.expect("joined");
        self.consumers = assigned(&mut member, SHARDS).await;
        self.member = Some(member);
    }

    fn leave(&mut self) {
        self.member = None;
        self.consumers.clear();
        self.read.clear();
    }

    async fn retake(&mut self, shard: u32) {
        self.consumers.remove(&Shard(shard));
        self.read.remove(&shard);
        let member = self.member.as_mut().expect("it has joined");
        self.consumers.extend(assigned(member, 1).await);
    }

    async fn read(&mut self, shard: u32, count: usize) -> Vec<Bytes> {
        let records = read(consumer(&mut self.consumers, Shard(shard)), count).await;
        self.read.extend(records.last().map(|last| (shard, last.position)));
        records.into_iter().map(|record| record.bytes).collect()
    }

    async fn commit(&mut self, shard: u32) {
        if let Some(position) = self.read.get(&shard) {
            consumer(&mut self.consumers, Shard(shard)).commit(*position).await.expect("committed");
        }
    }
}

/// Does the same to an engine and to the one in memory: both must give the same records.
pub async fn check(harness: &mut dyn Harness, ops: Vec<Op>) {
    let oracle = memory::Bus::new(memory::BusOptions { shards: SHARDS, ..memory::BusOptions::default() });
    let mut wanted = Reader::new(Arc::new(oracle)).await;
    let mut engine = Reader::new(harness.reopen().await).await;
    let mut appended = 0_u64;
    for op in ops {
        match op {
            Op::Append(shard, sizes) => {
                let records = sizes.into_iter().map(|size| {
                    appended += 1;
                    Bytes::from(appended.to_be_bytes().into_iter().cycle().take(size).collect::<Vec<_>>())
                });
                let records: Vec<_> = records.collect();
                for bus in [&wanted.bus, &engine.bus] {
                    bus.append(Shard(shard), records.clone()).await.expect("appended");
                }
            }
            Op::Read(shard, max) => {
                let next = consumer(&mut wanted.consumers, Shard(shard)).next(max).now_or_never();
                let records = next.map_or(Vec::new(), |records| records.expect("read").expect("assigned"));
                wanted.read.extend(records.last().map(|last| (shard, last.position)));
                let found = engine.read(shard, records.len()).await;
                let records: Vec<_> = records.into_iter().map(|record| record.bytes).collect();
                assert!(found == records, "shard {shard} gives {found:?} and not {records:?}");
            }
            Op::Commit(shard) => {
                wanted.commit(shard).await;
                engine.commit(shard).await;
            }
            Op::Retake(shard) => {
                wanted.retake(shard).await;
                engine.retake(shard).await;
            }
            Op::Rejoin => {
                wanted.rejoin().await;
                engine.rejoin().await;
            }
            Op::Reopen => {
                wanted.rejoin().await;
                engine.leave();
                engine.bus = harness.reopen().await;
                engine.rejoin().await;
            }
        }
    }
}
