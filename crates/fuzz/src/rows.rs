//! Values and keys of the stores. The first byte chooses the kind of value.

use bytes::Bytes;
use hudhud_ports::Row;
use hudhud_proto::v1::*;
use hudhud_proto::{AccountId, ConversationId, Message};
use hudhud_roles::conversation::Conversation;
use hudhud_roles::tables;
use std::fmt::Debug;

const ACCOUNT: AccountId = AccountId::new([1; 16]);
const CONVERSATION: ConversationId = ConversationId::new([2; 16]);

macro_rules! kinds {
    ($($message:ident)*) => { &[$(value::<$message>),*] };
}

/// Every message that is a value, in an order that the corpus rests on: new ones go to the end.
const KINDS: &[fn(&Row)] = kinds! {
    AcceptedRow SequencedRow HeadRow MemberRow InboxHeadRow PreferencesRow SeqRow SessionRow SessionSet LeaseRow AccountRow
    PasswordRow HandleRow DeviceRow TokenRow TokenInfoRow PrivacyRow BlockRow ContactRow LastSeenRow InviteRow
    RegistrationInviteRow WatcherSet Entry StandingRow PasswordUsedRow ListedRow AdminTokenRow ReportRow
};

/// Reads a value, a key, and a row as the embedded engine has it on disk.
pub fn run(input: &[u8]) {
    hudhud_engines::fjall::fuzz::decode(input);
    keys(input);
    let Some((kind, value)) = input.split_first() else { return };
    let row =
        |sort: &[u8]| Row { sort: Bytes::copy_from_slice(sort), value: Bytes::copy_from_slice(value), version: 1 };
    KINDS[usize::from(*kind) % KINDS.len()](&row(b""));
    for sort in [&b"h"[..], &tables::member(CONVERSATION, ACCOUNT).sort, value] {
        if let Ok(conversation) = Conversation::from_rows(CONVERSATION, &[row(sort)]) {
            conversation.reach(ACCOUNT);
            conversation.present().for_each(drop);
        }
    }
}

/// What was read is the same after it was written.
fn value<M: Message + PartialEq + Debug>(row: &Row) {
    let Ok(message) = tables::read::<M>(row) else { return };
    let again = Row { sort: row.sort.clone(), value: message.encode_to_bytes(), version: row.version };
    assert_eq!(tables::read::<M>(&again).expect("it was just written"), message);
}

/// A sort key that can be read is the one that is made of what was read.
fn keys(sort: &[u8]) {
    if let Some(named) = tables::conversation_sort(sort) {
        let key = named.map_or_else(|| tables::head(CONVERSATION), |account| tables::member(CONVERSATION, account));
        assert_eq!(key.sort, sort);
    }
    if let Some((account, which)) = tables::watermark_sort(sort) {
        assert_eq!(tables::watermark(CONVERSATION, account, which).sort, sort);
    }
    if let Some((conversation, part)) = tables::inbox_sort(sort) {
        assert_eq!(tables::inbox(ACCOUNT, conversation, part).sort, sort);
    }
}
