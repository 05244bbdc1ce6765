//! Rows in a sorted map, and what to put back if the power goes.

use super::ENGINE;
use crate::limits::{check_key, check_key_part, check_writes};
use crate::{Claim, Clock, Key, Order, Result, Row, Scan, Table, Write};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A [`crate::Store`] in memory.
///
/// Deleted rows stay as tombstones, so that their version still holds off older writes. An expired row is as if it had
/// never been written.
pub struct Store {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Key, Cell>,
    /// One batch per partition of a write that is not flushed yet, oldest first: what each of its rows was before.
    unsynced: Vec<Vec<(Key, Option<Cell>)>>,
}

#[derive(Clone)]
struct Cell {
    version: u64,
    /// None is a tombstone.
    value: Option<Bytes>,
    expires_us: Option<u64>,
}

impl Cell {
    fn is_expired(&self, now_us: u64) -> bool {
        self.expires_us.is_some_and(|expires_us| expires_us <= now_us)
    }

    /// The order of writes of one row: the greatest stays. A deletion wins over a value, the bytewise greater value over
    /// the smaller, and of the same write the one that lives longer.
    fn rank(&self) -> (u64, bool, Option<&Bytes>, Option<u64>) {
        (self.version, self.value.is_none(), self.value.as_ref(), self.expires_us)
    }

    fn row(&self, sort: &Bytes, now_us: u64) -> Option<Row> {
        let value = self.value.clone().filter(|_| !self.is_expired(now_us))?;
        Some(Row { sort: sort.clone(), value, version: self.version })
    }
}

fn expires_us(table: &Table, now_us: u64) -> Option<u64> {
    let ttl_us = u64::try_from(table.ttl?.as_micros()).unwrap_or(u64::MAX);
    Some(now_us.saturating_add(ttl_us))
}

impl State {
    fn apply(&mut self, write: Write, now_us: u64) -> Option<(Key, Option<Cell>)> {
        // A tombstone does not expire: its version must hold off writes that are late.
        let expires_us = write.value.as_ref().and_then(|_| expires_us(write.key.table, now_us));
        let cell = Cell { version: write.version, value: write.value, expires_us };
        let before = self.rows.get(&write.key);
        match before {
            Some(before) if !before.is_expired(now_us) && before.rank() >= cell.rank() => None,
            _ => {
                let before = self.rows.insert(write.key.clone(), cell);
                Some((write.key, before))
            }
        }
    }
}

impl Store {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// How many batches a power loss could take now. A batch is what one write made of one partition.
    pub fn unsynced(&self) -> usize {
        self.state.lock().unsynced.len()
    }

    /// Loses power: keeps what was flushed and the first `kept` of the unsynced batches, and forgets the rest.
    pub fn crash(&self, kept: usize) {
        let mut state = self.state.lock();
        let keep = kept.min(state.unsynced.len());
        for (key, before) in state.unsynced.split_off(keep).into_iter().rev().flat_map(|batch| batch.into_iter().rev())
        {
            match before {
                Some(cell) => state.rows.insert(key, cell),
                None => state.rows.remove(&key),
            };
        }
        state.unsynced.clear();
    }
}

