//! What operators do, on memory engines.

use super::*;
use crate::api::testing::{Fixture, PASSWORD};
use crate::api::{reports as reported, tokens as device_tokens};
use crate::tables;
use hudhud_ports::{Payload, Store as _};
use hudhud_proto::v1::{AccountRow, ErrorCode, Report, ReportCategory};
use std::collections::BTreeSet;
use std::time::Duration;

fn everything() -> Ask {
    Ask { cursor: None, limit: Some(PAGE_MAX) }
}

/// A suspended account is refused with a code of its own, its connections are told, and after the end of it all is as it was.
#[tokio::test]
async fn a_suspended_account_is_out_until_it_is_let_in_again() {
    let fixture = Fixture::new().await;
    let login = fixture.register("alice", "").await.expect("registered");
    let alice = fixture.connect(&fixture.caller(&login.token).await.expect("valid")).await;
    accounts::suspend(&fixture.api, alice.account, "spam").await.expect("suspended");
    assert_eq!(fixture.delivered_to(&alice), [Payload::Suspended]);
    let code =
        |outcome: Result<_, ProtocolError>| outcome.map(drop).map_err(|error| (error.code, error.retry_after_ms));
    assert_eq!(code(fixture.caller(&login.token).await), Err((ErrorCode::Suspended, 0)));
    let log_in = fixture.log_in("alice", PASSWORD).await.map_err(|error| error.code);
    assert_eq!(log_in, Err(ErrorCode::Suspended));
    let stranger = fixture.log_in("alice", "wrong horse").await.map_err(|error| error.code);
    assert_eq!(stranger, Err(ErrorCode::Unauthenticated), "who does not know the password learns nothing");
    let shown = accounts::show(&fixture.api, alice.account).await.expect("shown").account;
    assert_eq!((shown.state, shown.reason.as_str()), (accounts::State::Suspended, "spam"));
    assert_eq!(fixture.store.unsynced(), 0, "it survives the loss of power");

    accounts::unsuspend(&fixture.api, alice.account).await.expect("let in");
    fixture.caller(&login.token).await.expect("the token is the one it had");
    let again = accounts::unsuspend(&fixture.api, alice.account).await.expect_err("it is not suspended");
    assert_eq!(again.code, ErrorCode::Conflict);
}

