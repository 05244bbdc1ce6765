//! What was decided when the log was born, in the file `meta` (text, for people), and the lock of its folder.

use super::segment::Segment;
use super::{ENGINE, unavailable};
use crate::files::replace;
use hudhud_ports::{Error, ErrorKind, Result};
use hudhud_proto::Position;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

const FILE: &str = "meta";
const LOCK: &str = "lock";

/// A file that is locked for as long as this is held.
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would not do: a program that is being started just now holds a copy of the file until it runs. Where this
        // fails, closing is what is left.
        self.0.unlock().ok();
    }
}

/// A log that this process has to itself.
pub(super) struct Meta {
    pub(super) epoch: u16,
    /// Locked until it is closed.
    pub(super) lock: Lock,
}

/// Takes the folder, and makes a log in it if there is none. If it had segments and they are gone, a new epoch begins; it is
/// above that of `reached`, which others remember of this bus.
pub(super) fn open(folder: &Path, shards: u32, reached: Position) -> Result<Meta> {
    let failed = |error| unavailable("open", folder, error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let lock = File::create(folder.join(LOCK)).map_err(failed)?;
    let lock = match lock.try_lock() {
        Ok(()) => Lock(lock),
        Err(TryLockError::WouldBlock) => {
            let cause = format!("{} is open in another process: stop that one first", folder.display());
            return Err(refused(ErrorKind::Unavailable, cause));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    };
    let is_empty = Segment::list(folder).map_err(failed)?.is_empty();
    let path = folder.join(FILE);
    let stored = match std::fs::read(&path) {
        Ok(text) => Some(parse(&text).ok_or_else(|| {
            refused(ErrorKind::Corrupt, format!("{} is damaged: restore it from a copy", path.display()))
        })?),
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_empty => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let cause = format!("{} is not there, but segments are: restore it from a copy", path.display());
            return Err(refused(ErrorKind::Corrupt, cause));
        }
        Err(error) => return Err(failed(error)),
    };
    let above = |epoch: u16| {
        let none_left = || refused(ErrorKind::Invalid, format!("epoch {epoch} is the last there can be"));
        epoch.checked_add(1).ok_or_else(none_left)
    };
    let epoch = match stored {
        None if reached == Position::ZERO => 1,
        None => {
            tracing::warn!(
                folder = %folder.display(), ?reached,
                "the bus is gone, and with it what was accepted and not yet applied: a new epoch begins"
            );
            above(reached.epoch())?
        }
        Some((_, born_with)) if born_with != shards => {
            let cause = format!(
                "the bus in {} was born with {born_with} shards and can't be opened with {shards}: set the number back",
                folder.display()
            );
            return Err(refused(ErrorKind::Invalid, cause));
        }
        Some((epoch, _)) if is_empty => {
            tracing::warn!(folder = %folder.display(), epoch, "the segments of this epoch are gone: a new epoch begins");
            above(epoch.max(reached.epoch()))?
        }
        Some((epoch, _)) if epoch < reached.epoch() => return Err(behind(folder, Position::new(epoch, 0), reached)),
        Some((epoch, _)) => return Ok(Meta { epoch, lock }),
    };
    write(folder, shards, epoch).map_err(failed)?;
    Ok(Meta { epoch, lock })
}

/// A log in this folder, which must be empty, that begins its first epoch behind this one when it is opened.
pub(super) fn found(folder: &Path, shards: u32, epoch: u16) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    write(folder, shards, epoch)
}

/// The bus is older than what the stores know of it.
pub(super) fn behind(folder: &Path, found: Position, reached: Position) -> Error {
    let cause = format!(
        "{} ends at {found:?}, but the store has seen it at {reached:?}: it is an older copy, or records that were \
         acknowledged are gone. Bring bus and store back from the same backup. If there is none, move all *.log files of the \
         folder away: the bus then begins a new epoch, and devices send again what was accepted but not delivered yet",
        folder.display()
    );
    refused(ErrorKind::Corrupt, cause)
}

fn refused(kind: ErrorKind, cause: String) -> Error {
    Error::new(kind, ENGINE, "open").because(cause)
}

fn write(folder: &Path, shards: u32, epoch: u16) -> io::Result<()> {
    replace(folder, FILE, text(shards, epoch).as_bytes())
}

fn text(shards: u32, epoch: u16) -> String {
    let text = format!("hudhud bus, format 2\nshards {shards}\nepoch {epoch}\n");
    let checksum = crc32fast::hash(text.as_bytes());
    format!("{text}checksum {checksum:08x}\n")
}

/// Epoch and number of shards.
pub(super) fn parse(bytes: &[u8]) -> Option<(u16, u32)> {
    let stored = std::str::from_utf8(bytes).ok()?;
    let mut lines = stored.lines();
    let (format, shards, epoch) = (lines.next()?, lines.next()?, lines.next()?);
    let (shards, epoch) = (shards.strip_prefix("shards ")?.parse().ok()?, epoch.strip_prefix("epoch ")?.parse().ok()?);
    let is_whole = match format {
        // Without a checksum.
        "hudhud bus, format 1" => stored == format!("{format}\nshards {shards}\nepoch {epoch}\n"),
        _ => stored == text(shards, epoch),
    };
    is_whole.then_some((epoch, shards))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whichever byte changes, it is no file of a bus any more; a file of the first format is one.
    #[test]
    fn damage_is_seen() {
        let whole = text(16, 3);
        assert_eq!(parse(whole.as_bytes()), Some((3, 16)));
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone().into_bytes();
                flipped[at] ^= 1 << bit;
                assert_eq!(parse(&flipped), None, "bit {bit} of byte {at}");
            }
        }
        assert_eq!(parse(b"hudhud bus, format 1\nshards 16\nepoch 3\n"), Some((3, 16)));
    }
}
