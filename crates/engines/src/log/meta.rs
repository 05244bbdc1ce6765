//! What was decided when the log was born, in the file `meta` (text, for people), and the lock of its folder.

use super::commits::replace;
use super::segment::Segment;
use super::{ENGINE, unavailable};
use hudhud_ports::{Error, ErrorKind, Result};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

const FILE: &str = "meta";
const LOCK: &str = "lock";

/// A log that this process has to itself.
pub(super) struct Meta {
    pub(super) epoch: u16,
    /// Locked until it is closed.
    pub(super) lock: File,
}

/// Takes the folder, and makes a log in it if there is none. If it had segments and they are gone, a new epoch begins.
pub(super) fn open(folder: &Path, shards: u32) -> Result<Meta> {
    let failed = |error| unavailable("open", folder, error);
    let refused = |kind, cause: String| Error::new(kind, ENGINE, "open").because(cause);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let lock = File::create(folder.join(LOCK)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let cause = format!("{} is open in another process: stop that one first", folder.display());
            return Err(refused(ErrorKind::Unavailable, cause));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let is_empty = Segment::list(folder).map_err(failed)?.is_empty();
    let path = folder.join(FILE);
    let stored = match std::fs::read_to_string(&path) {
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
    let epoch = match stored {
        None => 1,
        Some((_, born_with)) if born_with != shards => {
            let cause = format!(
                "the bus in {} was born with {born_with} shards and can't be opened with {shards}: set the number back",
                folder.display()
            );
            return Err(refused(ErrorKind::Invalid, cause));
        }
        Some((epoch, _)) if is_empty => {
            tracing::warn!(folder = %folder.display(), epoch, "the segments of this epoch are gone: a new epoch begins");
            let none_left = || refused(ErrorKind::Invalid, format!("epoch {epoch} is the last there can be"));
            epoch.checked_add(1).ok_or_else(none_left)?
        }
        Some((epoch, _)) => return Ok(Meta { epoch, lock }),
    };
    let text = format!("hudhud bus, format 1\nshards {shards}\nepoch {epoch}\n");
    replace(folder, FILE, text.as_bytes()).map_err(failed)?;
    Ok(Meta { epoch, lock })
}

/// Epoch and number of shards.
pub(super) fn parse(text: &str) -> Option<(u16, u32)> {
    let mut lines = text.lines();
    let ("hudhud bus, format 1", shards, epoch) = (lines.next()?, lines.next()?, lines.next()?) else { return None };
    Some((epoch.strip_prefix("epoch ")?.parse().ok()?, shards.strip_prefix("shards ")?.parse().ok()?))
}
