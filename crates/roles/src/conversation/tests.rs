//! What a sceptic would ask of the sequencing.

use super::record::{Moved, Submission};
use super::{Conversation, Known, Outcome, Receipts};
use crate::session::Recipient;
use crate::tables;
use hudhud_ports::{Key, Row, Write};
use hudhud_proto::limits::EPOCH_SEQ_JUMP;
use hudhud_proto::v1::{
    Content, Created, ErrorCode, Event, MemberLeft, MemberRemoved, MembersAdded, ReceiptKind, Role, RoleChanged,
    SeqRow, SequencedRow, Switch, Updated, entry, event::What, submit,
};
use hudhud_proto::{AccountId, ConversationId, DeviceId, MessageId, Position, Seq};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn account(n: u8) -> AccountId {
    AccountId::new([n; 16])
}

fn message(n: u16) -> MessageId {
    let mut random = [0; 10];
    random[8..].copy_from_slice(&n.to_be_bytes());
    MessageId::v7(1_700_000_000_000, random)
}

fn group_id() -> ConversationId {
    ConversationId::group(account(1), message(0))
}

fn text(text: &str) -> submit::Body {
    submit::Body::Content(Content {
        content_type: "text/plain".into(),
        payload: text.to_owned().into(),
        ..Default::default()
    })
}

fn event(what: What) -> submit::Body {
    submit::Body::Event(Event { what: Some(what) })
}

fn submission(by: u8, id: u16, time_us: u64, body: submit::Body) -> Submission {
    Submission {
        account: account(by),
        device: DeviceId::new([by; 16]),
        accepted_us: time_us,
        message: message(id),
        resend: false,
        direct: None,
        body,
    }
}

fn created(members: &[u8]) -> submit::Body {
    let members = members.iter().map(|n| account(*n).to_bytes()).collect();
    event(What::Created(Created { title: "group".into(), members, announce_only: false }))
}

/// A group of 1 (owner) and these members, at position 1.
fn group(members: &[u8]) -> Conversation {
    let mut group = Conversation::new(group_id());
    let outcome = group.apply(&submission(1, 0, 1, created(members)), Position::new(1, 1), None);
    assert!(matches!(outcome, Outcome::Sequenced(_)), "{outcome:?}");
    group
}

fn next(group: &mut Conversation, by: u8, id: u16, body: submit::Body) -> Outcome {
    let position = Position::new(1, group.head_position().offset() + 1);
    group.apply(&submission(by, id, 1_000 + u64::from(id), body), position, None)
}

fn refusal(outcome: Outcome) -> ErrorCode {
    match outcome {
        Outcome::Refused(error, _) => error.code,
        other => panic!("not refused: {other:?}"),
    }
}

/// Versioned rows, as any store keeps them.
#[derive(Clone, Default, PartialEq, Debug)]
struct Rows(BTreeMap<Key, (u64, Option<bytes::Bytes>)>);

impl Rows {
    fn write(&mut self, writes: Vec<Write>) {
        for Write { key, value, version } in writes {
            let stale = self.0.get(&key).is_some_and(|(there, _)| *there > version);
            if !stale {
                self.0.insert(key, (version, value));
            }
        }
    }

    fn load(&self, id: ConversationId) -> Conversation {
        let rows = self.0.iter().filter(|(key, _)| key.table == tables::CONVERSATION);
        let rows: Vec<Row> = rows
            .filter_map(|(key, (version, value))| {
                Some(Row { sort: key.sort.clone(), value: value.clone()?, version: *version })
            })
            .collect();
        Conversation::from_rows(id, &rows).expect("written by the code under test")
    }

    fn known(&self, id: ConversationId, message: MessageId) -> Option<Known> {
        let (version, value) = self.0.get(&tables::sequenced(id, message))?;
        let row = Row { sort: bytes::Bytes::new(), value: value.clone()?, version: *version };
        Some(Known::from_row(&tables::read::<SequencedRow>(&row).expect("written by the code under test")))
    }

