//! Where the records that are not committed are, and those of them that are kept in memory until they are consumed.

use super::BusOptions;
use super::frame::HEADER_BYTES;
use super::segment::Segment;
use bytes::Bytes;
use hudhud_proto::Shard;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a record in memory costs beside its bytes, roughly.
const UNREAD_OVERHEAD_BYTES: usize = 64;

/// The index of a log. Offsets are those of one epoch.
pub(super) struct Index {
    shards: Vec<ShardIndex>,
    /// All that are on disk, oldest first.
    segments: VecDeque<Arc<Segment>>,
    /// The offset of the next record.
    next: u64,
    /// Of records that are not committed, and of those that wait to be written.
    backlog_bytes: u64,
    backlog_bytes_max: u64,
    /// Each shard's part of what may be in memory.
    unread_bytes_max: usize,
}

#[derive(Default)]
struct ShardIndex {
    /// Those that are not committed, in order.
    entries: VecDeque<Entry>,
    /// Some of those that were not read yet, in order.
    unread: VecDeque<(u64, Bytes)>,
    unread_bytes: usize,
    /// The offset up to which everything is committed.
    committed: u64,
}

/// Sixteen bytes per record that is not committed.
struct Entry {
    offset: u64,
    /// The byte of its segment where its frame begins.
    at: u32,
    /// Of the record, without its header.
    bytes: u32,
}

/// Records that are next for a consumer.
pub(super) enum Next {
    /// These, with their offsets.
    Records(Vec<(u64, Bytes)>),
    /// Not in memory: these are to be read from disk. None at all if there is no record.
    OnDisk(Vec<Place>),
}

/// Where a record is on disk.
pub(super) struct Place {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    pub(super) at: u64,
    pub(super) frame_bytes: usize,
}

fn unread_cost(record: &Bytes) -> usize {
    record.len() + UNREAD_OVERHEAD_BYTES
}

impl ShardIndex {
    /// Forgets what is in memory of the records before this offset.
    fn forget_unread_before(&mut self, offset: u64) {
        while let Some((first, record)) = self.unread.front()
            && *first < offset
        {
            self.unread_bytes -= unread_cost(record);
            self.unread.pop_front();
        }
    }

    fn take_unread(&mut self, offset: u64) -> Option<Bytes> {
        self.forget_unread_before(offset);
        if self.unread.front()?.0 != offset {
            return None;
        }
        let (_, record) = self.unread.pop_front()?;
        self.unread_bytes -= unread_cost(&record);
        Some(record)
    }
}

impl Index {
    /// Of an empty log, whose shards are committed up to these offsets.
    pub(super) fn new(options: &BusOptions, committed: Vec<u64>) -> Self {
        let unread_bytes_max = options.unread_bytes_max / u64::from(options.shards.max(1));
        Self {
            shards: committed.into_iter().map(|committed| ShardIndex { committed, ..ShardIndex::default() }).collect(),
            segments: VecDeque::new(),
            next: 1,
            backlog_bytes: 0,
            backlog_bytes_max: options.backlog_bytes_max,
            unread_bytes_max: usize::try_from(unread_bytes_max).unwrap_or(usize::MAX),
        }
    }

