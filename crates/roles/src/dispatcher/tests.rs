//! The dispatcher on memory engines: what it stores, whom it tells, and that doing it again changes nothing.

use super::Dispatcher;
use crate::api::testing::Fixture;
use crate::api::{Caller, Who};
use crate::tables;
use hudhud_ports::{Payload, Scan, Store as _};
use hudhud_proto::limits::EPOCH_SEQ_JUMP;
use hudhud_proto::v1::{
    Accepted, Content, CreateGroup, Entry, ErrorCode, Fetch, InboxHeadRow, LeaveGroup, ReceiptKind, Received, Send,
    Switch, client_frame::Command, entry, server_frame::Event,
};
use hudhud_proto::{ConversationId, Message, v1};
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};

/// Turns of the scheduler in which everything that can happen without time passing has happened.
const TURNS: usize = 5_000;

pub(super) async fn settle() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

pub(super) fn start(fixture: &Fixture) -> JoinHandle<()> {
    let dispatcher = Dispatcher::new(fixture.services.clone(), fixture.sessions.clone());
    tokio::spawn(async move { dispatcher.run().await.expect("memory engines do not fail") })
}

pub(super) fn content(text: &str) -> Content {
    Content { content_type: "text/plain".into(), payload: text.to_owned().into(), ..Default::default() }
}

pub(super) fn to_peer(fixture: &Fixture, peer: &Caller, text: &str) -> Send {
    Send {
        direct_with: peer.account.to_bytes(),
        message_id: fixture.message_id().to_bytes(),
        content: content(text).into(),
        ..Default::default()
    }
}

pub(super) async fn send(fixture: &Fixture, caller: &Caller, send: Send) -> Accepted {
    let mut answers = fixture.api.send(caller, vec![send]).await;
    answers.pop().expect("one answer").expect("accepted")
}

pub(super) async fn command(fixture: &Fixture, caller: &Caller, command: Command) -> Event {
    fixture.api.handle(&Who::Account(caller.clone()), command).await.expect("allowed")
}

pub(super) fn pushed(fixture: &Fixture, caller: &Caller) -> Vec<Event> {
    let frames = fixture.delivered_to(caller).into_iter().filter_map(|payload| match payload {
        Payload::Frame(bytes) => v1::ServerFrame::decode_from_slice(&bytes).expect("a frame").event,
        Payload::Revoked(_) | Payload::Suspended => None,
    });
    frames.collect()
}

pub(super) fn texts(entries: &[Entry]) -> Vec<String> {
    let text = |entry: &Entry| match &entry.body {
        Some(entry::Body::Content(content)) => String::from_utf8_lossy(&content.payload).into_owned(),
        _ => "(event)".into(),
    };
    entries.iter().map(text).collect()
}

pub(super) async fn timeline(fixture: &Fixture, caller: &Caller, conversation: &[u8]) -> Vec<Entry> {
    let fetch = Fetch { conversation: conversation.to_vec().into(), ..Default::default() };
    match command(fixture, caller, Command::Fetch(fetch)).await {
        Event::EntryPage(page) => page.entries,
        other => panic!("not a page: {other:?}"),
    }
}

#[tokio::test]
async fn a_message_is_stored_and_reaches_both_sides_and_its_receipt_the_sender() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bob").await);
    let (alice, bob) = (fixture.connect(&alice).await, fixture.connect(&bob).await);
    let _running = start(&fixture);
    let accepted = send(&fixture, &alice, to_peer(&fixture, &bob, "hi")).await;
    settle().await;
    for caller in [&alice, &bob] {
        let pushed = pushed(&fixture, caller);
        let [Event::Entry(entry)] = pushed.as_slice() else { panic!("{pushed:?}") };
        assert_eq!((entry.seq, &entry.message_id), (1, &accepted.message_id));
    }
    let received = Received { conversation: accepted.conversation.clone(), seq: 1 };
    command(&fixture, &bob, Command::Received(received)).await;
    settle().await;
    let pushed = pushed(&fixture, &alice);
    let Some(Event::Receipt(receipt)) = pushed.last() else { panic!("{pushed:?}") };
    assert_eq!((receipt.seq, receipt.kind.as_known()), (1, Some(ReceiptKind::Received)));
    assert_eq!(receipt.account, bob.account.to_bytes());
}