    /// Consumes one record as the dispatcher does, writing only so many of its two steps.
    fn consume(&mut self, state: &mut Conversation, submission: &Submission, position: Position, steps: u8) {
        let known = match state.needs_known(submission, position, None) {
            true => self.known(state.id, submission.message),
            false => None,
        };
        match state.apply(submission, position, known) {
            Outcome::Sequenced(sequenced) => {
                if steps > 0 {
                    self.write(sequenced.timeline);
                }
                if steps > 1 {
                    self.write(sequenced.head);
                }
            }
            Outcome::Refused(_, Some(decided)) if steps > 0 => self.write(vec![decided.1]),
            _ => {}
        }
    }
}

/// A record of a group of four by one of five: texts, changes of members and roles, resends, late and repeated records.
fn records() -> impl Strategy<Value = Vec<Submission>> {
    let body = prop_oneof![
        6 => any::<u8>().prop_map(|n| text(&n.to_string())),
        1 => (2..=5_u8).prop_map(|n| event(What::MembersAdded(MembersAdded { members: vec![account(n).to_bytes()] }))),
        1 => (2..=5_u8).prop_map(|n| event(What::MemberRemoved(MemberRemoved { member: account(n).to_bytes(), ..Default::default() }))),
        1 => Just(event(What::MemberLeft(MemberLeft::default()))),
        1 => (1..=5_u8, 0..3_usize).prop_map(|(n, role)| {
            let role = [Role::Member, Role::Admin, Role::Owner][role];
            event(What::RoleChanged(RoleChanged { member: account(n).to_bytes(), role: role.into() }))
        }),
        1 => Just(event(What::Updated(Updated { title: "new".into(), announce_only: Switch::On.into() }))),
    ];
    // Few ids, so that some repeat; a repetition is marked, or was accepted before its first landing.
    let record = (1..=5_u8, 1..40_u16, body, any::<bool>(), 0..3_u64);
    prop::collection::vec(record, 1..60).prop_map(|rows| {
        let mut seen = BTreeMap::new();
        let mut all = vec![submission(1, 0, 10, created(&[2, 3, 4]))];
        for (n, (by, id, body, marked, early)) in rows.into_iter().enumerate() {
            let time_us = 100 + 10 * n as u64;
            let first = seen.entry((by, id)).or_insert_with(|| (time_us, body)).clone();
            let repeats = first.0 != time_us;
            let mut record = submission(by, id + 40 * u16::from(by), time_us, first.1);
            record.resend = repeats && marked;
            if repeats && !marked {
                record.accepted_us = first.0.saturating_sub(early);
            }
            all.push(record);
        }
        all
    })
}

proptest! {
    /// Whatever a crash leaves half written, and however far back the replay starts, the rows end the same.
    #[test]
    fn a_replay_ends_where_no_crash_would_have(
        records in records(),
        crash in any::<prop::sample::Index>(),
        committed in any::<prop::sample::Index>(),
        steps in 0..=2_u8,
    ) {
        let id = group_id();
        let position = |n: usize| Position::new(1, n as u64 + 1);
        let (mut undisturbed, mut state) = (Rows::default(), Conversation::new(id));
        for (n, record) in records.iter().enumerate() {
            undisturbed.consume(&mut state, record, position(n), 2);
        }

        let crash = crash.index(records.len());
        let committed = committed.index(crash + 1);
        let (mut rows, mut state) = (Rows::default(), Conversation::new(id));
        for (n, record) in records.iter().enumerate().take(crash + 1) {
            rows.consume(&mut state, record, position(n), if n == crash { steps } else { 2 });
        }
        let mut restarted = rows.load(id);
        for (n, record) in records.iter().enumerate().skip(committed) {
            rows.consume(&mut restarted, record, position(n), 2);
        }
        prop_assert_eq!(rows, undisturbed);
    }

    /// A dispatcher that does not know that it was replaced changes nothing.
    #[test]
    fn a_stale_dispatcher_does_no_harm(records in records(), paused in any::<prop::sample::Index>()) {
        let id = group_id();
        let position = |n: usize| Position::new(1, n as u64 + 1);
        let paused = paused.index(records.len());
        let (mut rows, mut state) = (Rows::default(), Conversation::new(id));
        let mut stale = None;
        for (n, record) in records.iter().enumerate() {
            if n == paused {
                stale = Some(state.clone());
            }
            rows.consume(&mut state, record, position(n), 2);
        }
        let expected = rows.clone();
        let mut stale = stale.expect("paused is one of them");
        for (n, record) in records.iter().enumerate().skip(paused) {
            rows.consume(&mut stale, record, position(n), 2);
        }
        prop_assert_eq!(rows, expected);
    }

    /// One message id is one entry, however often its record lands.
    #[test]
    fn no_message_is_sequenced_twice(records in records()) {
        let id = group_id();
        let (mut rows, mut state) = (Rows::default(), Conversation::new(id));
        let mut seqs = BTreeMap::new();
        for (n, record) in records.iter().enumerate() {
            let before = state.head_seq();
            rows.consume(&mut state, record, Position::new(1, n as u64 + 1), 2);
            if state.head_seq() > before {
                prop_assert_eq!(seqs.insert(record.message, state.head_seq()), None);
                prop_assert_eq!(state.head_seq().0, before.0 + 1);
            }
        }
    }
}

