//! How rows are stored: the bytes of keys and values.

use super::ENGINE;
use bytes::{BufMut, Bytes};
use fjall::UserKey;
use hudhud_ports::{Database, Error, ErrorKind, Key, Result, Row, Table};

/// How long a deletion is remembered, so that a late write of a lower version does not bring the row back.
pub(super) const TOMBSTONE_LIFE_US: u64 = 10 * 24 * 3_600 * 1_000_000;

/// version, expiry, kind, checksum.
const HEADER_BYTES: usize = 8 + 8 + 1 + 4;
const NEVER: u64 = 0;
const VALUE: u8 = 0;
const TOMBSTONE: u8 = 1;

/// What all keys of a partition begin with, and no key of another partition does, as both parts say how long they are.
pub(super) fn partition_prefix(table: &Table, partition: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + table.name.len() + 2 + partition.len());
    put_key(&mut bytes, table.name, partition, &[]);
    bytes
}

/// What all keys of a table begin with.
pub(super) fn table_prefix(table: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + table.len());
    bytes.put_u8(u8::try_from(table.len()).expect("table names are short"));
    bytes.put_slice(table.as_bytes());
    bytes
}

/// Puts a key behind what is there.
fn put_key(bytes: &mut Vec<u8>, table: &str, partition: &[u8], sort: &[u8]) {
    bytes.put_u8(u8::try_from(table.len()).expect("table names are short"));
    bytes.put_slice(table.as_bytes());
    bytes.put_u16(u16::try_from(partition.len()).expect("checked to be at most 256"));
    bytes.put_slice(partition);
    bytes.put_slice(sort);
}

/// The bytes of a key. Those of one partition sort as their sort keys do.
pub(super) fn key_bytes(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.table.name.len() + 2 + key.partition.len() + key.sort.len());
    put_key(&mut bytes, key.table.name, &key.partition, &key.sort);
    bytes
}

/// The same, in a buffer that is used for one key after the other.
pub(super) fn key_in<'a>(buffer: &'a mut Vec<u8>, key: &Key) -> &'a [u8] {
    buffer.clear();
    put_key(buffer, key.table.name, &key.partition, &key.sort);
    buffer
}

/// The smallest key behind all those that begin so.
pub(super) fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if let Some(next) = last.checked_add(1) {
            prefix.push(next);
            break;
        }
    }
    prefix
}

/// Where a row is.
pub(super) type Slot = (Database, UserKey);

/// What is stored under a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    pub(super) version: u64,
    /// From this time on it is as if it had never been written, in microseconds since the Unix epoch.
    pub(super) expires_us: Option<u64>,
    /// None is a tombstone.
    pub(super) value: Option<Bytes>,
}

impl Cell {
    /// What a write makes of a row.
    pub(super) fn new(table: &Table, value: Option<Bytes>, version: u64, now_us: u64) -> Self {
        let life_us = match value {
            Some(_) => table.ttl.map(|ttl| u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX)),
            None => Some(TOMBSTONE_LIFE_US),
        };
        Self { version, expires_us: life_us.map(|life_us| now_us.saturating_add(life_us)), value }
    }

    pub(super) fn is_expired(&self, now_us: u64) -> bool {
        self.expires_us.is_some_and(|expires_us| expires_us <= now_us)
    }

    /// Whether it takes the place of what is there. Of writes with the same version a deletion wins over a value and
    /// the greater value over the smaller; the same write again wins if it lives longer.
    pub(super) fn replaces(&self, current: Option<&Self>, now_us: u64) -> bool {
        let rank = |cell: &Self| (cell.version, cell.value.is_none());
        match current.filter(|current| !current.is_expired(now_us)) {
            Some(current) => {
                let order = rank(self).cmp(&rank(current));
                order.then_with(|| (&self.value, self.expires_us).cmp(&(&current.value, current.expires_us))).is_gt()
            }
            None => true,
        }
    }

    pub(super) fn into_row(self, sort: Bytes, now_us: u64) -> Option<Row> {
        if self.is_expired(now_us) {
            return None;
        }
        Some(Row { sort, value: self.value?, version: self.version })
    }

    /// As it is stored.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode_in(&mut bytes);
        bytes
    }

    /// The same, in a buffer that is used for one cell after the other.
    pub(super) fn encode_in<'a>(&self, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let value = self.value.as_deref().unwrap_or_default();
        buffer.clear();
        buffer.put_u64(self.version);
        buffer.put_u64(self.expires_us.unwrap_or(NEVER));
        buffer.put_u8(if self.value.is_some() { VALUE } else { TOMBSTONE });
        let checksum = checksum(buffer, value);
        buffer.put_u32(checksum);
        buffer.put_slice(value);
        buffer
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let corrupt = |cause: &str| Error::new(ErrorKind::Corrupt, ENGINE, "read").because(cause);
        let (header, value) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| corrupt("a row is too short"))?;
        let (checked, stored) = header.split_at(HEADER_BYTES - 4);
        if checksum(checked, value).to_be_bytes() != stored {
            return Err(corrupt("a row fails its checksum"));
        }
        let number = |at: usize| u64::from_be_bytes(checked[at..at + 8].try_into().expect("eight bytes"));
        Ok(Self {
            version: number(0),
            expires_us: Some(number(8)).filter(|expires_us| *expires_us != NEVER),
            value: match checked[16] {
                VALUE => Some(Bytes::copy_from_slice(value)),
                TOMBSTONE => None,
                _ => return Err(corrupt("a row of a kind that this version does not know")),
            },
        })
    }
}

