//! What must not be told apart: the answers are the same to the last byte, and so is the work behind them, counted in calls
//! of the store and in password hashes. Where the work is the same, the time is, but for what a cache or a disk adds.

use super::testing::{Fixture, NOBODY, PASSWORD, Work};
use super::{Caller, Who};
use crate::dispatcher::Dispatcher;
use crate::settings::{Rate, Registration};
use crate::tables;
use hudhud_ports::Store as _;
use hudhud_ports::limits::VERSION_MAX;
use hudhud_proto::v1::{self, Audience, ErrorCode, client_frame::Command, open_direct, server_frame::Event};
use hudhud_proto::{AccountId, Message, ProtocolError};
use std::time::Duration;
use tokio::task::yield_now;

/// What is asked, of the second of two things that look alike.
type Asked = (Result<Event, ProtocolError>, Work);

async fn ask(fixture: &Fixture, caller: &Caller, command: impl Into<Command>) -> Asked {
    let who = Who::Account(caller.clone());
    fixture.cost(fixture.api.handle(&who, command.into())).await
}

async fn ok(fixture: &Fixture, caller: &Caller, command: impl Into<Command>) -> Event {
    ask(fixture, caller, command).await.0.expect("allowed")
}

/// That these are one answer at one cost, which is this error.
fn check(what: &str, code: ErrorCode, answers: &[Asked]) {
    let bytes = |(answer, work): &Asked| {
        let error = answer.as_ref().expect_err(what);
        assert_eq!(error.code, code, "{what}: {error}");
        (error.to_wire().encode_to_vec(), *work)
    };
    let first = bytes(&answers[0]);
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(bytes(answer), first, "{what}: the answer {n} differs");
    }
}

/// Lets everything that was begun come to its end: what it costs is not what is counted.
async fn settle() {
    for _ in 0..5_000 {
        yield_now().await;
    }
}

fn content() -> v1::Content {
    v1::Content { content_type: "text/plain".into(), payload: "hello".as_bytes().to_vec().into(), ..Default::default() }
}

fn to(fixture: &Fixture, account: AccountId) -> v1::Send {
    v1::Send {
        direct_with: account.to_bytes(),
        message_id: fixture.message_id().to_bytes(),
        content: content().into(),
        ..Default::default()
    }
}

fn group(fixture: &Fixture, members: &[AccountId]) -> v1::CreateGroup {
    v1::CreateGroup {
        message_id: fixture.message_id().to_bytes(),
        title: "Hoopoes".into(),
        members: members.iter().map(|member| member.to_bytes()).collect(),
        ..Default::default()
    }
}

fn not_added(event: Event) -> Vec<AccountId> {
    let Event::ChangeAccepted(accepted) = event else { panic!("not accepted: {event:?}") };
    accepted.not_added.iter().map(|id| AccountId::from_slice(id).expect("an id")).collect()
}

/// Alice, and Bob who blocks her.
async fn blocked() -> (Fixture, Caller, Caller) {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
    ok(&fixture, &bob, v1::Block { account: alice.account.to_bytes() }).await;
    (fixture, alice, bob)
}

/// Whoever blocks one, and whoever is not there.
#[tokio::test]
async fn a_block_looks_like_an_absence() {
    let (fixture, alice, bob) = blocked().await;
    let (mut look_ups, mut opened, mut contacts, mut profiles, mut sent) = (vec![], vec![], vec![], vec![], vec![]);
    for (handle, id) in [("bobby", bob.account), ("nobody", NOBODY)] {
        let account = id.to_bytes();
        look_ups.push(ask(&fixture, &alice, v1::LookUp { handle: handle.into() }).await);
        let with = Some(open_direct::With::Handle(handle.into()));
        look_ups.push(ask(&fixture, &alice, v1::OpenDirect { with }).await);
        let with = Some(open_direct::With::Account(account.clone()));
        opened.push(ask(&fixture, &alice, v1::OpenDirect { with }).await);
        contacts.push(ask(&fixture, &alice, v1::SetContact { account: account.clone(), alias: "B".into() }).await);
        profiles.push(ask(&fixture, &alice, v1::GetProfile { account, ..Default::default() }).await);
        sent.push(ask(&fixture, &alice, to(&fixture, id)).await);
    }
    check("lookUp and openDirect by handle", ErrorCode::NotFound, &look_ups);
    check("openDirect", ErrorCode::RecipientUnavailable, &opened);
    check("setContact", ErrorCode::NotFound, &contacts);
    check("getProfile", ErrorCode::NotFound, &profiles);
    check("send", ErrorCode::RecipientUnavailable, &sent);
}

