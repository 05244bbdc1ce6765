//! What others see of an account, and who may ask.
//!
//! Whoever names an account that it does not know asks whether there is one, so all such questions draw from one rate:
//! looking a handle up, adding a contact, blocking, opening a chat or writing to it. Who is added to groups has a rate of
//! its own (see `groups`). Asking for a profile without knowing the account answers as if there
//! were none.

use super::{Api, Caller, accounts, errors, input, membership, rows};
use crate::tables::{self, InboxPart};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use hudhud_proto::v1::{AccountRow, GetProfile, LookUp, Profile, SetProfile};
use hudhud_proto::{AccountId, ConversationId, Handle, ProtocolError};

/// Profiles that are read at once.
const LOADS_AT_ONCE: usize = 64;

/// The account with exactly this handle. One that blocks the caller answers as if it were not there.
pub(super) async fn look_up(api: &Api, caller: &Caller, m: LookUp) -> Result<Profile, ProtocolError> {
    let handle: Handle = m.handle.parse()?;
    api.limiter.look_up(caller)?;
    let (id, found) = accounts::find(api, &handle).await?;
    // Asked of an account that is not there as well: it takes as long.
    let hidden = membership::blocks(&api.services, id, caller.account).await?;
    match found {
        Some(account) if !hidden => Ok(profile(id, account)),
        _ => Err(errors::not_found("account")),
    }
}

/// An account that the caller knows, or the caller itself.
pub(super) async fn get(api: &Api, caller: &Caller, m: GetProfile) -> Result<Profile, ProtocolError> {
    let id = AccountId::from_slice(&m.account)?;
    let shares = match m.conversation.as_ref() {
        [] => false,
        conversation => {
            let view = api.memberships.current(caller, ConversationId::from_slice(conversation)?).await?;
            view.members.contains_key(&id)
        }
    };
    let account = match shares || knows(api, caller.account, id).await? {
        true => accounts::load(api, id).await?,
        false => None,
    };
    account.map(|account| profile(id, account)).ok_or_else(|| errors::not_found("account"))
}

/// Changes what others see of the caller.
pub(super) async fn set(api: &Api, caller: &Caller, m: SetProfile) -> Result<Profile, ProtocolError> {
    let display_name = input::name("display_name", &m.display_name)?;
    let account = accounts::load(api, caller.account).await?.ok_or_else(errors::unauthenticated)?;
    let row = AccountRow { display_name, ..account };
    rows::replace(api, tables::account(caller.account), &row).await?;
    Ok(profile(caller.account, row))
}

/// Draws from the caller's look-ups if it names an account that it does not know: before anything that tells whether
/// there is such an account.
pub(super) async fn meet(api: &Api, caller: &Caller, account: AccountId) -> Result<(), ProtocolError> {
    match knows(api, caller.account, account).await? {
        true => Ok(()),
        false => api.limiter.look_up(caller),
    }
}

/// The profile of an account that the caller may see; of one that is not there, its id alone.
pub(super) async fn load(api: &Api, id: AccountId) -> Result<Profile, ProtocolError> {
    let account = accounts::load(api, id).await?;
    Ok(match account {
        Some(account) => profile(id, account),
        None => Profile { account: id.to_bytes(), ..Default::default() },
    })
}

/// The profiles of accounts that the caller may see, in their order.
pub(super) async fn load_all(api: &Api, ids: Vec<AccountId>) -> Result<Vec<Profile>, ProtocolError> {
    stream::iter(ids).map(|id| load(api, id)).buffered(LOADS_AT_ONCE).try_collect().await
}

/// Whether `other` is the account itself, one of its contacts, or has a direct chat with it.
pub(super) async fn knows(api: &Api, account: AccountId, other: AccountId) -> Result<bool, ProtocolError> {
    let directory = &api.services.directory;
    let direct = ConversationId::direct(account, other);
    let chat = tables::inbox(account, direct, InboxPart::Head);
    Ok(account == other
        || directory.get(chat).await.map_err(errors::from_port)?.is_some()
        || directory.get(tables::contact(account, other)).await.map_err(errors::from_port)?.is_some())
}

