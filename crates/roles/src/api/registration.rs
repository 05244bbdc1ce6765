//! Who may register: anybody, whoever has an invite, or nobody.
//!
//! An invite lets one person in. It is used up by a claim, so that of two who come with it one gets in. A registration that
//! fails after that, as its handle was taken in the same moment, gives the invite back; a crash in between does not, and
//! whoever made the invite makes another one.

use super::{Api, Caller, errors, rows};
use crate::services::Services;
use crate::settings::Registration;
use crate::tables;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hudhud_proto::limits::INVITE_VALID_S_DEFAULT;
use hudhud_proto::v1::{ErrorCode, ListedRow, RegistrationInvite, RegistrationInviteRow};
use hudhud_proto::{AccountId, ProtocolError};
use std::time::Duration;

/// The random part of an invite's code.
const CODE_BYTES: usize = 16;
/// The longest code that is looked up.
const CODE_TEXT_BYTES_MAX: usize = 64;
/// How long an invite lives unless operators say otherwise.
pub(super) const VALID: Duration = Duration::from_secs(INVITE_VALID_S_DEFAULT);
/// Stands where a code does once an invite of [`first_invite`] was used. No code is as short.
const FIRST: &str = "first";

/// An invite for one more person.
pub(super) async fn create_registration_invite(
    api: &Api,
    caller: &Caller,
) -> Result<RegistrationInvite, ProtocolError> {
    if api.services.settings.registration == Registration::Closed {
        return Err(closed("registration is closed on this server: an invite would be of no use"));
    }
    api.limiter.invite(caller)?;
    make(&api.services, caller.account.to_bytes(), VALID).await.map_err(errors::from_port)
}

/// An invite for the first person of a server where registration is by invite: otherwise nobody is there to invite
/// anybody. None once such an invite was used. Each call makes another one, valid for 7 days.
pub async fn first_invite(services: &Services) -> hudhud_ports::Result<Option<RegistrationInvite>> {
    if services.settings.registration != Registration::Invite {
        return Ok(None);
    }
    match services.directory.get(tables::registration_invite_used(FIRST)).await? {
        Some(_) => Ok(None),
        None => make(services, Bytes::new(), VALID).await.map(Some),
    }
}

/// Whether somebody with this invite may register now.
pub(super) async fn check(api: &Api, code: &str) -> Result<(), ProtocolError> {
    match api.services.settings.registration {
        Registration::Open => Ok(()),
        Registration::Closed => Err(closed("registration is closed on this server")),
        Registration::Invite if code.is_empty() => {
            Err(closed("registration on this server needs an invite: ask somebody who is there for one"))
        }
        Registration::Invite => {
            if code.len() > CODE_TEXT_BYTES_MAX {
                return Err(not_valid());
            }
            let invite = read(api, code).await;
            // Asked of an invite that is not there as well: it takes as long.
            match rows::get::<RegistrationInviteRow>(api, tables::registration_invite_used(code)).await? {
                Some(_) => Err(not_valid()),
                None => invite.map(|_| ()),
            }
        }
    }
}

/// Uses an invite up for an account, where registration needs one. Of any number who come with it, one gets in.
pub(super) async fn use_registration_invite(api: &Api, code: &str, account: AccountId) -> Result<(), ProtocolError> {
    if api.services.settings.registration == Registration::Open {
        return Ok(());
    }
    let invite = read(api, code).await?;
    let used = RegistrationInviteRow { created_by: account.to_bytes(), expires_us: invite.expires_us };
    if rows::claim(api, tables::registration_invite_used(code), used.clone()).await? != used {
        return Err(not_valid());
    }
    if invite.created_by.is_empty() {
        rows::claim(api, tables::registration_invite_used(FIRST), used).await?;
    }
    Ok(())
}

/// Makes an invite valid again that was used for an account that did not come to be.
pub(super) async fn give_back(api: &Api, code: &str, account: AccountId) -> Result<(), ProtocolError> {
    if api.services.settings.registration == Registration::Open {
        return Ok(());
    }
    let key = tables::registration_invite_used(code);
    match rows::get::<RegistrationInviteRow>(api, key.clone()).await? {
        Some(used) if used.created_by == account.as_bytes()[..] => rows::remove(api, key).await.map(|_| ()),
        _ => Ok(()),
    }
}

/// Makes an invite. `created_by` is empty where operators do.
pub(super) async fn make(
    services: &Services,
    created_by: Bytes,
    valid: Duration,
) -> hudhud_ports::Result<RegistrationInvite> {
    let code = URL_SAFE_NO_PAD.encode(services.runtime.random::<CODE_BYTES>());
    let now_us = services.now_us();
    let expires_us = now_us.saturating_add(u64::try_from(valid.as_micros()).unwrap_or(u64::MAX));
    let row = RegistrationInviteRow { created_by, expires_us };
    let writes = vec![
        tables::put(tables::server_invite(&code), &ListedRow { created_us: now_us }, now_us),
        tables::put(tables::registration_invite(&code), &row, now_us),
    ];
    services.write_directory_durably(writes).await?;
    Ok(RegistrationInvite { code, expires_us })
}

