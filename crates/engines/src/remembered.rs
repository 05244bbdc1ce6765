//! How far the bus had come, remembered by the store: a row of the engines' own.

use bytes::Bytes;
use hudhud_ports::{Database, Key, Result, Store, Table, Tuning, Write};
use hudhud_proto::Position;

/// Partition `bus` → `reached` → a position (8); version: the position.
pub const ENGINES: &Table =
    &Table { name: "engines", database: Database::Messages, ttl: None, tuning: Tuning::DEFAULT };

fn key() -> Key {
    Key { table: ENGINES, partition: Bytes::from_static(b"bus"), sort: Bytes::from_static(b"reached") }
}

/// What is remembered; zero where nothing is.
///
/// # Errors
/// When the store fails.
pub async fn load(store: &dyn Store) -> Result<Position> {
    Ok(store.get(key()).await?.map_or(Position::ZERO, |row| Position::from_u64(row.version)))
}

/// Remembers, through the loss of power too.
///
/// # Errors
/// When the store fails.
pub async fn save(store: &dyn Store, reached: Position) -> Result<()> {
    let (value, version) = (Bytes::copy_from_slice(&reached.as_u64().to_be_bytes()), reached.as_u64());
    store.write(vec![Write { key: key(), value: Some(value), version }]).await?;
    store.flush().await
}