fn profile(id: AccountId, row: AccountRow) -> Profile {
    let display_name = if row.display_name.is_empty() { row.handle.clone() } else { row.display_name };
    Profile { account: id.to_bytes(), handle: row.handle, display_name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Fixture, NOBODY};
    use crate::api::{blocks, contacts};
    use crate::settings::Rate;
    use hudhud_ports::Store;
    use hudhud_proto::v1::{Block, ErrorCode, InboxHeadRow, ListBlocks, SetContact};
    use std::time::Duration;

    async fn find(fixture: &Fixture, caller: &Caller, handle: &str) -> Result<Profile, ProtocolError> {
        look_up(&fixture.api, caller, LookUp { handle: handle.into() }).await
    }

    async fn profile_of(fixture: &Fixture, caller: &Caller, account: AccountId) -> Result<Profile, ProtocolError> {
        get(&fixture.api, caller, GetProfile { account: account.to_bytes(), ..Default::default() }).await
    }

    async fn block(fixture: &Fixture, caller: &Caller, account: AccountId) -> Result<(), ProtocolError> {
        blocks::block(&fixture.api, caller, Block { account: account.to_bytes() }).await
    }

    async fn add(fixture: &Fixture, caller: &Caller, account: AccountId) -> Result<(), ProtocolError> {
        let contact = SetContact { account: account.to_bytes(), alias: "a friend".into() };
        contacts::set(&fixture.api, caller, contact).await
    }

    #[tokio::test]
    async fn an_exact_handle_is_found_and_nothing_like_it() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        let found = find(&fixture, &alice, "@Bobby").await.expect("found");
        let expected =
            Profile { account: bob.account.to_bytes(), handle: "bobby".into(), display_name: "bobby".into() };
        assert_eq!(found, expected);
        for absent in ["bobb", "bobbyy", "bob.by"] {
            assert_eq!(find(&fixture, &alice, absent).await, Err(errors::not_found("account")));
        }
    }

    #[tokio::test]
    async fn a_profile_is_for_who_knows_the_account() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let (bob, carol) = (fixture.account("bobby").await, fixture.account("carol").await);
        let own = profile_of(&fixture, &alice, alice.account).await.expect("one's own");
        assert_eq!(own.handle, "alice");
        for account in [bob.account, carol.account, NOBODY] {
            assert_eq!(profile_of(&fixture, &alice, account).await, Err(errors::not_found("account")));
        }
        add(&fixture, &alice, bob.account).await.expect("added");
        assert_eq!(profile_of(&fixture, &alice, bob.account).await.expect("a contact").handle, "bobby");
        let chat = ConversationId::direct(alice.account, carol.account);
        let row = InboxHeadRow { head_seq: 1, ..Default::default() };
        let write = tables::put(tables::inbox(alice.account, chat, InboxPart::Head), &row, 1);
        fixture.store.write(vec![write]).await.expect("written");
        assert_eq!(profile_of(&fixture, &alice, carol.account).await.expect("wrote to alice").handle, "carol");
        assert!(profile_of(&fixture, &carol, alice.account).await.is_err(), "carol's own inbox decides for carol");
    }

    #[tokio::test]
    async fn every_way_to_ask_who_exists_draws_from_the_same_rate() {
        let rate = Rate { burst: 4, interval: Duration::from_secs(10) };
        let fixture = Fixture::with(|settings| settings.rates.look_ups = rate).await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        find(&fixture, &alice, "nobody").await.expect_err("one");
        add(&fixture, &alice, bob.account).await.expect("two");
        add(&fixture, &alice, bob.account).await.expect("a contact already: it tells nothing new");
        block(&fixture, &alice, bob.account).await.expect("a contact: it tells nothing new");
        add(&fixture, &alice, NOBODY).await.expect_err("three");
        block(&fixture, &alice, NOBODY).await.expect("four, and the answer is that of a block");
        block(&fixture, &alice, NOBODY).await.expect("blocked already");
        let limited = |error: ProtocolError| (error.code, error.retry_after_ms);
        let expected = Err((ErrorCode::RateLimited, 10_000));
        assert_eq!(find(&fixture, &alice, "bobby").await.map(|_| ()).map_err(limited), expected);
        assert_eq!(add(&fixture, &alice, AccountId::new([1; 16])).await.map_err(limited), expected);
        assert_eq!(block(&fixture, &alice, AccountId::new([2; 16])).await.map_err(limited), expected);
        find(&fixture, &bob, "bobby").await.expect("each account has its own rate");
    }

    #[tokio::test]
    async fn what_others_see_is_what_was_set() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        let rename = |name: &str| SetProfile { display_name: name.into() };
        let set_to = set(&fixture.api, &alice, rename(" Alice A. ")).await.expect("set");
        assert_eq!(set_to.display_name, "Alice A.");
        assert_eq!(find(&fixture, &bob, "alice").await, Ok(set_to));
        let error = set(&fixture.api, &alice, rename("Al\u{1b}[31mice")).await.expect_err("an escape");
        assert_eq!(error.code, ErrorCode::Invalid);
        assert_eq!(set(&fixture.api, &alice, rename("")).await.expect("set").display_name, "alice");
        fixture.log_in("alice", crate::api::testing::PASSWORD).await.expect("the password is as it was");
    }

    #[tokio::test]
    async fn lists_show_profiles_in_order_and_ids_where_there_is_none() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        block(&fixture, &alice, bob.account).await.expect("blocked");
        block(&fixture, &alice, NOBODY).await.expect("blocked");
        let mut expected = vec![
            load(&fixture.api, bob.account).await.expect("read"),
            Profile { account: NOBODY.to_bytes(), ..Default::default() },
        ];
        expected.sort_by(|one, other| one.account.cmp(&other.account));
        let list = blocks::list(&fixture.api, &alice, ListBlocks::default()).await.expect("listed");
        assert_eq!(list.accounts, expected);
    }
}