#[test]
fn the_first_message_makes_a_direct_chat_of_its_two_accounts() {
    let id = ConversationId::direct(account(1), account(2));
    let mut first = submission(1, 1, 1, text("hi"));
    first.direct = Some((account(1), account(2)));
    let mut chat = Conversation::new(id);
    assert!(matches!(chat.apply(&first, Position::new(1, 1), None), Outcome::Sequenced(_)));
    assert_eq!(chat.audience(Seq(1)).collect::<Vec<_>>(), [account(1), account(2)]);
    assert_eq!(chat.peer(account(1)), Some(account(2)));

    let mut forged = submission(3, 1, 1, text("hi"));
    forged.direct = Some((account(1), account(2)));
    assert_eq!(refusal(Conversation::new(id).apply(&forged, Position::new(1, 1), None)), ErrorCode::NotFound);
}

#[test]
fn the_same_id_with_another_body_is_a_conflict() {
    let mut group = group(&[2]);
    let first = submission(2, 5, 50, text("one"));
    let Outcome::Sequenced(sequenced) = group.apply(&first, Position::new(1, 2), None) else { panic!() };
    let again = Submission { resend: true, ..submission(2, 5, 60, text("one")) };
    assert!(group.needs_known(&again, Position::new(1, 3), Some(first.message)));
    let same = group.apply(&again, Position::new(1, 3), Some(sequenced.known.clone()));
    assert_eq!(same, Outcome::Duplicate(Seq(2)));
    let other = Submission { body: text("two"), ..again };
    assert_eq!(refusal(group.apply(&other, Position::new(1, 4), Some(sequenced.known))), ErrorCode::Conflict);
}

#[test]
fn who_was_refused_is_refused_again_under_the_same_id() {
    let mut group = group(&[2]);
    next(&mut group, 2, 1, event(What::MemberLeft(MemberLeft::default())));
    let Outcome::Refused(why, Some(decided)) = next(&mut group, 2, 2, text("one")) else { panic!() };
    next(&mut group, 1, 3, event(What::MembersAdded(MembersAdded { members: vec![account(2).to_bytes()] })));
    assert!(matches!(next(&mut group, 2, 4, text("two")), Outcome::Sequenced(_)));
    let again = Submission { resend: true, ..submission(2, 2, 90, text("one")) };
    let position = Position::new(1, group.head_position().offset() + 1);
    let outcome = group.apply(&again, position, Some(Known::from_row(&decided.0.to_row())));
    assert_eq!(outcome, Outcome::Refused(why, None), "else it would come behind what was sent after it");
}

