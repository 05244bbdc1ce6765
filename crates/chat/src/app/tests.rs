use super::{App, Setup};
use crate::ui;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use hudhud_client::{
    Account, Body, Command, Connection, Content, ConversationRow, Entry, Event, Outgoing, OutgoingState, Person,
    Summary, Token,
};
use hudhud_proto::v1::{self, ConversationKind, ErrorCode, client_frame, server_frame};
use hudhud_proto::{AccountId, ConversationId, DeviceId, MessageId, ProtocolError, Seq};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use std::time::Duration;

const ALICE: AccountId = AccountId::new([1; 16]);
const BOB: AccountId = AccountId::new([2; 16]);
const DEVICE: DeviceId = DeviceId::new([3; 16]);
const TIME_US: u64 = 1_795_300_000_000_000;

fn nobody() -> App {
    let (server, device) = ("ws://server".into(), "test".into());
    App::new(Setup { server, handle: "alice".into(), device, zone: TimeZone::UTC })
}

/// Alice, who knows Bob.
fn alice() -> App {
    let mut app = nobody();
    let token = Some(Token::new("secret"));
    app.event(Event::LoggedIn(Account { account: ALICE, device: DEVICE, handle: "alice".into(), token }));
    app.event(Event::Person(Person { account: BOB, handle: "bob".into(), display_name: "Bob B.".into() }));
    app.event(Event::Conversation(Box::new(with_bob(|_| {}))));
    app.event(Event::Connection(Connection::Online));
    app.take_commands();
    app
}

fn with_bob(change: impl FnOnce(&mut Summary)) -> Summary {
    let mut row = ConversationRow::new(ConversationId::direct(ALICE, BOB));
    (row.kind, row.peer, row.activity_us) = (ConversationKind::Direct, Some(BOB), TIME_US);
    let mut summary = Summary { row, unread: 0, last: Some(entry(1, BOB, "hello")) };
    change(&mut summary);
    summary
}

fn entry(seq: u64, sender: AccountId, text: &str) -> Entry {
    Entry {
        conversation: ConversationId::direct(ALICE, BOB),
        seq: Seq(seq),
        prev: Seq(seq - 1),
        message: MessageId::new([u8::try_from(seq).expect("few"); 16]),
        sender,
        sender_device: DEVICE,
        time_us: TIME_US,
        body: Body::Content(Content::text(text)),
    }
}

fn outgoing(state: OutgoingState) -> Event {
    Event::Outgoing(Outgoing {
        conversation: ConversationId::direct(ALICE, BOB),
        message: MessageId::new([77; 16]),
        content: Content::text("on its way"),
        composed_us: TIME_US,
        number: 1,
        state,
    })
}

fn press(app: &mut App, code: KeyCode) {
    app.key(KeyEvent::new(code, KeyModifiers::NONE));
}

fn type_in(app: &mut App, text: &str) {
    text.chars().for_each(|c| press(app, KeyCode::Char(c)));
}

fn say(app: &mut App, line: &str) {
    type_in(app, line);
    press(app, KeyCode::Enter);
}

/// The terminal as it shows, and whether the beginning of the timeline is in sight.
fn terminal(app: &App, columns: u16, rows: u16) -> (Terminal<TestBackend>, Option<usize>) {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a buffer");
    let mut scroll_max = None;
    terminal.draw(|frame| scroll_max = ui::draw(frame, app)).expect("a buffer takes everything");
    (terminal, scroll_max)
}

fn screen(app: &App) -> String {
    terminal(app, 80, 24).0.backend().to_string()
}

#[track_caller]
fn shows(app: &App, text: &str) {
    let screen = screen(app);
    assert!(screen.contains(text), "{text:?} is not on the screen:\n{screen}");
}

#[track_caller]
fn hides(app: &App, text: &str) {
    let screen = screen(app);
    assert!(!screen.contains(text), "{text:?} is on the screen:\n{screen}");
}

#[test]
fn the_first_start_asks_who_somebody_is() {
    let mut app = nobody();
    app.event(Event::Connection(Connection::Offline { failures: 0, retry_at: None }));
    shows(&app, "Make an account");
    shows(&app, "alice");
    type_in(&mut app, "short");
    press(&mut app, KeyCode::Enter);
    shows(&app, "at least 8 characters");
    hides(&app, "short");
    type_in(&mut app, "er password");
    press(&mut app, KeyCode::Enter);
    let commands = app.take_commands();
    let [Command::Authenticate { tag, command: client_frame::Command::Register(register) }] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert_eq!((register.handle.as_str(), register.password.as_str()), ("alice", "shorter password"));
    app.event(Event::Connection(Connection::Offline { failures: 1, retry_at: Some(Duration::from_secs(3)) }));
    shows(&app, "`make run` starts one");
    app.event(Event::Connection(Connection::Connecting));
    let taken = ProtocolError::new(ErrorCode::Conflict, "this handle is taken");
    app.event(Event::Answer { tag: *tag, result: Err(taken) });
    shows(&app, "this handle is taken");
    app.key(KeyEvent::new(KeyCode::Char('t'), KeyModifiers::CONTROL));
    shows(&app, "Log in");
    let token = Some(Token::new("secret"));
    app.event(Event::LoggedIn(Account { account: ALICE, device: DEVICE, handle: "alice".into(), token }));
    shows(&app, "You are @alice.");
    shows(&app, "/dm alice");
}

