//! A client's profile on a disk that is damaged. The input is changes of its database file: where, in three bytes, and the
//! byte that is there now.

use bytes::Bytes;
use hudhud_client::native::Profile;
use hudhud_client::{
    Account, Body, Change, Content, Entry, Outgoing, OutgoingState, Person, Progress, Storage as _, Token,
};
use hudhud_proto::{AccountId, ConversationId, DeviceId, MessageId, Seq};
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

const NAME: &str = "alice";
const DATABASE: &str = "client.db";

/// A folder for profiles, and the bytes of a good database.
static GOOD: LazyLock<(TempDir, Vec<u8>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = make(folder.path());
    (folder, bytes)
});

/// A damaged profile is opened or refused, and what is read of it is whole.
pub fn run(input: &[u8]) {
    let (folder, good) = &*GOOD;
    let mut bytes = good.clone();
    for change in input.chunks_exact(4) {
        let at = usize::from(change[0]) << 16 | usize::from(change[1]) << 8 | usize::from(change[2]);
        let at = at % bytes.len();
        bytes[at] = change[3];
    }
    let profile = folder.path().join(NAME);
    for ending in ["-wal", "-shm", "-journal"] {
        // Most often there is none.
        std::fs::remove_file(profile.join(format!("{DATABASE}{ending}"))).ok();
    }
    std::fs::write(profile.join(DATABASE), bytes).expect("written");
    let Ok(mut storage) = Profile::open(folder.path(), NAME).expect("nobody else has it").into_storage() else {
        return;
    };
    if let Ok(state) = storage.load() {
        assert!(state.entries.iter().all(|entry| Entry::from_wire(entry.to_wire()).is_ok_and(|again| again == *entry)));
    }
}

/// A profile with something in each table.
fn make(folder: &Path) -> Vec<u8> {
    let (account, device) = (AccountId::new([1; 16]), DeviceId::new([2; 16]));
    let (conversation, message) = (ConversationId::new([3; 16]), MessageId::v7(1_767_225_600_000, [4; 10]));
    let content = Content::text("hello");
    let entry = |seq| Entry {
        conversation,
        seq: Seq(seq),
        prev: Seq(seq - 1),
        message,
        sender: account,
        sender_device: device,
        time_us: seq,
        body: Body::Content(content.clone()),
    };
    let outgoing = Outgoing {
        message,
        conversation,
        number: 1,
        composed_us: 1,
        content: content.clone(),
        state: OutgoingState::Queued,
    };
    let mut changes = vec![
        Change::SaveAccount(Account { account, device, handle: NAME.into(), token: Some(Token::new("token")) }),
        Change::SaveProgress(Progress { changes_cursor: Bytes::from_static(b"cursor"), ..Progress::default() }),
        Change::PutPerson(Person { account, handle: NAME.into(), display_name: "Alice".into() }),
        Change::PutConversation(Box::new(hudhud_client::ConversationRow::new(conversation))),
        Change::PutOutgoing(outgoing),
    ];
    changes.extend((1..9).map(|seq| Change::PutEntry(entry(seq))));
    let mut storage = Profile::open(folder, NAME).expect("a new profile").into_storage().expect("an empty database");
    storage.persist(&changes).expect("written");
    // The last one to close it moves everything into the one file.
    drop(storage);
    std::fs::read(folder.join(NAME).join(DATABASE)).expect("it was just written")
}
