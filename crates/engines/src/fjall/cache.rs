//! Rows in memory, as they are in the tree: for who asks for the same rows again and again, and for the writer, which compares
//! the version of a row before it writes it. What is held is exact; also that there is no such row.
//!
//! Rows get in from the second time on that they are asked for or written: most (messages) are written once, and would only
//! push those out that matter (heads, inboxes, watermarks, blocks).
//!
//! While a group is written, its rows are not held and nobody may bring them back, so readers find them in the tree: before the
//! batch all as they were, behind it all as they are. The shard of such a row is closed meanwhile ([`Cache::close`]).

use super::row::{Cell, Slot};
use fjall::UserKey;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// Locks over which rows are spread.
const SHARDS: usize = 64;
/// What a row in memory costs beside the bytes of its key and value, roughly.
const ROW_OVERHEAD_BYTES: usize = 160;
/// Rows of a shard of which it is noted that they were asked for, roughly, before that is forgotten.
const ASKED_BITS: usize = 4_096;

/// The rows of both databases that were of use last, as far as there is room.
pub(super) struct Cache {
    shards: Box<[Mutex<Shard>]>,
}

struct Shard {
    /// What was of use since the last turn, and what was before that and not since: forgotten with the next.
    young: Rows,
    old: Rows,
    young_bytes: usize,
    generation_bytes_max: usize,
    /// Rises with every group that writes to the shard; odd while it does.
    group: u64,
    asked: [u64; ASKED_BITS / 64],
    asked_count: usize,
}

type Rows = HashMap<Slot, Option<Cell>>;

/// What to tell the cache of a row that it does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Absent {
    hash: u64,
    group: u64,
}

impl Cache {
    /// An empty one that takes about so many bytes at most.
    pub(super) fn new(bytes_max: usize) -> Self {
        let shard = || Shard {
            young: Rows::new(),
            old: Rows::new(),
            young_bytes: 0,
            generation_bytes_max: bytes_max / 2 / SHARDS,
            group: 0,
            asked: [0; ASKED_BITS / 64],
            asked_count: 0,
        };
        Self { shards: std::iter::repeat_with(|| Mutex::new(shard())).take(SHARDS).collect() }
    }

    /// The row, if it is known whether there is one; otherwise what [`Self::fill`] has to be told with what the tree says.
    pub(super) fn get(&self, slot: &Slot) -> Result<Option<Cell>, Absent> {
        let hash = hash(slot);
        let mut shard = self.shard(hash);
        match shard.get(slot) {
            Some(row) => Ok(row),
            None => Err(Absent { hash, group: shard.group }),
        }
    }

    /// What a reader found in the tree after [`Self::get`]. Forgotten where the row may have changed meanwhile, and where it is
    /// asked for the first time.
    pub(super) fn fill(&self, absent: Absent, slot: Slot, row: Option<Cell>) {
        let mut shard = self.shard(absent.hash);
        if shard.group == absent.group && absent.group.is_multiple_of(2) && shard.was_asked(absent.hash) {
            shard.put(slot, row);
        }
    }

    /// A row is about to be written.
    pub(super) fn close(&self, slot: &Slot) {
        let mut shard = self.shard(hash(slot));
        shard.remove(slot);
        // To an odd number, whatever it was.
        shard.group = (shard.group + 1) | 1;
    }

    /// It was written; `row` is what it is now, if it is to be held. Its shard is open for readers again: whoever reads the tree
    /// from now on finds the whole group.
    pub(super) fn open(&self, slot: Slot, row: Option<Cell>) {
        let mut shard = self.shard(hash(&slot));
        shard.group = (shard.group | 1) + 1;
        if row.is_some() {
            shard.put(slot, row);
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The lower bits are for what was asked.
        self.shards[(hash >> 32) as usize % SHARDS].lock()
    }
}

fn hash((database, key): &Slot) -> u64 {
    xxh3_64(key) ^ (*database as u64)
}

impl Shard {
    fn get(&mut self, slot: &Slot) -> Option<Option<Cell>> {
        if let Some(row) = self.young.get(slot) {
            return Some(row.clone());
        }
        let (slot, row) = self.old.remove_entry(slot)?;
        self.put(slot, row.clone());
        Some(row)
    }