/// All accounts are listed, each once, whatever the size of a page.
#[tokio::test]
async fn every_account_is_listed_once() {
    let fixture = Fixture::new().await;
    let mut expected = BTreeSet::new();
    for n in 0..23 {
        expected.insert(format!("somebody{n}"));
        fixture.account(&format!("somebody{n}")).await;
    }
    for limit in [1, 7, PAGE_MAX] {
        let (mut seen, mut ask) = (BTreeSet::new(), Ask { cursor: None, limit: Some(limit) });
        loop {
            let page = accounts::list(&fixture.api, &ask).await.expect("a page");
            assert!(page.items.len() <= limit);
            for account in page.items {
                assert!(seen.insert(account.handle), "listed twice");
            }
            ask.cursor = page.next_cursor;
            if ask.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
    for wrong in [Ask { cursor: Some("nonsense".into()), limit: None }, Ask { cursor: None, limit: Some(0) }] {
        let error = accounts::list(&fixture.api, &wrong).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Invalid);
    }
}

/// What an earlier version wrote is put into the lists, and what this one wrote since stays as it is.
#[tokio::test]
async fn what_was_there_before_is_listed() {
    let fixture = Fixture::new().await;
    let (id, row) =
        (AccountId::new([5; 16]), AccountRow { handle: "alice".into(), created_us: 7, ..Default::default() });
    let write = tables::put(tables::account(id), &row, 7);
    let bytes = write.value.clone().expect("it is a row");
    fixture.store.write(vec![write]).await.expect("as an earlier version did");
    assert!(accounts::list(&fixture.api, &everything()).await.expect("listed").items.is_empty());
    assert!(!is_indexed(&fixture.services).await.expect("read"));
    let old = Old::of("accounts", id.as_bytes(), b"account", &bytes).expect("an account");
    assert_eq!(Old::of("accounts", id.as_bytes(), b"password", b""), None);
    index(&fixture.services, [Ok(old)].into_iter()).await.expect("indexed");
    assert!(is_indexed(&fixture.services).await.expect("read"));
    let listed = accounts::list(&fixture.api, &everything()).await.expect("listed").items;
    assert_eq!(listed.iter().map(|account| account.handle.as_str()).collect::<Vec<_>>(), ["alice"]);
}

/// A password that operators made lets one in, once, and can then be changed.
#[tokio::test]
async fn a_reset_password_lets_one_in_once() {
    let fixture = Fixture::new().await;
    let login = fixture.register("alice", "").await.expect("registered");
    let alice = fixture.caller(&login.token).await.expect("valid");
    let once = accounts::reset_password(&fixture.api, alice.account).await.expect("reset");
    assert!(fixture.caller(&login.token).await.is_err(), "its devices are logged out");
    assert!(fixture.log_in("alice", PASSWORD).await.is_err(), "the old one is gone");
    let (one, other) = tokio::join!(fixture.log_in("alice", &once.password), fixture.log_in("alice", &once.password));
    assert_ne!(one.is_ok(), other.is_ok(), "of two at once one gets in");
    assert!(fixture.log_in("alice", &once.password).await.is_err(), "and nobody after");
    let alice = fixture.caller(&one.or(other).expect("one").token).await.expect("valid");
    let change =
        hudhud_proto::v1::ChangePassword { old_password: once.password.clone(), new_password: "battery staple".into() };
    crate::api::accounts::change_password(&fixture.api, &alice, change).await.expect("changed");
    for _ in 0..2 {
        fixture.log_in("alice", "battery staple").await.expect("for good");
    }
    let late = accounts::reset_password(&fixture.api, alice.account).await.expect("reset");
    fixture.clock.advance(Duration::from_secs(24 * 3_600 + 1));
    assert!(fixture.log_in("alice", &late.password).await.is_err(), "it waits for a day");
}

/// A deleted account is gone for good: nobody gets in, nobody gets its handle, and nothing is kept but the mark.
#[tokio::test]
async fn a_deleted_account_is_gone() {
    let fixture = Fixture::new().await;
    let login = fixture.register("alice", "").await.expect("registered");
    let alice = fixture.caller(&login.token).await.expect("valid");
    delete(&fixture.api, alice.account, "asked for it").await.expect("deleted");
    assert_eq!(fixture.caller(&login.token).await.map(drop).map_err(|e| e.code), Err(ErrorCode::Unauthenticated));
    assert_eq!(fixture.log_in("alice", PASSWORD).await.map_err(|e| e.code), Err(ErrorCode::Unauthenticated));
    assert_eq!(fixture.register("alice", "").await.map_err(|e| e.code), Err(ErrorCode::Conflict));
    let shown = accounts::show(&fixture.api, alice.account).await.expect("the mark is there");
    assert_eq!((shown.account.state, shown.account.handle.as_str(), shown.devices), (accounts::State::Deleted, "", 0));
    assert!(!shown.has_password && accounts::list(&fixture.api, &everything()).await.expect("listed").items.is_empty());
    delete(&fixture.api, alice.account, "").await.expect("again is harmless");
    assert_eq!(fixture.store.unsynced(), 0, "it survives the loss of power");
}

/// Admin tokens are for what they say, end, can be revoked, and give nothing that they do not have.
#[tokio::test]
async fn admin_tokens_are_scoped_and_expire() {
    let fixture = Fixture::new().await;
    let (api, hour) = (&fixture.api, Duration::from_secs(3_600));
    let made =
        tokens::create(api, None, "cron", &[Scope::AccountsWrite, Scope::TokensWrite], hour).await.expect("made");
    let text = made.token.clone().expect("told once");
    assert!(text.starts_with("hha_"));
    let holder = tokens::authenticate(api, &text).await.expect("valid");
    assert!(holder.may(Scope::AccountsRead) && holder.may(Scope::AccountsWrite) && !holder.may(Scope::ReportsRead));
    let more =
        tokens::create(api, Some(&holder), "", &[Scope::ReportsRead], hour).await.expect_err("more than its own");
    assert_eq!(more.code, ErrorCode::Forbidden);
    let less = tokens::create(api, Some(&holder), "", &[Scope::AccountsRead], hour).await.expect("less than its own");
    for (scopes, valid) in [(&[][..], hour), (Scope::ALL, Duration::ZERO), (Scope::ALL, tokens::VALID_MAX + hour)] {
        let error = tokens::create(api, None, "", scopes, valid).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Invalid);
    }
    let listed = tokens::list(api, &everything()).await.expect("listed").items;
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|token| token.token.is_none()), "a list has no secrets");
    assert!(device_tokens::authenticate(api, &text, crate::api::testing::ADDRESS).await.is_err(), "it is no device's");

    tokens::revoke(api, less.id.parse().expect("an id")).await.expect("revoked");
    assert!(tokens::authenticate(api, &less.token.expect("told")).await.is_err());
    fixture.clock.advance(hour);
    assert!(tokens::authenticate(api, &text).await.is_err(), "it has expired");
}

