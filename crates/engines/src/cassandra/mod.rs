//! The databases on Apache Cassandra.
//!
//! A version is the timestamp of its write (`USING TIMESTAMP`), so that a lower version never overwriting a higher one is what
//! the database does anyway: on every replica, in hints, in repair and in compaction. Writes and reads wait for a majority of
//! the region's replicas (`LOCAL_QUORUM`), so that a read sees every write that returned before it, and any of them may be
//! repeated blindly. Only a claim is a lightweight transaction. `docs/tables.md` has the statements and what they rest on.

mod connect;
mod failure;
mod schema;
mod statements;
mod url;

pub use schema::migrate;
pub use url::Url;

use async_trait::async_trait;
use bytes::Bytes;
use failure::{Effect, of_answer, of_request};
use futures_util::stream::{self, StreamExt as _};
use hudhud_ports::limits::{check_key, check_key_part, check_writes};
use hudhud_ports::{Claim, Error, ErrorKind, Key, Result, Row, Scan, Table, Write};
use scylla::client::session::Session;
use scylla::response::PagingState;
use scylla::response::query_result::QueryResult;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::batch::{Batch, BatchType};
use statements::{SCAN_PAGE_ROWS, Statements, Tables};
use std::collections::HashMap;
use std::time::Duration;

const ENGINE: &str = "cassandra";

/// Partitions that one call writes side by side.
const PARTITIONS_IN_FLIGHT_MAX: usize = 128;

/// How often a claim is tried that was neither won nor found taken: others claim the same row, or it has just gone.
const CLAIM_TRIES_MAX: u32 = 6;
/// The longest wait before the second try; it doubles with each.
const CLAIM_WAIT: Duration = Duration::from_millis(20);

/// A [`hudhud_ports::Store`] on a keyspace.
pub struct Store {
    session: Session,
    tables: Tables,
}

impl Store {
    /// Connects and prepares. [`migrate`] must have made these tables.
    ///
    /// # Errors
    /// When no server can be reached, a table is missing, or an acknowledged write would not survive the loss of power.
    pub async fn open(url: &Url, tables: &[&'static Table]) -> Result<Self> {
        let session = connect::connect(url).await?;
        schema::check(&session, url, tables).await?;
        connect::check_durability(&session, url).await?;
        let tables = statements::prepare(&session, url, tables).await?;
        Ok(Self { session, tables })
    }

    fn statements(&self, op: &'static str, table: &'static Table) -> Result<&Statements> {
        self.tables.get(table).ok_or_else(|| {
            let cause = format!("this keyspace was opened without a table {:?}", table.name);
            Error::new(ErrorKind::Invalid, ENGINE, op).because(cause)
        })
    }

    /// Writes to one partition of one table: one mutation, so all of it or nothing.
    async fn write_partition(&self, statements: &Statements, writes: Vec<Write>) -> Result<()> {
        let outcome = match <[Write; 1]>::try_from(writes) {
            Ok([write]) => {
                let bound = Bound::from(&write);
                let statement = bound.statement(statements);
                self.session.execute_unpaged(statement, bound).await
            }
            Err(writes) => {
                let mut batch = Batch::new(BatchType::Unlogged);
                batch.set_is_idempotent(true);
                let bounds: Vec<Bound<'_>> = writes.iter().map(Bound::from).collect();
                for bound in &bounds {
                    batch.append_statement(bound.statement(statements).clone());
                }
                self.session.batch(&batch, bounds).await
            }
        };
        outcome.map(|_| ()).map_err(|error| of_request("write", Effect::Possible, error))
    }

    /// The row as it is once every claim of it is decided.
    async fn claimed(&self, statements: &Statements, key: &Key) -> Result<Option<Row>> {
        let bound = (&key.partition[..], &key.sort[..]);
        let answer = self.session.execute_unpaged(&statements.get_claimed, bound).await;
        only_row("claim", key, answer.map_err(|error| of_request("claim", Effect::None, error))?)
    }
}

#[async_trait]
impl hudhud_ports::Store for Store {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        check_key(ENGINE, "get", &key)?;
        let statements = self.statements("get", key.table)?;
        let answer = self.session.execute_unpaged(&statements.get, (&key.partition[..], &key.sort[..])).await;
        only_row("get", &key, answer.map_err(|error| of_request("get", Effect::None, error))?)
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        check_key_part(ENGINE, "scan", "partition", &scan.partition)?;
        let statements = self.statements("scan", scan.table)?;
        if scan.limit == 0 || scan.to.as_ref().is_some_and(|to| scan.from > *to) {
            return Ok(Vec::new());
        }
        let statement = statements.scan(scan.order, scan.to.is_some());
        let limit = i32::try_from(scan.limit).unwrap_or(i32::MAX);
        let mut rows = Vec::new();
        let mut page = PagingState::start();
        loop {
            let (part, from) = (&scan.partition[..], &scan.from[..]);
            let answer = match &scan.to {
                Some(to) => self.session.execute_single_page(statement, (part, from, &to[..], limit), page).await,
                None => self.session.execute_single_page(statement, (part, from, limit), page).await,
            };
            let (answer, next) = answer.map_err(|error| of_request("scan", Effect::None, error))?;
            let answer = answer.into_rows_result().map_err(|error| of_answer("scan", error))?;
            rows.reserve(answer.rows_num().min(SCAN_PAGE_ROWS as usize));
            for row in answer.rows::<(Bytes, Option<Bytes>, Option<i64>)>().map_err(|error| of_answer("scan", error))? {
                let (sort, value, version) = row.map_err(|error| of_answer("scan", error))?;
                rows.extend(self::row("scan", sort, value, version)?);
            }
            match next.into_paging_control_flow() {
                std::ops::ControlFlow::Continue(next) if rows.len() < scan.limit => page = next,
                _ => return Ok(rows),
            }
        }
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        check_writes(ENGINE, "write", &writes)?;
        let mut partitions: HashMap<(&'static Table, Bytes), Vec<Write>> = HashMap::new();
        for write in writes {
            partitions.entry((write.key.table, write.key.partition.clone())).or_default().push(write);
        }
        let mut parts = Vec::with_capacity(partitions.len());
        for ((table, _), writes) in partitions {
            parts.push(self.write_partition(self.statements("write", table)?, writes));
        }
        // All of them, even behind one that failed: less is then to be done again.
        let outcomes = stream::iter(parts).buffer_unordered(PARTITIONS_IN_FLIGHT_MAX);
        outcomes.fold(Ok(()), async |all: Result<()>, one| all.and(one)).await
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        check_writes(ENGINE, "claim", std::slice::from_ref(&write))?;
        let statements = self.statements("claim", write.key.table)?;
        let value = write.value.as_deref().unwrap_or_default();
        let mut last = Error::new(ErrorKind::Unavailable, ENGINE, "claim").because("others claim and delete this row");
        for tries in 0..CLAIM_TRIES_MAX {
            let bound = (&write.key.partition[..], &write.key.sort[..], value);
            let answer = self.session.execute_unpaged(&statements.claim, bound).await;
            let answer = answer.map_err(|error| of_request("claim", Effect::Possible, error));
            let unclear = match answer.and_then(is_applied) {
                Ok(true) => return Ok(Claim::Won),
                Ok(false) => None,
                // Many claims of one row at once: whether this one was made is seen once all are decided.
                Err(error) if error.kind() == ErrorKind::Timeout => Some(error),
                Err(error) => return Err(error),
            };
            // The answer names the row's value, but not its version.
            match (self.claimed(statements, &write.key).await, unclear) {
                // It may be this claim's, or another one's of the same value: the caller knows.
                (Ok(Some(row)), Some(unclear)) if row.value == value => return Err(unclear),
                (Ok(Some(row)), _) => return Ok(Claim::Taken(row)),
                (Ok(None), unclear) => last = unclear.unwrap_or(last),
                (Err(error), unclear) if error.is_retryable() => last = unclear.unwrap_or(error),
                (Err(error), _) => return Err(error),
            }
            tokio::time::sleep(jittered(CLAIM_WAIT * 2_u32.pow(tries))).await;
        }
        Err(last)
    }

