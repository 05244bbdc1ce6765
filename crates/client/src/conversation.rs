//! One conversation as this device knows it: what it is, which stretch of its log is held, how far everybody has read.

use crate::Entry;
use crate::limits::{EARLY_ENTRIES_MAX, RECENT_ENTRIES};
use hudhud_proto::{AccountId, ConversationId, IdError, MessageId, Seq, v1};
use std::collections::{BTreeMap, BTreeSet};
use v1::event::What;

/// Everything of a conversation that survives, but its entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Which.
    pub id: ConversationId,
    /// Direct or group; unspecified until the server said.
    pub kind: v1::ConversationKind,
    /// Of a group.
    pub title: String,
    /// In direct chats: the other one.
    pub peer: Option<AccountId>,
    /// One's own; unspecified for those who are no members (any more).
    pub role: v1::Role,
    /// Only owner and admins may send.
    pub announce_only: bool,
    /// Members, when the server last said.
    pub member_count: u32,
    /// The log's state that `title`, `role` and the rest stand for.
    pub info_seq: Seq,
    /// The newest entry known to exist.
    pub head: Seq,
    /// When it came, microseconds since the Unix epoch.
    pub activity_us: u64,
    /// Every visible entry from `floor` up to here is held: the cursor.
    pub cursor: Seq,
    /// The oldest entry held; 0 while there is none.
    pub floor: Seq,
    /// Nothing visible is older than `floor`.
    pub complete: bool,
    /// How far this account has read, on any device.
    pub read: Seq,
    /// The newest `Read` that the server answered.
    pub read_told: Seq,
    /// The newest `Received` that the server answered.
    pub received_told: Seq,
    /// How far the others have received: in groups, all of them.
    pub others_received: Seq,
    /// How far the others have read: in groups, all of them.
    pub others_read: Seq,
    /// The newest message of one's own.
    pub last_own: Seq,
    /// Until when it is muted, microseconds since the Unix epoch; `u64::MAX`: for good.
    pub muted_until_us: u64,
    /// Kept on top.
    pub pinned: bool,
    /// Put away.
    pub archived: bool,
}

impl Row {
    /// A conversation of which nothing is known.
    pub fn new(id: ConversationId) -> Self {
        Self {
            id,
            kind: v1::ConversationKind::Unspecified,
            title: String::new(),
            peer: None,
            role: v1::Role::Unspecified,
            announce_only: false,
            member_count: 0,
            info_seq: Seq::ZERO,
            head: Seq::ZERO,
            activity_us: 0,
            cursor: Seq::ZERO,
            floor: Seq::ZERO,
            complete: false,
            read: Seq::ZERO,
            read_told: Seq::ZERO,
            received_told: Seq::ZERO,
            others_received: Seq::ZERO,
            others_read: Seq::ZERO,
            last_own: Seq::ZERO,
            muted_until_us: 0,
            pinned: false,
            archived: false,
        }
    }
}

/// A conversation as a list of conversations shows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    /// What survives of it.
    pub row: Row,
    /// Messages of others behind one's own read mark, of those held in memory.
    pub unread: u32,
    /// The newest entry held.
    pub last: Option<Entry>,
}

/// What a pushed entry is to this device.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Landing {
    /// Held already.
    Old,
    /// The next one: append it.
    Next,
    /// Something is missing before it. It waits, and the gap is fetched.
    Early,
}

#[derive(Debug)]
pub(crate) struct Conversation {
    row: Row,
    /// The newest entries, without gaps up to the cursor.
    recent: BTreeMap<Seq, Entry>,
    /// Of the entries in `recent`.
    messages: BTreeSet<MessageId>,
    /// Messages of others behind the read mark.
    unread: BTreeSet<Seq>,
    early: BTreeMap<Seq, Entry>,
    /// Up to here the server had nothing (more) that this account may see. Asked again on each connection, and where pushes were missed.
    settled: Seq,
}

impl Conversation {
    pub(crate) fn new(row: Row) -> Self {
        Self {
            row,
            recent: BTreeMap::new(),
            messages: BTreeSet::new(),
            unread: BTreeSet::new(),
            early: BTreeMap::new(),
            settled: Seq::ZERO,
        }
    }

