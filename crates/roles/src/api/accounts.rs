//! Accounts: registering, logging in with a password or with a token of a trusted backend, changing the password.
//!
//! An account is written before its handle is claimed. So a handle that is taken always leads to an account that can
//! log in, and a crash between the two leaves a row that nothing leads to, never a handle that is lost.

use super::{Api, Caller, devices, errors, input, jwt, registration, rows, standing, tokens};
use crate::tables;
use hudhud_proto::v1::{
    AccountRow, ChangePassword, DeviceRow, ErrorCode, HandleRow, ListedRow, LogIn, LogInJwt, LoggedIn, PasswordRow,
    PasswordUsedRow, Register,
};
use hudhud_proto::{AccountId, DeviceId, Handle, ProtocolError};
use std::net::IpAddr;

/// Makes an account with a handle and a password, and logs it in.
pub(super) async fn register(api: &Api, address: IpAddr, m: Register) -> Result<LoggedIn, ProtocolError> {
    api.limiter.registration(address)?;
    let handle: Handle = m.handle.parse()?;
    input::password("password", &m.password)?;
    let device_name = input::name("device_name", &m.device_name)?;
    let display_name = input::name("display_name", &m.display_name)?;
    registration::check(api, &m.invite).await?;
    // Before the hash, which is what costs. The claim decides.
    if rows::get::<HandleRow>(api, tables::handle(&handle)).await?.is_some() {
        return Err(taken());
    }
    let hash = api.passwords.hash(m.password).await?;
    let id = AccountId::new(api.services.runtime.random());
    let now_us = api.services.now_us();
    let password = PasswordRow { hash, changed_us: now_us, ..Default::default() };
    let row = AccountRow { handle: handle.to_string(), display_name, created_us: now_us };
    let writes = vec![
        tables::put(tables::account(id), &row, now_us),
        tables::put(tables::password(id), &password, now_us),
        tables::put(tables::roster(id), &ListedRow { created_us: now_us }, now_us),
    ];
    api.services.write_directory_durably(writes).await.map_err(errors::from_port)?;
    if let Err(error) = registration::use_registration_invite(api, &m.invite, id).await {
        unmake(api, id).await?;
        return Err(error);
    }
    if claim_handle(api, &handle, id).await? != id {
        registration::give_back(api, &m.invite, id).await?;
        unmake(api, id).await?;
        return Err(taken());
    }
    tracing::info!(account = %id, "an account was made");
    api.limiter.logged_in(&handle, address);
    enter(api, id, row.handle, Some(password), device_name).await
}

/// Logs in with handle and password, as a new device. An unknown handle, an account without a password and a wrong password
/// cost and answer the same. A hash whose cost is not the one of the settings any more is made anew, as the password is
/// known at no other time.
pub(super) async fn log_in(api: &Api, address: IpAddr, m: LogIn) -> Result<LoggedIn, ProtocolError> {
    let handle: Handle = m.handle.parse()?;
    input::password("password", &m.password)?;
    let device_name = input::name("device_name", &m.device_name)?;
    api.limiter.log_in(&handle, address)?;
    let (id, account) = find(api, &handle).await?;
    let stored = rows::get_versioned::<PasswordRow>(api, tables::password(id)).await?;
    let hash = stored.as_ref().map(|(row, _)| row.hash.as_str());
    let matches = api.passwords.verify(m.password.clone(), hash).await?;
    let account = account.filter(|_| matches).ok_or_else(wrong_password)?;
    if let Some((row, _)) = stored.as_ref().filter(|(row, _)| row.once_until_us > 0) {
        standing::check(api, id).await?;
        use_up(api, id, row).await?;
    }
    api.limiter.logged_in(&handle, address);
    let proof = stored.as_ref().map(|(row, _)| row.clone());
    let logged_in = enter(api, id, account.handle, proof, device_name).await?;
    if let Some(stored) = stored.filter(|(row, _)| !api.passwords.is_current(&row.hash)) {
        // It is as good as it was: nobody is kept out because this fails.
        if let Err(error) = hash_again(api, id, stored, m.password).await {
            tracing::warn!(account = %id, %error, "a password keeps the cost of its hash until the next log-in");
        }
    }
    Ok(logged_in)
}