/// A device may know of entries that a server has not made again yet. What is beyond all of that is a mistake of the device.
#[tokio::test]
async fn a_mark_beyond_the_last_entry_waits_and_one_far_beyond_is_refused() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bob").await);
    let _running = start(&fixture);
    let accepted = send(&fixture, &alice, to_peer(&fixture, &bob, "hi")).await;
    settle().await;
    let mark = async |command: fn(bytes::Bytes, u64) -> Command, seq| {
        let answer = fixture.api.handle(&Who::Account(bob.clone()), command(accepted.conversation.clone(), seq)).await;
        answer.err().map(|error| error.code)
    };
    for command in [
        (|conversation, seq| Command::Received(Received { conversation, seq })) as fn(_, _) -> _,
        |conversation, seq| Command::Read(v1::Read { conversation, seq }),
    ] {
        assert_eq!(mark(command, 1).await, None);
        assert_eq!(mark(command, 2).await, Some(ErrorCode::Unavailable));
        assert_eq!(mark(command, 1 + 16 * EPOCH_SEQ_JUMP).await, Some(ErrorCode::Unavailable));
        assert_eq!(mark(command, 2 + 16 * EPOCH_SEQ_JUMP).await, Some(ErrorCode::Invalid));
        assert_eq!(mark(command, u64::MAX).await, Some(ErrorCode::Invalid));
    }
}

/// Push and list agree: who keeps read receipts off learns of nobody's reading, in direct chats and in groups, and learns
/// all the same that messages were received.
#[tokio::test]
async fn who_hides_its_reading_is_told_of_nobody_elses() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bob").await);
    let (alice, bob) = (fixture.connect(&alice).await, fixture.connect(&bob).await);
    let _running = start(&fixture);
    let create = CreateGroup {
        message_id: fixture.message_id().to_bytes(),
        title: "two".into(),
        members: vec![bob.account.to_bytes()],
        ..Default::default()
    };
    let Event::ChangeAccepted(group) = command(&fixture, &alice, Command::CreateGroup(create)).await else { panic!() };
    settle().await;
    let direct = send(&fixture, &alice, to_peer(&fixture, &bob, "hi")).await;
    settle().await;
    let receipts_of = |caller: &Caller| {
        let receipt = |event| match event {
            Event::Receipt(receipt) => Some((receipt.kind.as_known().expect("known"), receipt.seq)),
            _ => None,
        };
        pushed(&fixture, caller).into_iter().filter_map(receipt).collect::<Vec<_>>()
    };
    let choose = |read_receipts: Switch| {
        let privacy = v1::Privacy { read_receipts: read_receipts.into(), ..Default::default() };
        Command::SetPrivacy(v1::SetPrivacy { privacy: privacy.into() })
    };
    command(&fixture, &alice, choose(Switch::Off)).await;
    let mut seen = 0;
    for (conversation, peer) in [(&direct.conversation, 1), (&group.conversation, 1)] {
        let read = v1::Read { conversation: conversation.clone(), seq: peer };
        command(&fixture, &bob, Command::Read(read)).await;
        settle().await;
        seen += 1;
        assert_eq!(receipts_of(&alice), vec![(ReceiptKind::Received, 1); seen]);
        let list = v1::ListReceipts { conversation: conversation.clone() };
        let Event::ReceiptList(list) = command(&fixture, &alice, Command::ListReceipts(list)).await else { panic!() };
        assert_eq!((list.received_by_all_seq, list.read_by_all_seq), (1, 0));
    }
    command(&fixture, &alice, choose(Switch::On)).await;
    send(&fixture, &alice, to_peer(&fixture, &bob, "and now?")).await;
    settle().await;
    command(&fixture, &bob, Command::Read(v1::Read { conversation: direct.conversation, seq: 2 })).await;
    settle().await;
    assert_eq!(receipts_of(&alice).last(), Some(&(ReceiptKind::Read, 2)));
}

#[tokio::test]
async fn a_crash_before_the_commit_repeats_the_work_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bob").await);
    let running = start(&fixture);
    let mut conversation = bytes::Bytes::new();
    for text in ["one", "two", "three"] {
        conversation = send(&fixture, &alice, to_peer(&fixture, &bob, text)).await.conversation;
        settle().await;
    }
    let before = timeline(&fixture, &bob, &conversation).await;
    assert_eq!(texts(&before), ["one", "two", "three"]);
    // The clock stood still, so nothing was committed.
    running.abort();
    settle().await;
    let bob = fixture.connect(&bob).await;
    let _running = start(&fixture);
    send(&fixture, &alice, to_peer(&fixture, &bob, "four")).await;
    settle().await;
    let after = timeline(&fixture, &bob, &conversation).await;
    assert_eq!(after[..3], before);
    assert_eq!(texts(&after[3..]), ["four"]);
    assert_eq!(pushed(&fixture, &bob).len(), 4, "who connected meanwhile is told again");
}

#[tokio::test]
async fn a_resend_is_answered_with_the_entry_it_has() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bob").await);
    let alice = fixture.connect(&alice).await;
    let _running = start(&fixture);
    let message = to_peer(&fixture, &bob, "once");
    let first = send(&fixture, &alice, message.clone()).await;
    settle().await;
    send(&fixture, &alice, Send { resend: true, ..message.clone() }).await;
    settle().await;
    assert_eq!(timeline(&fixture, &alice, &first.conversation).await.len(), 1);
    assert_eq!(pushed(&fixture, &alice).len(), 2);
    send(&fixture, &alice, Send { resend: true, content: content("twice").into(), ..message }).await;
    settle().await;
    let pushed = pushed(&fixture, &alice);
    assert!(matches!(pushed.last(), Some(Event::Refused(_))), "{pushed:?}");
}