    fn put(&mut self, slot: Slot, row: Option<Cell>) {
        let bytes = cost(&slot.1, &row);
        if let Some(before) = self.young.insert(slot.clone(), row) {
            self.young_bytes -= cost(&slot.1, &before);
        }
        self.young_bytes += bytes;
        if self.young_bytes > self.generation_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    fn remove(&mut self, slot: &Slot) {
        if let Some(row) = self.young.remove(slot) {
            self.young_bytes -= cost(&slot.1, &row);
        }
        self.old.remove(slot);
    }

    /// Whether the row with this hash, or one that looks alike, was asked for before. From now on it was.
    fn was_asked(&mut self, hash: u64) -> bool {
        let bit = hash as usize % ASKED_BITS;
        let word = &mut self.asked[bit / 64];
        let was_asked = *word & (1 << (bit % 64)) != 0;
        if !was_asked {
            *word |= 1 << (bit % 64);
            self.asked_count += 1;
            if self.asked_count > ASKED_BITS / 4 {
                (self.asked, self.asked_count) = ([0; ASKED_BITS / 64], 0);
            }
        }
        was_asked
    }
}

fn cost(key: &UserKey, row: &Option<Cell>) -> usize {
    let value = row.as_ref().and_then(|cell| cell.value.as_ref());
    ROW_OVERHEAD_BYTES + key.len() + value.map_or(0, bytes::Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hudhud_ports::Database;

    fn slot(n: u32) -> Slot {
        (Database::Messages, UserKey::from(n.to_be_bytes().as_slice()))
    }

    fn row(version: u64) -> Option<Cell> {
        Some(Cell { version, expires_us: None, value: Some(Bytes::from_static(b"value")) })
    }

    fn held(cache: &Cache, n: u32) -> Option<Option<Cell>> {
        cache.get(&slot(n)).ok()
    }

    /// Asks twice, as it takes to be kept.
    fn read(cache: &Cache, n: u32, row: &Option<Cell>) {
        for _ in 0..2 {
            if let Err(absent) = cache.get(&slot(n)) {
                cache.fill(absent, slot(n), row.clone());
            }
        }
    }

    #[test]
    fn what_is_asked_for_twice_is_held_also_that_it_is_not_there() {
        let cache = Cache::new(1 << 20);
        let absent = cache.get(&slot(1)).expect_err("not held");
        cache.fill(absent, slot(1), row(1));
        assert_eq!(held(&cache, 1), None, "asked for once");
        read(&cache, 1, &row(1));
        read(&cache, 2, &None);
        assert_eq!((held(&cache, 1), held(&cache, 2)), (Some(row(1)), Some(None)));
        let (_, key) = slot(1);
        assert!(cache.get(&(Database::Directory, key)).is_err(), "the other database's");
    }

    /// A reader that looked into the tree before a group, and tells what it saw while or after it is written.
    #[test]
    fn what_was_read_before_a_group_is_not_held_after_it() {
        let cache = Cache::new(1 << 20);
        read(&cache, 1, &row(1));
        let before = cache.get(&slot(2)).expect_err("not held");
        cache.close(&slot(1));
        cache.close(&slot(2));
        assert_eq!(held(&cache, 1), None, "the tree knows");
        let meanwhile = cache.get(&slot(1)).expect_err("not held");
        for _ in 0..3 {
            cache.fill(meanwhile, slot(1), row(1));
            cache.fill(before, slot(2), None);
        }
        assert_eq!((held(&cache, 1), held(&cache, 2)), (None, None));
        cache.open(slot(1), row(2));
        cache.open(slot(2), None);
        for _ in 0..3 {
            cache.fill(meanwhile, slot(1), row(1));
            cache.fill(before, slot(2), None);
        }
        assert_eq!((held(&cache, 1), held(&cache, 2)), (Some(row(2)), None));
        read(&cache, 2, &row(7));
        assert_eq!(held(&cache, 2), Some(row(7)), "the shard is open again");
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let room = 64;
        let cache = Cache::new(SHARDS * room * (ROW_OVERHEAD_BYTES + 9));
        for n in 0..100_000 {
            cache.close(&slot(n));
            cache.open(slot(n), row(1));
            cache.close(&slot(0));
            cache.open(slot(0), row(n.into()));
        }
        let held: usize = cache.shards.iter().map(|shard| shard.lock()).map(|s| s.young.len() + s.old.len()).sum();
        assert!((SHARDS * room / 3..=SHARDS * room).contains(&held), "{held} rows");
        assert_eq!(cache.get(&slot(0)), Ok(row(99_999)));
    }
}
