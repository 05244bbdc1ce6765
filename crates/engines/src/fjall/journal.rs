//! What fjall's own recovery of its journals leaves to us.
//!
//! fjall cuts a journal off at the first batch whose structure is broken, without a word, whatever comes behind it; the number
//! of a batch is under no checksum; and it gives up where the structure is whole and the checksum is wrong, which a power loss
//! can leave behind as well. So the journals are read here first. What was not synced is cut off, and that is said; damage to
//! what was synced is refused. Which it is, the [marks](super::mark) tell.
//!
//! The format is version 3 of fjall's: a batch is a start (1, count u32, number u64), items (2, type u8, compression u8, keyspace
//! u64, lengths of the key u16, the value u32 and the stored value u32, key, stored value; or 4, keyspace u64) and an end (3,
//! XXH3 of the items u64, `FJL` 3). Numbers are little-endian. Behind the last batch there are zeros, if anything.

use super::mark::{self, Mark, Salt, Synced};
use super::{ENGINE, open_error};
use hudhud_ports::{Error, ErrorKind, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const TRAILER: &[u8] = &[b'F', b'J', b'L', 3];
/// fjall gives some of its sequence numbers to what it does beside batches; never so many between a mark and its batch.
const SEQNOS_MAX: u64 = 1 << 20;

/// What was read so far, over all journals.
#[derive(Default)]
struct Read {
    seqno: Option<u64>,
    /// The last mark; none so far in a store of format 1.
    mark: Option<Mark>,
}

/// Reads every journal, and cuts off the end of the last one where it was not synced.
///
/// # Errors
/// `Corrupt` where what was synced is not as it was written, or a journal is missing.
pub(super) fn check(folder: &Path, synced: Option<&Synced>) -> Result<()> {
    let failed = |error| open_error(folder, fjall::Error::Io(error));
    let journals = list(folder).map_err(failed)?;
    let mut read = Read::default();
    for (index, (number, path)) in journals.iter().enumerate() {
        if let Some((next, _)) = journals.get(index + 1)
            && *next != number + 1
        {
            return Err(corrupt(&folder.join(format!("{}.jnl", number + 1)), 0, "this journal is missing"));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let end = read.batches(&bytes);
        let rest = &bytes[end..];
        if rest.iter().all(|byte| *byte == 0) {
            continue;
        }
        if index + 1 < journals.len() || read.was_synced(rest, synced) {
            return Err(corrupt(path, end, "a batch that was flushed is damaged"));
        }
        tracing::warn!(
            journal = %path.display(), byte = end,
            "the last writes were not finished: they are cut off, nobody was told that they are on disk"
        );
        let file = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        file.set_len(end as u64).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    Ok(())
}

fn corrupt(path: &Path, at: usize, cause: &str) -> Error {
    let cause = format!("{}, byte {at}: {cause}. Restore a backup", path.display());
    Error::new(ErrorKind::Corrupt, ENGINE, "open").because(cause)
}

/// The journals with their numbers, in order.
pub(super) fn list(folder: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        journals.extend(number.map(|number| (number, path)));
    }
    journals.sort();
    Ok(journals)
}

impl Read {
    /// Takes the batches that these bytes begin with, as far as they are whole and in order. Returns where they end.
    fn batches(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(batch) = Batch::read(bytes, at).filter(|batch| batch.is_intact) {
            let follows = match (batch.mark, self.mark) {
                (Some(mark), Some(last)) => {
                    mark.salt == last.salt && mark.number == last.number + 1 && mark.synced < mark.number
                }
                // The first batch of format 2, or the first that is there.
                (Some(mark), None) => mark.synced < mark.number,
                // Of format 1: before those of format 2 only.
                (None, last) => last.is_none(),
            };
            let near = batch.mark.is_none_or(|mark| (mark.seqno..mark.seqno + SEQNOS_MAX).contains(&batch.seqno));
            if !follows || !near || self.seqno.is_some_and(|last| batch.seqno <= last) {
                break;
            }
            self.seqno = Some(batch.seqno);
            self.mark = batch.mark.or(self.mark);
            at = batch.range.end;
        }
        at
    }

    /// Whether the batch that these bytes should begin with was synced once.
    fn was_synced(&self, rest: &[u8], synced: Option<&Synced>) -> bool {
        let Some(salt) = self.mark.map(|mark| mark.salt).or(synced.map(|synced| synced.salt)) else {
            return has_mark_of_format_1(rest);
        };
        let later = Later::of(rest, salt);
        let damaged = match (self.mark, &later) {
            (Some(last), _) => last.number + 1,
            // At least the one before it is missing; if there are more, all of them were synced if that one was.
            (None, Some(later)) => later.first - 1,
            (None, None) => return false,
        };
        later.is_some_and(|later| later.synced >= damaged) || synced.is_some_and(|synced| synced.number >= damaged)
    }
}

/// What is told by the batches of this store that are somewhere in some bytes.
struct Later {
    /// The number of the first one.
    first: u64,
    /// Everything up to this number was synced.
    synced: u64,
}

impl Later {
    fn of(bytes: &[u8], salt: Salt) -> Option<Self> {
        let mut later: Option<Self> = None;
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let mut at = 0;
        while at < end {
            let batch = (bytes[at] == 1).then(|| Batch::read(bytes, at)).flatten().filter(|batch| batch.is_intact);
            let Some((mark, range)) = batch.and_then(|batch| Some((batch.mark?, batch.range))) else {
                at += 1;
                continue;
            };
            if mark.salt == salt {
                let first = later.as_ref().map_or(mark.number, |later| later.first);
                later = Some(Self { first, synced: mark.synced });
            }
            at = range.end;
        }
        later
    }
}

/// Marks of format 1 have no salt, so they count only where the structure leads to them.
fn has_mark_of_format_1(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(batch) = Batch::read(bytes, at) {
        if batch.is_intact && batch.has_mark_of_format_1 {
            return true;
        }
        at = batch.range.end;
    }
    false
}

/// A batch whose structure is whole.
#[derive(PartialEq, Eq, Debug)]
struct Batch {
    range: Range<usize>,
    seqno: u64,
    is_intact: bool,
    mark: Option<Mark>,
    has_mark_of_format_1: bool,
}

impl Batch {
    fn read(bytes: &[u8], start: usize) -> Option<Self> {
        let mut rest = Rest(bytes.get(start..)?);
        let at = |rest: &Rest<'_>| bytes.len() - rest.0.len();
        let (1, count, seqno) = (rest.u8()?, rest.u32()?, rest.u64()?) else { return None };
        let first_item = at(&rest);
        let (mut items, mut mark, mut has_mark_of_format_1) = (0, None, false);
        loop {
            let behind_items = at(&rest);
            match rest.u8()? {
                2 => {
                    let (kind, compression, _keyspace) = (rest.u8()?, rest.u8()?, rest.u64()?);
                    let (key, value, stored_value) = (rest.u16()?, rest.u32()?, rest.u32()?);
                    // Values are written as they are (0), and rows are never removed (1, 2).
                    if compression != 0 || value != stored_value || kind > 2 {
                        return None;
                    }
                    let key = rest.take(key as usize)?;
                    let value = rest.take(stored_value as usize)?;
                    if key == mark::KEY {
                        mark = mark.or(Mark::decode(value));
                        has_mark_of_format_1 |= value.is_empty();
                    }
                    items += 1;
                }
                4 => {
                    rest.u64()?;
                    items += 1;
                }
                3 => {
                    let is_intact = rest.u64()? == xxh3_64(&bytes[first_item..behind_items]) && items == count;
                    let range = (rest.take(TRAILER.len())? == TRAILER).then(|| start..at(&rest))?;
                    return Some(Self { range, seqno, is_intact, mark, has_mark_of_format_1 });
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
