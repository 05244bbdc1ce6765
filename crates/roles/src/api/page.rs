//! Pages of an account's lists of accounts: blocks and contacts.

use super::{Api, errors};
use bytes::Bytes;
use hudhud_ports::{Order, Row, Scan, Table};
use hudhud_proto::limits::PAGE_ACCOUNTS_MAX;
use hudhud_proto::{AccountId, ProtocolError};

/// One page of a list.
pub(super) struct Page {
    /// The accounts in the list and their rows, by their ids.
    pub(super) rows: Vec<(AccountId, Row)>,
    /// For the next page; empty at the end.
    pub(super) next_cursor: Bytes,
}

/// The page of an account's rows behind a cursor, or the first one. Whatever is in the list all the while is in one page,
/// however the list changes between two pages.
pub(super) async fn read(
    api: &Api,
    table: &'static Table,
    account: AccountId,
    cursor: &[u8],
) -> Result<Page, ProtocolError> {
    let from = match cursor {
        [] => Bytes::new(),
        cursor => {
            let after = AccountId::from_slice(cursor).map_err(|_| {
                ProtocolError::invalid("the cursor is not one of this server's: start with an empty one")
            })?;
            // The first key behind this one: keys of these tables are as long.
            [after.as_bytes().as_slice(), &[0]].concat().into()
        }
    };
    let scan = Scan {
        table,
        partition: account.to_bytes(),
        from,
        to: None,
        order: Order::Ascending,
        // One more tells whether there is a next page.
        limit: PAGE_ACCOUNTS_MAX + 1,
    };
    let mut rows = Vec::new();
    for row in api.services.directory.scan(scan).await.map_err(errors::from_port)? {
        rows.push((AccountId::from_slice(&row.sort)?, row));
    }
    let more = rows.len() > PAGE_ACCOUNTS_MAX;
    rows.truncate(PAGE_ACCOUNTS_MAX);
    let next_cursor = rows.last().filter(|_| more).map(|(id, _)| id.to_bytes()).unwrap_or_default();
    Ok(Page { rows, next_cursor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;
    use crate::api::{Caller, blocks, contacts};
    use crate::tables;
    use hudhud_ports::Store as _;
    use hudhud_proto::v1::{BlockRow, ContactRow, ErrorCode, ListBlocks, ListContacts};

    fn nth(n: usize) -> AccountId {
        AccountId::new((n as u128 + 1).to_be_bytes())
    }

    /// The numbers of pages, and all accounts in them.
    async fn walk(fixture: &Fixture, alice: &Caller, blocked: bool) -> (Vec<usize>, Vec<AccountId>) {
        let (mut sizes, mut seen, mut cursor) = (Vec::new(), Vec::new(), Bytes::new());
        loop {
            let (ids, next): (Vec<Bytes>, Bytes) = if blocked {
                let list = blocks::list(&fixture.api, alice, ListBlocks { cursor }).await.expect("a page");
                (list.accounts.into_iter().map(|profile| profile.account).collect(), list.next_cursor)
            } else {
                let list = contacts::list(&fixture.api, alice, ListContacts { cursor }).await.expect("a page");
                let account = |contact: hudhud_proto::v1::Contact| contact.profile.account.clone();
                (list.contacts.into_iter().map(account).collect(), list.next_cursor)
            };
            sizes.push(ids.len());
            seen.extend(ids.iter().map(|id| AccountId::from_slice(id).expect("an id")));
            if next.is_empty() {
                return (sizes, seen);
            }
            cursor = next;
        }
    }

    /// Pages are full but for the last one, and together are the list, each account once.
    #[tokio::test]
    async fn a_list_comes_in_pages() {
        for (count, expected) in [
            (0, vec![0]),
            (1, vec![1]),
            (PAGE_ACCOUNTS_MAX, vec![PAGE_ACCOUNTS_MAX]),
            (PAGE_ACCOUNTS_MAX + 1, vec![PAGE_ACCOUNTS_MAX, 1]),
            (2 * PAGE_ACCOUNTS_MAX + 7, vec![PAGE_ACCOUNTS_MAX, PAGE_ACCOUNTS_MAX, 7]),
        ] {
            let fixture = Fixture::new().await;
            let alice = fixture.account("alice").await;
            let row = (BlockRow { since_us: 1 }, ContactRow { alias: "a friend".into() });
            let block = |n| tables::put(tables::block(alice.account, nth(n)), &row.0, 1);
            let contact = |n| tables::put(tables::contact(alice.account, nth(n)), &row.1, 1);
            let writes = (0..count).flat_map(|n| [block(n), contact(n)]).collect();
            fixture.store.write(writes).await.expect("written");
            let all: Vec<_> = (0..count).map(nth).collect();
            for blocked in [true, false] {
                assert_eq!(walk(&fixture, &alice, blocked).await, (expected.clone(), all.clone()));
            }
        }
    }

    #[tokio::test]
    async fn a_foreign_cursor_is_refused() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let cursor = Bytes::from_static(b"nonsense");
        let refused = blocks::list(&fixture.api, &alice, ListBlocks { cursor }).await.expect_err("no cursor of ours");
        assert_eq!(refused.code, ErrorCode::Invalid);
    }
}
