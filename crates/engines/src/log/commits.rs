//! How far each shard is committed, written down now and then: a commit that is lost only repeats work.
//!
//! The file `commits`: `HUDHUDC2`, the epoch (2), the number of shards (4), the offset of the next record at that time (8), that
//! of the first record that must be there (8), the offset up to which each shard is committed (8 each), CRC-32 of these (4).
//! Format 1 (`HUDHUDC1`) does not say which record is the first.

use super::meta::Lock;
use super::{Shared, State};
use crate::files::replace;
use bytes::BufMut;
use parking_lot::MutexGuard;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

const MAGIC: &[u8; 8] = b"HUDHUDC2";
const MAGIC_1: &[u8; 8] = b"HUDHUDC1";
const FILE: &str = "commits";
/// How long commits are gathered.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Commits {
    pub(super) epoch: u16,
    /// Every record before this offset was synced.
    pub(super) next: u64,
    /// The oldest segment that must be there begins at this offset or before; none where that is not known.
    pub(super) first: Option<u64>,
    /// The offset up to which each shard is committed.
    pub(super) committed: Vec<u64>,
}

impl Commits {
    /// Of a log in which nothing happened yet.
    pub(super) fn none(epoch: u16, shards: u32) -> Self {
        Self { epoch, next: 0, first: None, committed: vec![0; shards as usize] }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.put_u16(self.epoch);
        bytes.put_u32(u32::try_from(self.committed.len()).expect("a number of shards"));
        bytes.put_u64(self.next);
        bytes.put_u64(self.first.unwrap_or(u64::MAX));
        self.committed.iter().for_each(|offset| bytes.put_u64(*offset));
        let checksum = crc32fast::hash(&bytes);
        bytes.put_u32(checksum);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (checked, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let (fields, has_first) = match checked.strip_prefix(MAGIC) {
            Some(fields) => (fields, true),
            None => (checked.strip_prefix(MAGIC_1)?, false),
        };
        let behind_first = if has_first { 22 } else { 14 };
        if crc32fast::hash(checked).to_be_bytes() != checksum || fields.len() < behind_first {
            return None;
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let committed: Vec<u64> = fields[behind_first..].chunks(8).map(number).collect();
        let epoch = u16::try_from(number(&fields[..2])).ok()?;
        (committed.len() as u64 == number(&fields[2..6])).then(|| Self {
            epoch,
            next: number(&fields[6..14]),
            first: has_first.then(|| number(&fields[14..22])).filter(|first| *first != u64::MAX),
            committed,
        })
    }

    /// What was written down last. Without it, or if it is damaged, everything that is still there is consumed again.
    pub(super) fn load(folder: &Path, epoch: u16, shards: u32) -> io::Result<Self> {
        let bytes = match std::fs::read(folder.join(FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::none(epoch, shards)),
            Err(error) => return Err(error),
        };
        match Self::decode(&bytes) {
            Some(commits) if commits.committed.len() == shards as usize => {
                // Those of an earlier epoch say nothing about this one.
                Ok(if commits.epoch == epoch { commits } else { Self::none(epoch, shards) })
            }
            _ => {
                tracing::warn!(folder = %folder.display(), "the file of commits is damaged: records are consumed again");
                Ok(Self::none(epoch, shards))
            }
        }
    }

    /// Takes the place of what was written down before, at once and as a whole, whatever happens meanwhile.
    pub(super) fn store(&self, folder: &Path) -> io::Result<()> {
        replace(folder, FILE, &self.encode())
    }
}

/// Writes commits down while the bus is open, once more when it is closed, and deletes segments that nobody needs.
pub(super) fn run(shared: &Shared, lock: Lock) {
    let mut state = shared.state.lock();
    loop {
        while !state.commits_changed && !state.closed {
            shared.committed.wait(&mut state);
        }
        let until = Instant::now() + INTERVAL;
        while !state.closed && !shared.committed.wait_until(&mut state, until).timed_out() {}
        let ends = state.closed;
        write_down(shared, &mut state);
        if ends {
            break;
        }
    }
    drop(state);
    drop(lock);
}

fn write_down(shared: &Shared, state: &mut MutexGuard<'_, State>) {
    // Deleted only after the commits that say so are on disk.
    let unneeded = state.index.take_committed_segments();
    let (next, first) = (state.index.next(), state.index.first());
    let commits = Commits { epoch: shared.epoch, next, first, committed: state.index.all_committed() };
    state.commits_changed = false;
    let stored = MutexGuard::unlocked(state, || {
        commits.store(&shared.path)?;
        unneeded.iter().try_for_each(|segment| std::fs::remove_file(&segment.path))
    });
    if let Err(error) = stored {
        // Nothing is lost: commits are repeated, and segments that stay are deleted after the next start.
        tracing::warn!(%error, folder = %shared.path.display(), "can't write commits down");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_the_same_after_a_file() {
        let commits = Commits { epoch: 2, next: 99, first: Some(5), committed: vec![7, 0, 98] };
        assert_eq!(Commits::decode(&commits.encode()), Some(commits.clone()));
        for length in 0..commits.encode().len() {
            assert_eq!(Commits::decode(&commits.encode()[..length]), None);
        }
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let commits = Commits { epoch: 1, next: 3, first: None, committed: vec![2] };
        assert_eq!(Commits::load(folder.path(), 1, 1).expect("no file"), Commits::none(1, 1));
        commits.store(folder.path()).expect("stored");
        assert_eq!(Commits::load(folder.path(), 1, 1).expect("loaded"), commits);
        assert_eq!(Commits::load(folder.path(), 2, 1).expect("of an earlier epoch"), Commits::none(2, 1));
        std::fs::write(folder.path().join(FILE), b"damaged").expect("written");
        assert_eq!(Commits::load(folder.path(), 1, 1).expect("damaged"), Commits::none(1, 1));
    }
}
