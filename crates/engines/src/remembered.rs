//! How far the bus had come, remembered by the store: rows of the engines' own.

use bytes::Bytes;
use hudhud_ports::limits::WRITES_MAX;
use hudhud_ports::{Database, Key, Order, Result, Scan, Store, Table, Tuning, Write};
use hudhud_proto::{Position, Shard};

/// Partition `bus` → `reached`, or `reached` and a shard (4) → a position (8); version: the position.
pub const ENGINES: &Table =
    &Table { name: "engines", database: Database::Messages, ttl: None, tuning: Tuning::DEFAULT };

const PARTITION: Bytes = Bytes::from_static(b"bus");
const REACHED: &[u8] = b"reached";
/// More than there are shards.
const ROWS_MAX: usize = 1_000_000;

/// What is remembered; zero where nothing is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Remembered {
    /// Of a bus whose shards are one log.
    pub bus: Position,
    /// Of one whose shards are logs of their own.
    pub shards: Vec<(Shard, Position)>,
}

/// How far any bus had come; zero where none is remembered.
///
/// # Errors
/// When the store fails.
pub async fn load(store: &dyn Store) -> Result<Position> {
    let Remembered { bus, shards } = load_all(store).await?;
    Ok(shards.into_iter().map(|(_, position)| position).fold(bus, Position::max))
}

/// What is remembered of any bus.
///
/// # Errors
/// When the store fails.
pub async fn load_all(store: &dyn Store) -> Result<Remembered> {
    let from = Bytes::from_static(REACHED);
    let scan = Scan { table: ENGINES, partition: PARTITION, from, to: None, order: Order::Ascending, limit: ROWS_MAX };
    let mut remembered = Remembered::default();
    for row in store.scan(scan).await? {
        let position = Position::from_u64(row.version);
        match row.sort.strip_prefix(REACHED) {
            Some([]) => remembered.bus = position,
            Some(shard) => {
                let shard = <[u8; 4]>::try_from(shard).ok().map(u32::from_be_bytes);
                remembered.shards.extend(shard.map(|shard| (Shard(shard), position)));
            }
            None => {}
        }
    }
    Ok(remembered)
}

/// Remembers a bus whose shards are one log, through the loss of power too.
///
/// # Errors
/// When the store fails.
pub async fn save(store: &dyn Store, reached: Position) -> Result<()> {
    store.write(vec![row(Bytes::from_static(REACHED), reached)]).await?;
    store.flush().await
}

/// The same of one whose shards are logs of their own.
///
/// # Errors
/// When the store fails.
pub async fn save_shards(store: &dyn Store, reached: &[(Shard, Position)]) -> Result<()> {
    for some in reached.chunks(WRITES_MAX) {
        let rows = some.iter().map(|(shard, position)| {
            let sort = [REACHED, &shard.0.to_be_bytes()].concat();
            row(sort.into(), *position)
        });
        store.write(rows.collect()).await?;
    }
    store.flush().await
}

fn row(sort: Bytes, reached: Position) -> Write {
    let value = Bytes::copy_from_slice(&reached.as_u64().to_be_bytes());
    Write { key: Key { table: ENGINES, partition: PARTITION, sort }, value: Some(value), version: reached.as_u64() }
}