/// Uses up a password that operators made for one log-in. Of any number who come with it, one gets in.
async fn use_up(api: &Api, account: AccountId, row: &PasswordRow) -> Result<(), ProtocolError> {
    if row.once_until_us <= api.services.now_us() {
        return Err(wrong_password());
    }
    let by = PasswordUsedRow { by: api.services.runtime.random::<16>().to_vec().into() };
    match rows::claim(api, tables::password_used(account, row.changed_us), by.clone()).await? == by {
        true => Ok(()),
        false => Err(wrong_password()),
    }
}

/// Hashes a password that was just seen to be the one of this row at the cost of today.
async fn hash_again(
    api: &Api,
    account: AccountId,
    (row, version): rows::Versioned<PasswordRow>,
    password: String,
) -> Result<(), ProtocolError> {
    let row = PasswordRow { hash: api.passwords.hash(password).await?, ..row };
    rows::refine(api, tables::password(account), &row, version).await
}

/// Logs in with a token of a trusted backend, as a new device. The first token of a subject makes its account, whoever may
/// register otherwise: the operator trusts the backend with that.
pub(super) async fn log_in_jwt(api: &Api, address: IpAddr, m: LogInJwt) -> Result<LoggedIn, ProtocolError> {
    api.limiter.address(address)?;
    let device_name = input::name("device_name", &m.device_name)?;
    let subject = jwt::verify(&api.services, &m.jwt)?;
    // Whoever was deleted is not made again.
    standing::check(api, subject.account).await?;
    let mut row = match load(api, subject.account).await? {
        Some(row) => row,
        None => make_for(api, subject.account, subject.name).await?,
    };
    // At every log-in until it has one: the handle may have become free, or this was interrupted the last time.
    if let (true, Some(handle)) = (row.handle.is_empty(), subject.handle.and_then(|text| text.parse::<Handle>().ok())) {
        let owner: Option<HandleRow> = rows::get(api, tables::handle(&handle)).await?;
        let owner = match owner {
            Some(owner) => AccountId::from_slice(&owner.account)?,
            None => claim_handle(api, &handle, subject.account).await?,
        };
        if owner == subject.account {
            row.handle = handle.to_string();
            rows::replace(api, tables::account(subject.account), &row).await?;
        }
    }
    enter(api, subject.account, row.handle, None, device_name).await
}

/// Changes the caller's password and revokes all its other tokens.
pub(super) async fn change_password(api: &Api, caller: &Caller, m: ChangePassword) -> Result<(), ProtocolError> {
    input::password("old_password", &m.old_password)?;
    input::password("new_password", &m.new_password)?;
    let key = tables::password(caller.account);
    let Some(password) = rows::get::<PasswordRow>(api, key.clone()).await? else {
        return Err(errors::forbidden("this account has no password: it logs in with tokens of its own backend"));
    };
    // A stolen token must not make guessing cheaper than it is at the door.
    api.limiter.password(caller.account)?;
    if !api.passwords.verify(m.old_password, Some(&password.hash)).await? {
        return Err(errors::forbidden("the old password is wrong"));
    }
    let hash = api.passwords.hash(m.new_password).await?;
    let changed_us = api.services.now_us().max(password.changed_us.saturating_add(1));
    rows::replace(api, key, &PasswordRow { hash, changed_us, ..Default::default() }).await?;
    tokens::revoke_where(api, caller.account, |token| token.id != caller.token).await?;
    Ok(())
}

/// An account by its id.
pub(super) async fn load(api: &Api, id: AccountId) -> Result<Option<AccountRow>, ProtocolError> {
    rows::get(api, tables::account(id)).await
}

/// An account by its handle. One that is not there has an id as well, of which nothing is stored: who asks on costs as much.
pub(super) async fn find(api: &Api, handle: &Handle) -> Result<(AccountId, Option<AccountRow>), ProtocolError> {
    let row: Option<HandleRow> = rows::get(api, tables::handle(handle)).await?;
    let id = match row {
        Some(row) => AccountId::from_slice(&row.account)?,
        None => AccountId::new(api.services.runtime.random()),
    };
    Ok((id, load(api, id).await?))
}

