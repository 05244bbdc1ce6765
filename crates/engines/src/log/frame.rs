//! How a record is stored: a header, then its bytes.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | CRC-32 of all that follows, begun with the salt of the segment |
//! | 4 | length of the record |
//! | 8 | offset |
//! | 4 | shard |
//! | 4 | how many records of its group come before it |
//!
//! A group is what was written and synced together, so the last field tells which records were synced before this one was
//! written: all before its group. If one of those is damaged, that is corruption; if one of its own group is, the power went
//! before the sync, and nobody was told that any of the group is there.
//!
//! Behind the last group there is a *seal*: a header of a shard that no log has, with the offset of the next record and without
//! a record. It is written once the group is synced and is itself not synced, and the next group takes its place. So it tells
//! that damage to the last group is damage too, while nobody has to wait for it.
//!
//! The salt is random and nobody outside knows it: a message can't hold bytes that pass for a record of the log.

use super::ENGINE;
use bytes::BufMut;
use hudhud_ports::limits::RECORD_BYTES_MAX;
use hudhud_ports::{Error, ErrorKind};

pub(super) const HEADER_BYTES: usize = 24;

/// The shard of a seal.
pub(super) const SEAL: u32 = u32::MAX;

/// The header of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) bytes: u32,
    pub(super) offset: u64,
    pub(super) shard: u32,
    pub(super) before_in_group: u32,
}

impl Header {
    /// Every record before this offset was synced before this one was written.
    pub(super) fn synced_before(&self) -> u64 {
        self.offset.saturating_sub(u64::from(self.before_in_group))
    }

    /// Header and record.
    pub(super) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.bytes as usize
    }
}

fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

/// Appends a record to a buffer. The header's length is that of the record.
pub(super) fn encode(buffer: &mut Vec<u8>, salt: u32, header: Header, record: &[u8]) {
    let start = buffer.len();
    buffer.put_u32(0);
    buffer.put_u32(header.bytes);
    buffer.put_u64(header.offset);
    buffer.put_u32(header.shard);
    buffer.put_u32(header.before_in_group);
    buffer.put_slice(record);
    let checksum = checksum(salt, &buffer[start + 4..]);
    buffer[start..start + 4].copy_from_slice(&checksum.to_be_bytes());
}

/// The seal of a log whose next record has this offset.
pub(super) fn seal(salt: u32, next: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    encode(&mut bytes, salt, Header { bytes: 0, offset: next, shard: SEAL, before_in_group: 0 }, &[]);
    bytes
}

/// The record that these bytes begin with, if they do, and what its header says.
pub(super) fn decode(bytes: &[u8], salt: u32) -> Option<(Header, &[u8])> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let length = number(4);
    if length as usize > RECORD_BYTES_MAX {
        return None;
    }
    let record = rest.get(..length as usize)?;
    if checksum(salt, &bytes[4..HEADER_BYTES + record.len()]) != number(0) {
        return None;
    }
    let offset = u64::from(number(8)) << 32 | u64::from(number(12));
    Some((Header { bytes: length, offset, shard: number(16), before_in_group: number(20) }, record))
}

/// The record at this offset of the log, which must be what these bytes hold.
pub(super) fn expect(bytes: &[u8], salt: u32, offset: u64) -> Result<&[u8], Error> {
    match decode(bytes, salt) {
        Some((header, record)) if header.offset == offset => Ok(record),
        _ => {
            let cause = format!("record {offset} is not on disk as it was written");
            Err(Error::new(ErrorKind::Corrupt, ENGINE, "next").because(cause))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_found_wherever_it_is() {
        let mut bytes = Vec::new();
        let header = Header { bytes: 6, offset: 258, shard: 3, before_in_group: 2 };
        encode(&mut bytes, 77, header, b"record");
        // Stored, so it must never change.
        assert_eq!(bytes[4..], *b"\0\0\0\x06\0\0\0\0\0\0\x01\x02\0\0\0\x03\0\0\0\x02record");
        assert_eq!(decode(&bytes, 77), Some((header, &b"record"[..])));
        assert_eq!(header.synced_before(), 256);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped, 77), None, "bit {bit}");
        }
        assert_eq!(decode(&bytes[..bytes.len() - 1], 77), None);
        assert_eq!(decode(&bytes, 78), None, "of another segment");
        assert_eq!(decode(&[0; 64], 77), None, "what was never written is no record");
    }
}
