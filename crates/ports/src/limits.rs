//! The limits that the contracts of the ports name, and their checks, the same for every engine.

use crate::{Error, ErrorKind, Key, Result, Write};
use bytes::Bytes;

/// A partition key or a sort key of a [`crate::Store`].
pub const KEY_BYTES_MAX: usize = 256;
/// A value of a [`crate::Store`].
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// The version of a write: engines keep it as a signed number.
pub const VERSION_MAX: u64 = i64::MAX as u64;
/// Writes of one [`crate::Store::write`], and of one [`crate::Store::write_in_order`].
pub const WRITES_MAX: usize = 4_096;
/// A record of a [`crate::Bus`].
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Records of one [`crate::Bus::append`].
pub const RECORDS_MAX: usize = 4_096;
/// The same, their bytes together.
pub const APPEND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// `Invalid` if a part of the key is too long.
pub fn check_key(engine: &'static str, op: &'static str, key: &Key) -> Result<()> {
    check_key_part(engine, op, "partition", &key.partition)?;
    check_key_part(engine, op, "sort key", &key.sort)
}

/// `Invalid` if this part of a key is too long.
pub fn check_key_part(engine: &'static str, op: &'static str, part: &str, bytes: &[u8]) -> Result<()> {
    if bytes.len() <= KEY_BYTES_MAX {
        return Ok(());
    }
    let cause = format!("a {part} of {} bytes; at most {KEY_BYTES_MAX} are allowed", bytes.len());
    Err(Error::new(ErrorKind::Invalid, engine, op).because(cause))
}

/// `Invalid` if there are too many writes, or one is too large.
pub fn check_writes(engine: &'static str, op: &'static str, writes: &[Write]) -> Result<()> {
    let invalid = |cause: String| Err(Error::new(ErrorKind::Invalid, engine, op).because(cause));
    if writes.len() > WRITES_MAX {
        return invalid(format!("{} writes at once; at most {WRITES_MAX} are allowed", writes.len()));
    }
    for write in writes {
        check_key(engine, op, &write.key)?;
        let bytes = write.value.as_ref().map_or(0, Bytes::len);
        if bytes > VALUE_BYTES_MAX {
            return invalid(format!("a value of {bytes} bytes; at most {VALUE_BYTES_MAX} are allowed"));
        }
        if write.version > VERSION_MAX {
            return invalid(format!("version {}; at most {VERSION_MAX} is allowed", write.version));
        }
    }
    Ok(())
}

/// `Invalid` if lists hold too many writes together, or one is too large.
pub fn check_lists(engine: &'static str, lists: &[Vec<Write>]) -> Result<()> {
    let count: usize = lists.iter().map(Vec::len).sum();
    if count > WRITES_MAX {
        let cause = format!("{count} writes at once; at most {WRITES_MAX} are allowed");
        return Err(Error::new(ErrorKind::Invalid, engine, "write_in_order").because(cause));
    }
    lists.iter().try_for_each(|writes| check_writes(engine, "write_in_order", writes))
}

/// `Invalid` if there are too many records, or they are too large.
pub fn check_records(engine: &'static str, records: &[Bytes]) -> Result<()> {
    let invalid = |cause: String| Err(Error::new(ErrorKind::Invalid, engine, "append").because(cause));
    if records.len() > RECORDS_MAX {
        return invalid(format!("{} records at once; at most {RECORDS_MAX} are allowed", records.len()));
    }
    if let Some(bytes) = records.iter().map(Bytes::len).find(|bytes| *bytes > RECORD_BYTES_MAX) {
        return invalid(format!("a record of {bytes} bytes; at most {RECORD_BYTES_MAX} are allowed"));
    }
    let bytes: usize = records.iter().map(Bytes::len).sum();
    if bytes > APPEND_BYTES_MAX {
        return invalid(format!("records of {bytes} bytes at once; at most {APPEND_BYTES_MAX} are allowed"));
    }
    Ok(())
}
