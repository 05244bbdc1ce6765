//! A suspended account: the client connects no more by itself, loses nothing, and may be told to ask again.

use crate::{Account, Client, Closed, Command, Connection, Event, Input, Moment, Options, Output, State, Token};
use hudhud_proto::v1::{self, ErrorCode, ServerFrame, server_frame};
use hudhud_proto::{AccountId, DeviceId};
use std::time::Duration;

const NOW: Moment = Moment { monotonic: Duration::ZERO, wall_us: 1_795_300_000_000_000 };

/// A client that has said hello on an open connection, and the number of that request.
fn greeting() -> (Client, u64) {
    let account = Account {
        account: AccountId::new([1; 16]),
        device: DeviceId::new([2; 16]),
        handle: "alice".into(),
        token: Some(Token::new("secret")),
    };
    let state = State { account: Some(account), ..State::default() };
    let options = Options { name: "test".into(), active: false };
    let mut client = Client::new(options, state, |bytes| bytes.fill(7));
    client.handle(Input::Start, NOW);
    let outputs = client.handle(Input::Connected, NOW);
    let hello = outputs.iter().find_map(|output| match output {
        Output::Send(frame) => Some(frame.request),
        _ => None,
    });
    (client, hello.expect("it says hello"))
}

fn check(mut client: Client, outputs: &[Output], reason: &str) {
    assert!(outputs.contains(&Output::Event(Event::Suspended { reason: reason.into() })), "{outputs:?}");
    assert!(client.account().is_some_and(|account| account.token.is_some()), "the token is kept");
    assert!(matches!(client.connection(), Connection::Offline { retry_at: None, .. }), "it does not connect by itself");
    let outputs = client.handle(Input::Command(Command::GoOnline), NOW);
    assert!(outputs.contains(&Output::Connect), "but when it is told to: {outputs:?}");
}

#[test]
fn a_hello_that_is_refused_as_suspended_ends_the_attempts() {
    let (mut client, hello) = greeting();
    let message = "ask the operators".to_owned();
    let error = v1::Error { code: ErrorCode::Suspended.into(), message, ..v1::Error::default() };
    let frame = ServerFrame { request: hello, event: Some(server_frame::Event::Error(error)) };
    let outputs = client.handle(Input::Frame(frame), NOW);
    check(client, &outputs, "ask the operators");
}

#[test]
fn a_close_as_suspended_does_too() {
    let (mut client, _) = greeting();
    let closed = Closed { code: Some(Closed::SUSPENDED), reason: "suspended".into() };
    let outputs = client.handle(Input::Disconnected(closed), NOW);
    check(client, &outputs, "suspended");
}