    /// An entry that the storage gave back.
    pub(crate) fn restore(&mut self, entry: Entry, me: Option<AccountId>) {
        self.hold(entry, me);
    }

    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    pub(crate) fn row_mut(&mut self) -> &mut Row {
        &mut self.row
    }

    pub(crate) fn summary(&self) -> Summary {
        let unread = u32::try_from(self.unread.len()).unwrap_or(u32::MAX);
        Summary { row: self.row.clone(), unread, last: self.recent.values().next_back().cloned() }
    }

    /// Whether the log goes on behind what is held.
    pub(crate) fn is_behind(&self) -> bool {
        self.row.head > self.row.cursor.max(self.settled)
    }

    /// The log reaches at least up to here.
    pub(crate) fn raise_head(&mut self, head: Seq, activity_us: u64) {
        self.row.head = self.row.head.max(head);
        self.row.activity_us = self.row.activity_us.max(activity_us);
    }

    /// A fetch from the cursor on found nothing although the log reaches up to here.
    pub(crate) fn settle(&mut self, head: Seq) {
        self.settled = self.settled.max(head);
    }

    /// Another connection, or pushes were missed: what was settled may have changed meanwhile.
    pub(crate) fn unsettle(&mut self) {
        self.settled = Seq::ZERO;
    }

    /// What a pushed entry is. An early one is kept until the gap before it is filled.
    pub(crate) fn land(&mut self, entry: &Entry) -> Landing {
        if entry.seq <= self.row.cursor {
            return Landing::Old;
        }
        if entry.prev == self.row.cursor {
            return Landing::Next;
        }
        // Beyond the limit the newest is dropped: the fetch of the gap brings it.
        if self.early.len() < EARLY_ENTRIES_MAX {
            self.early.insert(entry.seq, entry.clone());
        }
        Landing::Early
    }

    /// The entry that waited for the one at the cursor, if there is one.
    pub(crate) fn take_early(&mut self) -> Option<Entry> {
        self.early = self.early.split_off(&Seq(self.row.cursor.0 + 1));
        let first = self.early.first_entry()?;
        (first.get().prev == self.row.cursor).then(|| first.remove())
    }

    /// Takes an entry behind the cursor and moves the cursor there. False for a message that is held already under another
    /// seq: it is neither stored nor shown again.
    pub(crate) fn append(&mut self, entry: Entry, me: Option<AccountId>) -> bool {
        self.row.cursor = entry.seq;
        self.raise_head(entry.seq, entry.time_us);
        if self.messages.contains(&entry.message) {
            return false;
        }
        if self.row.floor == Seq::ZERO {
            self.row.floor = entry.seq;
            self.row.complete |= entry.prev == Seq::ZERO;
        }
        if entry.is_message() && Some(entry.sender) == me {
            self.row.last_own = entry.seq;
        }
        if entry.seq > self.row.info_seq
            && let crate::Body::Event(what) = &entry.body
        {
            apply(&mut self.row, what, entry.sender, me);
        }
        self.hold(entry, me);
        true
    }

    fn hold(&mut self, entry: Entry, me: Option<AccountId>) {
        if entry.is_message() && Some(entry.sender) != me && entry.seq > self.row.read {
            self.unread.insert(entry.seq);
        }
        self.messages.insert(entry.message);
        self.recent.insert(entry.seq, entry);
        if self.recent.len() > 2 * RECENT_ENTRIES {
            while self.recent.len() > RECENT_ENTRIES
                && let Some((_, old)) = self.recent.pop_first()
            {
                self.messages.remove(&old.message);
            }
        }
    }

    /// Takes a page of older entries; gives back those to store. `complete`: there is nothing older.
    pub(crate) fn prepend(&mut self, entries: Vec<Entry>, complete: bool) -> Vec<Entry> {
        let mut seen = self.messages.clone();
        let floor = self.row.floor;
        let older = entries.into_iter().filter(|entry| floor == Seq::ZERO || entry.seq < floor);
        let older: Vec<_> = older.filter(|entry| seen.insert(entry.message)).collect();
        if let Some(first) = older.first() {
            self.row.floor = first.seq;
        }
        self.row.complete |= complete;
        older
    }

