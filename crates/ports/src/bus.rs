//! The message bus: a fixed number of durable, ordered shards.

use crate::Result;
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_proto::{Position, Shard};

/// A record as a consumer gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it is. Greater than that of every record before it in the shard.
    pub position: Position,
    /// What was appended.
    pub bytes: Bytes,
}

/// The message bus.
///
/// **Order.** A shard's records have one order, which every consumer sees, now and after any restart. The records of one
/// `append` are neighbours in the order given, unless it failed.
/// **Durability.** When `append` returns, its records survive the crash of any or all processes and the loss of power.
/// **Delivery.** At least once: a consumer starts behind the last committed position.
/// **Failure.** After an error of kind `Timeout` the records may be there, now or later; after `Full` or `Unavailable` they
/// are not. The bus never repeats an append by itself.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// The number of shards, fixed when the cluster was born.
    fn shards(&self) -> u32;

    /// Appends records to a shard and returns their positions once they are durable. Concurrent appends share one fsync.
    /// `Full` when the backlog of uncommitted records has reached its limit. At most 4,096 records, of 1 MiB at most and
    /// 16 MiB together ([`crate::limits`]).
    async fn append(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>>;

    /// Joins the consumers: from now on a share of the shards is assigned to this member.
    async fn join(&self) -> Result<Box<dyn Membership>>;
}

/// A member's share of the shards. Dropping it gives all of them back.
#[async_trait]
pub trait Membership: Send + 'static {
    /// Waits for the next shard that is assigned to this member. Cancel-safe. A shard whose consumer was dropped while it
    /// was still this member's comes again.
    async fn assigned(&mut self) -> Result<Box<dyn ShardConsumer>>;
}

/// One assigned shard. At any time at most one member is *meant* to hold it, but one that was paused may not know yet that
/// it lost it: consumers make the same writes with the same versions, so that this does no harm.
#[async_trait]
pub trait ShardConsumer: Send + 'static {
    /// Which shard.
    fn shard(&self) -> Shard;

    /// Waits for records and returns up to `max` of them, in order; `None` once the shard is assigned to another
    /// member. Cancel-safe: a cancelled call loses no record.
    async fn next(&mut self, max: usize) -> Result<Option<Vec<Record>>>;

    /// Records that everything up to this position is applied. The next consumer starts behind it. Need not be durable
    /// when it returns: a lost commit only repeats work. `Fenced` when the shard is another member's.
    async fn commit(&mut self, position: Position) -> Result<()>;
}