#[test]
fn an_append_that_lands_late_is_looked_up_whatever_the_clocks_say() {
    let mut group = group(&[2]);
    let resent = Submission { resend: true, ..submission(2, 5, 50, text("one")) };
    assert!(matches!(group.apply(&resent, Position::new(1, 2), None), Outcome::Sequenced(_)));
    // The first attempt, accepted by an api whose clock is ahead of the other's.
    let late = submission(2, 5, 90, text("one"));
    assert!(group.needs_known(&late, Position::new(1, 3), Some(resent.message)));
    assert!(group.needs_known(&late, Position::new(1, 3), None));
    let next = submission(2, 6, 90, text("two"));
    assert!(!group.needs_known(&next, Position::new(1, 3), Some(resent.message)), "a greater id is new");
    let much_later = submission(2, 7, u64::MAX, text("three"));
    assert!(!group.needs_known(&much_later, Position::new(1, 4), None), "no append is on its way for so long");
}

#[test]
fn who_leaves_sees_that_and_nothing_after_it() {
    let mut group = group(&[2, 3]);
    next(&mut group, 2, 1, event(What::MemberLeft(MemberLeft::default())));
    next(&mut group, 1, 2, text("without you"));
    assert!(group.may_see(account(2), Seq(2)));
    assert!(!group.may_see(account(2), Seq(3)));
    assert_eq!(refusal(next(&mut group, 2, 3, text("hello?"))), ErrorCode::NotFound);
    let back = event(What::MembersAdded(MembersAdded { members: vec![account(2).to_bytes()] }));
    next(&mut group, 1, 4, back);
    assert!(!group.may_see(account(2), Seq(3)));
    assert!(group.may_see(account(2), Seq(4)));
}

#[test]
fn the_group_passes_to_the_eldest_admin_when_its_owner_leaves() {
    let mut group = group(&[2, 3]);
    let promote = RoleChanged { member: account(3).to_bytes(), role: Role::Admin.into() };
    next(&mut group, 1, 1, event(What::RoleChanged(promote)));
    let Outcome::Sequenced(left) = next(&mut group, 1, 2, event(What::MemberLeft(MemberLeft::default()))) else {
        panic!()
    };
    assert_eq!(group.role(account(3)), Some(Role::Owner));
    let Some(entry::Body::Event(Event { what: Some(What::MemberLeft(left)) })) = left.entry.body else { panic!() };
    assert_eq!(left.new_owner, account(3).to_bytes(), "the entry tells the members who");
}

#[test]
fn rights_end_with_the_role() {
    let mut group = group(&[2, 3]);
    let rename = || event(What::Updated(Updated { title: "mine".into(), ..Default::default() }));
    let remove = |n| event(What::MemberRemoved(MemberRemoved { member: account(n).to_bytes(), ..Default::default() }));
    let promote =
        |n, role: Role| event(What::RoleChanged(RoleChanged { member: account(n).to_bytes(), role: role.into() }));
    assert_eq!(refusal(next(&mut group, 2, 1, rename())), ErrorCode::Forbidden);
    assert_eq!(refusal(next(&mut group, 2, 2, remove(3))), ErrorCode::Forbidden);
    assert_eq!(refusal(next(&mut group, 2, 3, promote(2, Role::Owner))), ErrorCode::Forbidden);
    next(&mut group, 1, 4, promote(2, Role::Admin));
    assert!(matches!(next(&mut group, 2, 5, rename()), Outcome::Sequenced(_)));
    assert_eq!(refusal(next(&mut group, 2, 6, remove(1))), ErrorCode::Forbidden, "the owner stays");
    assert_eq!(refusal(next(&mut group, 2, 7, promote(2, Role::Owner))), ErrorCode::Forbidden);
    next(&mut group, 1, 8, promote(2, Role::Owner));
    assert_eq!((group.role(account(1)), group.role(account(2))), (Some(Role::Admin), Some(Role::Owner)));
}