    /// Every acknowledged write survives the loss of power already, as [`Store::open`] made sure.
    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// Up to so long, so that those who meet do not meet again.
fn jittered(longest: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    longest.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// A write as the values of its statement.
enum Bound<'a> {
    Put(&'a [u8], &'a [u8], &'a [u8], i64),
    Delete(i64, &'a [u8], &'a [u8]),
}

impl<'a> From<&'a Write> for Bound<'a> {
    fn from(write: &'a Write) -> Self {
        let version = i64::try_from(write.version).expect("writes are checked");
        let Key { partition, sort, .. } = &write.key;
        match &write.value {
            Some(value) => Self::Put(partition, sort, value, version),
            None => Self::Delete(version, partition, sort),
        }
    }
}

impl Bound<'_> {
    fn statement<'s>(&self, statements: &'s Statements) -> &'s scylla::statement::prepared::PreparedStatement {
        match self {
            Self::Put(..) => &statements.put,
            Self::Delete(..) => &statements.delete,
        }
    }
}

impl SerializeRow for Bound<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        to: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match *self {
            Self::Put(part, sort, value, version) => (part, sort, value, version).serialize(context, to),
            Self::Delete(version, part, sort) => (version, part, sort).serialize(context, to),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

fn only_row(op: &'static str, key: &Key, answer: QueryResult) -> Result<Option<Row>> {
    let answer = answer.into_rows_result().map_err(|error| of_answer(op, error))?;
    let found = answer.maybe_first_row::<(Option<Bytes>, Option<i64>)>().map_err(|error| of_answer(op, error))?;
    match found {
        Some((value, version)) => row(op, key.sort.clone(), value, version),
        None => Ok(None),
    }
}

/// A value that expired leaves its row behind for a moment.
fn row(op: &'static str, sort: Bytes, value: Option<Bytes>, version: Option<i64>) -> Result<Option<Row>> {
    let (Some(value), Some(version)) = (value, version) else { return Ok(None) };
    let version = u64::try_from(version).map_err(|error| of_answer(op, error))?;
    Ok(Some(Row { sort, value, version }))
}

/// The answer to a claim: one column where it was won, the row behind it where it was not.
fn is_applied(answer: QueryResult) -> Result<bool> {
    use scylla::value::{CqlValue, Row as AnyRow};
    let answer = answer.into_rows_result().map_err(|error| of_answer("claim", error))?;
    let first = answer.first_row::<AnyRow>().map_err(|error| of_answer("claim", error))?;
    match first.columns.first() {
        Some(Some(CqlValue::Boolean(applied))) => Ok(*applied),
        _ => Err(Error::new(ErrorKind::Corrupt, ENGINE, "claim").because("the answer does not say whether it was won")),
    }
}
