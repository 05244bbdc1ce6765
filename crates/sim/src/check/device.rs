//! What a device stores and shows, looked at whenever it does.

use super::Observer;
use super::observer::{Placed, Written};
use crate::device::Device;
use crate::world::World;
use hudhud_client::{Change, ConversationRow, Entry, Outgoing, OutgoingState, Storage as _};
use hudhud_proto::{AccountId, ConversationId, MessageId, Seq, v1};
use std::collections::BTreeMap;
use std::time::Duration;

/// Stores changes on a device, and looks at what it then holds.
pub fn persist(world: &World, device: &Device, changes: &[Change]) {
    let before: BTreeMap<ConversationId, ConversationRow> = {
        let touched = |id: ConversationId| {
            changes.iter().any(|change| matches!(change, Change::PutConversation(row) if row.id == id))
        };
        let storage = device.storage();
        storage.conversations().filter(|row| touched(row.id)).map(|row| (row.id, row.clone())).collect()
    };
    device.storage().persist(changes).expect("memory does not fail");
    let me = device.account().map(|account| account.account);
    for change in changes {
        match change {
            Change::PutOutgoing(outgoing) => wrote(world, device, outgoing),
            Change::RemoveOutgoing(message) => left_outbox(world, *message),
            Change::PutEntry(entry) => {
                world.count(|totals| totals.stored += 1);
                let (conversation, message) = (world.conversation(entry.conversation), world.message(entry.message));
                world.note(format_args!("{} stored {conversation}/{} {message}", device.name(), entry.seq));
                one_order(world, device, entry);
            }
            Change::PutConversation(row) => {
                let old = before.get(&row.id).cloned().unwrap_or_else(|| ConversationRow::new(row.id));
                if let Some(me) = me {
                    cursor(world, device, me, &old, row);
                    receipts(world, device, me, &old, row);
                }
            }
            _ => {}
        }
    }
}

/// The person wrote something, or it got further.
fn wrote(world: &World, device: &Device, outgoing: &Outgoing) {
    let mut observer = world.observer();
    observer.last_number += 1;
    let next = observer.last_number;
    let is_new = !observer.written.contains_key(&outgoing.message);
    let written = observer.written.entry(outgoing.message).or_insert_with(|| Written {
        device: device.name().clone(),
        conversation: outgoing.conversation,
        number: next,
        first_number: next,
        payload: outgoing.content.payload.clone(),
        state: OutgoingState::Queued,
        accepted: false,
        discarded: false,
    });
    if outgoing.state == OutgoingState::Queued && matches!(written.state, OutgoingState::Refused { .. }) {
        written.number = next;
    }
    written.state = outgoing.state.clone();
    let accepted = outgoing.state == OutgoingState::Accepted;
    written.accepted |= accepted;
    // 11: a resend would bring back what is lost after this, and hide that it was promised too early.
    if accepted && !observer.durable.contains(&outgoing.message) {
        let message = world.message(outgoing.message);
        let what = format!("{} was told that {message} is accepted, and the bus could still lose it", device.name());
        observer.violate(11, what, vec![message]);
    }
    drop(observer);
    if is_new {
        world.count(|totals| totals.composed += 1);
    }
}

fn left_outbox(world: &World, message: MessageId) {
    if let Some(written) = world.observer().written.get_mut(&message) {
        written.discarded = matches!(written.state, OutgoingState::Refused { .. });
    }
}

/// 4: whatever is stored under a seq is what the log has there.
fn one_order(world: &World, device: &Device, entry: &Entry) {
    let (conversation, message) = (world.conversation(entry.conversation), world.message(entry.message));
    let mut observer = world.observer();
    let placed = observer.log.get(&(entry.conversation, entry.seq)).map(|placed| placed.message);
    if placed != Some(entry.message) && !observer.losses.had(entry.conversation, entry.seq, entry.message) {
        let what = format!(
            "{} holds {message} as {conversation}/{}, where the log has {:?}",
            device.name(),
            entry.seq,
            placed.map(|placed| world.message(placed))
        );
        observer.violate(4, what, vec![conversation]);
    }
}

/// 6: the cursor never goes back, and behind it everything that the account may see is stored.
fn cursor(world: &World, device: &Device, me: AccountId, old: &ConversationRow, new: &ConversationRow) {
    let (name, conversation) = (device.name(), world.conversation(new.id));
    let mut observer = world.observer();
    if new.cursor < old.cursor {
        let what = format!("{name}'s cursor in {conversation} went back from {} to {}", old.cursor, new.cursor);
        observer.violate(6, what, vec![conversation.clone()]);
    }
    let from = Seq((old.cursor.0 + 1).max(new.floor.0));
    let storage = device.storage();
    // It may hold it as it was before a log was lost.
    let is_torn = observer.losses.torn.contains(&new.id);
    let missing = |(seq, placed): &(Seq, &Placed)| {
        let is_it = |entry: &Entry| entry.seq == *seq || (is_torn && entry.message == placed.message);
        observer.may_see(me, new.id, *seq) && !storage.entries(new.id).rev().any(is_it)
    };
    let passed = observer.entries(new.id, from, new.cursor).find(missing).map(|(seq, placed)| (seq, placed.message));
    if let Some((seq, message)) = passed {
        let message = world.message(message);
        let what = format!("{name}'s cursor in {conversation} is {}, and {seq} ({message}) is not stored", new.cursor);
        observer.violate(6, what, vec![conversation]);
    }
    let stored = observer.stored.entry((new.id, me)).or_default();
    *stored = new.cursor.max(*stored);
}

