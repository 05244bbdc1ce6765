//! What of the log is not committed at one moment. It can be read for as long as it is held, whatever the log goes on to do: it
//! holds the segments' files open, and what is written in a segment never changes.

use super::consumer::read;
use super::index::{Index, Place};
use bytes::Bytes;
use hudhud_ports::Result;
use hudhud_proto::{Position, Shard};

/// Records that are read from disk at once.
const READ_RECORDS_MAX: usize = 256;

/// Records that are not committed, and how far each shard is.
pub struct Tail {
    /// The log's epoch.
    pub epoch: u16,
    /// The offset of the next record at that moment.
    pub next: u64,
    /// The offset up to which each shard is committed.
    pub committed: Vec<u64>,
    shards: Vec<Shard>,
    places: Vec<Place>,
}

impl Tail {
    pub(super) fn of(index: &Index, epoch: u16) -> Self {
        let (shards, places) = index.uncommitted().into_iter().unzip();
        Self { epoch, next: index.next(), committed: index.all_committed(), shards, places }
    }

    /// Its records, shard by shard, each in order, with their positions. Reads the disk.
    ///
    /// # Errors
    /// `Corrupt` where a record is not as it was written.
    pub fn records(&self) -> impl Iterator<Item = Result<(Shard, Position, Bytes)>> + '_ {
        let chunks = self.shards.chunks(READ_RECORDS_MAX).zip(self.places.chunks(READ_RECORDS_MAX));
        chunks.flat_map(|(shards, places)| {
            let (records, failed) = match read(places) {
                Ok(records) => (records, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            let record = |(shard, (offset, bytes))| Ok((shard, Position::new(self.epoch, offset), bytes));
            shards.iter().copied().zip(records).map(record).chain(failed)
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
