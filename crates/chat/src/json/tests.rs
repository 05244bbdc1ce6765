use super::mode::Mode;
use super::parse::{Local, Request, parse};
use crate::act::{Act, Place};
use hudhud_client::{
    Account, Body, Command, Connection, Content, ConversationRow, Entry, Event, Outgoing, OutgoingState, Person,
    Summary, Token,
};
use hudhud_proto::v1::{self, ConversationKind, ErrorCode, ReceiptKind, client_frame, server_frame};
use hudhud_proto::{AccountId, ConversationId, DeviceId, Handle, MessageId, ProtocolError, Seq};
use serde_json::{Value, json};
use std::time::Duration;

const ALICE: AccountId = AccountId::new([1; 16]);
const BOB: AccountId = AccountId::new([2; 16]);
const DEVICE: DeviceId = DeviceId::new([3; 16]);
const MESSAGE: MessageId = MessageId::new([4; 16]);
const GROUP: ConversationId = ConversationId::new([5; 16]);

fn handle(text: &str) -> Handle {
    text.parse().expect("a handle")
}

#[test]
fn lines_say_what_they_want() {
    let check = |line: Value, wanted: Act| {
        let parsed = parse(line.to_string().as_bytes()).map(|(request, ..)| request);
        assert_eq!(parsed, Ok(Request::Act(wanted)), "{line}");
    };
    let (group, here) = (GROUP, GROUP.to_string());
    let bob = || Place::Direct(handle("bob"));
    check(json!({"do": "send", "to": "@bob", "text": "hi"}), Act::Send { place: bob(), text: "hi".into() });
    let place = Place::Conversation(GROUP);
    check(json!({"do": "send", "conversation": here, "text": "hi"}), Act::Send { place, text: "hi".into() });
    let members = vec![handle("bob")];
    check(
        json!({"do": "create_group", "title": "Books", "members": ["bob"], "announce": true}),
        Act::CreateGroup { title: "Books".into(), members: members.clone(), announce: v1::Switch::On },
    );
    check(json!({"do": "add", "conversation": here, "members": ["@bob"]}), Act::Add { group, members });
    check(json!({"do": "remove", "conversation": here, "member": "bob"}), Act::Remove { group, member: handle("bob") });
    check(json!({"do": "leave", "conversation": here}), Act::Leave { group });
    check(json!({"do": "rename", "conversation": here, "title": "B"}), Act::Rename { group, title: "B".into() });
    check(
        json!({"do": "role", "conversation": here, "member": "bob", "role": "admin"}),
        Act::Role { group, member: handle("bob"), role: v1::Role::Admin },
    );
    check(
        json!({"do": "announce", "conversation": here, "on": false}),
        Act::Announce { group, announce: v1::Switch::Off },
    );
    check(json!({"do": "invite", "conversation": here}), Act::Invite { group });
    check(json!({"do": "join", "code": "abc"}), Act::Join { code: "abc".into() });
    check(json!({"do": "read", "to": "bob"}), Act::Read { place: bob(), seq: Seq(u64::MAX) });
    check(json!({"do": "typing", "to": "bob"}), Act::Typing { place: bob(), typing: true });
    check(
        json!({"do": "history", "to": "bob", "before": 9, "limit": 5}),
        Act::History { place: bob(), before: Some(Seq(9)), limit: 5 },
    );
    check(json!({"do": "members", "conversation": here}), Act::Members { conversation: GROUP });
    check(json!({"do": "block", "handle": "bob"}), Act::Block(handle("bob")));
    check(
        json!({"do": "report", "conversation": here, "category": "abuse", "text": "rude", "seqs": [4]}),
        Act::Report {
            who: None,
            conversation: Some(GROUP),
            seqs: vec![4],
            category: v1::ReportCategory::Abuse,
            text: "rude".into(),
        },
    );
    check(json!({"do": "blocks"}), Act::Blocks);
    check(json!({"do": "privacy"}), Act::Privacy);
    let privacy = v1::Privacy { read_receipts: v1::Switch::Off.into(), ..v1::Privacy::default() };
    check(json!({"do": "privacy", "read_receipts": false}), Act::SetPrivacy(privacy));
    check(json!({"do": "devices"}), Act::Devices);
    check(json!({"do": "tokens"}), Act::Tokens);
    check(json!({"do": "offline"}), Act::Offline);
    let parsed = parse(br#"{"do":"quit","id":7}"#);
    assert_eq!(parsed, Ok((Request::Local(Local::Quit), "quit".into(), Some(json!(7)))));
}

#[test]
fn a_wrong_line_says_what_is_wrong() {
    let check = |line: &str, says: &str| {
        let (message, _) = parse(line.as_bytes()).expect_err(line);
        assert!(message.contains(says), "{line}: {message}");
    };
    check("hi", "no JSON");
    check("[]", "a line is an object");
    check(r#"{"do":"dance"}"#, "unknown variant `dance`");
    check(r#"{"do":"send","text":"hi"}"#, r#"either "to""#);
    check(r#"{"do":"send","to":"bob"}"#, "missing field `text`");
    check(r#"{"do":"send","to":"bob","text":"hi","loud":true}"#, "unknown field `loud`");
    check(r#"{"do":"block","handle":"b"}"#, "3 to 32");
    check(r#"{"do":"leave","conversation":"x"}"#, "22 characters");
}

fn mode() -> Mode {
    let mut mode = Mode::new("test", "ws://server");
    let token = Some(Token::new("secret"));
    mode.event(Event::LoggedIn(Account { account: ALICE, device: DEVICE, handle: "alice".into(), token }));
    mode.event(Event::Connection(Connection::Online));
    mode
}

fn direct() -> ConversationRow {
    let mut row = ConversationRow::new(ConversationId::direct(ALICE, BOB));
    (row.kind, row.peer) = (ConversationKind::Direct, Some(BOB));
    row
}

fn show(mode: &mut Mode, row: &ConversationRow) {
    mode.event(Event::Conversation(Box::new(Summary { row: row.clone(), unread: 0, last: None })));
}

fn entry(seq: u64, sender: AccountId, message: MessageId, text: &str) -> Entry {
    Entry {
        conversation: direct().id,
        seq: Seq(seq),
        prev: Seq(seq - 1),
        message,
        sender,
        sender_device: DEVICE,
        time_us: 1_795_300_000_000_000,
        body: Body::Content(Content::text(text)),
    }
}

fn bob() -> Event {
    Event::Person(Person { account: BOB, handle: "bob".into(), display_name: String::new() })
}

#[test]
fn a_start_is_told_without_the_token() {
    let lines = mode().take_lines();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap_or_default()).collect();
    assert_eq!(events, ["logged_in", "connection", "ready"]);
    assert_eq!(lines[2]["handle"], "alice");
    assert!(!format!("{lines:?}").contains("secret"));
}

#[test]
fn a_message_waits_for_its_senders_name_but_not_forever() {
    let mut mode = mode();
    mode.take_lines();
    mode.event(Event::Entry(entry(1, BOB, MESSAGE, "hi \u{1b}[2J")));
    assert_eq!(mode.take_lines(), [] as [Value; 0]);
    mode.event(bob());
    let conversation = direct().id.to_string();
    let line = json!({"event": "message", "conversation": conversation, "seq": 1, "message": MESSAGE.to_string(),
        "from": "bob", "mine": false, "time": "2026-11-21T22:26:40Z", "text": "hi \u{1b}[2J"});
    assert_eq!(mode.take_lines(), std::slice::from_ref(&line));
    assert!(!line.to_string().contains('\u{1b}'), "JSON escapes control characters");

    mode.event(Event::Entry(entry(2, AccountId::new([9; 16]), MESSAGE, "who am I?")));
    mode.tick(Duration::from_secs(1));
    assert_eq!(mode.take_lines(), [] as [Value; 0]);
    mode.tick(Duration::from_secs(2));
    assert_eq!(mode.take_lines()[0]["from"], Value::Null);
}

#[test]
fn a_message_of_ones_own_ticks_once_each() {
    let mut mode = mode();
    let mut row = direct();
    show(&mut mode, &row);
    mode.event(bob());
    mode.take_lines();
    let mut outgoing = Outgoing {
        conversation: row.id,
        message: MESSAGE,
        content: Content::text("hi"),
        composed_us: 0,
        number: 1,
        state: OutgoingState::Queued,
    };
    let ticks = |mode: &mut Mode| -> Vec<String> {
        let lines = mode.take_lines().into_iter().filter(|line| line["event"] == "tick");
        lines.map(|line| line["tick"].as_str().unwrap_or_default().to_owned()).collect()
    };
    mode.event(Event::Outgoing(outgoing.clone()));
    assert_eq!((ticks(&mut mode), mode.is_done(), mode.is_unsent()), (vec!["waiting".into()], false, true));
    outgoing.state = OutgoingState::Accepted;
    mode.event(Event::Outgoing(outgoing.clone()));
    mode.event(Event::Outgoing(outgoing.clone()));
    assert_eq!((ticks(&mut mode), mode.is_done(), mode.is_unsent()), (vec!["accepted".into()], false, false));
    mode.event(Event::Entry(entry(1, ALICE, MESSAGE, "hi")));
    assert_eq!((ticks(&mut mode), mode.is_done()), (vec![], true));
    (row.others_received, row.others_read) = (Seq(1), Seq(1));
    show(&mut mode, &row);
    mode.event(Event::Receipt { conversation: row.id, kind: ReceiptKind::Read, seq: Seq(1) });
    mode.event(Event::Receipt { conversation: row.id, kind: ReceiptKind::Received, seq: Seq(1) });
    assert_eq!(ticks(&mut mode), ["delivered", "read"]);

    outgoing.state = OutgoingState::Refused { code: ErrorCode::BlockedByYou, reason: "unblock first".into() };
    outgoing.message = MessageId::new([6; 16]);
    mode.event(Event::Outgoing(outgoing));
    let line = mode.take_lines().remove(0);
    assert_eq!((&line["tick"], &line["code"]), (&json!("refused"), &json!("BLOCKED_BY_YOU")));
    assert!(mode.is_done() && mode.is_unsent());
}

#[test]
fn a_handle_is_looked_up_once_and_the_answer_has_the_lines_id() {
    let mut mode = mode();
    mode.take_lines();
    mode.line(br#"{"do":"send","to":"@bob","text":"hi","id":{"mine":1}}"#);
    let commands = mode.take_commands();
    let [Command::Request { tag, command: client_frame::Command::LookUp(look_up) }] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert_eq!((look_up.handle.as_str(), mode.is_done()), ("bob", false));
    let profile = v1::Profile { account: BOB.to_bytes(), handle: "bob".into(), ..v1::Profile::default() };
    mode.event(bob());
    mode.event(Event::Answer { tag: *tag, result: Ok(server_frame::Event::from(profile)) });
    let commands = mode.take_commands();
    let [Command::Send { tag, .. }] = &commands[..] else { panic!("{commands:?}") };
    mode.event(Event::Composed { tag: *tag, conversation: direct().id, message: MESSAGE });
    let conversation = direct().id.to_string();
    let line = json!({"event": "answer", "do": "send", "id": {"mine": 1}, "conversation": conversation,
        "message": MESSAGE.to_string()});
    assert_eq!(mode.take_lines(), [line]);
    mode.line(br#"{"do":"send","to":"@bob","text":"again"}"#);
    assert!(matches!(mode.take_commands()[..], [Command::Send { .. }]), "bob is known now");
}

#[test]
fn an_error_names_the_line_that_failed() {
    let mut mode = mode();
    mode.take_lines();
    mode.line(br#"{"do":"block","handle":"nobody","id":3}"#);
    let commands = mode.take_commands();
    let [Command::Request { tag, .. }] = commands[..] else { panic!("{commands:?}") };
    mode.event(Event::Answer { tag, result: Err(ProtocolError::new(ErrorCode::NotFound, "no such account")) });
    let message = "there is nobody called @nobody on this server";
    let line = json!({"event": "error", "do": "block", "id": 3, "code": "NOT_FOUND", "message": message});
    assert_eq!(mode.take_lines(), [line]);
    mode.line(b"nonsense\n");
    assert_eq!(mode.take_lines()[0]["code"], "INVALID");
    mode.line(b"\n");
    assert_eq!(mode.take_lines(), [] as [Value; 0]);
}
