//! What every [`Store`] must do.

mod lists;

use super::{Time, cases, failure};
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX, VERSION_MAX, WRITES_MAX};
use crate::memory::{self, ManualClock};
use crate::{Claim, Database, ErrorKind, Key, Order, Row, Scan, Store, Table, Tuning, Write};
use async_trait::async_trait;
use bytes::Bytes;
use lists::{lists_are_seen_in_their_order, lists_are_versioned_as_any_writes};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use std::sync::Arc;
use std::time::Duration;

/// What a case runs on.
#[derive(Clone)]
pub struct Subject {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its time.
    pub time: Time,
}

/// The tables of these cases, for engines that must make tables first.
pub const TABLES: &[&Table] = &[PLAIN, OTHER, SAME_NAME, SHORT];

const PLAIN: &Table =
    &Table { name: "conformance_plain", database: Database::Messages, ttl: None, tuning: Tuning::DEFAULT };
const OTHER: &Table =
    &Table { name: "conformance_other", database: Database::Messages, ttl: None, tuning: Tuning::DEFAULT };
const SAME_NAME: &Table =
    &Table { name: "conformance_plain", database: Database::Directory, ttl: None, tuning: Tuning::DEFAULT };
const SHORT_TTL: Duration = Duration::from_secs(2);
const SHORT: &Table =
    &Table { name: "conformance_short", database: Database::Messages, ttl: Some(SHORT_TTL), tuning: Tuning::DEFAULT };

cases! { Subject:
    an_absent_row_is_none,
    a_row_is_read_as_it_was_written,
    a_lower_version_changes_nothing,
    of_one_version_a_deletion_wins_and_then_the_greater_value,
    a_deletion_holds_off_older_writes_only,
    writers_in_any_order_come_to_the_same_rows,
    the_last_version_stays_whoever_wrote_at_the_same_time,
    a_batch_may_write_a_row_twice,
    a_batch_in_a_partition_is_seen_whole,
    lists_are_seen_in_their_order,
    lists_are_versioned_as_any_writes,
    a_scan_is_sorted_as_unsigned_bytes,
    a_scan_has_bounds_and_a_limit_in_both_directions,
    a_scan_stays_in_its_partition,
    tables_do_not_mix,
    deleted_rows_do_not_count_in_a_scan,
    limits_are_kept,
    the_largest_batch_is_stored,
    an_expired_row_is_as_never_written,
    a_claim_is_won_once,
    a_claim_shows_who_has_it,
    a_deleted_row_can_be_claimed_again,
    what_is_flushed_stays,
}

fn key(table: &'static Table, partition: &str, sort: impl AsRef<[u8]>) -> Key {
    let copy = Bytes::copy_from_slice;
    Key { table, partition: copy(partition.as_bytes()), sort: copy(sort.as_ref()) }
}

fn put(key: &Key, value: impl AsRef<[u8]>, version: u64) -> Write {
    Write { key: key.clone(), value: Some(Bytes::copy_from_slice(value.as_ref())), version }
}

fn delete(key: &Key, version: u64) -> Write {
    Write { key: key.clone(), value: None, version }
}

impl Subject {
    async fn write(&self, writes: Vec<Write>) {
        self.store.write(writes).await.expect("written");
    }

    async fn get(&self, key: &Key) -> Option<Row> {
        self.store.get(key.clone()).await.expect("read")
    }

    async fn value(&self, key: &Key) -> Option<Bytes> {
        self.get(key).await.map(|row| row.value)
    }