/// Claims a handle for an account whose row is there. Returns whose it is now.
async fn claim_handle(api: &Api, handle: &Handle, account: AccountId) -> Result<AccountId, ProtocolError> {
    let owner = rows::claim(api, tables::handle(handle), HandleRow { account: account.to_bytes() }).await?;
    Ok(AccountId::from_slice(&owner.account)?)
}

/// Makes an account of a trusted backend's subject, or finds the one that another first log-in has just made.
async fn make_for(api: &Api, account: AccountId, name: Option<String>) -> Result<AccountRow, ProtocolError> {
    let display_name = name.and_then(|name| input::name("name", &name).ok()).unwrap_or_default();
    let row = AccountRow { display_name, created_us: api.services.now_us(), ..Default::default() };
    let row = rows::claim(api, tables::account(account), row).await?;
    // At each first log-in: one that broke off before this is listed by the next.
    rows::replace(api, tables::roster(account), &ListedRow { created_us: row.created_us }).await?;
    tracing::info!(%account, "an account was made for a trusted backend");
    Ok(row)
}

/// Deletes an account that did not come to be: no handle leads to it.
async fn unmake(api: &Api, account: AccountId) -> Result<(), ProtocolError> {
    rows::remove(api, tables::roster(account)).await?;
    rows::remove(api, tables::account(account)).await?;
    rows::remove(api, tables::password(account)).await.map(|_| ())
}

/// Makes a device with a token for an account that just proved who it is, by this password if by one.
async fn enter(
    api: &Api,
    account: AccountId,
    handle: String,
    proof: Option<PasswordRow>,
    device_name: String,
) -> Result<LoggedIn, ProtocolError> {
    standing::check(api, account).await?;
    let (live, mut writes) = tokens::room_for_one(api, account).await?;
    writes.extend(devices::room_for_one(api, account, &live).await?);
    let device = DeviceId::new(api.services.runtime.random());
    let created_us = api.services.now_us();
    let row = DeviceRow { name: device_name, created_us };
    writes.push(tables::put(tables::device(account, device), &row, created_us));
    let made = tokens::make(api, account, device, String::new(), api.services.settings.token_valid);
    writes.extend(made.writes);
    api.services.write_directory_durably(writes).await.map_err(errors::from_port)?;
    // The same password under another cost is the same proof.
    let changed_us = |row: PasswordRow| row.changed_us;
    let still = match proof {
        None => true,
        Some(proof) => rows::get(api, tables::password(account)).await?.map(changed_us) == Some(proof.changed_us),
    };
    if !still || !devices::exists(api, account, device).await? {
        devices::forget(api, account, device).await?;
        return Err(wrong_password());
    }
    Ok(LoggedIn {
        account: account.to_bytes(),
        device: device.to_bytes(),
        handle,
        token: made.text,
        expires_us: made.expires_us,
    })
}

fn taken() -> ProtocolError {
    ProtocolError::new(ErrorCode::Conflict, "this handle is taken: choose another one, or log in if it is yours")
}