#[test]
fn a_message_goes_from_the_clock_to_coloured_ticks() {
    let mut app = alice();
    say(&mut app, "/dm bob");
    app.take_commands();
    say(&mut app, "on its way");
    assert!(app.take_commands().iter().any(|command| matches!(command, Command::Send { .. })));
    app.event(outgoing(OutgoingState::Queued));
    shows(&app, "◷         you on its way");
    app.event(outgoing(OutgoingState::Accepted));
    shows(&app, "✓         you on its way");
    let mut mine = entry(2, ALICE, "on its way");
    mine.message = MessageId::new([77; 16]);
    app.event(Event::Entry(mine));
    shows(&app, "✓         you on its way");
    assert_eq!(screen(&app).matches("you on its way").count(), 1);
    app.event(Event::Conversation(Box::new(with_bob(|summary| summary.row.others_received = Seq(2)))));
    shows(&app, "✓✓        you on its way");
    let colour = |app: &App| {
        let terminal = terminal(app, 80, 24).0;
        let cells = terminal.backend().buffer().content().iter();
        cells.filter(|cell| cell.symbol() == "✓").map(|cell| cell.fg).collect::<Vec<_>>()
    };
    assert_eq!(colour(&app), [Color::Reset; 2]);
    app.event(Event::Conversation(Box::new(with_bob(|summary| {
        (summary.row.others_received, summary.row.others_read) = (Seq(2), Seq(2));
    }))));
    assert_eq!(colour(&app), [Color::Cyan; 2]);
}

#[test]
fn a_refused_message_says_why_and_what_to_do() {
    let mut app = alice();
    press(&mut app, KeyCode::Tab);
    let reason = "you block them: unblock first".into();
    app.event(outgoing(OutgoingState::Refused { code: ErrorCode::BlockedByYou, reason }));
    shows(&app, "not sent: you block them");
    shows(&app, "/retry or /discard");
    app.take_commands();
    say(&mut app, "/retry");
    assert!(app.take_commands().iter().any(|command| matches!(command, Command::Retry { .. })));
}

#[test]
fn a_chat_is_read_while_somebody_looks_at_its_end() {
    let mut app = alice();
    let reads = |app: &mut App| {
        let read = |command| if let Command::Read { seq, .. } = command { Some(seq.0) } else { None };
        app.take_commands().into_iter().filter_map(read).collect::<Vec<u64>>()
    };
    app.event(Event::Entry(entry(1, BOB, "one")));
    assert_eq!(reads(&mut app), [0_u64; 0], "it is not open");
    press(&mut app, KeyCode::Tab);
    let conversation = ConversationId::direct(ALICE, BOB);
    let entries = vec![entry(1, BOB, "one")];
    app.event(Event::History { conversation, before: Seq(u64::MAX), entries, more: false });
    assert_eq!(reads(&mut app), [1]);
    app.focus(false);
    assert!(matches!(app.take_commands()[..], [Command::SetActive(false)]));
    app.event(Event::Entry(entry(2, BOB, "two")));
    assert_eq!(reads(&mut app), [0_u64; 0], "nobody looks");
    app.focus(true);
    assert_eq!(reads(&mut app), [2]);
    press(&mut app, KeyCode::PageUp);
    app.event(Event::Entry(entry(3, BOB, "three")));
    assert_eq!(reads(&mut app), [0_u64; 0], "its end does not show");
    shows(&app, "1 new");
    hides(&app, "three");
    press(&mut app, KeyCode::Esc);
    assert_eq!(reads(&mut app), [3]);
    shows(&app, "three");
}

#[test]
fn the_list_shows_who_is_there_and_what_is_new() {
    let mut app = alice();
    shows(&app, "bob");
    shows(&app, "hello");
    app.event(Event::Presence { account: BOB, online: true, last_seen_us: 0 });
    shows(&app, "● bob");
    app.event(Event::Conversation(Box::new(with_bob(|summary| summary.unread = 12))));
    shows(&app, " 12 ");
    let conversation = ConversationId::direct(ALICE, BOB);
    app.event(Event::Typing { conversation, account: BOB, typing: true });
    shows(&app, "typing…");
    press(&mut app, KeyCode::Tab);
    shows(&app, "bob is typing…");
    shows(&app, "Bob B.  online");
    app.event(Event::Connection(Connection::Offline { failures: 2, retry_at: Some(Duration::from_secs(4)) }));
    hides(&app, "●");
    shows(&app, "reconnecting in 4 s");
}

