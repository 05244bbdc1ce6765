//! The life of a whole gateway.

use super::*;

#[tokio::test]
async fn a_draining_gateway_says_so_takes_nobody_in_and_gives_its_lease_back() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let polite = world.hello(&token).await;
    let (_, token) = world.register("bob").await;
    let deaf = world.hello(&token).await;
    let gateway = world.gateway.clone();
    let spread = Duration::from_secs(4);
    let drain = tokio::spawn(async move { gateway.drain(spread).await });
    settle().await;
    let events = polite.events();
    let [Event::GoingAway(going)] = &events[..] else { panic!("{events:?}") };
    assert!(going.reconnect_after_ms <= 4_000);
    let late = world.connect();
    settle().await;
    assert_eq!(late.close_code(), Some(close::GOING_AWAY.code));
    polite.hang_up().await;
    assert_eq!(world.sessions_of(&alice).await, []);
    world.pass(spread).await;
    assert_eq!(deaf.close_code(), None);
    world.pass(DRAIN_GRACE).await;
    assert_eq!(deaf.close_code(), Some(close::GOING_AWAY.code));
    drain.await.expect("drained");
    assert!(!world.gateway.lease.is_held());
    world.pass(world.services.settings.lease * 2).await;
    assert_eq!(world.services.metrics.leases_lost.get(), 0, "given back is not lost");
}

#[tokio::test]
async fn a_gateway_that_loses_its_lease_serves_nobody_until_it_holds_it_again() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let client = world.hello(&token).await;
    let lease = world.services.settings.lease;
    for _ in 0..4 {
        world.pass(lease / 3).await;
    }
    assert_eq!(client.close_code(), None, "it is renewed in time");
    world.store.hold(tables::GATEWAYS);
    for _ in 0..5 {
        world.pass(lease / 3).await;
    }
    assert_eq!(client.close_code(), Some(close::TRY_AGAIN.code));
    let refused = world.connect();
    settle().await;
    assert_eq!(refused.close_code(), Some(close::TRY_AGAIN.code));
    world.store.let_go();
    for _ in 0..3 {
        world.pass(lease / 3).await;
    }
    let _again = world.hello(&token).await;
    assert_eq!(world.post(&alice, 1).await, []);
    assert_eq!(world.services.metrics.leases_lost.get(), 1);
}

#[tokio::test]
async fn a_gateway_whose_name_was_taken_serves_nobody_any_more() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let client = world.hello(&token).await;
    let next_run = gateway(&world.services, &world.local, "gw");
    next_run.start().await.expect("started");
    for _ in 0..2 {
        world.pass(world.services.settings.lease / 3).await;
    }
    assert_eq!(client.close_code(), Some(close::TRY_AGAIN.code));
    let mut again = Client::connect(&next_run, Encoding::Protobuf);
    again.hello(&token).await;
    assert_eq!(world.post(&alice, 1).await, []);
    settle().await;
    assert_eq!(again.events(), [typing_event(1)]);
}
