//! Rows of the server's databases, looked at whenever one is written: a row that is wrong for a moment is wrong.

use super::observer::{Observer, Placed};
use crate::world::World;
use hudhud_ports::{Table, Write};
use hudhud_proto::v1::{Entry, MemberRow, SeqRow, SequencedRow, SessionRow};
use hudhud_proto::{AccountId, ConversationId, DeviceId, Message, Seq};
use hudhud_roles::tables::{self, AcceptedPart, Watermark};

/// A row is about to be written.
pub fn written(world: &World, write: &Write) {
    let Some(value) = &write.value else { return };
    let is = |table: &'static Table| write.key.table == table;
    if is(tables::TIMELINE) {
        if let Ok(entry) = Entry::decode_from_slice(value) {
            timeline(world, &entry);
        }
    } else if is(tables::WATERMARKS) {
        if let (Ok(id), Some((account, which)), Ok(row)) = (
            ConversationId::from_slice(&write.key.partition),
            tables::watermark_sort(&write.key.sort),
            SeqRow::decode_from_slice(value),
        ) {
            watermark(world, id, account, which, Seq(row.seq));
        }
    } else if is(tables::ACCEPTED) {
        if let (Some((message, AcceptedPart::Sequenced)), Ok(row)) =
            (tables::accepted_sort(&write.key.sort), SequencedRow::decode_from_slice(value))
            && row.refused.as_option().is_some()
        {
            world.observer().refused.insert(message);
        }
    } else if is(tables::SESSIONS) {
        if let (Ok(device), Ok(row)) = (DeviceId::from_slice(&write.key.sort), SessionRow::decode_from_slice(value))
            && !row.has_ended
        {
            world.observer().registered.insert(device, world.now());
        }
    } else if is(tables::CONVERSATION)
        && let (Ok(id), Some(Some(account)), Ok(row)) = (
            ConversationId::from_slice(&write.key.partition),
            tables::conversation_sort(&write.key.sort),
            MemberRow::decode_from_slice(value),
        )
    {
        let mut observer = world.observer();
        let known = observer.members.entry((id, account)).or_default();
        if write.version >= known.0 {
            *known = (write.version, row);
        }
    }
}

/// 4, 9: a seq is given to one message, and a message gets one seq, whatever is replayed by whom.
fn timeline(world: &World, entry: &Entry) {
    let (Ok(id), Some(placed)) = (ConversationId::from_slice(&entry.conversation), Placed::new(entry)) else {
        return;
    };
    let message = placed.message;
    let (seq, conversation, name) = (Seq(entry.seq), world.conversation(id), world.message(message));
    let mut observer = world.observer();
    let Observer { log, placed: seqs, .. } = &mut *observer;
    let before = log.entry((id, seq)).or_insert_with(|| placed.clone()).clone();
    let first_seq = *seqs.entry((id, message)).or_insert(seq);
    if before != placed {
        let other = world.message(before.message);
        let what = format!("{conversation}/{seq} was {other} and became {name}, or its content changed");
        observer.violate(4, what, vec![conversation.clone()]);
    }
    if first_seq != seq {
        let what = format!("{name} has two places in {conversation}: {first_seq} and {seq}");
        observer.violate(9, what, vec![name]);
    }
}

/// 8, and the part of 5 that is the server's: nothing is marked that no device has stored, or no person has read.
fn watermark(world: &World, id: ConversationId, account: AccountId, which: Watermark, seq: Seq) {
    let mut observer = world.observer();
    let (reached, guarantee, verb) = match which {
        Watermark::Received => (observer.stored.get(&(id, account)), 8, "received"),
        Watermark::Read => (observer.read.get(&(id, account)), 5, "read"),
    };
    let reached = reached.copied().unwrap_or_default();
    if seq > reached {
        let (conversation, account) = (world.conversation(id), world.account(account));
        let what = format!("{conversation}/{seq} is marked as {verb} by {account}, who has {verb} up to {reached}");
        observer.violate(guarantee, what, vec![conversation]);
    }
}
