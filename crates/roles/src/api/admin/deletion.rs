//! The end of an account.
//!
//! In this order, so that a crash anywhere leaves an account that nobody gets into, and deleting it again goes on where it broke
//! off: it is marked as deleted, which refuses every log-in from then on; its devices are logged out; it leaves its groups, by
//! entries of their logs, which hand a group that it owned to somebody else; then what is kept of it is deleted.
//!
//! What stays: the messages that it wrote, in the chats of those who got them; that it was a member then; the mark, under its
//! id; and its handle, which nobody else ever gets.

use super::{accounts, on_behalf_of, reason};
use crate::api::{Api, devices, errors, groups, rows, tokens};
use crate::tables;
use futures_util::future::join_all;
use hudhud_ports::{Key, Row, Scan, Table, Write};
use hudhud_proto::limits::PAGE_ROWS_MAX;
use hudhud_proto::v1::{ConversationKind, ErrorCode, MemberLeft, StandingRow, event::What};
use hudhud_proto::{AccountId, ConversationId, DeviceId, MessageId, ProtocolError};
use std::time::Duration;

/// How long the log may take to show that a group was left.
const LEAVING_POLLS_MAX: usize = 100;
const LEAVING_POLL: Duration = Duration::from_millis(50);
/// Pages of rows that are deleted of one table.
const PAGES_MAX: usize = 1_000;

/// Deletes an account. Once this returns all of it is gone that goes.
pub async fn delete(api: &Api, id: AccountId, why: &str) -> Result<(), ProtocolError> {
    let reason = reason(why)?;
    accounts::existing(api, id).await?;
    let mark = StandingRow { deleted: true, suspended: false, reason, since_us: api.services.now_us() };
    rows::replace(api, tables::standing(id), &mark).await?;
    tokens::revoke_where(api, id, |_| true).await?;
    let all = Scan::all(tables::DEVICES, id.to_bytes(), PAGE_ROWS_MAX);
    for row in api.services.directory.scan(all).await.map_err(errors::from_port)? {
        devices::forget(api, id, DeviceId::from_slice(&row.sort)?).await?;
    }
    leave_groups(api, id).await?;
    for key in
        [tables::password(id), tables::privacy(id), tables::last_seen(id), tables::roster(id), tables::account(id)]
    {
        rows::remove(api, key).await?;
    }
    for table in [tables::BLOCKS, tables::CONTACTS, tables::INBOX, tables::CURSORS] {
        empty(api, table, id).await?;
    }
    Ok(())
}

/// Asks every group's log for the leaving, and waits, within limits, until it shows.
async fn leave_groups(api: &Api, id: AccountId) -> Result<(), ProtocolError> {
    let mut left = Vec::new();
    for row in accounts::inbox(api, id).await? {
        let conversation = ConversationId::from_slice(&row.conversation)?;
        let view = api.memberships.fresh(conversation).await?;
        if view.kind() != ConversationKind::Group || view.role(id).is_none() {
            continue;
        }
        let message = MessageId::v7(api.services.now_us() / 1_000, api.services.runtime.random());
        let what = What::MemberLeft(MemberLeft::default());
        groups::submit(api, &on_behalf_of(id), conversation, message, what).await?;
        left.push(conversation);
    }
    for _ in 0..LEAVING_POLLS_MAX {
        let views = join_all(left.iter().map(|conversation| api.memberships.fresh(*conversation))).await;
        left.clear();
        for view in views {
            let view = view?;
            left.extend(view.role(id).map(|_| view.id));
        }
        if left.is_empty() {
            break;
        }
        api.services.runtime.clock.sleep(LEAVING_POLL).await;
    }
    Ok(())
}

/// Deletes every row of an account in a table.
async fn empty(api: &Api, table: &'static Table, id: AccountId) -> Result<(), ProtocolError> {
    for _ in 0..PAGES_MAX {
        let scan = Scan::all(table, id.to_bytes(), PAGE_ROWS_MAX);
        let found = api.services.directory.scan(scan).await.map_err(errors::from_port)?;
        if found.is_empty() {
            return Ok(());
        }
        let deletion = |row: &Row| -> Write {
            let key = Key { table, partition: id.to_bytes(), sort: row.sort.clone() };
            tables::delete(key, row.version.saturating_add(1))
        };
        let deletions = found.iter().map(deletion).collect();
        api.services.write_directory_durably(deletions).await.map_err(errors::from_port)?;
    }
    Err(ProtocolError::retry(
        ErrorCode::Unavailable,
        "more is kept of this account than was deleted: delete it again",
        1_000,
    ))
}