    /// Claims as a caller has to: after a timeout again, and then the row tells whose it is.
    async fn claim(&self, write: Write) -> Claim {
        let mut had_timeout = false;
        for _ in 0..10 {
            match self.store.claim(write.clone()).await {
                Ok(Claim::Taken(row)) if had_timeout && Some(&row.value) == write.value.as_ref() => return Claim::Won,
                Ok(claim) => return claim,
                Err(error) if error.kind() == ErrorKind::Timeout => had_timeout = true,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("it is never decided")
    }

    async fn sorts(&self, scan: Scan) -> Vec<Vec<u8>> {
        let rows = self.store.scan(scan).await.expect("read");
        rows.into_iter().map(|row| row.sort.to_vec()).collect()
    }
}

async fn an_absent_row_is_none(it: Subject) {
    assert_eq!(it.get(&key(PLAIN, "absent", "a")).await, None);
    assert_eq!(it.sorts(Scan::all(PLAIN, Bytes::from_static(b"absent"), 9)).await, Vec::<Vec<u8>>::new());
}

async fn a_row_is_read_as_it_was_written(it: Subject) {
    for (sort, value, version) in [("a", "value", 7), ("", "", 0), ("b", "\0\u{ff}", VERSION_MAX)] {
        let key = key(PLAIN, "as written", sort);
        it.write(vec![put(&key, value, version)]).await;
        let row = Row { sort: key.sort.clone(), value: Bytes::from(value), version };
        assert_eq!(it.get(&key).await.as_ref(), Some(&row));
        let scan = Scan { from: row.sort.clone(), ..Scan::all(PLAIN, key.partition.clone(), 1) };
        assert_eq!(it.store.scan(scan).await.expect("read"), [row]);
    }
}

async fn a_lower_version_changes_nothing(it: Subject) {
    let key = key(PLAIN, "lower version", "a");
    it.write(vec![put(&key, "new", 5)]).await;
    it.write(vec![put(&key, "old", 4)]).await;
    it.write(vec![delete(&key, 4)]).await;
    assert_eq!(it.get(&key).await.map(|row| (row.value, row.version)), Some((Bytes::from("new"), 5)));
    it.write(vec![put(&key, "newer", 6)]).await;
    assert_eq!(it.value(&key).await.as_deref(), Some(&b"newer"[..]));
}

async fn of_one_version_a_deletion_wins_and_then_the_greater_value(it: Subject) {
    for turned in [false, true] {
        let key = key(PLAIN, "one version", if turned { "turned" } else { "straight" });
        let mut writes = vec![put(&key, "b", 3), put(&key, "a", 3), put(&key, "ab", 3)];
        if turned {
            writes.reverse();
        }
        for write in writes {
            it.write(vec![write]).await;
        }
        assert_eq!(it.value(&key).await.as_deref(), Some(&b"b"[..]));
        let mut writes = vec![delete(&key, 4), put(&key, "c", 4)];
        if turned {
            writes.reverse();
        }
        for write in writes {
            it.write(vec![write]).await;
        }
        assert_eq!(it.value(&key).await, None);
    }
}

async fn a_deletion_holds_off_older_writes_only(it: Subject) {
    let key = key(PLAIN, "deletion", "a");
    it.write(vec![delete(&key, 5)]).await;
    it.write(vec![put(&key, "old", 4)]).await;
    assert_eq!(it.value(&key).await, None, "an older write came after the deletion");
    it.write(vec![put(&key, "new", 6)]).await;
    assert_eq!(it.value(&key).await.as_deref(), Some(&b"new"[..]));
}

async fn writers_in_any_order_come_to_the_same_rows(it: Subject) {
    let rows = |partition: &str| -> Vec<Write> {
        let write = |n: u64| match n % 5 {
            0 => delete(&key(PLAIN, partition, [(n % 3) as u8]), n),
            _ => put(&key(PLAIN, partition, [(n % 3) as u8]), n.to_string(), n / 2),
        };
        (0..30).map(write).collect()
    };
    it.write(rows("in order")).await;
    for write in rows("turned").into_iter().rev() {
        it.write(vec![write.clone(), write]).await;
    }
    let scan = |partition: &'static str| Scan::all(PLAIN, Bytes::from(partition), 99);
    let in_order = it.store.scan(scan("in order")).await.expect("read");
    assert_eq!(in_order, it.store.scan(scan("turned")).await.expect("read"));
}

async fn the_last_version_stays_whoever_wrote_at_the_same_time(it: Subject) {
    let key = key(PLAIN, "same time", "a");
    let writers = (0..8_u64).map(|writer| {
        let (it, key) = (it.clone(), key.clone());
        tokio::spawn(async move {
            for n in 0..20 {
                let version = n * 8 + (writer * 3 + n) % 8;
                it.write(vec![put(&key, version.to_string(), version)]).await;
                let seen = it.get(&key).await.expect("there").version;
                assert!(seen >= version, "{seen} was read after {version} had been written");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("it does not panic");
    }
    assert_eq!(it.get(&key).await.map(|row| (row.value, row.version)), Some((Bytes::from("159"), 159)));
}

async fn a_batch_may_write_a_row_twice(it: Subject) {
    let key = key(PLAIN, "twice", "a");
    it.write(vec![put(&key, "1", 1), put(&key, "3", 3), put(&key, "2", 2)]).await;
    assert_eq!(it.value(&key).await.as_deref(), Some(&b"3"[..]));
}

async fn a_batch_in_a_partition_is_seen_whole(it: Subject) {
    let keys = ["a", "b"].map(|sort| key(PLAIN, "whole", sort));
    let writer = tokio::spawn({
        let (it, keys) = (it.clone(), keys.clone());
        async move {
            for version in 0..200_u64 {
                it.write(keys.iter().map(|key| put(key, version.to_string(), version)).collect()).await;
            }
        }
    });
    while !writer.is_finished() {
        let rows = it.store.scan(Scan::all(PLAIN, keys[0].partition.clone(), 9)).await.expect("read");
        assert!(rows.is_empty() || rows.len() == 2 && rows[0].version == rows[1].version, "{rows:?}");
        tokio::task::yield_now().await;
    }
    writer.await.expect("it does not panic");
}

async fn a_scan_is_sorted_as_unsigned_bytes(it: Subject) {
    let mut sorts: Vec<Vec<u8>> =
        vec![vec![], vec![0], vec![0, 0], vec![0, 0xff], vec![1], vec![0x7f], vec![0x80], vec![0xff], vec![0xff; 256]];
    let writes = sorts.iter().rev().map(|sort| put(&key(PLAIN, "sorted", sort), "x", 1)).collect();
    it.write(writes).await;
    let all = Scan::all(PLAIN, Bytes::from_static(b"sorted"), 99);
    assert_eq!(it.sorts(all.clone()).await, sorts);
    sorts.reverse();
    assert_eq!(it.sorts(Scan { order: Order::Descending, ..all }).await, sorts);
}

async fn a_scan_has_bounds_and_a_limit_in_both_directions(it: Subject) {
    it.write((b'a'..=b'i').map(|sort| put(&key(PLAIN, "bounds", [sort]), "x", 1)).collect()).await;
    let check = async |from: &'static str, to: Option<&'static str>, order, limit, wanted: &str| {
        let (from, to) = (Bytes::from(from), to.map(Bytes::from));
        let scan = Scan { table: PLAIN, partition: Bytes::from_static(b"bounds"), from, to, order, limit };
        let found = it.sorts(scan.clone()).await.concat();
        assert_eq!(found, wanted.as_bytes(), "{scan:?}");
    };
    check("c", Some("f"), Order::Ascending, 99, "cdef").await;
    check("c", Some("f"), Order::Descending, 99, "fedc").await;
    check("bb", Some("ee"), Order::Ascending, 99, "cde").await;
    check("c", Some("f"), Order::Ascending, 2, "cd").await;
    check("c", Some("f"), Order::Descending, 2, "fe").await;
    check("g", None, Order::Ascending, 99, "ghi").await;
    check("", None, Order::Descending, 3, "ihg").await;
    check("c", Some("c"), Order::Ascending, 99, "c").await;
    check("f", Some("c"), Order::Ascending, 99, "").await;
    check("", None, Order::Ascending, 0, "").await;
}

async fn a_scan_stays_in_its_partition(it: Subject) {
    let partitions = ["p", "pa", "paa", "q", "pb"];
    it.write(partitions.iter().map(|partition| put(&key(PLAIN, partition, partition), "x", 1)).collect()).await;
    for partition in partitions {
        for order in [Order::Ascending, Order::Descending] {
            let scan = Scan { order, ..Scan::all(PLAIN, Bytes::from(partition), 99) };
            assert_eq!(it.sorts(scan).await, [partition.as_bytes()]);
        }
    }
}

async fn tables_do_not_mix(it: Subject) {
    let tables = [PLAIN, OTHER, SAME_NAME];
    for (n, table) in tables.iter().enumerate() {
        it.write(vec![put(&key(table, "tables", "a"), n.to_string(), 1)]).await;
    }
    for (n, table) in tables.iter().enumerate() {
        assert_eq!(it.value(&key(table, "tables", "a")).await, Some(Bytes::from(n.to_string())));
        assert_eq!(it.sorts(Scan::all(table, Bytes::from_static(b"tables"), 9)).await.len(), 1);
    }
}

async fn deleted_rows_do_not_count_in_a_scan(it: Subject) {
    it.write((0..20).map(|n| put(&key(PLAIN, "sparse", [n]), "x", 1)).collect()).await;
    it.write((0..20).filter(|n| n % 5 != 0).map(|n| delete(&key(PLAIN, "sparse", [n]), 2)).collect()).await;
    let scan = Scan::all(PLAIN, Bytes::from_static(b"sparse"), 3);
    assert_eq!(it.sorts(scan).await, [[0], [5], [10]]);
}

async fn limits_are_kept(it: Subject) {
    let long = "x".repeat(KEY_BYTES_MAX);
    let longest = key(PLAIN, &long, &long);
    it.write(vec![put(&longest, vec![7; VALUE_BYTES_MAX], 1)]).await;
    assert_eq!(it.value(&longest).await.map(|value| value.len()), Some(VALUE_BYTES_MAX));
    let longer = "x".repeat(KEY_BYTES_MAX + 1);
    for too_long in [key(PLAIN, &longer, "a"), key(PLAIN, "a", &longer)] {
        assert_eq!(failure(it.store.get(too_long.clone()).await), ErrorKind::Invalid);
        assert_eq!(failure(it.store.write(vec![put(&too_long, "x", 1)]).await), ErrorKind::Invalid);
        assert_eq!(failure(it.store.claim(put(&too_long, "x", 1)).await), ErrorKind::Invalid);
    }
    let good = key(PLAIN, "limits", "a");
    let too_high = put(&good, "x", VERSION_MAX + 1);
    assert_eq!(failure(it.store.write(vec![too_high.clone()]).await), ErrorKind::Invalid);
    assert_eq!(failure(it.store.claim(too_high).await), ErrorKind::Invalid);
    let too_large = put(&good, vec![7; VALUE_BYTES_MAX + 1], 2);
    let too_many = vec![put(&good, "x", 2); WRITES_MAX + 1];
    assert_eq!(failure(it.store.write(vec![put(&good, "x", 1), too_large]).await), ErrorKind::Invalid);
    assert_eq!(failure(it.store.write(too_many).await), ErrorKind::Invalid);
    assert_eq!(it.value(&good).await, None, "nothing of what was invalid was written");
}

async fn the_largest_batch_is_stored(it: Subject) {
    let sort = |n: usize| u32::try_from(n).expect("small").to_be_bytes();
    let writes = (0..WRITES_MAX).map(|n| put(&key(PLAIN, "largest batch", sort(n)), sort(n), 1));
    it.write(writes.collect()).await;
    let rows = it.store.scan(Scan::all(PLAIN, Bytes::from_static(b"largest batch"), usize::MAX)).await.expect("read");
    assert!(rows.len() == WRITES_MAX && rows.iter().all(|row| row.sort == row.value), "{} rows", rows.len());
}

async fn an_expired_row_is_as_never_written(it: Subject) {
    let keys = ["a", "b"].map(|sort| key(SHORT, "expired", sort));
    it.write(keys.iter().map(|key| put(key, "old", 9)).collect()).await;
    assert_eq!(it.value(&keys[0]).await.as_deref(), Some(&b"old"[..]));
    it.time.pass(SHORT_TTL + Duration::from_millis(500)).await;
    assert_eq!(it.get(&keys[0]).await, None);
    assert_eq!(it.sorts(Scan::all(SHORT, keys[0].partition.clone(), 9)).await, Vec::<Vec<u8>>::new());
    assert_eq!(it.store.claim(put(&keys[1], "mine", 10)).await.expect("claimed"), Claim::Won);
    assert_eq!(it.value(&keys[1]).await.as_deref(), Some(&b"mine"[..]));
}

async fn a_claim_is_won_once(it: Subject) {
    let key = key(PLAIN, "claim", "a");
    let claims = (0..16_u64).map(|n| {
        let (it, key) = (it.clone(), key.clone());
        tokio::spawn(async move { (n, it.claim(put(&key, n.to_string(), 1)).await) })
    });
    let mut winners = Vec::new();
    let mut shown = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        match claim.await.expect("it does not panic") {
            (n, Claim::Won) => winners.push(Bytes::from(n.to_string())),
            (_, Claim::Taken(row)) => shown.push(row.value),
        }
    }
    assert_eq!(winners.len(), 1);
    assert!(shown.iter().all(|value| *value == winners[0]), "{shown:?} but {winners:?} won");
    assert_eq!(it.value(&key).await.as_ref(), winners.first());
}

async fn a_claim_shows_who_has_it(it: Subject) {
    let key = key(PLAIN, "claimed", "a");
    it.write(vec![put(&key, "first", 1)]).await;
    match it.store.claim(put(&key, "second", 2)).await.expect("claimed") {
        Claim::Taken(row) => assert_eq!((&row.sort[..], &row.value[..], row.version), (&b"a"[..], &b"first"[..], 1)),
        Claim::Won => panic!("it was taken"),
    }
    assert_eq!(it.value(&key).await.as_deref(), Some(&b"first"[..]));
}

async fn a_deleted_row_can_be_claimed_again(it: Subject) {
    let key = key(PLAIN, "claimed again", "a");
    it.write(vec![put(&key, "first", 1), delete(&key, 5)]).await;
    assert_eq!(it.store.claim(put(&key, "second", 2)).await.expect("claimed"), Claim::Won);
    assert_eq!(it.value(&key).await.as_deref(), Some(&b"second"[..]), "whoever wins a claim has the row");
}

async fn what_is_flushed_stays(it: Subject) {
    let key = key(PLAIN, "flushed", "a");
    it.store.flush().await.expect("nothing to flush");
    it.write(vec![put(&key, "x", 1)]).await;
    let flushes = (0..8).map(|_| {
        let it = it.clone();
        tokio::spawn(async move { it.store.flush().await })
    });
    for flush in flushes.collect::<Vec<_>>() {
        flush.await.expect("it does not panic").expect("flushed");
    }
    assert!(it.get(&key).await.is_some());
}

/// An engine under random operations.
#[async_trait]
pub trait Harness: Send {
    /// Closes the store, or kills it, and opens it again: everything that a write returned for must still be there.
    async fn reopen(&mut self) -> Arc<dyn Store>;
}

/// What happens to a store.
#[derive(Clone, Debug)]
pub enum Op {
    /// Writes a batch.
    Write(Vec<Write>),
    /// Claims a row.
    Claim(Write),
    /// Flushes.
    Flush,
    /// Reads a row.
    Get(Key),
    /// Reads a range.
    Scan(Scan),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// See [`Harness::reopen`].
    Reopen,
}

/// Random operations on few rows, so that they meet.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let table = prop_oneof![Just(PLAIN), Just(OTHER), Just(SAME_NAME), Just(SHORT)];
    const PARTS: &[&[u8]] = &[b"a", b"aa", b"b", b"a\0", b"\xff"];
    let part = || select(PARTS).prop_map(Bytes::from_static);
    let key = (table.clone(), part(), part()).prop_map(|(table, partition, sort)| Key { table, partition, sort });
    let value = proptest::option::weighted(0.8, vec(any::<u8>(), 0..3).prop_map(Bytes::from));
    let write = (key.clone(), value, 0..6_u64).prop_map(|(key, value, version)| Write { key, value, version });
    let claim = write.clone().prop_map(|write| Write { value: Some(write.value.unwrap_or_default()), ..write });
    let order = prop_oneof![Just(Order::Ascending), Just(Order::Descending)];
    let scan = (table, part(), proptest::option::of(part()), proptest::option::of(part()), order, 0..4_usize).prop_map(
        |(table, partition, from, to, order, limit)| Scan {
            table,
            partition,
            from: from.unwrap_or_default(),
            to,
            order,
            limit,
        },
    );
    let op = prop_oneof![
        8 => vec(write, 0..5).prop_map(Op::Write),
        2 => claim.prop_map(Op::Claim),
        1 => Just(Op::Flush),
        4 => key.prop_map(Op::Get),
        4 => scan.prop_map(Op::Scan),
        1 => (0..1_500_u64).prop_map(Op::Pass),
        1 => Just(Op::Reopen),
    ];
    vec(op, 1..60)
}

/// Does the same to an engine and to the one in memory: both must answer the same.
pub async fn check(harness: &mut dyn Harness, clock: Arc<ManualClock>, ops: Vec<Op>) {
    let oracle = memory::Store::new(clock.clone());
    let mut store = harness.reopen().await;
    for op in ops {
        let told = format!("{op:?}");
        match op {
            Op::Write(writes) => {
                oracle.write(writes.clone()).await.expect("written");
                store.write(writes).await.expect("written");
            }
            Op::Claim(write) => {
                let wanted = oracle.claim(write.clone()).await.expect("claimed");
                assert_eq!(store.claim(write).await.expect("claimed"), wanted, "{told}");
            }
            Op::Flush => store.flush().await.expect("flushed"),
            Op::Get(key) => {
                let wanted = oracle.get(key.clone()).await.expect("read");
                assert_eq!(store.get(key).await.expect("read"), wanted, "{told}");
            }
            Op::Scan(scan) => {
                let wanted = oracle.scan(scan.clone()).await.expect("read");
                assert_eq!(store.scan(scan).await.expect("read"), wanted, "{told}");
            }
            Op::Pass(ms) => clock.advance(Duration::from_millis(ms)),
            Op::Reopen => {
                drop(store);
                store = harness.reopen().await;
            }
        }
    }
}
