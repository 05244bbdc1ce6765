//! Keyspace and tables, and the way to them from whatever is there.
//!
//! Every statement says what has to be, not what to do, and a table's id is made of its name: so a migration may be run twice,
//! and by two nodes at once, and comes to one schema.

use super::connect::connect;
use super::failure::{Effect, of_answer, of_request};
use super::{ENGINE, Url};
use crate::Mode;
use hudhud_ports::{Compaction, Error, ErrorKind, Result, Table};
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

const OP: &str = "migrate";

/// The columns of every table: name, place, type.
const COLUMNS: [(&str, &str, &str); 3] =
    [("part", "partition_key", "blob"), ("sort", "clustering", "blob"), ("value", "regular", "blob")];

/// How long a deletion is kept from repair: every replica has to hear of it within that time.
const GRACE: Duration = Duration::from_secs(10 * 24 * 3_600);
/// The same where every row expires: nothing is deleted there.
const GRACE_OF_EXPIRING: Duration = Duration::from_secs(24 * 3_600);

/// Makes of a keyspace what these tables need; returns the statements that it takes, in their order.
///
/// # Errors
/// When no server can be reached, or a table is there that is not ours.
pub async fn migrate(url: &Url, tables: &[&'static Table], mode: Mode) -> Result<Vec<String>> {
    let session = connect(url).await?;
    let statements = plan(&session, url, tables).await?;
    if mode == Mode::Apply {
        for statement in &statements {
            let done = session.query_unpaged(statement.as_str(), ()).await;
            done.map_err(|error| of_request(OP, Effect::Possible, error))?;
        }
        let agreed = session.await_schema_agreement().await;
        agreed.map_err(|error| Error::new(ErrorKind::Timeout, ENGINE, OP).because(error))?;
    }
    Ok(statements)
}

/// Refuses a keyspace that lacks something. What only costs more than it should is a warning.
pub(super) async fn check(session: &Session, url: &Url, tables: &[&'static Table]) -> Result<()> {
    let refused = |cause: String| Err(Error::new(ErrorKind::Invalid, ENGINE, "open").because(cause));
    let keyspace = &url.keyspace;
    let found = found(session, url).await?;
    let missing: Vec<&str> = tables.iter().map(|it| it.name).filter(|name| !found.contains_key(*name)).collect();
    if !missing.is_empty() {
        return refused(format!("keyspace {keyspace} has no {}: run `hudhud migrate` first", missing.join(", ")));
    }
    for statement in plan(session, url, tables).await? {
        tracing::warn!(statement, "the schema is not as this version wants it: run `hudhud migrate`");
    }
    Ok(())
}

async fn plan(session: &Session, url: &Url, tables: &[&'static Table]) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    statements.extend(keyspace_statement(replication(session, url).await?, url)?);
    let mut found = found(session, url).await?;
    for table in tables {
        statements.extend(match found.remove(table.name) {
            Some(found) => found.alteration(url, table)?,
            None => Some(creation(url, table)),
        });
    }
    Ok(statements)
}

fn keyspace_statement(there: Option<BTreeMap<String, u32>>, url: &Url) -> Result<Option<String>> {
    let keyspace = &url.keyspace;
    let copies: String = url.replication.iter().map(|(name, copies)| format!(", '{name}': {copies}")).collect();
    let replication = format!("replication = {{'class': 'NetworkTopologyStrategy'{copies}}}");
    match there {
        None if url.replication.is_empty() => {
            let cause = format!(
                "there is no keyspace {keyspace}: say in its URL how many copies it is to have, such as \
                 &replication={}:3",
                url.datacenter
            );
            Err(Error::new(ErrorKind::Invalid, ENGINE, OP).because(cause))
        }
        None => Ok(Some(format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH {replication}"))),
        Some(there) if url.replication.is_empty() || there == url.replication => Ok(None),
        Some(_) => Ok(Some(format!("ALTER KEYSPACE {keyspace} WITH {replication}"))),
    }
}

fn creation(url: &Url, table: &Table) -> String {
    let (keyspace, name) = (&url.keyspace, table.name);
    let columns = "part blob, sort blob, value blob, PRIMARY KEY (part, sort)";
    let (id, options) = (id(keyspace, name), options(table));
    format!("CREATE TABLE IF NOT EXISTS {keyspace}.{name} ({columns}) WITH id = '{id}' AND {options}")
}

/// The id of a table, the same whoever makes it: two tables of one name that two nodes make at once would otherwise be two.
fn id(keyspace: &str, name: &str) -> uuid::Uuid {
    let hash = blake3::hash(format!("{keyspace}.{name}").as_bytes());
    let mut head = [0; 16];
    head.copy_from_slice(&hash.as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(head).into_uuid()
}

fn options(table: &Table) -> String {
    format!(
        "default_time_to_live = {} AND gc_grace_seconds = {} AND compaction = {{'class': '{STRATEGY}', \
         'scaling_parameters': '{}'}}",
        ttl_s(table),
        grace_s(table),
        scaling(table)
    )
}

const STRATEGY: &str = "UnifiedCompactionStrategy";

/// T: files of one size wait for so many others. L: a level is merged into the next one at once. N: the first level waits for two.
fn scaling(table: &Table) -> &'static str {
    match table.tuning.compaction {
        Compaction::WrittenOnce => "T4",
        Compaction::Overwritten => "N, L8",
        Compaction::Mixed => "L8",
        Compaction::ReadMostly => "L10",
    }
}

fn ttl_s(table: &Table) -> i32 {
    table.ttl.map_or(0, |ttl| i32::try_from(ttl.as_secs()).unwrap_or(i32::MAX))
}

fn grace_s(table: &Table) -> i32 {
    let grace = table.ttl.map_or(GRACE, |_| GRACE_OF_EXPIRING);
    i32::try_from(grace.as_secs()).unwrap_or(i32::MAX)
}

/// A table that is there.
#[derive(Default)]
struct Found {
    columns: BTreeSet<(String, String, String)>,
    ttl_s: i32,
    grace_s: i32,
    compaction: HashMap<String, String>,
}

impl Found {
    fn alteration(&self, url: &Url, table: &Table) -> Result<Option<String>> {
        let (keyspace, name) = (&url.keyspace, table.name);
        let ours = COLUMNS.map(|(name, place, kind)| (name.to_owned(), place.to_owned(), kind.to_owned()));
        if self.columns != BTreeSet::from(ours) {
            let cause = format!("{keyspace}.{name} has other columns: it is not Hudhud's. Choose another keyspace");
            return Err(Error::new(ErrorKind::Invalid, ENGINE, OP).because(cause));
        }
        let is_strategy = self.compaction.get("class").is_some_and(|class| class.ends_with(STRATEGY));
        let is_scaled = self.compaction.get("scaling_parameters").is_some_and(|it| it == scaling(table));
        let is_as_wanted = (self.ttl_s, self.grace_s) == (ttl_s(table), grace_s(table)) && is_strategy && is_scaled;
        Ok((!is_as_wanted).then(|| format!("ALTER TABLE {keyspace}.{name} WITH {}", options(table))))
    }
}

/// Copies by datacentre; none where the keyspace is not there.
pub(super) async fn replication(session: &Session, url: &Url) -> Result<Option<BTreeMap<String, u32>>> {
    const QUERY: &str = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let found: Vec<(HashMap<String, String>,)> = rows(session, QUERY, url).await?;
    let copies = |all: HashMap<String, String>| {
        all.into_iter().filter_map(|(name, copies)| Some((name, copies.parse().ok()?))).collect()
    };
    Ok(found.into_iter().next().map(|(all,)| copies(all)))
}

async fn found(session: &Session, url: &Url) -> Result<HashMap<String, Found>> {
    const TABLES: &str = "SELECT table_name, default_time_to_live, gc_grace_seconds, compaction FROM system_schema.tables \
         WHERE keyspace_name = ?";
    const THEIR_COLUMNS: &str =
        "SELECT table_name, column_name, kind, type FROM system_schema.columns WHERE keyspace_name = ?";
    let mut found = HashMap::new();
    for (name, ttl_s, grace_s, compaction) in rows(session, TABLES, url).await? {
        found.insert(name, Found { columns: BTreeSet::new(), ttl_s, grace_s, compaction });
    }
    for (table, name, kind, of_type) in rows::<(String, String, String, String)>(session, THEIR_COLUMNS, url).await? {
        found.entry(table).or_default().columns.insert((name, kind, of_type));
    }
    Ok(found)
}

async fn rows<R: for<'f, 'm> DeserializeRow<'f, 'm>>(session: &Session, query: &str, url: &Url) -> Result<Vec<R>> {
    let answer = session.query_unpaged(query, (&url.keyspace,)).await;
    let answer = answer.map_err(|error| of_request(OP, Effect::None, error))?;
    let answer = answer.into_rows_result().map_err(|error| of_answer(OP, error))?;
    let rows = answer.rows::<R>().map_err(|error| of_answer(OP, error))?;
    rows.map(|row| row.map_err(|error| of_answer(OP, error))).collect()
}
