//! From connecting to the welcome.

use super::*;

#[tokio::test]
async fn a_session_is_registered_before_its_device_is_welcomed_and_pushes_follow_the_welcome() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let mut client = world.connect();
    // The account's row is read after the token was verified and before the session is registered.
    world.store.hold(tables::ACCOUNTS);
    client.say_hello(&token, false);
    settle().await;
    assert_eq!(world.post(&alice, 1).await, [alice.account], "not registered yet: it waits in the inbox");
    // The token is verified again after the session was registered.
    world.store.hold(tables::TOKENS);
    world.store.held.send_modify(|held| _ = held.remove(tables::ACCOUNTS.name));
    settle().await;
    assert_eq!(world.post(&alice, 2).await, [], "registered: it is pushed");
    assert!(client.events().is_empty(), "but not before the welcome");
    world.store.let_go();
    settle().await;
    let events = client.events();
    let [Event::Welcome(welcome), push] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&welcome.handle[..], &welcome.account), ("alice", &alice.account.to_bytes()));
    assert_eq!(*push, typing_event(2));
    assert_eq!(world.services.metrics.sessions.get(), 1);

    client.hang_up().await;
    assert_eq!(world.sessions_of(&alice).await, []);
    assert_eq!((world.services.metrics.sessions.get(), world.services.metrics.connections.get()), (0, 0));
}

#[tokio::test]
async fn nobody_does_anything_before_hello_but_register_and_log_in() {
    let world = World::new().await;
    let mut client = world.connect();
    assert_eq!(error_code(&client.ask(ping()).await), Some(ErrorCode::Unauthenticated));
    let send = Command::Send(v1::Send::default());
    assert_eq!(error_code(&client.ask(send).await), Some(ErrorCode::Unauthenticated));
    let register = v1::Register { handle: "alice".into(), password: "12345678".into(), ..Default::default() };
    let Event::LoggedIn(logged_in) = client.ask(Command::Register(register)).await else { panic!("not logged in") };
    assert_eq!(error_code(&client.ask(ping()).await), Some(ErrorCode::Unauthenticated), "say hello first");
    let hello = |token: &str| Command::Hello(v1::Hello { token: token.into(), ..Default::default() });
    assert_eq!(error_code(&client.ask(hello("hh_wrong")).await), Some(ErrorCode::Unauthenticated));
    assert!(matches!(client.ask(hello(&logged_in.token)).await, Event::Welcome(_)));
    assert!(matches!(client.ask(ping()).await, Event::Pong(_)));
    assert_eq!(error_code(&client.ask(hello(&logged_in.token)).await), Some(ErrorCode::Invalid), "once is enough");
}

#[tokio::test]
async fn who_does_not_say_hello_in_time_is_closed() {
    let world = World::new().await;
    let mut client = world.connect();
    settle().await;
    let limit = world.services.settings.hello_timeout;
    world.pass(limit / 2).await;
    client.ask(ping()).await;
    world.pass(limit / 2 - Duration::from_millis(1)).await;
    assert_eq!(client.close_code(), None);
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(client.close_code(), Some(close::HELLO_TIMEOUT.code), "whatever else it says");
}

#[tokio::test]
async fn a_device_that_connects_again_replaces_its_older_connection() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let first = world.hello(&token).await;
    let second = world.hello(&token).await;
    assert_eq!(first.close_code(), Some(close::REPLACED.code));
    assert_eq!(world.post(&alice, 1).await, []);
    settle().await;
    assert_eq!(second.events(), [typing_event(1)]);
    assert_eq!(world.sessions_of(&alice).await.len(), 1, "the end of the first did not unregister the second");
    assert_eq!(second.close_code(), None);
}

#[tokio::test]
async fn a_device_that_connects_to_another_gateway_is_found_there() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let first = world.hello(&token).await;
    let other = gateway(&world.services, &world.local, "other");
    other.start().await.expect("started");
    let mut second = Client::connect(&other, Encoding::Protobuf);
    second.hello(&token).await;
    assert_eq!(world.post(&alice, 1).await, []);
    settle().await;
    assert_eq!(second.events(), [typing_event(1)]);
    world.pass(world.services.settings.ping_interval).await;
    assert_eq!((first.close_code(), second.close_code()), (Some(close::REPLACED.code), None), "by the next ping");
}

/// Of the same gateway, the registry knows; of another one, the row.
#[tokio::test]
async fn a_hello_that_was_under_way_for_long_does_not_replace_a_later_connection() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let other = gateway(&world.services, &world.local, "other");
    other.start().await.expect("started");
    let mut live = world.connect();
    live.say_hello_numbered(&token, false, 5);
    settle().await;
    assert!(matches!(live.events()[..], [Event::Welcome(_)]));
    for mut stale in [world.connect(), Client::connect(&other, Encoding::Protobuf)] {
        stale.say_hello_numbered(&token, false, 4);
        settle().await;
        let events = stale.events();
        let [Event::Error(error)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(
            (error.code.as_known(), error.connection_number),
            (Some(ErrorCode::Conflict), 5),
            "{}",
            error.message
        );
        world.pass(CLOSE_GRACE).await;
        assert_eq!(world.post(&alice, 1).await, []);
        settle().await;
        assert_eq!((live.events(), live.close_code()), (vec![typing_event(1)], None));
    }
    // A device that lost count goes on from what it was told.
    let mut restored = Client::connect(&other, Encoding::Protobuf);
    restored.say_hello_numbered(&token, false, 6);
    settle().await;
    assert!(matches!(restored.events()[..], [Event::Welcome(_)]));
    world.pass(world.services.settings.ping_interval).await;
    assert_eq!(live.close_code(), Some(close::REPLACED.code), "by the next ping");
}

#[tokio::test]
async fn a_new_connection_waits_for_the_sends_of_the_old_one() {
    let world = World::new().await;
    let (_, token) = world.register("alice").await;
    let (bob, _) = world.register("bob").await;
    let mut first = world.hello(&token).await;
    world.store.hold(tables::ACCEPTED);
    first.give(Command::Send(message(&world, &bob, 1)));
    settle().await;
    let mut second = world.connect();
    second.say_hello(&token, false);
    settle().await;
    assert!(second.events().is_empty(), "a send of the old connection may still reach the bus");
    // The old connection gives its client half a second to be answered, then goes on alone.
    world.pass(CLOSE_GRACE).await;
    assert_eq!(first.close_code(), Some(close::REPLACED.code));
    assert!(second.events().is_empty());
    world.store.let_go();
    settle().await;
    assert!(matches!(second.events()[..], [Event::Welcome(_)]));
    assert_eq!(world.services.metrics.accepted.get(), 1, "what was begun came to its end");
}
