//! What lets a connection stay, and what ends it.

use super::*;

#[tokio::test]
async fn revoking_a_token_closes_its_connections_and_no_others() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let logged_in = world.fixture.log_in("alice", crate::api::testing::PASSWORD).await.expect("logged in");
    let phone = world.fixture.caller(&logged_in.token).await.expect("just logged in");
    let mut laptop = world.hello(&token).await;
    let client = world.hello(&logged_in.token).await;
    let revoke = Command::RevokeToken(v1::RevokeToken { id: phone.token.to_bytes() });
    assert_eq!(laptop.ask(revoke).await, Event::Done(v1::Done::default()));
    assert_eq!((client.close_code(), laptop.close_code()), (Some(close::REVOKED.code), None));
    assert_eq!(world.sessions_of(&alice).await.len(), 1);
    assert_eq!(world.services.metrics.revoked.get(), 1);
}

#[tokio::test]
async fn a_device_that_logs_out_is_answered_before_it_is_closed() {
    let world = World::new().await;
    let (_, token) = world.register("alice").await;
    let mut client = world.hello(&token).await;
    assert_eq!(client.ask(Command::LogOut(v1::LogOut::default())).await, Event::Done(v1::Done::default()));
    assert_eq!(client.close_code(), Some(close::REVOKED.code));
}

#[tokio::test]
async fn a_token_that_is_revoked_during_the_greeting_opens_no_session() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let mut client = world.connect();
    world.store.hold(tables::ACCOUNTS);
    client.say_hello(&token, false);
    settle().await;
    let who = Who::Account(alice.clone());
    let logged_out = world.fixture.api.handle(&who, Command::LogOut(v1::LogOut::default())).await;
    assert!(logged_out.is_ok(), "{logged_out:?}");
    world.store.let_go();
    settle().await;
    assert_eq!(client.codes(), [Some(ErrorCode::Unauthenticated)]);
    assert_eq!(client.close_code(), Some(close::REVOKED.code));
    assert_eq!(world.sessions_of(&alice).await, []);
    assert_eq!(world.post(&alice, 1).await, [alice.account]);
}

#[tokio::test]
async fn a_token_that_ran_out_is_found_by_the_next_ping() {
    let world = World::with(|settings| settings.token_valid = Duration::from_secs(40)).await;
    let (_, token) = world.register("alice").await;
    let mut client = world.hello(&token).await;
    let interval = world.services.settings.ping_interval;
    world.pass(interval).await;
    client.ask(ping()).await;
    assert_eq!(client.close_code(), None);
    world.pass(interval).await;
    assert_eq!(client.close_code(), Some(close::REVOKED.code));
}

#[tokio::test]
async fn pings_carry_the_inbox_version_and_close_who_is_silent() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let row = v1::InboxHeadRow { head_seq: 41, ..Default::default() };
    let chat = hudhud_proto::ConversationId::new([3; 16]);
    let key = tables::inbox(alice.account, chat, tables::InboxPart::Head);
    world.services.directory.write(vec![tables::put(key, &row, 1)]).await.expect("written");
    let client = world.hello(&token).await;
    let interval = world.services.settings.ping_interval;
    world.pass(interval).await;
    assert_eq!(client.events(), [Event::Ping(v1::Ping { inbox_version: 41 })]);
    let pong = v1::ClientFrame { request: 0, command: Some(Command::Pong(v1::Pong::default())) };
    client.raw(client.encoding.encode_client(&pong));
    settle().await;
    assert!(client.events().is_empty(), "a pong needs no answer");
    world.pass(interval).await;
    assert_eq!(client.events().len(), 1);
    world.pass(interval - Duration::from_millis(1)).await;
    assert_eq!(client.close_code(), None);
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(client.close_code(), Some(close::IDLE.code));
}

#[tokio::test]
async fn a_database_that_is_away_closes_nobody() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let mut client = world.hello(&token).await;
    let interval = world.services.settings.ping_interval;
    world.pass(interval).await;
    client.events();
    world.store.failing.lock().extend(tables::ALL.iter().map(|table| table.name).filter(|name| *name != "gateways"));
    client.ask(Command::Pong(v1::Pong::default())).await;
    world.pass(interval).await;
    assert_eq!(client.events(), [Event::Ping(v1::Ping { inbox_version: 0 })], "the version known last");
    assert_eq!(error_code(&client.ask(ping()).await), Some(ErrorCode::Unavailable));
    world.store.failing.lock().clear();
    assert!(matches!(client.ask(ping()).await, Event::Pong(_)));
    assert_eq!(world.post(&alice, 1).await, []);
}

#[tokio::test]
async fn a_greeting_that_fails_half_way_never_becomes_somebody_elses_connection() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let mut client = world.connect();
    world.store.hold(tables::ACCOUNTS);
    client.say_hello(&token, false);
    settle().await;
    world.store.failing.lock().insert(tables::SESSIONS.name);
    world.store.let_go();
    settle().await;
    assert_eq!(client.codes(), [Some(ErrorCode::Unavailable)]);
    assert_eq!(client.close_code(), Some(close::TRY_AGAIN.code));
    world.store.failing.lock().clear();
    let again = world.hello(&token).await;
    assert_eq!(world.post(&alice, 1).await, []);
    settle().await;
    assert_eq!(again.events(), [typing_event(1)]);
}
