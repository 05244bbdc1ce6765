//! What reaches a connection, and what does not.

use super::*;

#[tokio::test]
async fn a_device_that_does_not_read_lags_and_is_told_once() {
    let world = World::with(|settings| settings.outbox_frames_max = 8).await;
    let (alice, token) = world.register("alice").await;
    let mut client = world.hello(&token).await;
    client.reads.send_replace(false);
    for n in 0..30 {
        assert_eq!(world.post(&alice, n).await, [], "a slow connection is still a connection");
        settle().await;
    }
    client.give(ping());
    settle().await;
    client.reads.send_replace(true);
    settle().await;
    world.post(&alice, 99).await;
    settle().await;
    let events = client.events();
    let lagging = events.iter().filter(|event| matches!(event, Event::Lagging(_))).count();
    assert_eq!((lagging, events.last()), (1, Some(&typing_event(99))), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, Event::Pong(_))), "answers are never dropped: {events:?}");
    let metrics = &world.services.metrics;
    let pushes = events.iter().filter(|event| matches!(event, Event::TypingNotice(_))).count() as u64;
    assert_eq!(metrics.pushes_lagging.get() + pushes, 31, "each is written or counted");
}

#[tokio::test]
async fn a_device_that_reads_nothing_for_long_is_closed() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let client = world.hello(&token).await;
    client.reads.send_replace(false);
    world.post(&alice, 1).await;
    settle().await;
    world.pass(world.services.settings.ping_interval * 2).await;
    assert_eq!(client.close_code(), Some(close::IDLE.code));
    assert_eq!(world.sessions_of(&alice).await, []);
}

#[tokio::test]
async fn json_connections_get_the_same_pushes_as_json() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let mut client = Client::connect(&world.gateway, Encoding::Json);
    client.hello(&token).await;
    world.post(&alice, 1).await;
    settle().await;
    assert!(client.written.lock()[0].starts_with(b"{"), "text for people");
    assert_eq!(client.events(), [typing_event(1)]);
}

#[tokio::test]
async fn active_is_registered_and_told_to_who_watches() {
    let world = World::new().await;
    let (alice, alice_token) = world.register("alice").await;
    let (_, bob_token) = world.register("bob").await;
    let mut bob = world.hello(&bob_token).await;
    let watch = v1::WatchPresence { accounts: vec![alice.account.to_bytes()] };
    let Event::PresenceList(list) = bob.ask(Command::WatchPresence(watch)).await else { panic!("no list") };
    assert_eq!((list.accounts[0].online, list.accounts[0].last_seen_us), (false, 0));
    let online = |events: Vec<Event>| {
        let presence = |event| match event {
            Event::Presence(presence) => (presence.account == alice.account.to_bytes()).then_some(presence.online),
            other => panic!("{other:?}"),
        };
        events.into_iter().filter_map(presence).collect::<Vec<bool>>()
    };

    let mut client = world.hello(&alice_token).await;
    assert!(online(bob.events()).is_empty(), "connected, but nobody looks at it");
    let set = |active| Command::SetActive(v1::SetActive { active });
    client.ask(set(true)).await;
    assert_eq!(online(bob.events()), [true]);
    client.ask(set(true)).await;
    assert!(online(bob.events()).is_empty(), "no change");
    assert!(world.sessions_of(&alice).await[0].active);
    client.ask(set(false)).await;
    assert_eq!(online(bob.events()), [false]);
    client.ask(set(true)).await;
    client.hang_up().await;
    assert_eq!(online(bob.events()), [true, false], "hanging up ends it");
    assert_eq!(world.sessions_of(&alice).await, []);
}

#[tokio::test]
async fn a_delivery_to_somebody_elses_connection_is_absent() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let client = world.hello(&token).await;
    let [session] = &world.sessions_of(&alice).await[..] else { panic!("one session") };
    let there = Target { account: session.account, device: session.device, connection: session.connection };
    let wrong_owner = Target { account: crate::api::testing::NOBODY, ..there };
    let wrong_connection = Target { connection: hudhud_proto::ConnectionId(999), ..there };
    let targets = vec![wrong_connection, there, wrong_owner, wrong_owner];
    let absent = world.gateway.deliver(vec![Delivery { payload: Payload::Frame(typing(1)), targets }]);
    assert_eq!(absent.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([wrong_connection, wrong_owner]));
    settle().await;
    assert_eq!(client.events(), [typing_event(1)]);
}

#[tokio::test]
async fn a_session_whose_row_was_lost_is_registered_again_by_the_next_ping() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let client = world.hello(&token).await;
    let [session] = &world.sessions_of(&alice).await[..] else { panic!("one session") };
    world.gateway.sessions.unregister(session).await.expect("somebody took it for dead");
    assert_eq!(world.post(&alice, 1).await, [alice.account]);
    world.pass(world.services.settings.ping_interval).await;
    assert_eq!(world.post(&alice, 2).await, []);
    settle().await;
    assert_eq!(client.events().last(), Some(&typing_event(2)));
}

/// Somebody else has taken so much of the memory that all connections share.
fn taken(world: &World, bytes: usize) -> Charge {
    let mut charge = world.gateway.budget().charge();
    charge.set(bytes);
    charge
}

const BUFFER_BYTES: usize = 1_024 * 1_024;

#[tokio::test]
async fn pages_wait_until_there_is_memory_for_them_and_small_answers_do_not() {
    let world = World::with(|settings| settings.buffer_bytes_max = BUFFER_BYTES).await;
    let (_, token) = world.register("alice").await;
    let mut client = world.hello(&token).await;
    let charge = taken(&world, BUFFER_BYTES);
    let refused = client.ask(Command::Changes(v1::Changes::default())).await;
    assert_eq!(error_code(&refused), Some(ErrorCode::Unavailable));
    assert!(matches!(client.ask(ping()).await, Event::Pong(_)));
    drop(charge);
    assert!(matches!(client.ask(Command::Changes(v1::Changes::default())).await, Event::ChangePage(_)));
    assert_eq!(world.services.metrics.deferred.get(), 1);
}

#[tokio::test]
async fn who_reads_nothing_is_closed_early_only_while_others_need_the_memory() {
    let world = World::with(|settings| settings.buffer_bytes_max = BUFFER_BYTES).await;
    let (alice, token) = world.register("alice").await;
    let client = world.hello(&token).await;
    client.reads.send_replace(false);
    world.post(&alice, 1).await;
    settle().await;
    world.pass(Duration::from_secs(6)).await;
    assert_eq!(client.close_code(), None);
    let _charge = taken(&world, BUFFER_BYTES);
    world.pass(Duration::from_secs(6)).await;
    assert_eq!(client.close_code(), Some(close::IDLE.code));
    assert_eq!(world.services.metrics.stalled.get(), 1);
}

#[tokio::test]
async fn what_a_connection_held_is_free_when_it_ends() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let client = world.hello(&token).await;
    client.reads.send_replace(false);
    for n in 0..10 {
        world.post(&alice, n).await;
    }
    settle().await;
    assert!(world.services.metrics.buffer_bytes.get() > 0);
    world.pass(world.services.settings.ping_interval * 2).await;
    assert_eq!(client.close_code(), Some(close::IDLE.code));
    assert_eq!(world.services.metrics.buffer_bytes.get(), 0);
}
