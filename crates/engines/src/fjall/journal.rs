//! What fjall's own recovery of its journal leaves to us.
//!
//! fjall cuts off a last batch whose structure is broken, but gives up when the structure is whole and the checksum is wrong.
//! A power loss leaves just that when a page in the middle of a large value was not written and those around it were. Such
//! a batch was never synced, so it can go; unless it was: the first batch behind each sync carries a mark
//! ([`SYNCED_MARK`]), and damage before a mark is damage to what was flushed.
//!
//! The format is version 3 of fjall's: a batch is a start (1, count u32, number u64), items (2, type u8, compression u8, keyspace
//! u64, lengths of the key u16, the value u32 and the stored value u32, key, stored value; or 4, keyspace u64) and an end (3,
//! XXH3 of the items u64, `FJL` 3). Numbers are little-endian.

use super::{ENGINE, open_error};
use hudhud_ports::{Error, ErrorKind, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The key of a row that tells that everything before its batch is synced. No table has an empty name.
pub(super) const SYNCED_MARK: &[u8] = &[0];

const TRAILER: &[u8] = &[b'F', b'J', b'L', 3];

/// Cuts off the first damaged batch of the active journal and all that is behind it, which was not synced. Returns whether
/// there was any; `Corrupt` if it was synced.
pub(super) fn cut_torn_tail(folder: &Path) -> Result<bool> {
    let failed = |error| open_error(folder, fjall::Error::Io(error));
    let Some(path) = active_journal(folder).map_err(failed)? else { return Ok(false) };
    let bytes = std::fs::read(&path).map_err(failed)?;
    let mut at = 0;
    let mut torn = None;
    while let Some(batch) = Batch::read(&bytes, at) {
        at = batch.range.end;
        if !batch.is_intact {
            torn = torn.or(Some(batch.range.start));
        } else if let Some(torn) = torn.filter(|_| batch.is_marked) {
            let cause = format!(
                "{}, byte {torn}: a batch that was flushed is damaged. Restore this folder from a copy",
                path.display()
            );
            return Err(Error::new(ErrorKind::Corrupt, ENGINE, "open").because(cause));
        }
    }
    let Some(torn) = torn else { return Ok(false) };
    tracing::warn!(journal = %path.display(), byte = torn, "the last write was not finished: it is cut off");
    let file = std::fs::OpenOptions::new().write(true).open(&path).map_err(failed)?;
    file.set_len(torn as u64).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(true)
}

fn active_journal(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        journals.extend(number.map(|number| (number, path)));
    }
    Ok(journals.into_iter().max().map(|(_, path)| path))
}

/// A batch whose structure is whole.
#[derive(PartialEq, Eq, Debug)]
struct Batch {
    range: Range<usize>,
    is_intact: bool,
    is_marked: bool,
}

impl Batch {
    fn read(bytes: &[u8], start: usize) -> Option<Self> {
        let mut rest = Rest(bytes.get(start..)?);
        let at = |rest: &Rest<'_>| bytes.len() - rest.0.len();
        let (1, count, _number) = (rest.u8()?, rest.u32()?, rest.u64()?) else { return None };
        let first_item = at(&rest);
        let (mut items, mut is_marked) = (0, false);
        loop {
            let behind_items = at(&rest);
            match rest.u8()? {
                2 => {
                    let (_type, _compression, _keyspace) = (rest.u8()?, rest.u8()?, rest.u64()?);
                    let (key, _value, stored_value) = (rest.u16()?, rest.u32()?, rest.u32()?);
                    is_marked |= rest.take(key as usize)? == SYNCED_MARK;
                    rest.take(stored_value as usize)?;
                    items += 1;
                }
                4 => {
                    rest.u64()?;
                    items += 1;
                }
                3 => {
                    let is_intact = rest.u64()? == xxh3_64(&bytes[first_item..behind_items]) && items == count;
                    let range = (rest.take(TRAILER.len())? == TRAILER).then(|| start..at(&rest))?;
                    return Some(Self { range, is_intact, is_marked });
                }
                _ => return None,
            }
        }
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
