//! What is asked of a table, prepared once: every table has the same shape.

use super::{ENGINE, Url};
use futures_util::future::try_join_all;
use hudhud_ports::{Consistency, Error, ErrorKind, Order, Result, Table};
use scylla::client::session::Session;
use scylla::statement::SerialConsistency;
use scylla::statement::prepared::PreparedStatement;
use std::collections::HashMap;

/// Rows of one page of a scan: at 64 KiB each, which few have, a page is 32 MiB.
pub(super) const SCAN_PAGE_ROWS: i32 = 512;

/// The statements of every table.
pub(super) type Tables = HashMap<&'static Table, Statements>;

/// The statements of one table.
pub(super) struct Statements {
    pub(super) get: PreparedStatement,
    /// As `get`, after whatever claims are under way.
    pub(super) get_claimed: PreparedStatement,
    pub(super) put: PreparedStatement,
    pub(super) delete: PreparedStatement,
    pub(super) claim: PreparedStatement,
    scans: [PreparedStatement; 4],
}

impl Statements {
    /// The scan with or without an upper end.
    pub(super) fn scan(&self, order: Order, has_end: bool) -> &PreparedStatement {
        let turned = match order {
            Order::Ascending => 0,
            Order::Descending => 2,
        };
        &self.scans[turned + usize::from(has_end)]
    }
}

pub(super) async fn prepare(session: &Session, url: &Url, tables: &[&'static Table]) -> Result<Tables> {
    let all = tables.iter().map(async |table| Ok((*table, of_table(session, url, table).await?)));
    Ok(try_join_all(all).await?.into_iter().collect())
}

async fn of_table(session: &Session, url: &Url, table: &Table) -> Result<Statements> {
    let name = format!("{}.{}", url.keyspace, table.name);
    let serial = match table.tuning.consistency {
        Consistency::Region => SerialConsistency::LocalSerial,
        Consistency::World => SerialConsistency::Serial,
    };
    let get = format!("SELECT value, WRITETIME(value) FROM {name} WHERE part = ? AND sort = ?");
    let scan = |end: &str, order: &str| {
        format!(
            "SELECT sort, value, WRITETIME(value) FROM {name} WHERE part = ? AND sort >= ?{end} ORDER BY sort {order} LIMIT ?"
        )
    };
    let end = " AND sort <= ?";
    let texts = [
        get.clone(),
        format!("INSERT INTO {name} (part, sort, value) VALUES (?, ?, ?) USING TIMESTAMP ?"),
        format!("DELETE FROM {name} USING TIMESTAMP ? WHERE part = ? AND sort = ?"),
        scan("", "ASC"),
        scan(end, "ASC"),
        scan("", "DESC"),
        scan(end, "DESC"),
    ];
    let mut prepared = Vec::with_capacity(texts.len());
    for text in texts {
        let mut statement = prepare_one(session, text).await?;
        // The version decides, so a repetition changes nothing.
        statement.set_is_idempotent(true);
        statement.set_page_size(SCAN_PAGE_ROWS);
        prepared.push(statement);
    }
    let [get, put, delete, scans @ ..] = <[_; 7]>::try_from(prepared).expect("as many as there were");
    let mut get_claimed = get.clone();
    // A serial read: the level of a claim takes the place of the level of reads.
    get_claimed.set_consistency(match table.tuning.consistency {
        Consistency::Region => scylla::statement::Consistency::LocalSerial,
        Consistency::World => scylla::statement::Consistency::Serial,
    });
    let claim = format!("INSERT INTO {name} (part, sort, value) VALUES (?, ?, ?) IF NOT EXISTS");
    let mut claim = prepare_one(session, claim).await?;
    // Sent twice it would find itself there, and lose against itself.
    claim.set_is_idempotent(false);
    claim.set_serial_consistency(Some(serial));
    Ok(Statements { get, get_claimed, put, delete, claim, scans })
}

async fn prepare_one(session: &Session, text: String) -> Result<PreparedStatement> {
    let prepared = session.prepare(text).await;
    prepared.map_err(|error| Error::new(ErrorKind::Unavailable, ENGINE, "prepare").because(error))
}