async fn read(api: &Api, code: &str) -> Result<RegistrationInviteRow, ProtocolError> {
    if code.len() > CODE_TEXT_BYTES_MAX {
        return Err(not_valid());
    }
    let row: Option<RegistrationInviteRow> = rows::get(api, tables::registration_invite(code)).await?;
    row.filter(|row| row.expires_us > api.services.now_us()).ok_or_else(not_valid)
}

fn not_valid() -> ProtocolError {
    closed("this invite is not valid, not any more, or was used: ask for another one")
}

fn closed(why: &str) -> ProtocolError {
    ProtocolError::new(ErrorCode::RegistrationClosed, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Fixture, PASSWORD};
    use std::time::Duration;

    async fn by_invite() -> Fixture {
        Fixture::with(|settings| settings.registration = Registration::Invite).await
    }

    async fn first(fixture: &Fixture) -> String {
        first_invite(&fixture.services).await.expect("read").expect("nobody is there yet").code
    }

    async fn invite(fixture: &Fixture, caller: &Caller) -> String {
        create_registration_invite(&fixture.api, caller).await.expect("made").code
    }

    async fn refused(fixture: &Fixture, handle: &str, invite: &str) {
        let error = fixture.register(handle, invite).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::RegistrationClosed, "{error}");
    }

    #[tokio::test]
    async fn closed_is_closed() {
        let fixture = Fixture::with(|settings| settings.registration = Registration::Closed).await;
        refused(&fixture, "alice", "").await;
        assert_eq!(first_invite(&fixture.services).await.expect("read"), None);
    }

    #[tokio::test]
    async fn the_first_person_is_let_in_by_the_server_and_lets_the_next_one_in() {
        let fixture = by_invite().await;
        refused(&fixture, "alice", "").await;
        refused(&fixture, "alice", "no such invite").await;
        refused(&fixture, "alice", &"x".repeat(10_000)).await;
        let lost = first(&fixture).await;
        let alice = fixture.register("alice", &first(&fixture).await).await.expect("let in");
        assert_eq!(first_invite(&fixture.services).await.expect("read"), None, "somebody is there who can invite");
        let alice = fixture.caller(&alice.token).await.expect("valid");
        let code = invite(&fixture, &alice).await;
        fixture.register("bobby", &code).await.expect("let in");
        refused(&fixture, "carol", &code).await;
        fixture.register("carol", &lost).await.expect("what the server printed stays valid");
    }

    #[tokio::test]
    async fn an_invite_ends_after_a_week() {
        let fixture = by_invite().await;
        let code = first(&fixture).await;
        fixture.clock.advance(Duration::from_secs(INVITE_VALID_S_DEFAULT));
        refused(&fixture, "alice", &code).await;
        assert!(first_invite(&fixture.services).await.expect("read").is_some());
    }

    #[tokio::test]
    async fn of_two_who_come_with_an_invite_at_once_one_gets_in() {
        let fixture = by_invite().await;
        let code = first(&fixture).await;
        let (one, other) = tokio::join!(fixture.register("alice", &code), fixture.register("bobby", &code));
        assert_ne!(one.is_ok(), other.is_ok());
        let (handle, loser) = if one.is_ok() { ("bobby", other) } else { ("alice", one) };
        assert_eq!(loser.map_err(|error| error.code), Err(ErrorCode::RegistrationClosed));
        assert!(fixture.log_in(handle, PASSWORD).await.is_err(), "who did not get in has no account");
        let used = rows::get::<RegistrationInviteRow>(&fixture.api, tables::registration_invite_used(&code)).await;
        let account = used.expect("read").expect("used").created_by;
        let winner = if handle == "bobby" { "alice" } else { "bobby" };
        let winner = fixture.log_in(winner, PASSWORD).await.expect("who got in has one");
        assert_eq!(account, winner.account);
    }

    #[tokio::test]
    async fn a_taken_handle_does_not_cost_the_invite() {
        let fixture = by_invite().await;
        let alice = fixture.register("alice", &first(&fixture).await).await.expect("let in");
        let alice = fixture.caller(&alice.token).await.expect("valid");
        let (one, other) = (invite(&fixture, &alice).await, invite(&fixture, &alice).await);
        assert_eq!(fixture.register("alice", &one).await.map_err(|e| e.code), Err(ErrorCode::Conflict));
        let (won, lost) = tokio::join!(fixture.register("bobby", &one), fixture.register("bobby", &other));
        let (lost, code) = if won.is_ok() { (lost, other) } else { (won, one) };
        assert_eq!(lost.map_err(|e| e.code), Err(ErrorCode::Conflict));
        fixture.register("carol", &code).await.expect("it was given back");
    }
}