#[async_trait]
impl crate::Store for Store {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        check_key(ENGINE, "get", &key)?;
        let now_us = self.clock.now_us();
        Ok(self.state.lock().rows.get(&key).and_then(|cell| cell.row(&key.sort, now_us)))
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        check_key_part(ENGINE, "scan", "partition", &scan.partition)?;
        let now_us = self.clock.now_us();
        let state = self.state.lock();
        let start = Key { table: scan.table, partition: scan.partition.clone(), sort: scan.from.clone() };
        let rows = || {
            let in_partition = |key: &Key| key.table == scan.table && key.partition == scan.partition;
            let in_range = |key: &Key| scan.to.as_ref().is_none_or(|to| key.sort <= *to);
            let cells = state.rows.range(&start..).take_while(move |(key, _)| in_partition(key) && in_range(key));
            cells.filter_map(|(key, cell)| cell.row(&key.sort, now_us))
        };
        Ok(match scan.order {
            Order::Ascending => rows().take(scan.limit).collect(),
            Order::Descending => {
                let mut all: Vec<Row> = rows().collect();
                all.reverse();
                all.truncate(scan.limit);
                all
            }
        })
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        check_writes(ENGINE, "write", &writes)?;
        let now_us = self.clock.now_us();
        let mut batches: BTreeMap<(&'static Table, Bytes), Vec<Write>> = BTreeMap::new();
        for write in writes {
            batches.entry((write.key.table, write.key.partition.clone())).or_default().push(write);
        }
        let mut state = self.state.lock();
        for batch in batches.into_values() {
            let undo: Vec<_> = batch.into_iter().filter_map(|write| state.apply(write, now_us)).collect();
            if !undo.is_empty() {
                state.unsynced.push(undo);
            }
        }
        Ok(())
    }

    async fn claim(&self, mut write: Write) -> Result<Claim> {
        check_writes(ENGINE, "claim", std::slice::from_ref(&write))?;
        let now_us = self.clock.now_us();
        let mut state = self.state.lock();
        if let Some(cell) = state.rows.get(&write.key) {
            if let Some(row) = cell.row(&write.key.sort, now_us) {
                return Ok(Claim::Taken(row));
            }
            if !cell.is_expired(now_us) {
                // Won over a tombstone: it must be visible.
                write.version = write.version.max(cell.version.saturating_add(1));
            }
        }
        state.apply(write, now_us);
        state.unsynced.clear();
        Ok(Claim::Won)
    }

    async fn flush(&self) -> Result<()> {
        self.state.lock().unsynced.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ManualClock;
    use crate::{Database, Store as _, Tuning};

    const TABLE: &Table = &Table { name: "things", database: Database::Messages, ttl: None, tuning: Tuning::DEFAULT };

    fn write(partition: &'static str, sort: &'static str, value: &'static str, version: u64) -> Write {
        let key = Key { table: TABLE, partition: Bytes::from(partition), sort: Bytes::from(sort) };
        Write { key, value: Some(Bytes::from(value)), version }
    }

    async fn value(store: &Store, sort: &'static str) -> Option<Bytes> {
        let key = write("p", sort, "", 0).key;
        store.get(key).await.expect("memory does not fail").map(|row| row.value)
    }

    #[tokio::test]
    async fn a_crash_keeps_what_was_flushed_and_a_prefix_of_the_rest() {
        let store = Store::new(Arc::new(ManualClock::new(0)));
        store.write(vec![write("p", "a", "1", 1)]).await.expect("written");
        store.flush().await.expect("flushed");
        for version in 2..5 {
            store.write(vec![write("p", "a", "2", version)]).await.expect("written");
        }
        store.write(vec![write("p", "b", "3", 1)]).await.expect("written");
        assert_eq!(store.unsynced(), 4);
        store.crash(1);
        assert_eq!(value(&store, "a").await.as_deref(), Some(&b"2"[..]));
        assert_eq!(value(&store, "b").await, None);
        store.write(vec![write("p", "a", "3", 9)]).await.expect("written");
        store.crash(0);
        assert_eq!(value(&store, "a").await.as_deref(), Some(&b"2"[..]), "what survived a crash is synced");
    }

    #[tokio::test]
    async fn a_crash_never_splits_a_partition_but_may_split_a_write() {
        let store = Store::new(Arc::new(ManualClock::new(0)));
        let writes = vec![write("p", "a", "1", 1), write("q", "a", "1", 1), write("p", "b", "1", 1)];
        store.write(writes).await.expect("written");
        assert_eq!(store.unsynced(), 2);
        store.crash(1);
        assert!(value(&store, "a").await.is_some() && value(&store, "b").await.is_some());
        let other = store.get(write("q", "a", "", 0).key).await.expect("memory does not fail");
        assert_eq!(other, None);
    }
}