/// Whoever is not there, blocks the caller, or lets nobody or only contacts add it to groups: none is added, at one cost.
#[tokio::test]
async fn why_somebody_is_not_added_is_not_told() {
    let (fixture, alice, bob) = blocked().await;
    let mut refusing = vec![NOBODY, bob.account];
    for (handle, audience) in [("carol", Audience::Nobody), ("david", Audience::Contacts)] {
        let person = fixture.account(handle).await;
        let privacy = v1::Privacy { groups: audience.into(), ..Default::default() };
        ok(&fixture, &person, v1::SetPrivacy { privacy: privacy.into() }).await;
        refusing.push(person.account);
    }
    let mut costs = Vec::new();
    for account in refusing {
        let (answer, work) = ask(&fixture, &alice, group(&fixture, &[account])).await;
        assert_eq!(not_added(answer.expect("a group of one")), [account]);
        costs.push(work);
    }
    assert!(costs.iter().all(|work| *work == costs[0]), "{costs:?}");
}

/// An invite that never was, one that was revoked, and one that has expired.
#[tokio::test]
async fn invites_that_do_not_hold_are_one() {
    let fixture = Fixture::new().await;
    let alice = fixture.account("alice").await;
    let row = |expires_us| v1::InviteRow { conversation: NOBODY.to_bytes(), created_by: NOBODY.to_bytes(), expires_us };
    let expired = tables::put(tables::invite("expired"), &row(1), 1);
    let revoked =
        [tables::put(tables::invite("revoked"), &row(u64::MAX), 1), tables::delete(tables::invite("revoked"), 2)];
    fixture.store.write([vec![expired], revoked.to_vec()].concat()).await.expect("written");
    let (mut previews, mut joins) = (vec![], vec![]);
    for code in ["expired", "revoked", "a guess"] {
        let code = code.to_owned();
        previews.push(ask(&fixture, &alice, v1::PreviewInvite { code: code.clone() }).await);
        let message_id = fixture.message_id().to_bytes();
        joins.push(ask(&fixture, &alice, v1::JoinByInvite { code, message_id }).await);
    }
    check("previewInvite", ErrorCode::NotFound, &previews);
    check("joinByInvite", ErrorCode::NotFound, &joins);
}

/// An invite to the server that never was, one that was used, and one that has expired; a handle that is taken is told
/// only to who has a valid one.
#[tokio::test]
async fn invites_to_the_server_that_do_not_hold_are_one() {
    let fixture = Fixture::with(|settings| settings.registration = Registration::Invite).await;
    let invite = async || super::first_invite(&fixture.services).await.expect("read").map(|invite| invite.code);
    let (used, expired) = (invite().await.expect("made"), invite().await.expect("made"));
    fixture.register("alice", &used).await.expect("let in");
    let row = v1::RegistrationInviteRow { expires_us: 1, ..Default::default() };
    let expired_row = tables::put(tables::registration_invite(&expired), &row, VERSION_MAX);
    fixture.store.write(vec![expired_row]).await.expect("written");
    let mut answers = Vec::new();
    for (handle, code) in [("bobby", "a guess"), ("bobby", &used), ("bobby", &expired), ("alice", "a guess")] {
        let (answer, work) = fixture.cost(fixture.register(handle, code)).await;
        answers.push((answer.map(|_| Event::Done(v1::Done::default())), work));
    }
    check("register", ErrorCode::RegistrationClosed, &answers);
}

/// A group that is not there, and one that is none of the caller's business.
#[tokio::test]
async fn foreign_groups_are_not_there() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
    let dispatcher = Dispatcher::new(fixture.services.clone(), fixture.sessions.clone());
    let running = tokio::spawn(async move { dispatcher.run().await });
    let Event::ChangeAccepted(made) = ok(&fixture, &alice, group(&fixture, &[])).await else { panic!("not made") };
    while ask(&fixture, &alice, v1::GetConversation { conversation: made.conversation.clone() }).await.0.is_err() {
        yield_now().await;
    }
    running.abort();
    settle().await;
    let (mut got, mut fetched, mut sent) = (vec![], vec![], vec![]);
    for conversation in [made.conversation, NOBODY.to_bytes()] {
        got.push(ask(&fixture, &bob, v1::GetConversation { conversation: conversation.clone() }).await);
        let fetch = v1::Fetch { conversation: conversation.clone(), ..Default::default() };
        fetched.push(ask(&fixture, &bob, fetch).await);
        let message_id = fixture.message_id().to_bytes();
        let send = v1::Send { conversation, message_id, content: content().into(), ..Default::default() };
        sent.push(ask(&fixture, &bob, send).await);
    }
    check("getConversation", ErrorCode::NotFound, &got);
    check("fetch", ErrorCode::NotFound, &fetched);
    check("send", ErrorCode::NotFound, &sent);
}