#[test]
fn older_entries_are_asked_for_when_the_beginning_shows() {
    let mut app = alice();
    press(&mut app, KeyCode::Tab);
    let conversation = ConversationId::direct(ALICE, BOB);
    let entries = (50..100).map(|seq| entry(seq, BOB, &format!("number {seq}"))).collect();
    app.event(Event::History { conversation, before: Seq(u64::MAX), entries, more: true });
    app.take_commands();
    let asks = |app: &mut App| {
        let (_, scroll_max) = terminal(app, 80, 24);
        app.drawn(scroll_max);
        let asked = |command| if let Command::History { before, .. } = command { before } else { None };
        app.take_commands().into_iter().find_map(asked)
    };
    assert_eq!(asks(&mut app), None, "the screen is full");
    (0..9).for_each(|_| press(&mut app, KeyCode::PageUp));
    assert_eq!(asks(&mut app), Some(Seq(50)));
    assert_eq!(asks(&mut app), None, "it is on its way");
    shows(&app, "number 50");
    shows(&app, "loading…");
    app.event(Event::History { conversation, before: Seq(50), entries: Vec::new(), more: true });
    assert_eq!(asks(&mut app), None, "it can't be had now");
    press(&mut app, KeyCode::PageUp);
    assert_eq!(asks(&mut app), Some(Seq(50)));
}

#[test]
fn what_others_write_stays_text() {
    let mut app = alice();
    press(&mut app, KeyCode::Tab);
    app.event(Event::Entry(entry(2, BOB, "\u{1b}[31mred\u{7} \u{202e}txt 漢字 👩‍👩‍👧‍👦 end")));
    let (terminal, _) = terminal(&app, 80, 24);
    let symbols = terminal.backend().buffer().content().iter().map(|cell| cell.symbol());
    assert!(symbols.clone().all(|symbol| !symbol.chars().any(|c| c.is_control() || c == '\u{202e}')));
    shows(&app, "\u{fffd}[31mred\u{fffd} txt");
    let wide: Vec<_> = symbols.filter(|symbol| ["漢", "👩"].contains(symbol)).collect();
    assert_eq!(wide, ["漢", "👩"]);
}

#[test]
fn a_change_of_a_group_is_a_line_in_the_middle() {
    let mut app = alice();
    press(&mut app, KeyCode::Tab);
    let mut change = entry(2, BOB, "");
    let members = vec![ALICE.to_bytes()];
    change.body = Body::Event(v1::event::What::MembersAdded(v1::MembersAdded { members }));
    app.event(Event::Entry(change));
    shows(&app, "bob added you");
}

#[test]
fn answers_show_and_go() {
    let mut app = alice();
    press(&mut app, KeyCode::Tab);
    say(&mut app, "/help");
    shows(&app, "/group Book club @alice @bob");
    press(&mut app, KeyCode::Esc);
    hides(&app, "/group Book club");
    say(&mut app, "/nonsense");
    shows(&app, "there is no command /nonsense");
    app.input.reset();
    app.take_commands();
    say(&mut app, "/block bob");
    let commands = app.take_commands();
    let [Command::Request { tag, .. }] = commands[..] else { panic!("{commands:?}") };
    app.event(Event::Answer { tag, result: Ok(server_frame::Event::from(v1::Done::default())) });
    shows(&app, "You block @bob");
}

#[test]
fn drafts_stay_with_their_chats() {
    let mut app = alice();
    let mut other = with_bob(|_| {});
    (other.row.id, other.row.kind, other.row.peer) = (ConversationId::new([9; 16]), ConversationKind::Group, None);
    (other.row.title, other.row.activity_us) = ("Books".into(), 1);
    app.event(Event::Conversation(Box::new(other)));
    press(&mut app, KeyCode::Tab);
    type_in(&mut app, "unfinished");
    press(&mut app, KeyCode::Tab);
    hides(&app, "unfinished");
    press(&mut app, KeyCode::BackTab);
    shows(&app, "unfinished");
}

#[test]
fn small_terminals_are_drawn_too() {
    let mut app = alice();
    say(&mut app, "/dm bob");
    app.event(Event::Entry(entry(2, BOB, "a text that is longer than any of these screens is wide")));
    say(&mut app, "/help");
    for (columns, rows) in [(1, 1), (2, 2), (10, 3), (25, 5), (59, 10), (61, 10), (300, 3)] {
        terminal(&app, columns, rows);
    }
    let mut app = nobody();
    app.event(Event::Connection(Connection::Offline { failures: 0, retry_at: None }));
    for (columns, rows) in [(1, 1), (5, 2), (30, 6)] {
        terminal(&app, columns, rows);
    }
}

/// Who is suspended is told whom to ask, and that nothing is lost; what operators do in a chat is theirs.
#[test]
fn a_suspended_account_is_told_so() {
    let mut app = alice();
    app.event(Event::Suspended { reason: "ask the operators of this server".into() });
    let shown = screen(&app);
    assert!(shown.contains("ask the operators of this server") && shown.contains("/online"), "{shown}");
    let mut closed = entry(2, AccountId::OPERATORS, "");
    closed.body = Body::Event(v1::event::What::Closed(v1::Closed { reason: "spam".into() }));
    assert_eq!(
        crate::words::change(&app.world, &closed).as_deref(),
        Some("the server's operators closed this chat: spam")
    );
}
