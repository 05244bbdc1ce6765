//! One conversation: what lands where, what is shown once, how marks climb.

use super::*;
use crate::{Body, Content};
use hudhud_proto::DeviceId;

const ME: AccountId = AccountId::new([1; 16]);
const OTHER: AccountId = AccountId::new([2; 16]);

fn entry(seq: u64, prev: u64, sender: AccountId) -> Entry {
    Entry {
        conversation: ConversationId::new([9; 16]),
        seq: Seq(seq),
        prev: Seq(prev),
        message: MessageId::v7(seq, [0; 10]),
        sender,
        sender_device: DeviceId::new([3; 16]),
        time_us: seq,
        body: Body::Content(Content::text("hi")),
    }
}

fn event(seq: u64, sender: AccountId, what: What) -> Entry {
    Entry { body: Body::Event(what), ..entry(seq, seq - 1, sender) }
}

fn conversation(entries: &[(u64, u64)]) -> Conversation {
    let mut conversation = Conversation::new(Row::new(ConversationId::new([9; 16])));
    for &(seq, prev) in entries {
        conversation.append(entry(seq, prev, OTHER), Some(ME));
    }
    conversation
}

#[test]
fn a_push_is_old_next_or_early() {
    let mut held = conversation(&[(1, 0), (2, 1)]);
    let mut check =
        |seq, prev, expected| assert_eq!(held.land(&entry(seq, prev, OTHER)), expected, "{seq} after {prev}");
    check(2, 1, Landing::Old);
    check(3, 2, Landing::Next);
    check(5, 4, Landing::Early);
    // A new epoch: the log jumps, and what is held last is not what the log has before it.
    check(1_000_001, 1, Landing::Early);
    check(1_000_001, 2, Landing::Next);
}

#[test]
fn an_early_push_is_taken_once_its_gap_is_filled() {
    let mut held = conversation(&[(1, 0)]);
    assert_eq!(held.land(&entry(3, 2, OTHER)), Landing::Early);
    assert_eq!(held.land(&entry(4, 3, OTHER)), Landing::Early);
    assert_eq!(held.take_early(), None);
    held.append(entry(2, 1, OTHER), Some(ME));
    assert_eq!(held.take_early().map(|e| e.seq), Some(Seq(3)));
    held.append(entry(3, 2, OTHER), Some(ME));
    held.append(entry(4, 3, OTHER), Some(ME));
    assert_eq!(held.take_early(), None, "what was fetched meanwhile is not taken twice");
}

#[test]
fn a_message_is_shown_once_even_under_two_seqs() {
    let mut held = conversation(&[(1, 0), (2, 1)]);
    let again = Entry { seq: Seq(3), prev: Seq(2), ..entry(2, 1, OTHER) };
    assert!(!held.append(again, Some(ME)));
    assert_eq!((held.row().cursor, held.summary().unread), (Seq(3), 2));
}

#[test]
fn unread_are_messages_of_others_behind_the_mark() {
    let mut held = conversation(&[(1, 0), (2, 1), (3, 2)]);
    held.append(entry(4, 3, ME), Some(ME));
    held.append(event(5, OTHER, What::MemberLeft(v1::MemberLeft::default())), Some(ME));
    assert_eq!(held.summary().unread, 3);
    assert!(held.mark_read(Seq(2)));
    assert!(!held.mark_read(Seq(1)), "a read mark never goes back");
    assert_eq!(held.summary().unread, 1);
    assert!(held.mark_read(Seq(6)), "another device is further than this one");
    held.append(entry(6, 5, OTHER), Some(ME));
    assert_eq!((held.row().read, held.summary().unread), (Seq(6), 0));
}

#[test]
fn watermarks_of_others_only_climb() {
    let mut held = conversation(&[(1, 0), (2, 1)]);
    let mut check = |kind, seq, moved, expected| {
        assert_eq!(held.mark_others(kind, Seq(seq)), moved);
        assert_eq!((held.row().others_received.0, held.row().others_read.0), expected);
    };
    check(v1::ReceiptKind::Received, 1, true, (1, 0));
    check(v1::ReceiptKind::Read, 2, true, (2, 2));
    check(v1::ReceiptKind::Received, 1, false, (2, 2));
    check(v1::ReceiptKind::Read, 1, false, (2, 2));
}

#[test]
fn events_change_what_the_group_is() {
    let mut held = conversation(&[]);
    let created = v1::Created { title: "birds".into(), ..v1::Created::default() };
    held.append(event(1, ME, What::Created(created)), Some(ME));
    assert_eq!((held.row().title.as_str(), held.row().role), ("birds", v1::Role::Owner));
    let handed = v1::RoleChanged { member: OTHER.to_bytes(), role: v1::Role::Owner.into() };
    held.append(event(2, ME, What::RoleChanged(handed)), Some(ME));
    assert_eq!(held.row().role, v1::Role::Admin);
    let removed = v1::MemberRemoved { member: ME.to_bytes(), ..Default::default() };
    held.append(event(3, OTHER, What::MemberRemoved(removed)), Some(ME));
    assert_eq!(held.row().role, v1::Role::Unspecified);
}

#[test]
fn an_entry_that_the_info_already_tells_of_changes_nothing() {
    let mut held = conversation(&[]);
    let info =
        v1::Conversation { title: "new".into(), head_seq: 7, role: v1::Role::Admin.into(), ..Default::default() };
    held.learn(&info).expect("no ids in it");
    let created = v1::Created { title: "old".into(), ..v1::Created::default() };
    held.append(event(1, OTHER, What::Created(created)), Some(ME));
    assert_eq!((held.row().title.as_str(), held.row().role), ("new", v1::Role::Admin));
}

#[test]
fn memory_holds_the_newest_entries() {
    let mut held = conversation(&[]);
    for seq in 1..=2 * RECENT_ENTRIES as u64 + 1 {
        held.append(entry(seq, seq - 1, OTHER), Some(ME));
    }
    assert_eq!(held.recent.len(), RECENT_ENTRIES);
    assert_eq!(held.recent_before(Seq(u64::MAX), 1).first().map(|e| e.seq.0), Some(2 * RECENT_ENTRIES as u64 + 1));
    assert!(held.stores_before(Seq(2)) && !held.stores_before(Seq(1)));
}