/// Messages to a stranger whom one has blocked since are answered at once, however many there are: no look-up is drawn.
#[tokio::test]
async fn an_outbox_to_somebody_who_was_blocked_empties_at_once() {
    let rate = Rate { burst: 1, interval: Duration::from_secs(10) };
    let fixture = Fixture::with(|settings| settings.rates.look_ups = rate).await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
    ok(&fixture, &alice, v1::Block { account: bob.account.to_bytes() }).await;
    let answers = [
        ask(&fixture, &alice, to(&fixture, bob.account)).await,
        ask(&fixture, &alice, to(&fixture, bob.account)).await,
        ask(&fixture, &alice, to(&fixture, bob.account)).await,
    ];
    check("send", ErrorCode::BlockedByYou, &answers);
}

/// Strangers who are added to groups are drawn from a rate, whether they are there and consent or not; contacts are not,
/// nor is anybody when an addition is repeated.
#[tokio::test]
async fn adding_strangers_is_limited() {
    let rate = Rate { burst: 3, interval: Duration::from_secs(60) };
    let fixture = Fixture::with(|settings| settings.rates.group_adds = rate).await;
    let alice = fixture.account("alice").await;
    let (bob, carol) = (fixture.account("bobby").await, fixture.account("carol").await);
    let dispatcher = Dispatcher::new(fixture.services.clone(), fixture.sessions.clone());
    let running = tokio::spawn(async move { dispatcher.run().await });
    let first = group(&fixture, &[bob.account, NOBODY]);
    let Event::ChangeAccepted(made) = ok(&fixture, &alice, first.clone()).await else { panic!("not made") };
    while ask(&fixture, &alice, v1::GetConversation { conversation: made.conversation.clone() }).await.0.is_err() {
        yield_now().await;
    }
    let add = |members: &[AccountId]| v1::AddMembers {
        conversation: made.conversation.clone(),
        message_id: fixture.message_id().to_bytes(),
        members: members.iter().map(|member| member.to_bytes()).collect(),
    };
    ok(&fixture, &alice, group(&fixture, &[NOBODY])).await;
    let limited = ask(&fixture, &alice, add(&[carol.account])).await.0.expect_err("the fourth");
    assert_eq!((limited.code, limited.retry_after_ms), (ErrorCode::RateLimited, 60_000));
    let again = v1::CreateGroup { members: vec![bob.account.to_bytes()], ..first };
    ok(&fixture, &alice, again).await;
    let contact = v1::SetContact { account: carol.account.to_bytes(), ..Default::default() };
    ok(&fixture, &alice, contact).await;
    ok(&fixture, &alice, add(&[carol.account])).await;
    running.abort();
}

/// Whether a handle is there is not told by a log-in, nor by its refusals, nor by how often one may try.
#[tokio::test]
async fn log_ins_do_not_tell_who_is_there() {
    let rate = Rate { burst: 2, interval: Duration::from_secs(30) };
    let fixture = Fixture::with(|settings| settings.rates.log_ins_per_handle = rate).await;
    fixture.account("alice").await;
    let mut tries = [vec![], vec![]];
    for (handle, tries) in ["alice", "nobody"].into_iter().zip(&mut tries) {
        for password in ["wrong horse", "short", "wrong horse", "wrong horse", PASSWORD] {
            let (answer, work) = fixture.cost(fixture.log_in(handle, password)).await;
            tries.push((answer.map(|_| ()), work));
        }
    }
    assert_eq!(tries[0], tries[1]);
    let codes = tries[0].iter().map(|(answer, _)| answer.as_ref().expect_err("refused").code);
    let (wrong, limited) = (ErrorCode::Unauthenticated, ErrorCode::RateLimited);
    assert_eq!(codes.collect::<Vec<_>>(), [wrong, ErrorCode::Invalid, wrong, limited, limited]);
}