#[test]
fn only_admins_send_to_a_group_for_announcements() {
    let mut group = group(&[2]);
    let announce = Updated { announce_only: Switch::On.into(), ..Default::default() };
    next(&mut group, 1, 1, event(What::Updated(announce)));
    assert_eq!(refusal(next(&mut group, 2, 2, text("me too"))), ErrorCode::Forbidden);
    assert!(matches!(next(&mut group, 1, 3, text("hear")), Outcome::Sequenced(_)));
}

#[test]
fn a_new_epoch_leaves_room_for_what_was_lost() {
    let mut group = group(&[2]);
    let position = Position::new(2, 0);
    let Outcome::Sequenced(first) = group.apply(&submission(2, 1, 50, text("on")), position, None) else { panic!() };
    assert_eq!(first.entry.prev_seq, 1);
    assert_eq!(first.entry.seq, 1 + EPOCH_SEQ_JUMP);
    let lost = &group.head.as_ref().expect("it has entries").lost;
    assert_eq!(lost.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(2, EPOCH_SEQ_JUMP)]);
}

#[test]
fn an_epoch_that_was_lost_with_all_its_entries_leaves_room_too() {
    let mut group = group(&[2]);
    let position = Position::new(3, 1);
    let Outcome::Sequenced(first) = group.apply(&submission(2, 1, 50, text("on")), position, None) else { panic!() };
    assert_eq!(first.entry.seq, 1 + 2 * EPOCH_SEQ_JUMP, "the second epoch may have given out the first jump's numbers");
}

/// Devices may hold what a conversation had before its very first entries were lost: their numbers are not used again.
#[test]
fn a_conversation_that_was_lost_whole_begins_anew_behind_what_it_had() {
    let mut first = submission(1, 1, 1, text("hi"));
    first.direct = Some((account(1), account(2)));
    let mut chat = Conversation::new(ConversationId::direct(account(1), account(2)));
    let Outcome::Sequenced(first) = chat.apply(&first, Position::new(2, 1), None) else { panic!("it may begin") };
    assert_eq!((first.entry.seq, first.entry.prev_seq), (EPOCH_SEQ_JUMP, 0));
    assert_eq!(first.head.len(), 3, "the head and both members");
    assert!(chat.may_see(account(2), Seq(EPOCH_SEQ_JUMP)));
}

/// What was decided in a lost log, and never became an entry for anybody, is decided anew; all else stays decided.
#[test]
fn what_was_decided_behind_the_head_of_a_lost_log_is_decided_anew() {
    let decided = |seq, offset| Known {
        decision: Ok(Seq(seq)),
        position: Position::new(1, offset),
        body_hash: submission(2, 7, 50, text("on")).body_hash(),
    };
    let again = || Submission { resend: true, ..submission(2, 7, 50, text("on")) };
    let mut group = group(&[2]);
    let stays = group.clone().apply(&again(), Position::new(2, 1), Some(decided(1, 1)));
    assert_eq!(stays, Outcome::Duplicate(Seq(1)));
    let replay = group.clone().apply(&again(), Position::new(1, 9), Some(decided(2, 5)));
    assert_eq!(replay, Outcome::Duplicate(Seq(2)), "no log was lost");
    let first = group.apply(&again(), Position::new(2, 1), Some(decided(2, 5)));
    let Outcome::Sequenced(first) = first else { panic!("{first:?}") };
    assert_eq!(first.entry.seq, 1 + EPOCH_SEQ_JUMP);
    let second = Submission { message: message(8), ..again() };
    let second = group.apply(&second, Position::new(2, 2), Some(decided(3, 6)));
    assert!(matches!(second, Outcome::Sequenced(_)), "the head has moved on, and knows what it has lost: {second:?}");
}

fn moved(by: u8, kind: ReceiptKind, seq: u64) -> Moved {
    Moved {
        account: account(by),
        device: DeviceId::new([by; 16]),
        kind,
        seq: Seq(seq),
        moved_us: 0,
        own_devices_only: false,
    }
}