/// Members of a group that fans out beside the other conversations of its shard.
const MEMBERS: usize = 70;

/// A server on which so many people may register at once, and they did.
pub(super) async fn many() -> (Fixture, Caller, Vec<Caller>) {
    let fixture = Fixture::with(|settings| settings.rates.accounts_per_address.burst = 1_000).await;
    let owner = fixture.account("owner").await;
    let mut members = Vec::new();
    for n in 0..MEMBERS {
        members.push(fixture.account(&format!("member{n}")).await);
    }
    (fixture, owner, members)
}

/// Makes a group of all of them, and returns its conversation.
pub(super) async fn big_group(fixture: &Fixture, owner: &Caller, members: &[Caller]) -> bytes::Bytes {
    let create = CreateGroup {
        message_id: fixture.message_id().to_bytes(),
        title: "many".into(),
        members: members.iter().map(|member| member.account.to_bytes()).collect(),
        ..Default::default()
    };
    match command(fixture, owner, Command::CreateGroup(create)).await {
        Event::ChangeAccepted(created) => created.conversation,
        other => panic!("not created: {other:?}"),
    }
}

pub(super) fn to_group(fixture: &Fixture, conversation: &bytes::Bytes, text: &str) -> Send {
    Send {
        conversation: conversation.clone(),
        message_id: fixture.message_id().to_bytes(),
        content: content(text).into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_big_group_gets_everything_in_order_and_every_member_an_inbox_row() {
    let (fixture, owner, members) = many().await;
    let last = fixture.connect(&members[MEMBERS - 1]).await;
    let _running = start(&fixture);
    let conversation = big_group(&fixture, &owner, &members).await;
    settle().await;
    for text in ["one", "two"] {
        send(&fixture, &owner, to_group(&fixture, &conversation, text)).await;
    }
    settle().await;
    settle().await;
    let pushed = pushed(&fixture, &last);
    let entries: Vec<Entry> = pushed
        .into_iter()
        .filter_map(|event| match event {
            Event::Entry(entry) => Some(entry),
            _ => None,
        })
        .collect();
    assert_eq!(texts(&entries), ["(event)", "one", "two"]);
    let created = conversation;
    let conversation = ConversationId::from_slice(&created).expect("an id");
    for member in &members {
        let key = tables::inbox(member.account, conversation, tables::InboxPart::Head);
        let row = fixture.store.get(key).await.expect("memory does not fail").expect("written");
        assert_eq!(tables::read::<InboxHeadRow>(&row).expect("a row").head_seq, 3);
    }
    let leave = LeaveGroup { conversation: created, message_id: fixture.message_id().to_bytes() };
    command(&fixture, &last, Command::LeaveGroup(leave)).await;
    settle().await;
    let scan = Scan::all(tables::CONVERSATION, conversation.to_bytes(), 1_000);
    assert_eq!(fixture.store.scan(scan).await.expect("memory does not fail").len(), MEMBERS + 2, "past members stay");
}

#[tokio::test]
async fn what_is_applied_is_committed_and_not_read_again() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bob").await);
    let running = start(&fixture);
    send(&fixture, &alice, to_peer(&fixture, &bob, "hi")).await;
    settle().await;
    fixture.clock.advance(Duration::from_secs(1));
    settle().await;
    running.abort();
    settle().await;
    let bob = fixture.connect(&bob).await;
    let _running = start(&fixture);
    settle().await;
    assert_eq!(pushed(&fixture, &bob), []);
}

#[tokio::test]
async fn a_watermark_that_the_power_took_is_made_again_from_the_bus() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bob").await);
    let _running = start(&fixture);
    let accepted = send(&fixture, &alice, to_peer(&fixture, &bob, "hi")).await;
    settle().await;
    // The record is there and the row that the api wrote before it is not.
    let conversation = ConversationId::from_slice(&accepted.conversation).expect("an id");
    let moved = v1::WatermarkMoved { kind: ReceiptKind::Received.into(), seq: 1, own_devices_only: false };
    let record = v1::Record {
        conversation: accepted.conversation.clone(),
        account: bob.account.to_bytes(),
        device: bob.device.to_bytes(),
        accepted_us: 5,
        body: Some(v1::record::Body::Watermark(moved)),
    };
    let shard = hudhud_proto::Shard::of(conversation, fixture.services.bus.shards());
    let appended = fixture.services.bus.append(shard, vec![record.encode_to_bytes()]);
    appended.await.expect("memory does not fail");
    settle().await;
    let key = tables::watermark(conversation, bob.account, tables::Watermark::Received);
    let row = fixture.store.get(key).await.expect("memory does not fail").expect("made again");
    assert_eq!(row.version, 1);
}