/// Reports come newest first, page by page over days, and are gone from the open ones once they are resolved.
#[tokio::test]
async fn reports_are_listed_and_resolved() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
    for n in 0..5 {
        let report = Report {
            account: bob.account.to_bytes(),
            category: ReportCategory::Abuse.into(),
            text: format!("{n}"),
            ..Default::default()
        };
        reported::report(&fixture.api, &alice, report).await.expect("reported");
        fixture.clock.advance(Duration::from_secs(20 * 3_600));
    }
    let (mut texts, mut ask) = (Vec::new(), Ask { cursor: None, limit: Some(2) });
    loop {
        let page = reports::list(&fixture.api, reports::Which::Open, &ask).await.expect("a page");
        texts.extend(page.items.iter().map(|report| report.text.clone()));
        ask.cursor = page.next_cursor;
        if ask.cursor.is_none() {
            break;
        }
    }
    assert_eq!(texts, ["4", "3", "2", "1", "0"]);
    let first = reports::list(&fixture.api, reports::Which::All, &everything()).await.expect("listed").items;
    let id = first[2].id.parse().expect("an id");
    reports::resolve(&fixture.api, id, "warned").await.expect("resolved");
    let again = reports::resolve(&fixture.api, id, "").await.expect_err("it is resolved");
    assert_eq!(again.code, ErrorCode::Conflict);
    let open = reports::list(&fixture.api, reports::Which::Open, &everything()).await.expect("listed").items;
    assert_eq!(open.iter().map(|report| report.text.as_str()).collect::<Vec<_>>(), ["4", "3", "1", "0"]);
    let done = reports::list(&fixture.api, reports::Which::Resolved, &everything()).await.expect("listed").items;
    assert_eq!(done.iter().map(|report| report.resolution.as_str()).collect::<Vec<_>>(), ["warned"]);
}

/// Whoever is refused is named with how long, and goes on once an operator says so.
#[tokio::test]
async fn who_is_refused_can_be_let_on() {
    let rate = crate::settings::Rate { burst: 1, interval: Duration::from_secs(60) };
    let fixture = Fixture::with(|settings| settings.rates.reports = rate).await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
    let report =
        || Report { account: bob.account.to_bytes(), category: ReportCategory::Spam.into(), ..Default::default() };
    assert_eq!(limits::refusals(&fixture.api), []);
    reported::report(&fixture.api, &alice, report()).await.expect("the first");
    assert!(reported::report(&fixture.api, &alice, report()).await.is_err());
    let refusals = limits::refusals(&fixture.api);
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!((refusals[0].rate, refusals[0].wait_ms), ("reports", 60_000));
    assert_eq!(refusals[0].whose, format!("account:{}", alice.account));
    limits::reset(&fixture.api, &refusals[0].id).expect("reset");
    reported::report(&fixture.api, &alice, report()).await.expect("let on");
    assert!(limits::reset(&fixture.api, "nonsense").is_err());
}
