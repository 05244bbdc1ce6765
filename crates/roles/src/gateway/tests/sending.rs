//! Frames that come in.

use super::*;

#[tokio::test]
async fn malformed_frames_are_answered_and_counted() {
    let world = World::new().await;
    let client = world.connect();
    // Field 1 is 77; field 60 (send) claims more bytes than there are.
    client.raw(vec![0x08, 77, 0xe2, 0x03, 0x7f]);
    settle().await;
    let [answer] = &client.received()[..] else { panic!("one answer") };
    assert_eq!((answer.request, answer.event.as_ref().and_then(error_code)), (77, Some(ErrorCode::Invalid)));
    for _ in 0..14 {
        client.raw(&b"\xff\xff"[..]);
    }
    settle().await;
    assert_eq!((client.events().len(), client.close_code()), (14, None));
    client.raw(&b"\xff\xff"[..]);
    settle().await;
    assert_eq!(client.close_code(), Some(close::MALFORMED.code));
    assert_eq!(world.services.metrics.malformed_frames.get(), 16);
}

#[tokio::test]
async fn a_frame_without_a_command_is_an_error_of_its_own() {
    let world = World::new().await;
    let client = world.connect();
    client.raw(client.encoding.encode_client(&v1::ClientFrame { request: 5, command: None }));
    settle().await;
    assert_eq!(client.codes(), [Some(ErrorCode::Invalid)]);
}

#[tokio::test]
async fn after_a_failed_send_the_device_goes_back_to_it() {
    let world = World::new().await;
    let (_, token) = world.register("alice").await;
    let (bob, _) = world.register("bob").await;
    let mut client = world.hello(&token).await;
    let messages: Vec<v1::Send> = (0..4).map(|n| message(&world, &bob, n)).collect();
    world.store.failing.lock().insert(tables::ACCEPTED.name);
    for message in &messages[..3] {
        client.give(Command::Send(message.clone()));
    }
    settle().await;
    let back = Some(ErrorCode::GoBack);
    assert_eq!(client.codes(), [Some(ErrorCode::Unavailable), back, back]);
    world.store.failing.lock().clear();
    assert_eq!(error_code(&client.ask(Command::Send(messages[3].clone())).await), back, "0 has not come again");
    for message in &messages {
        client.give(Command::Send(v1::Send { resend: true, ..message.clone() }));
    }
    settle().await;
    let accepted = client.events().into_iter().map(|event| match event {
        Event::Accepted(accepted) => accepted.message_id,
        other => panic!("{other:?}"),
    });
    assert_eq!(accepted.collect::<Vec<_>>(), messages.iter().map(|m| m.message_id.clone()).collect::<Vec<_>>());
    assert_eq!(world.services.metrics.go_backs.get(), 3);
}

#[tokio::test]
async fn a_slow_send_delays_no_other_command_and_a_flood_stops_being_read() {
    let world = World::new().await;
    let (_, token) = world.register("alice").await;
    let (bob, _) = world.register("bob").await;
    let mut client = world.hello(&token).await;
    world.store.hold(tables::ACCEPTED);
    client.give(Command::Send(message(&world, &bob, 0)));
    assert!(matches!(client.ask(ping()).await, Event::Pong(_)));
    for n in 0..300 {
        client.give(Command::Send(message(&world, &bob, n as u8)));
    }
    client.give(ping());
    settle().await;
    assert!(client.events().is_empty(), "behind more sends than may be unanswered, nothing is read");
    world.store.let_go();
    settle().await;
    assert_eq!(client.events().len(), 302);
}

#[tokio::test]
async fn a_flood_of_pushes_keeps_no_command_waiting() {
    let world = World::new().await;
    let (alice, token) = world.register("alice").await;
    let mut client = world.hello(&token).await;
    client.reads.send_replace(false);
    for n in 0..1_000 {
        world.post(&alice, n as u8).await;
    }
    client.give(ping());
    settle().await;
    client.reads.send_replace(true);
    settle().await;
    let events = client.events();
    let pong = events.iter().position(|event| matches!(event, Event::Pong(_))).expect("answered");
    assert!(pong < 900, "answered before the pushes that wait, at {pong} of {}", events.len());
}
