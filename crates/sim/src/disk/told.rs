//! What rows say, in the words of the trace: a history names messages, entries and people, not tables.

use crate::world::World;
use hudhud_ports::{Table, Write};
use hudhud_proto::v1::{Entry, HeadRow, InboxHeadRow, SeqRow, SessionRow};
use hudhud_proto::{AccountId, ConversationId, DeviceId, Message, MessageId};
use hudhud_roles::tables::{self, InboxPart, Watermark};
use std::collections::BTreeMap;

/// Names that a line lists.
const NAMES_MAX: usize = 8;

/// Notes what a batch of writes says: who wrote it, and of what.
pub(super) fn tell(world: &World, by: &str, writes: &[Write]) {
    let mut inboxes: BTreeMap<(ConversationId, u64), Vec<AccountId>> = BTreeMap::new();
    for write in writes {
        match in_words(world, write) {
            Some(words) => world.note(format_args!("{by} {words}")),
            None => {
                if let Some((account, place)) = inbox(write) {
                    inboxes.entry(place).or_default().push(account);
                }
            }
        }
    }
    for ((id, seq), accounts) in inboxes {
        let conversation = world.conversation(id);
        let mut names: Vec<String> = accounts.iter().take(NAMES_MAX).map(|account| world.account(*account)).collect();
        if accounts.len() > NAMES_MAX {
            names.push(format!("{} more", accounts.len() - NAMES_MAX));
        }
        world.note(format_args!("{by} told the inboxes of {} of {conversation}/{seq}", names.join(", ")));
    }
}

fn in_words(world: &World, write: &Write) -> Option<String> {
    let is = |table: &'static Table| write.key.table == table;
    if is(tables::TIMELINE) {
        let entry: Entry = value(write)?;
        let (id, message) =
            (ConversationId::from_slice(&entry.conversation).ok()?, MessageId::from_slice(&entry.message_id).ok()?);
        let (conversation, message) = (world.conversation(id), world.message(message));
        return Some(format!("placed {message} as {conversation}/{} (after {})", entry.seq, entry.prev_seq));
    }
    if is(tables::CONVERSATION) {
        tables::conversation_sort(&write.key.sort).filter(Option::is_none)?;
        let conversation = world.conversation(ConversationId::from_slice(&write.key.partition).ok()?);
        return Some(format!("stored the head {conversation}/{}", value::<HeadRow>(write)?.seq));
    }
    if is(tables::WATERMARKS) {
        let conversation = world.conversation(ConversationId::from_slice(&write.key.partition).ok()?);
        let (account, which) = tables::watermark_sort(&write.key.sort)?;
        let verb = if which == Watermark::Read { "read" } else { "received" };
        let account = world.account(account);
        return Some(format!("marked {conversation}/{} as {verb} by {account}", value::<SeqRow>(write)?.seq));
    }
    if is(tables::SESSIONS) {
        let device = world.device(DeviceId::from_slice(&write.key.sort).ok()?);
        let Some(row) = value::<SessionRow>(write).filter(|row| !row.has_ended) else {
            return Some(format!("took {device} out, as of {:x}", write.version));
        };
        let (gateway, connection) = (row.gateway, row.connection);
        return Some(format!("put {device} on {gateway}'s connection {connection}, as of {:x}", write.version));
    }
    None
}

/// Whose inbox is told of which entry.
fn inbox(write: &Write) -> Option<(AccountId, (ConversationId, u64))> {
    if write.key.table != tables::INBOX {
        return None;
    }
    let (id, part) = tables::inbox_sort(&write.key.sort)?;
    let row: InboxHeadRow = value(write).filter(|_| part == InboxPart::Head)?;
    Some((AccountId::from_slice(&write.key.partition).ok()?, (id, row.head_seq)))
}

fn value<M: Message>(write: &Write) -> Option<M> {
    M::decode_from_slice(write.value.as_ref()?).ok()
}
