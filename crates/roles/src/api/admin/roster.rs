//! All accounts, in an order: by their ids, in 256 partitions. What was made before there was such a list is put into it once.

use crate::api::{Api, errors};
use crate::services::Services;
use crate::tables;
use bytes::Bytes;
use hudhud_ports::{Key, Order, Row, Scan, Table, Write};
use hudhud_proto::v1::{AccountRow, ListedRow};
use hudhud_proto::{AccountId, ProtocolError};

/// Writes of one call.
const WRITES_MAX: usize = 1_024;

/// The rows of a list that is spread by the first byte of its keys, behind one of them: so many, in the order of the keys.
pub(super) async fn rows_after(
    api: &Api,
    table: &'static Table,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Row>, ProtocolError> {
    let first = after.and_then(|after| after.first().copied()).unwrap_or(0);
    let mut rows = Vec::new();
    for byte in first..=u8::MAX {
        // The first key behind this one.
        let from = match after {
            Some(after) if byte == first => [after, &[0]].concat().into(),
            _ => Bytes::new(),
        };
        let partition = Bytes::copy_from_slice(&[byte]);
        let scan = Scan { table, partition, from, to: None, order: Order::Ascending, limit: limit - rows.len() };
        rows.extend(api.services.directory.scan(scan).await.map_err(errors::from_port)?);
        if rows.len() >= limit {
            break;
        }
    }
    Ok(rows)
}

/// Whether every account is in the list.
pub async fn is_indexed(services: &Services) -> hudhud_ports::Result<bool> {
    Ok(services.directory.get(complete()).await?.is_some())
}

/// Puts accounts and invites into the lists that operators see, whose rows are in these: those of a data folder that an
/// earlier version wrote. May be repeated.
pub async fn index(
    services: &Services,
    rows: impl Iterator<Item = hudhud_ports::Result<Old>> + Send,
) -> hudhud_ports::Result<()> {
    let mut writes: Vec<Write> = Vec::new();
    for row in rows {
        let (key, created_us) = match row? {
            Old::Account(id, account) => (tables::roster(id), account.created_us),
            Old::Invite(code) => (tables::server_invite(&code), 0),
        };
        // The lowest version: whatever this version of the server wrote meanwhile stays.
        writes.push(tables::put(key, &ListedRow { created_us }, 1));
        if writes.len() >= WRITES_MAX {
            services.directory.write(std::mem::take(&mut writes)).await?;
        }
    }
    writes.push(tables::put(complete(), &ListedRow { created_us: services.now_us() }, services.now_us()));
    services.write_directory_durably(writes).await
}

/// Something that an earlier version wrote.
#[derive(Clone, PartialEq, Debug)]
pub enum Old {
    /// An account.
    Account(AccountId, AccountRow),
    /// An invite to the server, by its code.
    Invite(String),
}

impl Old {
    /// What a row is that was stored under these names; none for all others.
    pub fn of(table: &str, partition: &[u8], sort: &[u8], value: &[u8]) -> Option<Self> {
        use hudhud_proto::Message as _;
        match (table, sort) {
            ("accounts", b"account") => {
                Some(Self::Account(AccountId::from_slice(partition).ok()?, AccountRow::decode_from_slice(value).ok()?))
            }
            ("registration_invites", b"invite") => Some(Self::Invite(std::str::from_utf8(partition).ok()?.to_owned())),
            _ => None,
        }
    }
}

/// Stands where no account can be: the list is complete.
fn complete() -> Key {
    Key { table: tables::ROSTER, partition: Bytes::from_static(b"complete"), sort: Bytes::from_static(b"complete") }
}