fn wrong_password() -> ProtocolError {
    ProtocolError::new(ErrorCode::Unauthenticated, "handle or password is wrong")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::profiles;
    use crate::api::testing::{ADDRESS, Fixture, PASSWORD};
    use crate::settings::{JwtIssuer, JwtKey, Rate};
    use hudhud_ports::Store;
    use hudhud_proto::v1::SetProfile;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};
    use std::sync::atomic::Ordering;
    use std::time::Duration;
    use tokio::task::yield_now;

    const SECRET: &[u8] = b"a secret of thirty-two bytes: ok";

    async fn embedding() -> Fixture {
        let key = JwtKey::Hs256(SECRET.to_vec());
        let issuer = JwtIssuer { issuer: "shop".into(), audience: "hudhud".into(), key };
        Fixture::with(|settings| settings.jwt_issuers = vec![issuer]).await
    }

    async fn log_in_as(fixture: &Fixture, subject: &str, more: Value) -> Result<LoggedIn, ProtocolError> {
        let exp = fixture.services.now_us() / 1_000_000 + 60;
        let mut claims = json!({ "iss": "shop", "aud": "hudhud", "sub": subject, "exp": exp });
        for (name, value) in more.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let jwt = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).expect("signed");
        log_in_jwt(&fixture.api, ADDRESS, LogInJwt { jwt, device_name: "shop".into() }).await
    }

    async fn change(fixture: &Fixture, caller: &Caller, old: &str, new: &str) -> Result<(), ProtocolError> {
        let change = ChangePassword { old_password: old.into(), new_password: new.into() };
        change_password(&fixture.api, caller, change).await
    }

    #[tokio::test]
    async fn who_registers_can_log_in_again() {
        let fixture = Fixture::new().await;
        let registered = fixture.register("@Alice", "").await.expect("registered");
        assert_eq!(registered.handle, "alice");
        let logged_in = fixture.log_in("ALICE", PASSWORD).await.expect("logged in");
        assert_eq!(logged_in.account, registered.account);
        assert_ne!(logged_in.device, registered.device);
        let caller = fixture.caller(&logged_in.token).await.expect("a valid token");
        assert_eq!(caller.account.to_bytes(), registered.account);
        assert_eq!(caller.device.to_bytes(), logged_in.device);
    }

    #[tokio::test]
    async fn a_registration_that_breaks_a_rule_says_which() {
        let fixture = Fixture::new().await;
        let good = Register { handle: "alice".into(), password: PASSWORD.into(), ..Default::default() };
        for (bad, field) in [
            (Register { handle: "al".into(), ..good.clone() }, "handle"),
            (Register { password: "short".into(), ..good.clone() }, "password"),
            (Register { password: "p".repeat(257), ..good.clone() }, "password"),
            (Register { device_name: "a\u{0}".into(), ..good.clone() }, "device_name"),
            (Register { display_name: "d".repeat(65), ..good.clone() }, "display_name"),
        ] {
            let error = register(&fixture.api, ADDRESS, bad).await.expect_err(field);
            assert_eq!(error.code, ErrorCode::Invalid);
            assert!(error.message.starts_with(field), "{error}");
        }
        register(&fixture.api, ADDRESS, good).await.expect("nothing of the above took the handle");
    }

    #[tokio::test]
    async fn unknown_handle_wrong_password_and_no_password_are_one() {
        let fixture = embedding().await;
        fixture.account("alice").await;
        log_in_as(&fixture, "bob", json!({ "handle": "bob" })).await.expect("logged in");
        let mut seen = Vec::new();
        for handle in ["alice", "bob", "nobody"] {
            seen.push(fixture.cost(fixture.log_in(handle, "wrong horse")).await);
        }
        assert_eq!((&seen[0].0, seen[0].1.hashes), (&Err(wrong_password()), 1));
        assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:?}");
    }

    #[tokio::test]
    async fn guessing_is_limited_whether_the_handle_is_there_or_not() {
        let rate = Rate { burst: 3, interval: Duration::from_secs(30) };
        let fixture = Fixture::with(|settings| settings.rates.log_ins_per_handle = rate).await;
        fixture.account("alice").await;
        let mut answers = Vec::new();
        for handle in ["alice", "nobody"] {
            for _ in 0..3 {
                assert_eq!(fixture.log_in(handle, "wrong horse").await, Err(wrong_password()));
            }
            answers.push(fixture.log_in(handle, PASSWORD).await.expect_err("limited"));
        }
        assert_eq!((answers[0].code, answers[0].retry_after_ms), (ErrorCode::RateLimited, 30_000));
        assert_eq!(answers[0], answers[1]);
        fixture.clock.advance(Duration::from_secs(30));
        fixture.log_in("alice", PASSWORD).await.expect("after the wait");
    }

    #[tokio::test]
    async fn one_address_makes_so_many_accounts() {
        let rate = Rate { burst: 2, interval: Duration::from_secs(9) };
        let fixture = Fixture::with(|settings| settings.rates.accounts_per_address = rate).await;
        fixture.account("alice").await;
        fixture.account("bobby").await;
        let error = fixture.register("carol", "").await.expect_err("limited");
        assert_eq!((error.code, error.retry_after_ms), (ErrorCode::RateLimited, 9_000));
    }

    #[tokio::test]
    async fn of_two_who_register_a_handle_at_once_one_gets_it() {
        let fixture = Fixture::new().await;
        let (one, other) = tokio::join!(fixture.register("alice", ""), fixture.register("alice", ""));
        let (winner, loser) = if one.is_ok() { (one, other) } else { (other, one) };
        let winner = winner.expect("one of them");
        assert_eq!(loser, Err(taken()));
        fixture.caller(&winner.token).await.expect("the winner is in");
        assert_eq!(fixture.log_in("alice", PASSWORD).await.expect("logged in").account, winner.account);
    }

    #[tokio::test]
    async fn a_crash_before_the_claim_loses_no_handle_and_after_it_no_account() {
        let fixture = Fixture::new().await;
        let id = AccountId::new([5; 16]);
        let hash = fixture.api.passwords.hash(PASSWORD.into()).await.expect("hashed");
        let password = PasswordRow { hash, ..Default::default() };
        rows::replace(&fixture.api, tables::password(id), &password).await.expect("the first step of a registration");
        let row = AccountRow { handle: "alice".into(), ..Default::default() };
        rows::replace(&fixture.api, tables::account(id), &row).await.expect("as well");
        let alice = fixture.account("alice").await;
        assert_ne!(alice.account, id, "it was not claimed, so it was free");

        let row = AccountRow { handle: "bobby".into(), ..row };
        rows::replace(&fixture.api, tables::account(id), &row).await.expect("the first step");
        claim_handle(&fixture.api, &"bobby".parse().expect("valid"), id).await.expect("the second step");
        assert_eq!(fixture.register("bobby", "").await, Err(taken()));
        let bobby = fixture.log_in("bobby", PASSWORD).await.expect("what was half done can be used");
        assert_eq!(bobby.account, id.to_bytes());
    }

    #[tokio::test]
    async fn a_claim_that_times_out_and_was_won_is_seen_to_be_won() {
        let fixture = Fixture::new().await;
        fixture.store.claims_time_out.store(1, Ordering::SeqCst);
        fixture.account("alice").await;
        fixture.store.claims_time_out.store(2, Ordering::SeqCst);
        let error = fixture.register("bobby", "").await.expect_err("nobody knows");
        assert_eq!(error.code, ErrorCode::Unavailable);
        fixture.log_in("bobby", PASSWORD).await.expect("it was won, and so the account is there");
    }

    #[tokio::test]
    async fn a_new_password_is_the_only_one_and_ends_every_other_token() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        let phone = fixture.connect(&fixture.device("alice").await).await;
        let made = tokens::create(&fixture.api, &alice, Default::default()).await.expect("made");
        let wrong = change(&fixture, &alice, "wrong horse", "battery staple").await.expect_err("wrong");
        assert_eq!(wrong.code, ErrorCode::Forbidden);
        change(&fixture, &alice, PASSWORD, "battery staple").await.expect("changed");

        let left = tokens::list(&fixture.api, &alice).await.expect("listed").tokens;
        assert_eq!(left.iter().map(|token| token.current).collect::<Vec<_>>(), [true]);
        assert!(fixture.caller(&made.token).await.is_err());
        assert_eq!(fixture.delivered_to(&phone), [hudhud_ports::Payload::Revoked(phone.token)]);
        assert_eq!(fixture.log_in("alice", PASSWORD).await, Err(wrong_password()));
        fixture.log_in("alice", "battery staple").await.expect("the new one");
        assert_eq!(tokens::list(&fixture.api, &bob).await.expect("listed").tokens.len(), 1, "somebody else's stay");
    }

    #[tokio::test]
    async fn no_log_in_or_token_slips_past_a_password_change() {
        for head_start in 0..60 {
            let fixture = Fixture::new().await;
            let (alice, thief) = (fixture.account("alice").await, fixture.device("alice").await);
            let late = async {
                for _ in 0..head_start {
                    yield_now().await;
                }
                change(&fixture, &alice, PASSWORD, "battery staple").await
            };
            let guess = fixture.log_in("alice", PASSWORD);
            let copy = tokens::create(&fixture.api, &thief, Default::default());
            let (changed, guessed, copied) = tokio::join!(late, guess, copy);
            changed.expect("changed");
            for token in [guessed.map(|l| l.token).ok(), copied.map(|c| c.token).ok()].into_iter().flatten() {
                assert!(fixture.caller(&token).await.is_err(), "a token lives on, head start {head_start}");
            }
            let left = tokens::list(&fixture.api, &alice).await.expect("listed").tokens;
            assert_eq!(left.len(), 1, "head start {head_start}");
        }
    }

    #[tokio::test]
    async fn a_profile_that_changes_at_the_same_time_brings_no_old_password_back() {
        for head_start in 0..40 {
            let fixture = Fixture::new().await;
            let alice = fixture.account("alice").await;
            let rename = async {
                for _ in 0..head_start {
                    yield_now().await;
                }
                let profile = SetProfile { display_name: "Alice A.".into() };
                profiles::set(&fixture.api, &alice, profile).await
            };
            let (renamed, changed) = tokio::join!(rename, change(&fixture, &alice, PASSWORD, "battery staple"));
            renamed.expect("renamed");
            changed.expect("changed");
            assert!(fixture.log_in("alice", PASSWORD).await.is_err(), "head start {head_start}");
            fixture.log_in("alice", "battery staple").await.expect("the new one");
        }
    }

    #[tokio::test]
    async fn the_first_token_of_a_subject_makes_its_account_even_where_registration_is_closed() {
        let fixture = embedding().await;
        let name = json!({ "preferred_username": "Carol", "name": "Carol C." });
        let first = log_in_as(&fixture, "carol", name.clone()).await.expect("logged in");
        let again = log_in_as(&fixture, "carol", name).await.expect("logged in");
        assert_eq!((first.handle.as_str(), first.account.clone()), ("carol", again.account));
        assert_eq!(first.account, AccountId::of_subject("shop", "carol").to_bytes());
        let caller = fixture.caller(&first.token).await.expect("a valid token");
        let account = load(&fixture.api, caller.account).await.expect("read").expect("there");
        assert_eq!(account.display_name, "Carol C.");
        let error = change(&fixture, &caller, PASSWORD, PASSWORD).await.expect_err("it has none");
        assert_eq!(error.code, ErrorCode::Forbidden);
    }

    #[tokio::test]
    async fn a_subject_whose_handle_is_taken_or_not_valid_has_none_and_may_get_it_later() {
        let fixture = embedding().await;
        fixture.account("alice").await;
        for handle in ["alice", "not a handle", ""] {
            let logged_in = log_in_as(&fixture, "carol", json!({ "handle": handle })).await.expect("logged in");
            assert_eq!(logged_in.handle, "");
        }
        let logged_in = log_in_as(&fixture, "carol", json!({ "handle": "carol" })).await.expect("logged in");
        assert_eq!(logged_in.handle, "carol");
        let logged_in = log_in_as(&fixture, "carol", json!({ "handle": "other" })).await.expect("logged in");
        assert_eq!(logged_in.handle, "carol", "a handle that one has stays");
        let key = tables::handle(&"other".parse().expect("valid"));
        assert_eq!(fixture.store.get(key).await.expect("read"), None, "and no other is claimed");
    }

    #[tokio::test]
    async fn two_first_log_ins_of_a_subject_at_once_make_one_account_with_its_handle() {
        let fixture = embedding().await;
        let handle = || json!({ "handle": "carol" });
        let (one, other) = tokio::join!(log_in_as(&fixture, "carol", handle()), log_in_as(&fixture, "carol", handle()));
        let (one, other) = (one.expect("logged in"), other.expect("logged in"));
        assert_eq!((one.account, one.handle.as_str()), (other.account, "carol"));
        let (_, account) = find(&fixture.api, &"carol".parse().expect("valid")).await.expect("read");
        assert_eq!(account.expect("there").handle, "carol");
    }
}