    /// The newest held in memory before a seq, at most so many, ascending.
    pub(crate) fn recent_before(&self, before: Seq, limit: usize) -> Vec<Entry> {
        let mut newest: Vec<_> = self.recent.range(..before).rev().take(limit).map(|(_, e)| e.clone()).collect();
        newest.reverse();
        newest
    }

    /// Whether the storage may hold more before a seq than memory does.
    pub(crate) fn stores_before(&self, before: Seq) -> bool {
        self.row.floor != Seq::ZERO && self.row.floor < before
    }

    /// A person has seen everything up to here, on this device or another one. Never goes back. True if it moved.
    pub(crate) fn mark_read(&mut self, seq: Seq) -> bool {
        if seq <= self.row.read {
            return false;
        }
        self.row.read = seq;
        self.unread = self.unread.split_off(&Seq(seq.0 + 1));
        true
    }

    /// Others have received or read everything up to here. Never goes back; reading is receiving. True if it moved.
    pub(crate) fn mark_others(&mut self, kind: v1::ReceiptKind, seq: Seq) -> bool {
        let before = (self.row.others_received, self.row.others_read);
        match kind {
            v1::ReceiptKind::Received => self.row.others_received = self.row.others_received.max(seq),
            v1::ReceiptKind::Read => {
                self.row.others_read = self.row.others_read.max(seq);
                self.row.others_received = self.row.others_received.max(seq);
            }
            v1::ReceiptKind::Unspecified => {}
        }
        before != (self.row.others_received, self.row.others_read)
    }

    /// What the server says of it. An answer that is older than an entry already applied is only half taken.
    pub(crate) fn learn(&mut self, info: &v1::Conversation) -> Result<(), IdError> {
        let row = &mut self.row;
        row.kind = info.kind.as_known().unwrap_or(row.kind);
        row.member_count = info.member_count;
        if let Some(peer) = info.peer.as_option() {
            row.peer = Some(AccountId::from_slice(&peer.account)?);
        }
        let seq = Seq(info.head_seq);
        if seq >= row.info_seq && seq >= row.cursor {
            row.info_seq = seq;
            row.title = info.title.clone();
            row.role = info.role.as_known().unwrap_or(v1::Role::Unspecified);
            row.announce_only = info.announce_only;
        }
        Ok(())
    }
}

/// What an entry changes of a conversation. The number of members is left to the server's next answer.
fn apply(row: &mut Row, what: &What, sender: AccountId, me: Option<AccountId>) {
    let is_me = |account: &[u8]| me.is_some_and(|me| me.as_bytes() == account);
    let by_me = Some(sender) == me;
    match what {
        What::Created(created) => {
            row.kind = v1::ConversationKind::Group;
            row.title = created.title.clone();
            row.announce_only = created.announce_only;
            row.role = if by_me { v1::Role::Owner } else { v1::Role::Member };
        }
        What::MembersAdded(added) if added.members.iter().any(|member| is_me(member)) => row.role = v1::Role::Member,
        What::MemberJoined(_) if by_me => row.role = v1::Role::Member,
        What::MemberRemoved(removed) if is_me(&removed.member) => row.role = v1::Role::Unspecified,
        What::MemberRemoved(removed) if is_me(&removed.new_owner) => row.role = v1::Role::Owner,
        What::MemberLeft(_) if by_me => row.role = v1::Role::Unspecified,
        What::RoleChanged(changed) => {
            let role = changed.role.as_known().unwrap_or(v1::Role::Member);
            if is_me(&changed.member) {
                row.role = role;
            } else if by_me && role == v1::Role::Owner {
                row.role = v1::Role::Admin;
            }
        }
        What::Updated(updated) => {
            if !updated.title.is_empty() {
                row.title = updated.title.clone();
            }
            match updated.announce_only.as_known() {
                Some(v1::Switch::On) => row.announce_only = true,
                Some(v1::Switch::Off) => row.announce_only = false,
                _ => {}
            }
        }
        What::MembersAdded(_)
        | What::MemberJoined(_)
        | What::MemberRemoved(_)
        | What::MemberLeft(_)
        | What::Closed(_) => {}
    }
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
