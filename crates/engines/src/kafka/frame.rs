//! How the records of one append are one record of Kafka, and where each of them is.
//!
//! A value is: the version of this format (1), the number of records (2), the length of each (4), the records. So an append is there
//! as a whole or not at all, and nothing comes between its records.
//!
//! A position's offset is 4,096 times Kafka's, plus a place that counts so that the last record of every append has 4,095: from a
//! position alone it is known how many records of its append are behind it. That leaves 36 bits for Kafka's offset: 2.2 years at a
//! thousand appends a second to one shard. A new epoch begins from zero.

use super::ENGINE;
use bytes::{BufMut, Bytes, BytesMut};
use hudhud_ports::limits::{APPEND_BYTES_MAX, RECORDS_MAX};
use hudhud_ports::{Error, ErrorKind, Result};
use hudhud_proto::Position;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 3;
const LENGTH_BYTES: usize = 4;
/// Places of one append.
const PLACES: u64 = 4_096;
/// Appends of one shard in one epoch.
const OFFSETS_MAX: u64 = 1 << 36;
const _: () = assert!(RECORDS_MAX as u64 == PLACES && OFFSETS_MAX * PLACES == 1 << 48);

/// The largest value.
pub(super) const VALUE_BYTES_MAX: usize = HEAD_BYTES + RECORDS_MAX * LENGTH_BYTES + APPEND_BYTES_MAX;

/// As one value. The records keep to the port's limits.
pub(super) fn encode(records: &[Bytes]) -> Bytes {
    let bytes: usize = records.iter().map(Bytes::len).sum();
    let mut value = BytesMut::with_capacity(HEAD_BYTES + records.len() * LENGTH_BYTES + bytes);
    value.put_u8(VERSION);
    value.put_u16(u16::try_from(records.len()).expect("at most 4,096"));
    for record in records {
        value.put_u32(u32::try_from(record.len()).expect("at most 1 MiB"));
    }
    records.iter().for_each(|record| value.put_slice(record));
    value.freeze()
}

/// The records of a value; none where it is not one of ours.
pub(super) fn decode(value: &Bytes) -> Option<Vec<Bytes>> {
    let head: [u8; HEAD_BYTES] = value.get(..HEAD_BYTES)?.try_into().ok()?;
    let count = usize::from(u16::from_be_bytes([head[1], head[2]]));
    if head[0] != VERSION || !(1..=RECORDS_MAX).contains(&count) {
        return None;
    }
    let mut at = HEAD_BYTES + count * LENGTH_BYTES;
    let lengths = value.get(HEAD_BYTES..at)?;
    let mut records = Vec::with_capacity(count);
    for length in lengths.chunks_exact(LENGTH_BYTES) {
        let length = u32::from_be_bytes(length.try_into().expect("as many as that"));
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        if end > value.len() {
            return None;
        }
        records.push(value.slice(at..end));
        at = end;
    }
    (at == value.len()).then_some(records)
}

/// Where the records of an append are.
///
/// # Errors
/// When the epoch is used up.
pub(super) fn positions(epoch: u16, offset: u64, count: usize) -> Result<impl Iterator<Item = Position>> {
    if offset >= OFFSETS_MAX {
        let cause = format!("Kafka's offset {offset} is beyond what an epoch can have: raise the epoch in the URL");
        return Err(Error::new(ErrorKind::Fatal, ENGINE, "append").because(cause));
    }
    let first = PLACES - count as u64;
    Ok((first..PLACES).map(move |place| Position::new(epoch, offset * PLACES + place)))
}

/// The position of the last record before an offset of Kafka.
pub(super) fn before(epoch: u16, offset: u64) -> Position {
    Position::new(epoch, (offset.min(OFFSETS_MAX) * PLACES).saturating_sub(1))
}

/// How far a shard is committed, as Kafka keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    /// Kafka's offset of what is next.
    pub(super) offset: u64,
    /// How many of that append's records, the last ones, are to be consumed; none where all are.
    pub(super) unread: Option<u16>,
}

impl Mark {
    /// Right behind a position.
    pub(super) fn behind(position: Position) -> Self {
        let (offset, place) = (position.offset() / PLACES, position.offset() % PLACES);
        match PLACES - 1 - place {
            0 => Self { offset: offset + 1, unread: None },
            unread => Self { offset, unread: Some(u16::try_from(unread).expect("fewer than 4,096")) },
        }
    }

    /// The position right before it.
    pub(super) fn position(&self, epoch: u16) -> Position {
        match self.unread {
            None => before(epoch, self.offset),
            Some(unread) => Position::new(epoch, self.offset * PLACES + PLACES - 1 - u64::from(unread)),
        }
    }

    /// What stands beside the offset.
    pub(super) fn metadata(&self) -> String {
        self.unread.map_or(String::new(), |unread| format!("unread {unread}"))
    }

    /// What Kafka keeps. Where it is not ours, the whole append is consumed again.
    pub(super) fn read(offset: i64, metadata: &str) -> Option<Self> {
        let unread = metadata.strip_prefix("unread ").and_then(|unread| unread.parse().ok());
        let unread = unread.filter(|unread| (1..PLACES).contains(&u64::from(*unread)));
        let offset = u64::try_from(offset).ok().filter(|offset| *offset < OFFSETS_MAX)?;
        Some(Self { offset, unread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_are_the_same_after_a_value(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..9)) {
            let records: Vec<Bytes> = records.into_iter().map(Bytes::from).collect();
            let value = encode(&records);
            prop_assert_eq!(decode(&value), Some(records));
            for end in 0..value.len() {
                prop_assert_eq!(decode(&value.slice(..end)), None);
            }
        }

        #[test]
        fn any_bytes_are_read(value in prop::collection::vec(any::<u8>(), 0..40)) {
            decode(&Bytes::from(value));
        }

        #[test]
        fn a_mark_is_right_behind_its_position(offset in 0..OFFSETS_MAX - 1, count in 1..=RECORDS_MAX) {
            let positions: Vec<_> = positions(3, offset, count).expect("in the epoch").collect();
            prop_assert_eq!(positions.len(), count);
            prop_assert!(positions.is_sorted_by(|one, next| one < next));
            for (n, position) in positions.iter().enumerate() {
                let mark = Mark::behind(*position);
                prop_assert_eq!(mark.position(3), *position);
                let left = count - 1 - n;
                prop_assert_eq!(mark.unread.map_or(0, usize::from), left);
                prop_assert_eq!(mark.offset, if left == 0 { offset + 1 } else { offset });
                let offset = i64::try_from(mark.offset).expect("36 bits");
                prop_assert_eq!(Mark::read(offset, &mark.metadata()), Some(mark));
            }
        }
    }

    #[test]
    fn the_bytes_of_an_append_stay_as_they_are() {
        let value = encode(&[Bytes::from_static(b"a"), Bytes::new(), Bytes::from_static(b"bc")]);
        assert_eq!(value[..], *b"\x01\0\x03\0\0\0\x01\0\0\0\0\0\0\0\x02abc");
        assert_eq!(decode(&Bytes::from_static(b"\x02\0\x01\0\0\0\x01a")), None, "of another version");
        assert_eq!(Mark { offset: 5, unread: Some(2) }.metadata(), "unread 2");
    }

    #[test]
    fn an_epoch_ends() {
        assert_eq!(positions(1, OFFSETS_MAX, 1).err().expect("no more").kind(), ErrorKind::Fatal);
        assert_eq!(before(2, 0), Position::new(2, 0));
        assert_eq!(Mark::read(-1001, ""), None, "nothing is committed");
    }
}
