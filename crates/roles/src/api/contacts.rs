//! Contacts: accounts that an account knows, under names of its own. Privacy settings may favour them.

use super::{Api, Caller, accounts, errors, input, membership, page, profiles, rows};
use crate::tables;
use hudhud_ports::Scan;
use hudhud_proto::limits::CONTACTS_MAX;
use hudhud_proto::v1::{Contact, ContactList, ContactRow, ErrorCode, ListContacts, RemoveContact, SetContact};
use hudhud_proto::{AccountId, ProtocolError};

/// Adds a contact or renames it. One that is not there and one that blocks the caller answer alike.
pub(super) async fn set(api: &Api, caller: &Caller, m: SetContact) -> Result<(), ProtocolError> {
    let other = AccountId::from_slice(&m.account)?;
    let row = ContactRow { alias: input::name("alias", &m.alias)? };
    if other == caller.account {
        return Err(ProtocolError::invalid("an account is no contact of its own"));
    }
    let key = tables::contact(caller.account, other);
    if rows::get::<ContactRow>(api, key.clone()).await?.is_none() {
        profiles::meet(api, caller, other).await?;
        let hidden = membership::blocks(&api.services, other, caller.account).await?;
        if accounts::load(api, other).await?.is_none() || hidden {
            return Err(errors::not_found("account"));
        }
        let scan = Scan::all(tables::CONTACTS, caller.account.to_bytes(), CONTACTS_MAX);
        if api.services.directory.scan(scan).await.map_err(errors::from_port)?.len() >= CONTACTS_MAX {
            let message = format!("an account has at most {CONTACTS_MAX} contacts: remove some");
            return Err(ProtocolError::new(ErrorCode::Limit, message));
        }
    }
    rows::replace(api, key, &row).await
}

/// Removes a contact, if it is one.
pub(super) async fn remove(api: &Api, caller: &Caller, m: RemoveContact) -> Result<(), ProtocolError> {
    let other = AccountId::from_slice(&m.account)?;
    rows::remove(api, tables::contact(caller.account, other)).await.map(|_| ())
}

/// The caller's contacts, a page at a time.
pub(super) async fn list(api: &Api, caller: &Caller, m: ListContacts) -> Result<ContactList, ProtocolError> {
    let page = page::read(api, tables::CONTACTS, caller.account, &m.cursor).await?;
    let ids = page.rows.iter().map(|(id, _)| *id).collect();
    let mut contacts = Vec::with_capacity(page.rows.len());
    for (profile, (_, row)) in profiles::load_all(api, ids).await?.into_iter().zip(&page.rows) {
        contacts.push(Contact { profile: profile.into(), alias: rows::read::<ContactRow>(row)?.0.alias });
    }
    Ok(ContactList { contacts, next_cursor: page.next_cursor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;

    fn wanted(account: AccountId, alias: &str) -> SetContact {
        SetContact { account: account.to_bytes(), alias: alias.into() }
    }

    async fn listed(fixture: &Fixture, caller: &Caller) -> Vec<(String, String)> {
        let list = list(&fixture.api, caller, ListContacts::default()).await.expect("listed").contacts;
        list.into_iter().map(|c| (c.profile.into_option().unwrap_or_default().handle, c.alias)).collect()
    }

    #[tokio::test]
    async fn contacts_are_added_renamed_and_removed() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        set(&fixture.api, &alice, wanted(bob.account, " Bob ")).await.expect("added");
        assert_eq!(listed(&fixture, &alice).await, [("bobby".into(), "Bob".into())]);
        set(&fixture.api, &alice, wanted(bob.account, "Robert")).await.expect("renamed");
        assert_eq!(listed(&fixture, &alice).await, [("bobby".into(), "Robert".into())]);
        assert!(listed(&fixture, &bob).await.is_empty(), "a contact goes one way");
        let gone = RemoveContact { account: bob.account.to_bytes() };
        remove(&fixture.api, &alice, gone.clone()).await.expect("removed");
        remove(&fixture.api, &alice, gone).await.expect("removed already");
        assert!(listed(&fixture, &alice).await.is_empty());
    }

    #[tokio::test]
    async fn what_is_no_contact_is_refused() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        for bad in [wanted(alice.account, "me"), wanted(bob.account, &"b".repeat(65)), SetContact::default()] {
            let error = set(&fixture.api, &alice, bad).await.expect_err("refused");
            assert_eq!(error.code, ErrorCode::Invalid);
        }
    }
}