    /// Adds so many bytes, frames included, to the backlog, if it has not reached its limit.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        let has_room = self.backlog_bytes < self.backlog_bytes_max;
        if has_room {
            self.backlog_bytes += bytes;
        }
        has_room
    }

    /// Takes back what was reserved but not written.
    pub(super) fn release(&mut self, bytes: u64) {
        self.backlog_bytes -= bytes;
    }

    /// The next record, whose bytes were reserved: where it is, and itself if it may stay in memory.
    pub(super) fn push(&mut self, shard: Shard, at: u64, bytes: u32, record: Option<Bytes>) {
        let offset = self.next;
        self.next += 1;
        let shard = &mut self.shards[shard.0 as usize];
        if let Some(record) = record.filter(|record| shard.unread_bytes + unread_cost(record) <= self.unread_bytes_max)
        {
            shard.unread_bytes += unread_cost(&record);
            shard.unread.push_back((offset, record));
        }
        shard.entries.push_back(Entry { offset, at: u32::try_from(at).expect("segments are below 4 GiB"), bytes });
    }

    /// The next record, found on disk: part of the backlog unless it is committed.
    pub(super) fn push_recovered(&mut self, shard: Shard, at: u64, bytes: u32) {
        if self.next <= self.committed(shard) {
            self.next += 1;
        } else {
            self.backlog_bytes += HEADER_BYTES as u64 + u64::from(bytes);
            self.push(shard, at, bytes, None);
        }
    }

    /// The log goes on in a segment, which takes the place of the last one if that is empty.
    pub(super) fn add_segment(&mut self, segment: Arc<Segment>) {
        if self.segments.back().is_some_and(|last| last.first == segment.first) {
            self.segments.pop_back();
        }
        self.next = segment.first;
        self.segments.push_back(segment);
    }

    /// What all segments take on disk.
    pub(super) fn log_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The offset of the next record: everything before it is synced.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The offset that the oldest segment begins with.
    pub(super) fn first(&self) -> Option<u64> {
        self.segments.front().map(|segment| segment.first)
    }

    /// The offset up to which a shard is committed.
    pub(super) fn committed(&self, shard: Shard) -> u64 {
        self.shards[shard.0 as usize].committed
    }

    /// The same of all shards.
    pub(super) fn all_committed(&self) -> Vec<u64> {
        self.shards.iter().map(|shard| shard.committed).collect()
    }

    /// Commits a shard up to this offset.
    pub(super) fn commit(&mut self, shard: Shard, offset: u64) {
        let shard = &mut self.shards[shard.0 as usize];
        shard.committed = shard.committed.max(offset);
        while let Some(first) = shard.entries.front()
            && first.offset <= offset
        {
            self.backlog_bytes -= HEADER_BYTES as u64 + u64::from(first.bytes);
            shard.entries.pop_front();
        }
        shard.forget_unread_before(offset + 1);
    }

    /// Up to `max` records behind this offset, all in memory or all on disk, and of those so many bytes at most (but one
    /// record at least).
    pub(super) fn after(&mut self, shard: Shard, read: u64, max: usize, disk_bytes_max: usize) -> Next {
        let shard = &mut self.shards[shard.0 as usize];
        let first = shard.entries.partition_point(|entry| entry.offset <= read);
        let mut records = Vec::new();
        let wanted: Vec<(u64, u32, usize)> = {
            let frames = |entry: &Entry| (entry.offset, entry.at, HEADER_BYTES + entry.bytes as usize);
            shard.entries.range(first..).take(max).map(frames).collect()
        };
        for (offset, ..) in &wanted {
            let Some(record) = shard.take_unread(*offset) else { break };
            records.push((*offset, record));
        }
        if !records.is_empty() {
            return Next::Records(records);
        }
        let mut bytes = 0;
        let mut places = Vec::new();
        let in_memory_from = shard.unread.front().map_or(u64::MAX, |(offset, _)| *offset);
        for (offset, at, frame_bytes) in wanted.into_iter().take_while(|(offset, ..)| *offset < in_memory_from) {
            bytes += frame_bytes;
            if bytes > disk_bytes_max && !places.is_empty() {
                break;
            }
            let segment = self.segments.partition_point(|segment| segment.first <= offset) - 1;
            places.push(Place { segment: self.segments[segment].clone(), offset, at: u64::from(at), frame_bytes });
        }
        Next::OnDisk(places)
    }

    /// Where every record is that is not committed, shard by shard, each in order.
    pub(super) fn uncommitted(&self) -> Vec<(Shard, Place)> {
        let mut places = Vec::new();
        for (shard, number) in self.shards.iter().zip(0..) {
            places.extend(shard.entries.iter().map(|entry| (Shard(number), self.place(entry))));
        }
        places
    }

    fn place(&self, entry: &Entry) -> Place {
        let segment = self.segments.partition_point(|segment| segment.first <= entry.offset) - 1;
        let frame_bytes = HEADER_BYTES + entry.bytes as usize;
        Place { segment: self.segments[segment].clone(), offset: entry.offset, at: u64::from(entry.at), frame_bytes }
    }

    /// Takes out the segments in which everything is committed; never the last one.
    pub(super) fn take_committed_segments(&mut self) -> Vec<Arc<Segment>> {
        let first_uncommitted =
            self.shards.iter().filter_map(|shard| shard.entries.front()).map(|entry| entry.offset).min();
        let needed = first_uncommitted.unwrap_or(self.next);
        let mut taken = Vec::new();
        while self.segments.get(1).is_some_and(|second| second.first <= needed) {
            taken.extend(self.segments.pop_front());
        }
        taken
    }
}
