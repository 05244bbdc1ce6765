//! The database: partitions of sorted, versioned rows.

use crate::Result;
use crate::limits::check_lists;
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;

/// Which of the two databases a table is in. Each has its own URL and tuning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Database {
    /// Write-heavy: accepted, timeline, members, watermarks. Partitioned by conversation.
    Messages,
    /// Read-heavy: accounts, devices, sessions, inboxes. Partitioned by account.
    Directory,
}

/// A table: a partition key, a sort key, a value.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Table {
    /// Its name, `[a-z_]+`, unique in its database.
    pub name: &'static str,
    /// Where it is.
    pub database: Database,
    /// How long a row lives after it was written; for good if none.
    pub ttl: Option<Duration>,
    /// How it is used.
    pub tuning: Tuning,
}

/// How a table is used, for engines that can make something of it. It changes what an access costs, and how many replicas
/// agree on it; never what it answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Tuning {
    /// How its files are kept.
    pub compaction: Compaction,
    /// Who has to agree.
    pub consistency: Consistency,
}

/// How the files of a table are merged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Compaction {
    /// Rows are written once, and few are read: as little as possible.
    WrittenOnce,
    /// Rows are overwritten again and again, and seldom read: late, then thoroughly.
    Overwritten,
    /// Rows are overwritten and whole partitions read: often, so that a read finds few files.
    Mixed,
    /// Rows are read far more often than written: so that a read finds one file.
    ReadMostly,
}

/// Which replicas have to agree on an access, where there are several regions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Consistency {
    /// A majority of those of this region, for reads, writes and claims.
    Region,
    /// The same for reads and writes; a claim is won in all regions together.
    World,
}

impl Tuning {
    /// For a region's own rows, overwritten and read.
    pub const DEFAULT: Self = Self { compaction: Compaction::Mixed, consistency: Consistency::Region };
}

/// Names one row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Key {
    /// The table.
    pub table: &'static Table,
    /// At most 256 bytes. A partition is stored together and its batches are atomic.
    pub partition: Bytes,
    /// At most 256 bytes. Rows of a partition are sorted by it, as unsigned bytes.
    pub sort: Bytes,
}

/// A row as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its sort key.
    pub sort: Bytes,
    /// Its value.
    pub value: Bytes,
    /// The version that it was written with.
    pub version: u64,
}

/// A versioned write of one row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// The row.
    pub key: Key,
    /// The new value, at most 1 MiB; none deletes the row.
    pub value: Option<Bytes>,
    /// A write with a lower version than the row has changes nothing. With the same version a deletion wins
    /// over a value, and the bytewise greater value over the smaller; but where the table has a TTL, a value that was
    /// written later may win over another one. At most 2^63 - 1.
    pub version: u64,
}

/// In which order a scan walks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Smallest sort key first.
    Ascending,
    /// Greatest sort key first.
    Descending,
}

/// Reads a range of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    /// The table.
    pub table: &'static Table,
    /// The partition.
    pub partition: Bytes,
    /// The smallest sort key wanted; empty: from the first.
    pub from: Bytes,
    /// The greatest sort key wanted, itself included; none: to the last.
    pub to: Option<Bytes>,
    /// The direction.
    pub order: Order,
    /// At most so many rows.
    pub limit: usize,
}

impl Scan {
    /// The whole of a partition, ascending, up to a limit.
    pub fn all(table: &'static Table, partition: Bytes, limit: usize) -> Self {
        Self { table, partition, from: Bytes::new(), to: None, order: Order::Ascending, limit }
    }
}

/// The outcome of [`Store::claim`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// The row was absent and is now the caller's.
    Won,
    /// The row was there.
    Taken(Row),
}

/// The database.
///
/// **Order.** Writes are ordered by their version alone, never by arrival: any number of writers may write the same
/// rows in any order, any number of times, and the outcome is the same.
/// **Visibility.** When a write returns, every later read of this region's processes sees it.
/// **Durability.** When a write returns it survives a crash of any process. [`Store::flush`] is what makes it survive
/// the loss of power as well; on a replicated engine that every acknowledged write does, it has nothing to do.
/// **Failure.** Methods fail with a retryable error and can be called again; after a failed write any part of it may be
/// there, now or later, but of one partition all or nothing.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// One row; `None` if it is not there, deleted or expired.
    async fn get(&self, key: Key) -> Result<Option<Row>>;

    /// A range of a partition, in order.
    async fn scan(&self, scan: Scan) -> Result<Vec<Row>>;

    /// Applies all writes, those of one partition of a table atomically. At most 4,096 writes.
    async fn write(&self, writes: Vec<Write>) -> Result<()>;

    /// Applies lists of writes in their order, each as [`Self::write`] does: whoever sees a write of a list sees all of the lists
    /// before it, whatever crashed meanwhile. At most 4,096 writes in all, of tables that this store serves. After a failure
    /// any part of any list may be there, as of as many calls of [`Self::write`].
    ///
    /// An engine that can do it in one go saves the caller a wait for each list; for the others this does it list by list.
    async fn write_in_order(&self, lists: Vec<Vec<Write>>) -> Result<()> {
        check_lists("store", &lists)?;
        for writes in lists.into_iter().filter(|writes| !writes.is_empty()) {
            self.write(writes).await?;
        }
        Ok(())
    }

    /// Inserts a row if it is absent; of any number of concurrent claims exactly one wins. The engine may give the row a
    /// version of its own, the time in microseconds, in place of the write's: rows that are claimed have times for versions,
    /// or are never written otherwise. Durable when it returns, even
    /// through power loss. Costs a round of consensus on replicated engines, so it is never on the message path. After a
    /// timeout the claim may have won: claim again and compare the row.
    async fn claim(&self, write: Write) -> Result<Claim>;

    /// Returns once every write that had returned before the call survives the loss of power. Concurrent calls share one
    /// fsync.
    async fn flush(&self) -> Result<()>;
}