/// 5, and 8 as the sender sees it: ticks only climb, none is there before its cause.
fn receipts(world: &World, device: &Device, me: AccountId, old: &ConversationRow, new: &ConversationRow) {
    let (name, conversation) = (device.name(), world.conversation(new.id));
    let mut observer = world.observer();
    let mut wrong = |guarantee, what: String| {
        observer.violate(guarantee, format!("{name} in {conversation}: {what}"), vec![conversation.clone()])
    };
    let marks = [
        ("received", old.others_received, new.others_received),
        ("read by others", old.others_read, new.others_read),
        ("read here", old.read, new.read),
    ];
    for (mark, old, new) in marks {
        if new < old {
            wrong(5, format!("{mark} went back from {old} to {new}"));
        }
    }
    if new.others_read > new.others_received {
        wrong(5, format!("read up to {}, received only up to {}", new.others_read, new.others_received));
    }
    let observer = &mut *observer;
    let lost = observer.losses.entries.range((new.id, Seq::ZERO)..=(new.id, Seq(u64::MAX)));
    let head = lost.last().map_or(Seq::ZERO, |((_, seq), _)| *seq).max(observer.head(new.id));
    if new.others_received > head {
        let what = format!("{name} in {conversation}: received up to {}, sent only up to {head}", new.others_received);
        observer.violate(5, what, vec![conversation.clone()]);
    }
    if new.others_received > old.others_received
        && let Some((other, stored)) = lagging(observer, new.id, me, new.others_received)
    {
        let what = format!(
            "{name} shows {conversation}/{} as received by all, but {} has stored up to {stored}",
            new.others_received,
            world.account(other)
        );
        observer.violate(8, what, vec![conversation]);
    }
}

/// Another present member of whom no device has stored this much.
fn lagging(observer: &Observer, id: ConversationId, me: AccountId, seq: Seq) -> Option<(AccountId, Seq)> {
    let others = observer.present(id).filter(|(account, _)| *account != me);
    let reached = |(account, since): (AccountId, Seq)| {
        let stored = observer.stored.get(&(id, account)).copied().unwrap_or_default();
        (account, stored.max(Seq(since.0.saturating_sub(1))))
    };
    others.map(reached).find(|(_, reached)| *reached < seq)
}

/// 9: a message that a person is told to be durable on the device is in its outbox, or in the log already.
pub fn composed(world: &World, device: &Device, conversation: ConversationId, message: MessageId) {
    let is_kept = device.storage().outbox().any(|outgoing| outgoing.message == message);
    let mut observer = world.observer();
    if !is_kept && !observer.placed.contains_key(&(conversation, message)) {
        let message = world.message(message);
        observer.violate(9, format!("{} said that it keeps {message}, and does not", device.name()), vec![message]);
    }
}

/// 2: a device shows a message once.
pub fn show(world: &World, device: &Device, entry: &Entry) {
    let (name, message) = (device.name(), world.message(entry.message));
    let mut observer = world.observer();
    if !observer.shown.insert((name.clone(), entry.conversation, entry.message)) {
        observer.violate(2, format!("{name} showed {message} twice"), vec![message, name.to_string()]);
    }
}

/// 1: a device is welcomed, on the connection that it has since then, once its session is there: what is sequenced between the
/// welcome and the session would be neither in the inbox that it reads now nor pushed to it.
pub fn welcomed(world: &World, device: &Device, connected: Duration) {
    let Some(account) = device.account() else { return };
    let mut observer = world.observer();
    if observer.registered.get(&account.device).is_none_or(|registered| *registered < connected) {
        let name = device.name();
        let what = format!("{name} was welcomed before its session was registered");
        observer.violate(1, what, vec![name.to_string()]);
    }
}

/// A person has seen everything up to here.
pub fn read(world: &World, device: &Device, conversation: ConversationId, seq: Seq) {
    if let Some(account) = device.account() {
        let mut observer = world.observer();
        let read = observer.read.entry((conversation, account.account)).or_default();
        *read = seq.max(*read);
    }
}

/// The server said that a change is durable. Of a group's creation it follows that the group is there for good.
pub fn change_accepted(world: &World, device: &Device, accepted: &v1::ChangeAccepted) {
    let Some(me) = device.account() else { return };
    if let (Ok(conversation), Ok(message)) =
        (ConversationId::from_slice(&accepted.conversation), MessageId::from_slice(&accepted.message_id))
    {
        let mut observer = world.observer();
        observer.changes.insert(message, conversation);
        if ConversationId::group(me.account, message) == conversation {
            observer.groups.insert(conversation, message);
        }
    }
}