#[test]
fn ticks_in_a_group_show_the_slowest_of_the_others() {
    let mut group = group(&[2, 3]);
    next(&mut group, 1, 1, text("one"));
    let mut receipts = Receipts::default();
    receipts.sent(account(1), Seq(2));
    assert_eq!(receipts.apply(&group, &moved(2, ReceiptKind::Received, 2)), [], "3 has nothing yet");
    let pushes = receipts.apply(&group, &moved(3, ReceiptKind::Received, 2));
    assert_eq!(pushes.len(), 1);
    assert_eq!((pushes[0].to, pushes[0].receipt.seq), (Recipient::Account(account(1)), 2));
    assert!(pushes[0].receipt.account.is_empty(), "a group's receipt is everybody's");
    assert_eq!(receipts.apply(&group, &moved(3, ReceiptKind::Received, 2)), [], "told once");
}

#[test]
fn a_mark_that_was_stored_before_its_record_was_read_is_told_all_the_same() {
    let id = ConversationId::direct(account(1), account(2));
    let mut first = submission(1, 1, 1, text("hi"));
    first.direct = Some((account(1), account(2)));
    let mut chat = Conversation::new(id);
    chat.apply(&first, Position::new(1, 1), None);
    let stored = tables::put(
        tables::watermark(id, account(2), tables::Watermark::Received),
        &SeqRow { seq: 1, changed_us: 0 },
        1,
    );
    let row = Row { sort: stored.key.sort, value: stored.value.expect("a put"), version: 1 };
    let mut receipts = Receipts::from_rows(&[row]).expect("a row of this code");
    let pushes = receipts.apply(&chat, &moved(2, ReceiptKind::Received, 1));
    assert_eq!(pushes.iter().map(|push| push.to).collect::<Vec<_>>(), [Recipient::Account(account(1))]);
}

#[test]
fn read_receipts_kept_off_reach_only_the_own_devices() {
    let group = group(&[2]);
    let mut receipts = Receipts::default();
    receipts.sent(account(1), Seq(1));
    let hidden = Moved { own_devices_only: true, ..moved(2, ReceiptKind::Read, 1) };
    let pushes = receipts.apply(&group, &hidden);
    assert_eq!(pushes.len(), 1);
    assert_eq!(pushes[0].to, Recipient::OtherDevices(account(2), hidden.device));
}

#[test]
fn who_learns_nothing_of_reading_is_told_once_that_it_was_received() {
    let id = ConversationId::direct(account(1), account(2));
    let mut chat = Conversation::new(id);
    for n in 1..=2 {
        let mut sent = submission(1, n, n.into(), text("hi"));
        sent.direct = Some((account(1), account(2)));
        chat.apply(&sent, Position::new(1, n.into()), None);
    }
    let mut receipts = Receipts::default();
    let read = receipts.apply(&chat, &moved(2, ReceiptKind::Read, 1)).pop().expect("the sender is told");
    assert_eq!(read.to, Recipient::Account(account(1)));
    let told = receipts.without_reading(read.clone()).expect("nobody said before that it was received");
    assert_eq!((told.to, told.receipt.kind.as_known()), (read.to, Some(ReceiptKind::Received)));
    assert_eq!((told.receipt.seq, &told.receipt.account), (1, &account(2).to_bytes()));
    assert_eq!(receipts.without_reading(read), None, "again would tell when it was read");
    assert_eq!(receipts.apply(&chat, &moved(2, ReceiptKind::Received, 2)).len(), 1);
    let read = receipts.apply(&chat, &moved(2, ReceiptKind::Read, 2)).pop().expect("the sender is told");
    assert_eq!(receipts.without_reading(read), None, "it was told as received already");
}

#[test]
fn a_mark_never_passes_the_head_and_a_strangers_counts_for_nothing() {
    let group = group(&[2]);
    let mut receipts = Receipts::default();
    receipts.sent(account(1), Seq(1));
    assert_eq!(receipts.apply(&group, &moved(9, ReceiptKind::Read, 1)), []);
    let pushes = receipts.apply(&group, &moved(2, ReceiptKind::Received, 900));
    assert_eq!(pushes[0].receipt.seq, 1);
}
