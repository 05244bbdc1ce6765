//! What tells a store that lost something from one that is whole.
//!
//! Batches are numbered. Each carries a *mark*, the first of its rows: its number, how far everything was synced when it was
//! written, and at least which of fjall's own sequence numbers it has. Behind each sync comes a batch of nothing but a mark,
//! itself not synced, so that damage to what was synced is not taken for a torn tail. The numbers have no gaps, and the last one
//! is in the tree as a row.
//!
//! The file `synced` says how far the store was synced, written now and then: a store that comes up behind it lost what was
//! flushed. `HUDHUDS1`, the salt (16), the number (8), CRC-32 of these (4).
//!
//! The salt is random and nobody outside knows it: a message can't hold bytes that pass for a mark.

use crate::files::replace;
use bytes::{Buf, BufMut};
use std::io;
use std::path::Path;

/// The key of the mark's row. No table has an empty name.
pub(super) const KEY: &[u8] = &[0];

const MAGIC: &[u8; 8] = b"HUDHUDS1";
pub(super) const FILE: &str = "synced";
const MARK_BYTES: usize = 16 + 3 * 8;

pub(super) type Salt = [u8; 16];

/// The mark of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) salt: Salt,
    /// Of the batch, from 1.
    pub(super) number: u64,
    /// The number up to which everything was synced before this batch was written.
    pub(super) synced: u64,
    /// fjall's sequence number of the batch is not below this one, and not far above.
    pub(super) seqno: u64,
}

impl Mark {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MARK_BYTES);
        bytes.put_slice(&self.salt);
        bytes.put_u64(self.number);
        bytes.put_u64(self.synced);
        bytes.put_u64(self.seqno);
        bytes
    }

    /// None where it is none, and where it is one of format 1, which is empty.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() != MARK_BYTES {
            return None;
        }
        let mut salt = Salt::default();
        bytes.copy_to_slice(&mut salt);
        Some(Self { salt, number: bytes.get_u64(), synced: bytes.get_u64(), seqno: bytes.get_u64() })
    }
}

/// What the file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Synced {
    pub(super) salt: Salt,
    /// Every batch up to this one was synced.
    pub(super) number: u64,
}

impl Synced {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.put_slice(&self.salt);
        bytes.put_u64(self.number);
        let checksum = crc32fast::hash(&bytes);
        bytes.put_u32(checksum);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (checked, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let mut fields = checked.strip_prefix(MAGIC)?;
        if fields.len() != 24 || crc32fast::hash(checked).to_be_bytes() != checksum {
            return None;
        }
        let mut salt = Salt::default();
        fields.copy_to_slice(&mut salt);
        Some(Self { salt, number: fields.get_u64() })
    }

    /// What was written down last: none in a store of format 1, and where the file is damaged, which is said.
    pub(super) fn load(folder: &Path) -> io::Result<Option<Self>> {
        let path = folder.join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let found = Self::decode(&bytes);
                if found.is_none() {
                    tracing::warn!(
                        file = %path.display(),
                        "damaged: whether the end of the store is whole can't be told this time; it is written anew"
                    );
                }
                Ok(found)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the place of what was written down before.
    pub(super) fn store(&self, folder: &Path) -> io::Result<()> {
        replace(folder, FILE, &self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_the_file_are_read_back_and_damage_is_seen() {
        let mark = Mark { salt: [7; 16], number: 3, synced: 2, seqno: 9 };
        assert_eq!(Mark::decode(&mark.encode()), Some(mark));
        assert_eq!(Mark::decode(b""), None, "of format 1");
        let synced = Synced { salt: [7; 16], number: 3 };
        let bytes = synced.encode();
        assert_eq!(Synced::decode(&bytes), Some(synced));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Synced::decode(&flipped), None, "bit {bit}");
        }
    }
}
