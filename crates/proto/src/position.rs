//! Where things are: sequence numbers of a conversation, positions of the bus, shards.

use crate::ConversationId;
use std::fmt;

/// The place of an entry in its conversation's log, from 1. A receipt is a seq too: "up to here".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a record in its shard of the bus. Increases within a shard, with gaps. The upper 16 bits are the
/// epoch, which rises when a log is lost, moved to another region or re-sharded; the lower 48 the offset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    /// Before the first record of any epoch.
    pub const ZERO: Self = Self(0);
    const OFFSET_BITS: u32 = 48;

    /// The position of an offset in an epoch.
    ///
    /// # Panics
    /// When the offset needs more than 48 bits: at a million records a second that takes nine years.
    pub fn new(epoch: u16, offset: u64) -> Self {
        assert!(offset >> Self::OFFSET_BITS == 0, "offset {offset} is beyond 48 bits");
        Self(u64::from(epoch) << Self::OFFSET_BITS | offset)
    }

    /// The position with this packed form.
    pub const fn from_u64(packed: u64) -> Self {
        Self(packed)
    }

    /// Packed in 64 bits, in the same order.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The epoch.
    pub const fn epoch(self) -> u16 {
        (self.0 >> Self::OFFSET_BITS) as u16
    }

    /// The offset in the epoch.
    pub const fn offset(self) -> u64 {
        self.0 & ((1 << Self::OFFSET_BITS) - 1)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch(), self.offset())
    }
}

/// A part of the bus with an order of its own, consumed by one dispatcher at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Shard(pub u32);

impl Shard {
    /// The shard of a conversation. Their number is fixed when a cluster is born.
    pub fn of(conversation: ConversationId, shards: u32) -> Self {
        // Conversation ids are hashes or hashed here: a UUID's first bytes are its time.
        let hash = blake3::hash(conversation.as_bytes());
        let mut head = [0; 8];
        head.copy_from_slice(&hash.as_bytes()[..8]);
        Self((u64::from_be_bytes(head) % u64::from(shards.max(1))) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_order_by_epoch_then_offset() {
        assert!(Position::new(1, u64::MAX >> 16) < Position::new(2, 0));
        let position = Position::new(3, 77);
        assert_eq!((position.epoch(), position.offset()), (3, 77));
        assert_eq!(Position::from_u64(position.as_u64()), position);
    }

    #[test]
    fn conversations_spread_over_shards() {
        let mut hits = [0; 16];
        for n in 0..1_600_u16 {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            hits[Shard::of(ConversationId::new(id), 16).0 as usize] += 1;
        }
        assert!(hits.iter().all(|&n| (50..200).contains(&n)), "{hits:?}");
    }
}
