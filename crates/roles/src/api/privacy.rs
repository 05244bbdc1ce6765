//! Who sees what of an account. Presence answers who sees it online ([`crate::presence::visible`]); here are the settings
//! themselves and what the rest of the api asks of them.

use super::{Api, Caller, accounts, errors, membership, rows};
use crate::presence;
use crate::tables;
use futures_util::future::try_join4;
use hudhud_proto::v1::{Audience, Privacy, PrivacyRow, SetPrivacy, Switch};
use hudhud_proto::{AccountId, EnumValue, ProtocolError};

/// The caller's settings, those it never chose at their defaults.
pub(super) async fn get(api: &Api, caller: &Caller) -> Result<Privacy, ProtocolError> {
    of(api, caller.account).await
}

/// Changes those settings that are given, and answers with all.
pub(super) async fn set(api: &Api, caller: &Caller, m: SetPrivacy) -> Result<Privacy, ProtocolError> {
    let wanted = m.privacy.into_option().ok_or_else(|| ProtocolError::invalid("privacy is missing"))?;
    let mut privacy = of(api, caller.account).await?;
    change("last_seen", &mut privacy.last_seen, wanted.last_seen)?;
    change("online", &mut privacy.online, wanted.online)?;
    change("groups", &mut privacy.groups, wanted.groups)?;
    match wanted.read_receipts.as_known() {
        Some(Switch::Unspecified) => {}
        Some(Switch::On | Switch::Off) => privacy.read_receipts = wanted.read_receipts,
        None => return Err(ProtocolError::invalid("read_receipts is on or off")),
    }
    let row = PrivacyRow { privacy: privacy.clone().into() };
    rows::replace(api, tables::privacy(caller.account), &row).await?;
    Ok(privacy)
}

/// Whether `owner` is there, does not block `adder` and lets it add it to groups. The same reads whatever it comes to:
/// neither the answer nor its time tells why not.
pub(super) async fn may_add_to_groups(api: &Api, owner: AccountId, adder: AccountId) -> Result<bool, ProtocolError> {
    let contact = api.services.directory.get(tables::contact(owner, adder));
    let (there, blocks, privacy, contact) =
        try_join4(accounts::load(api, owner), membership::blocks(&api.services, owner, adder), of(api, owner), async {
            contact.await.map_err(errors::from_port)
        })
        .await?;
    let allowed = match privacy.groups.as_known() {
        Some(Audience::Everyone | Audience::Unspecified) => true,
        Some(Audience::Contacts) => contact.is_some(),
        Some(Audience::Nobody) | None => false,
    };
    Ok(there.is_some() && !blocks && (allowed || owner == adder))
}

/// Whether others learn what this account read, and it what they did.
pub(super) async fn shares_read_receipts(api: &Api, account: AccountId) -> Result<bool, ProtocolError> {
    Ok(of(api, account).await?.read_receipts == Switch::On)
}

async fn of(api: &Api, account: AccountId) -> Result<Privacy, ProtocolError> {
    presence::privacy_of(&api.services, account).await.map_err(errors::from_port)
}

fn change(field: &str, current: &mut EnumValue<Audience>, wanted: EnumValue<Audience>) -> Result<(), ProtocolError> {
    match wanted.as_known() {
        Some(Audience::Unspecified) => Ok(()),
        Some(Audience::Everyone | Audience::Contacts | Audience::Nobody) => {
            *current = wanted;
            Ok(())
        }
        None => Err(ProtocolError::invalid(format!("{field} is for everyone, contacts or nobody"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Fixture, NOBODY};
    use crate::api::{blocks, contacts};
    use crate::presence::{Visible, privacy_of, visible};
    use hudhud_proto::v1::{Block, ErrorCode, SetContact};

    async fn choose(fixture: &Fixture, caller: &Caller, privacy: Privacy) -> Result<Privacy, ProtocolError> {
        set(&fixture.api, caller, SetPrivacy { privacy: privacy.into() }).await
    }

    async fn seen(fixture: &Fixture, owner: &Caller, viewer: &Caller) -> Visible {
        let privacy = privacy_of(&fixture.services, owner.account).await.expect("read");
        visible(&fixture.services, &privacy, owner.account, viewer.account).await.expect("read")
    }

    #[tokio::test]
    async fn what_is_not_given_stays_and_what_is_not_known_is_refused() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let defaults = Privacy {
            last_seen: Audience::Everyone.into(),
            online: Audience::Everyone.into(),
            read_receipts: Switch::On.into(),
            groups: Audience::Everyone.into(),
        };
        assert_eq!(get(&fixture.api, &alice).await, Ok(defaults.clone()));
        let only = Privacy { online: Audience::Nobody.into(), ..Default::default() };
        let expected = Privacy { online: Audience::Nobody.into(), ..defaults };
        assert_eq!(choose(&fixture, &alice, only).await, Ok(expected.clone()));
        let only = Privacy { read_receipts: Switch::Off.into(), ..Default::default() };
        let expected = Privacy { read_receipts: Switch::Off.into(), ..expected };
        assert_eq!(choose(&fixture, &alice, only).await, Ok(expected.clone()));
        for unknown in [
            Privacy { groups: EnumValue::from(77), ..Default::default() },
            Privacy { read_receipts: EnumValue::from(77), ..Default::default() },
        ] {
            let error = choose(&fixture, &alice, unknown).await.expect_err("refused");
            assert_eq!(error.code, ErrorCode::Invalid);
        }
        assert_eq!(get(&fixture.api, &alice).await, Ok(expected));
        assert_eq!(shares_read_receipts(&fixture.api, alice.account).await, Ok(false));
    }

    #[tokio::test]
    async fn groups_ask_the_owners_contacts_and_that_it_is_there() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        let may = || may_add_to_groups(&fixture.api, alice.account, bob.account);
        assert_eq!(may().await, Ok(true));
        let groups = |audience: Audience| Privacy { groups: audience.into(), ..Default::default() };
        choose(&fixture, &alice, groups(Audience::Contacts)).await.expect("chosen");
        assert_eq!(may().await, Ok(false));
        let bobs = SetContact { account: alice.account.to_bytes(), ..Default::default() };
        contacts::set(&fixture.api, &bob, bobs).await.expect("added");
        assert_eq!(may().await, Ok(false), "that alice is bob's contact is no consent of alice's");
        let alices = SetContact { account: bob.account.to_bytes(), ..Default::default() };
        contacts::set(&fixture.api, &alice, alices).await.expect("added");
        assert_eq!(may().await, Ok(true));
        choose(&fixture, &alice, groups(Audience::Nobody)).await.expect("chosen");
        assert_eq!(may().await, Ok(false));
        assert_eq!(may_add_to_groups(&fixture.api, NOBODY, bob.account).await, Ok(false));
    }

    #[tokio::test]
    async fn settings_and_blocks_decide_who_sees_whom() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        assert_eq!(seen(&fixture, &alice, &bob).await, Visible { online: true, last_seen: true });
        let hidden = Privacy { last_seen: Audience::Nobody.into(), ..Default::default() };
        choose(&fixture, &alice, hidden).await.expect("chosen");
        assert_eq!(seen(&fixture, &alice, &bob).await, Visible { online: true, last_seen: false });
        blocks::block(&fixture.api, &alice, Block { account: bob.account.to_bytes() }).await.expect("blocked");
        assert_eq!(seen(&fixture, &alice, &bob).await, Visible { online: false, last_seen: false });
    }
}
