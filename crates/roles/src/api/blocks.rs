//! Accounts from which an account takes nothing more. They are not told.

use super::{Api, Caller, errors, page, profiles, rows};
use crate::tables;
use hudhud_ports::Scan;
use hudhud_proto::limits::BLOCKS_MAX;
use hudhud_proto::v1::{Block, BlockList, BlockRow, ErrorCode, ListBlocks, Unblock};
use hudhud_proto::{AccountId, ProtocolError};

/// Blocks an account. Answers the same whether there is such an account or not.
pub(super) async fn block(api: &Api, caller: &Caller, m: Block) -> Result<(), ProtocolError> {
    let other = AccountId::from_slice(&m.account)?;
    if other == caller.account {
        return Err(ProtocolError::invalid("an account can't block itself"));
    }
    let key = tables::block(caller.account, other);
    if rows::get::<BlockRow>(api, key.clone()).await?.is_some() {
        return Ok(());
    }
    // The list of blocks will tell.
    profiles::meet(api, caller, other).await?;
    if ids(api, caller.account).await?.len() >= BLOCKS_MAX {
        let message = format!("an account blocks at most {BLOCKS_MAX} others: unblock some");
        return Err(ProtocolError::new(ErrorCode::Limit, message));
    }
    rows::replace(api, key, &BlockRow { since_us: api.services.now_us() }).await
}

/// Ends a block, if there is one.
pub(super) async fn unblock(api: &Api, caller: &Caller, m: Unblock) -> Result<(), ProtocolError> {
    let other = AccountId::from_slice(&m.account)?;
    rows::remove(api, tables::block(caller.account, other)).await.map(|_| ())
}

/// Whom the caller blocks, a page at a time.
pub(super) async fn list(api: &Api, caller: &Caller, m: ListBlocks) -> Result<BlockList, ProtocolError> {
    let page = page::read(api, tables::BLOCKS, caller.account, &m.cursor).await?;
    let ids = page.rows.iter().map(|(id, _)| *id).collect();
    Ok(BlockList { accounts: profiles::load_all(api, ids).await?, next_cursor: page.next_cursor })
}

async fn ids(api: &Api, account: AccountId) -> Result<Vec<AccountId>, ProtocolError> {
    let scan = Scan::all(tables::BLOCKS, account.to_bytes(), BLOCKS_MAX);
    let rows = api.services.directory.scan(scan).await.map_err(errors::from_port)?;
    rows.iter().map(|row| Ok(AccountId::from_slice(&row.sort)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::membership;
    use crate::api::testing::{BEGIN_US, Fixture};
    use hudhud_ports::Store;
    use std::time::Duration;

    async fn blocked(fixture: &Fixture, owner: &Caller, other: &Caller) -> bool {
        membership::blocks(&fixture.services, owner.account, other.account).await.expect("read")
    }

    #[tokio::test]
    async fn a_block_lasts_until_it_is_ended_and_goes_one_way() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        let other = || bob.account.to_bytes();
        for _ in 0..2 {
            block(&fixture.api, &alice, Block { account: other() }).await.expect("blocked, and blocked again");
        }
        assert!(blocked(&fixture, &alice, &bob).await);
        assert!(!blocked(&fixture, &bob, &alice).await);
        assert_eq!(fixture.store.unsynced(), 0, "it survives the loss of power");
        fixture.clock.advance(Duration::from_secs(1));
        for _ in 0..2 {
            unblock(&fixture.api, &alice, Unblock { account: other() }).await.expect("ended, and ended again");
        }
        assert!(!blocked(&fixture, &alice, &bob).await);
        fixture.clock.advance(Duration::from_secs(1));
        block(&fixture.api, &alice, Block { account: other() }).await.expect("blocked once more");
        assert!(blocked(&fixture, &alice, &bob).await);
        let own = block(&fixture.api, &alice, Block { account: alice.account.to_bytes() }).await;
        assert_eq!(own.map_err(|error| error.code), Err(ErrorCode::Invalid));
    }

    #[tokio::test]
    async fn a_block_that_loses_to_a_clock_that_went_back_is_no_success() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        let deletion = tables::delete(tables::block(alice.account, bob.account), BEGIN_US + 5_000_000);
        fixture.store.write(vec![deletion]).await.expect("written when the clock was ahead");
        let wanted = || Block { account: bob.account.to_bytes() };
        let error = block(&fixture.api, &alice, wanted()).await.expect_err("it did not take");
        assert_eq!((error.code, error.retry_after_ms), (ErrorCode::Unavailable, 1_000));
        fixture.clock.advance(Duration::from_secs(6));
        block(&fixture.api, &alice, wanted()).await.expect("blocked");
        assert!(blocked(&fixture, &alice, &bob).await);
    }

    #[tokio::test]
    async fn an_account_blocks_so_many() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        let row = BlockRow { since_us: BEGIN_US };
        let nth = |n: usize| AccountId::new((n as u128).to_be_bytes());
        let writes = (0..BLOCKS_MAX).map(|n| tables::put(tables::block(alice.account, nth(n)), &row, BEGIN_US));
        let writes: Vec<_> = writes.collect();
        for batch in writes.chunks(1_000) {
            fixture.store.write(batch.to_vec()).await.expect("written");
        }
        let wanted = || Block { account: bob.account.to_bytes() };
        let error = block(&fixture.api, &alice, wanted()).await.expect_err("one too many");
        assert_eq!(error.code, ErrorCode::Limit);
        unblock(&fixture.api, &alice, Unblock { account: nth(3).to_bytes() }).await.expect("ended");
        block(&fixture.api, &alice, wanted()).await.expect("room again");
    }
}
