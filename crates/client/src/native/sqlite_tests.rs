//! The database gives back what was persisted, as the storage in memory does.

use super::*;
use crate::{Account, Body, Content, ConversationRow, MemoryStorage, Outgoing, OutgoingState, Person, Progress, Token};
use hudhud_proto::v1::{self, ErrorCode};
use hudhud_proto::{AccountId, DeviceId, MessageId};

const CHAT: ConversationId = ConversationId::new([7; 16]);

fn entry(seq: u64) -> Entry {
    let left = v1::event::What::MemberLeft(v1::MemberLeft::default());
    Entry {
        conversation: CHAT,
        seq: Seq(seq),
        prev: Seq(seq - 1),
        message: MessageId::v7(seq, [1; 10]),
        sender: AccountId::new([2; 16]),
        sender_device: DeviceId::new([3; 16]),
        time_us: seq * 10,
        body: if seq.is_multiple_of(2) { Body::Content(Content::text("ħi")) } else { Body::Event(left) },
    }
}

fn outgoing(number: u64, state: OutgoingState) -> Outgoing {
    let (message, content) = (MessageId::v7(number, [0; 10]), Content::text("out"));
    Outgoing { conversation: CHAT, message, content, composed_us: 5, number, state }
}

fn row() -> ConversationRow {
    ConversationRow {
        kind: v1::ConversationKind::Group,
        title: "birds".into(),
        peer: Some(AccountId::new([4; 16])),
        role: v1::Role::Admin,
        announce_only: true,
        member_count: 3,
        info_seq: Seq(4),
        head: Seq(9),
        activity_us: 90,
        cursor: Seq(8),
        floor: Seq(1),
        complete: true,
        read: Seq(7),
        read_told: Seq(6),
        received_told: Seq(5),
        others_received: Seq(3),
        others_read: Seq(2),
        last_own: Seq(4),
        muted_until_us: u64::MAX,
        pinned: true,
        archived: true,
        ..ConversationRow::new(CHAT)
    }
}

fn progress() -> Progress {
    Progress { changes_cursor: vec![1, 2].into(), clock_offset_us: -5, last_id_ms: 77, connection_number: 9 }
}

fn changes() -> Vec<Change> {
    let account = Account {
        account: AccountId::new([2; 16]),
        device: DeviceId::new([3; 16]),
        handle: "alice".into(),
        token: Some(Token::new("secret")),
    };
    let refused = OutgoingState::Refused { code: ErrorCode::Forbidden, reason: "no".into() };
    let mut changes = vec![
        Change::SaveAccount(account),
        Change::SaveProgress(progress()),
        Change::PutConversation(Box::new(ConversationRow::new(CHAT))),
        Change::PutConversation(Box::new(row())),
        Change::PutOutgoing(outgoing(1, OutgoingState::Queued)),
        Change::PutOutgoing(outgoing(2, OutgoingState::Accepted)),
        Change::PutOutgoing(outgoing(3, refused)),
        Change::RemoveOutgoing(MessageId::v7(1, [0; 10])),
        Change::PutPerson(Person {
            account: AccountId::new([4; 16]),
            handle: "bob".into(),
            display_name: "Bob 🐦".into(),
        }),
    ];
    changes.extend((1..=RECENT_ENTRIES as u64 + 9).map(|seq| Change::PutEntry(entry(seq))));
    changes
}

#[test]
fn what_was_persisted_is_loaded_by_the_next_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = || Profile::open(folder.path(), "p").and_then(Profile::into_storage).expect("the profile is free");
    let (mut memory, mut sqlite) = (MemoryStorage::default(), open());
    for storage in [&mut memory as &mut dyn Storage, &mut sqlite] {
        storage.persist(&changes()).expect("it can be written");
    }
    drop(sqlite);
    let mut sqlite = open();
    assert_eq!(sqlite.load().expect("it can be read"), memory.load().expect("memory"));
    for (before, limit) in [(5, 3), (2, 9), (1, 9), (u64::MAX, 2)] {
        let [from_sqlite, from_memory] = [&mut sqlite as &mut dyn Storage, &mut memory]
            .map(|storage| storage.entries_before(CHAT, Seq(before), limit).expect("it can be read"));
        assert_eq!(from_sqlite, from_memory, "{limit} before {before}");
    }
    sqlite.persist(&[Change::Clear]).expect("it can be written");
    assert_eq!(sqlite.load().expect("it can be read"), State::default());
}

#[test]
fn a_database_of_the_first_version_is_brought_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = || Profile::open(folder.path(), "p").and_then(Profile::into_storage).expect("the profile is free");
    let mut storage = open();
    storage.persist(&[Change::SaveProgress(progress())]).expect("it can be written");
    let old = "ALTER TABLE progress DROP COLUMN connection_number; PRAGMA user_version = 1";
    storage.database.execute_batch(old).expect("as it was");
    drop(storage);
    for numbered in [0, 9] {
        let mut storage = open();
        let expected = Progress { connection_number: numbered, ..progress() };
        assert_eq!(storage.load().expect("it can be read").progress, expected);
        storage.persist(&[Change::SaveProgress(progress())]).expect("it can be written");
    }
}

#[test]
fn a_database_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let profile = || Profile::open(folder.path(), "p").expect("the profile is free");
    let storage = profile().into_storage().expect("a new database");
    storage.database.pragma_update(None, "user_version", SCHEMA_VERSION + 1).expect("a pragma");
    drop(storage);
    let error = profile().into_storage().expect_err("it is newer").to_string();
    assert!(error.contains("newer than this program"), "{error}");
}
