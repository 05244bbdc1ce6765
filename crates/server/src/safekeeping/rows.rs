//! Rows and records as items of a volume. Numbers are big-endian.

use bytes::{Buf, BufMut, Bytes};
use hudhud_engines::fjall::StoredRow;
use hudhud_ports::Database;
use hudhud_proto::{Position, Shard};

/// A row: table, partition and sort key, each behind its length (u16); version (u64); expiry (u64, 0 for never); whether there is
/// a value (u8); the value.
pub fn encode_row(row: &StoredRow) -> Vec<u8> {
    let mut item = Vec::with_capacity(64 + row.value.as_ref().map_or(0, Bytes::len));
    for part in [row.table.as_bytes(), &row.partition, &row.sort] {
        item.put_u16(u16::try_from(part.len()).expect("parts of keys have 256 bytes at most"));
        item.put_slice(part);
    }
    item.put_u64(row.version);
    item.put_u64(row.expires_us.unwrap_or(0));
    item.put_u8(u8::from(row.value.is_some()));
    item.put_slice(row.value.as_deref().unwrap_or_default());
    item
}

/// The row that an item is, if it is one.
pub fn decode_row(database: Database, item: Vec<u8>) -> Option<StoredRow> {
    let mut rest = Bytes::from(item);
    let mut part = || {
        let length = usize::from(rest.try_get_u16().ok()?);
        (rest.len() >= length).then(|| rest.split_to(length))
    };
    let (table, partition, sort) = (part()?, part()?, part()?);
    let table = String::from_utf8(table.to_vec()).ok()?;
    let (version, expires_us, has_value) =
        (rest.try_get_u64().ok()?, rest.try_get_u64().ok()?, rest.try_get_u8().ok()?);
    let expires_us = Some(expires_us).filter(|expires_us| *expires_us != 0);
    let value = (has_value == 1).then_some(rest);
    Some(StoredRow { database, table, partition, sort, version, expires_us, value })
}

/// A record: shard (u32), position (u64), bytes.
pub fn encode_record(shard: Shard, position: Position, bytes: &[u8]) -> Vec<u8> {
    let mut item = Vec::with_capacity(12 + bytes.len());
    item.put_u32(shard.0);
    item.put_u64(position.as_u64());
    item.put_slice(bytes);
    item
}

/// The record that an item is, if it is one.
pub fn decode_record(item: Vec<u8>) -> Option<(Shard, Position, Bytes)> {
    let mut rest = Bytes::from(item);
    let (shard, position) = (rest.try_get_u32().ok()?, rest.try_get_u64().ok()?);
    Some((Shard(shard), Position::from_u64(position), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_records_are_read_back() {
        let row = StoredRow {
            database: Database::Directory,
            table: "inbox".into(),
            partition: Bytes::from_static(b"partition"),
            sort: Bytes::from_static(b"sort"),
            version: 7,
            expires_us: Some(9),
            value: Some(Bytes::from_static(b"value")),
        };
        let deletion = StoredRow { value: None, expires_us: None, ..row.clone() };
        for row in [row, deletion] {
            assert_eq!(decode_row(Database::Directory, encode_row(&row)), Some(row));
        }
        assert_eq!(decode_row(Database::Directory, b"\x00\x09row".to_vec()), None);
        let record = (Shard(3), Position::new(1, 2), Bytes::from_static(b"record"));
        assert_eq!(decode_record(encode_record(record.0, record.1, &record.2)), Some(record));
    }
}
