//! The one case in which things may move: a log of the bus is lost.
//!
//! What every conversation had stored by then stays as it was. Behind that, entries are gone, and their messages come again under
//! other seqs: from the outboxes of their devices, or from what was accepted. That is promised with the next entry of the
//! conversation, and not for a conversation that nobody writes to any more.

use super::Observer;
use crate::site::Power;
use crate::world::World;
use futures_util::FutureExt as _;
use hudhud_client::OutgoingState;
use hudhud_ports::{Scan, Store as _, memory};
use hudhud_proto::v1::MemberRow;
use hudhud_proto::{AccountId, ConversationId, MessageId, Seq};
use hudhud_roles::conversation::{Conversation, ROWS_MAX};
use hudhud_roles::tables;
use std::collections::{BTreeMap, BTreeSet};

/// What went with logs.
#[derive(Default)]
pub struct Losses {
    /// How many logs.
    pub count: u16,
    /// Entries behind the heads, by the seq that they had: a device may hold them under it.
    pub entries: BTreeMap<(ConversationId, Seq), MessageId>,
    /// Conversations that may have lost what devices had seen: entries, and marks that they were told to be kept.
    pub torn: BTreeSet<ConversationId>,
    /// Messages of such entries: their senders have forgotten them.
    pub gone: BTreeSet<MessageId>,
    /// Messages and changes that were under way: they may come in behind later ones.
    pub adrift: BTreeSet<MessageId>,
}

impl Losses {
    /// Whether a conversation has had no entry since a log was lost: nobody was there to make good what it lost.
    pub fn is_asleep(&self, state: &Conversation) -> bool {
        state.head_position().epoch() <= self.count
    }

    /// Whether an entry is one that went with a log.
    pub fn had(&self, id: ConversationId, seq: Seq, message: MessageId) -> bool {
        self.entries.get(&(id, seq)) == Some(&message)
    }
}

/// A log was just lost; `store` holds what is left.
pub fn log_lost(world: &World, store: &memory::Store, power: Power) {
    let mut observer = world.observer();
    observer.losses.count += 1;
    let ids = observer.log.keys().map(|(id, _)| *id).chain(observer.groups.keys().copied());
    let ids: BTreeSet<ConversationId> = ids.chain(observer.changes.values().copied()).collect();
    for id in ids {
        let scan = Scan::all(tables::CONVERSATION, id.to_bytes(), ROWS_MAX);
        let rows = store.scan(scan).now_or_never().expect("memory does not wait").expect("memory does not fail");
        let head = Conversation::from_rows(id, &rows).map_or(Seq::ZERO, |state| state.head_seq());
        if power == Power::Lost {
            observer.losses.torn.insert(id);
        }
        behind_head(&mut observer, id, head, power);
        let strangers = (id, AccountId::new([0; 16]))..=(id, AccountId::new([u8::MAX; 16]));
        let known: Vec<_> = observer.members.range(strangers).map(|(key, _)| *key).collect();
        known.iter().for_each(|key| _ = observer.members.remove(key));
        for row in &rows {
            if let (Some(Some(account)), Ok(member)) =
                (tables::conversation_sort(&row.sort), tables::read::<MemberRow>(row))
            {
                observer.members.insert((id, account), (row.version, member));
            }
        }
    }
    under_way(&mut observer, power);
}

fn behind_head(observer: &mut Observer, id: ConversationId, head: Seq, power: Power) {
    let behind = observer.log.range((id, Seq(head.0 + 1))..=(id, Seq(u64::MAX)));
    let behind: Vec<_> = behind.map(|((_, seq), placed)| (*seq, placed.message)).collect();
    for (seq, message) in behind {
        observer.log.remove(&(id, seq));
        observer.placed.remove(&(id, message));
        observer.losses.entries.insert((id, seq), message);
        // Nobody was pushed what was not behind the head of its conversation; without power, the head may have gone back.
        if power == Power::Lost {
            observer.losses.gone.insert(message);
        }
    }
}

fn under_way(observer: &mut Observer, power: Power) {
    let Observer { written, placed, losses, groups, changes, .. } = observer;
    let open = |message: &MessageId, id: ConversationId| !placed.contains_key(&(id, *message));
    let is_out = |state: &OutgoingState| matches!(state, OutgoingState::Queued | OutgoingState::Accepted);
    let unplaced = written.iter().filter(|(message, one)| is_out(&one.state) && open(message, one.conversation));
    losses.adrift.extend(unplaced.map(|(message, _)| *message));
    losses.adrift.extend(changes.iter().filter(|(message, id)| open(message, **id)).map(|(message, _)| *message));
    // What was not there yet is known to nobody but the device that asked for it, and that does not ask again.
    groups.retain(|id, message| placed.contains_key(&(*id, *message)));
    let is_begun =
        |id: ConversationId| placed.range((id, MessageId::new([0; 16]))..).next().is_some_and(|((of, _), _)| *of == id);
    changes.retain(|message, id| !open(message, *id) || (power == Power::On && is_begun(*id)));
}