/// A row with everything that is stored of it, to be copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRow {
    /// Where its table is.
    pub database: Database,
    /// The name of its table.
    pub table: String,
    /// Its partition.
    pub partition: Bytes,
    /// Its sort key.
    pub sort: Bytes,
    /// The version that it was written with.
    pub version: u64,
    /// From this time on it is as if it had never been written, in microseconds since the Unix epoch.
    pub expires_us: Option<u64>,
    /// None is a deletion that is still remembered.
    pub value: Option<Bytes>,
}

impl StoredRow {
    /// The row under a key; `Corrupt`, with the key, where it is none.
    pub(super) fn decode(database: Database, key: &[u8], value: &[u8]) -> Result<Self> {
        let parts = || {
            let (length, rest) = key.split_first()?;
            let (table, rest) = rest.split_at_checked(*length as usize)?;
            let (length, rest) = rest.split_at_checked(2)?;
            let (partition, sort) = rest.split_at_checked(usize::from(u16::from_be_bytes(length.try_into().ok()?)))?;
            Some((std::str::from_utf8(table).ok()?.to_owned(), partition, sort))
        };
        let damaged = |cause: String| Error::new(ErrorKind::Corrupt, ENGINE, "read").because(cause);
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (table, partition, sort) =
            parts().ok_or_else(|| damaged(format!("{database:?}: {} is no key of a row", hexadecimal(key))))?;
        let cell = Cell::decode(value).map_err(|error| {
            let (partition, sort) = (hexadecimal(partition), hexadecimal(sort));
            damaged(format!("{database:?}, table {table}, partition {partition}, row {sort}: {error}"))
        })?;
        let copy = Bytes::copy_from_slice;
        let (partition, sort) = (copy(partition), copy(sort));
        let Cell { version, expires_us, value } = cell;
        Ok(Self { database, table, partition, sort, version, expires_us, value })
    }

    pub(super) fn into_cell(self) -> (Slot, Cell) {
        let mut key = Vec::new();
        put_key(&mut key, &self.table, &self.partition, &self.sort);
        let Self { version, expires_us, value, .. } = self;
        ((self.database, key.into()), Cell { version, expires_us, value })
    }
}

fn checksum(header: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudhud_ports::{Database, Tuning};

    const TABLE: &Table = &Table { name: "things", database: Database::Messages, ttl: None, tuning: Tuning::DEFAULT };

    #[test]
    fn no_partition_is_within_another() {
        let key = |partition: &'static [u8], sort: &'static [u8]| {
            key_bytes(&Key { table: TABLE, partition: Bytes::from_static(partition), sort: Bytes::from_static(sort) })
        };
        let prefix = partition_prefix(TABLE, b"ab");
        assert!(key(b"ab", b"c").starts_with(&prefix));
        for other in [key(b"abc", b""), key(b"a", b"bc"), key(b"", b"abc")] {
            assert!(!other.starts_with(&prefix));
        }
        assert!(key(b"ab", &[0xff; 9]) < after_prefix(prefix));
        assert_eq!(after_prefix(vec![1, 0xff, 0xff]), [2]);
    }

    #[test]
    fn a_flipped_bit_is_found_wherever_it_is() {
        let cell = Cell { version: 7, expires_us: Some(9), value: Some(Bytes::from_static(b"value")) };
        let bytes = cell.encode();
        // Stored, so it must never change.
        assert_eq!(bytes[..17], [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0]);
        assert_eq!(bytes[21..], *b"value");
        assert_eq!(Cell::decode(&bytes).expect("as encoded"), cell);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = Cell::decode(&flipped).expect_err("a flipped bit");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        assert!(Cell::decode(&bytes[..20]).is_err());
    }
}
