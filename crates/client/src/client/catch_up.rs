//! Entries: found by asking for changes, fetched or pushed, stored once, told.

use super::{Client, Step};
use crate::conversation::{Conversation, Landing};
use crate::limits::{FIRST_ENTRIES, PAGE_ENTRIES, RECEIPTS_ASKED_AGAIN_MAX, RECEIPTS_INTERVAL};
use crate::people::Question;
use crate::requests::{FetchStart, Purpose};
use crate::{Body, Change, Entry, Event, Output};
use hudhud_proto::v1::{self, event::What};
use hudhud_proto::{AccountId, ConversationId, Seq};
use std::cmp::Reverse;

impl Client {
    /// The sum of all heads, as a server's pings carry it.
    pub(super) fn inbox_version(&self) -> u64 {
        self.conversations.values().fold(0, |sum, conversation| sum.wrapping_add(conversation.row().head.0))
    }

    pub(super) fn pump_sync(&mut self, step: &mut Step) {
        let now = step.now.monotonic;
        if self.sync.take_changes(now) {
            let cursor = self.changes_cursor.clone();
            self.request(Purpose::Changes, v1::Changes { cursor }, step);
        }
        loop {
            let activity = |id| self.conversations.get(&id).map_or(0, |c: &Conversation| c.row().activity_us);
            let Some(id) = self.sync.take_fetch(now, activity) else { break };
            self.fetch(id, step);
        }
        if let Some((_, conversations)) = self.ask_receipts.filter(|(at, _)| *at <= now)
            && self.sync.is_caught_up()
        {
            self.receipts.hurry(now);
            self.want_receipts(conversations);
            self.ask_receipts = Some((now + RECEIPTS_INTERVAL, RECEIPTS_ASKED_AGAIN_MAX));
        }
    }

    fn fetch(&mut self, id: ConversationId, step: &mut Step) {
        let Some(row) = self.conversations.get(&id).map(Conversation::row) else {
            return self.sync.fetched(id);
        };
        let conversation = id.to_bytes();
        let start = if row.cursor == Seq::ZERO && row.head.0 > FIRST_ENTRIES.into() {
            FetchStart::Head
        } else {
            FetchStart::Cursor
        };
        let fetch = match start {
            FetchStart::Head => v1::Fetch { conversation, from_seq: 0, limit: FIRST_ENTRIES, backward: true },
            FetchStart::Cursor => {
                v1::Fetch { conversation, from_seq: row.cursor.0 + 1, limit: PAGE_ENTRIES, backward: false }
            }
        };
        self.request(Purpose::Fetch { conversation: id, start }, fetch, step);
    }

    /// Which conversations moved.
    pub(super) fn changes(&mut self, page: v1::ChangePage, step: &mut Step) {
        let now = step.now.monotonic;
        for row in &page.rows {
            self.changed(row, step);
        }
        self.changes_cursor = page.cursor;
        self.save_progress(step);
        self.sync.changes_answered(page.more, now);
        if !page.more && page.inbox_version != self.inbox_version() && self.sync.list_all() {
            self.changes_cursor = Default::default();
            self.sync.want_changes(now);
        }
    }

    fn changed(&mut self, row: &v1::InboxRow, step: &mut Step) {
        let Ok(id) = ConversationId::from_slice(&row.conversation) else { return };
        let conversation = self.conversation(id);
        let before = conversation.row().clone();
        conversation.raise_head(Seq(row.head_seq), row.activity_us);
        let mine = conversation.row_mut();
        mine.kind = row.kind.as_known().unwrap_or(mine.kind);
        if *mine != before {
            step.touched.insert(id);
        }
        if conversation.is_behind() {
            self.sync.behind(id);
        }
        self.read_elsewhere(id, Seq(row.read_seq), step);
        self.prefer(id, &row.preferences, step);
    }

    /// A page from the cursor on, or the first page of a new device.
    pub(super) fn fetched(&mut self, id: ConversationId, start: FetchStart, page: v1::EntryPage, step: &mut Step) {
        self.sync.fetched(id);
        let conversation = self.conversation(id);
        let before = conversation.row().cursor;
        let entries = page.entries.into_iter().filter_map(|entry| Entry::from_wire(entry).ok());
        for entry in entries.filter(|entry| entry.conversation == id) {
            if self.conversation(id).row().cursor < entry.seq {
                self.take_entry(entry, step);
            }
        }
        let conversation = self.conversation(id);
        let held = conversation.row().cursor;
        if before == Seq::ZERO && held > Seq::ZERO {
            // From the first visible entry on; or from the head back, to wherever the page ended.
            conversation.row_mut().complete |= start == FetchStart::Cursor || !page.more;
        }
        if held == before {
            // The inbox tells of a head that this account may not see.
            conversation.settle(conversation.row().head);
        } else if page.more {
            conversation.raise_head(Seq(page.head_seq), 0);
        }
        self.take_early_entries(id, step);
        step.touched.insert(id);
    }

    pub(super) fn pushed_entry(&mut self, wire: v1::Entry, step: &mut Step) {
        let Ok(entry) = Entry::from_wire(wire) else { return };
        let id = entry.conversation;
        match self.conversation(id).land(&entry) {
            // A resend is answered so. Where only the newest entries were fetched, this one may be held by nobody here.
            Landing::Old => {
                if Some(entry.sender) == self.me() && self.outbox.sequenced(id, entry.message) {
                    step.change(Change::RemoveOutgoing(entry.message));
                    step.event(Event::OutgoingGone { conversation: id, message: entry.message });
                }
            }
            Landing::Next => {
                self.take_entry(entry, step);
                self.take_early_entries(id, step);
            }
            Landing::Early => {
                self.conversation(id).raise_head(entry.seq, entry.time_us);
                step.touched.insert(id);
                self.sync.behind(id);
            }
        }
    }

    fn take_early_entries(&mut self, id: ConversationId, step: &mut Step) {
        while let Some(entry) = self.conversation(id).take_early() {
            self.take_entry(entry, step);
        }
        if self.conversation(id).is_behind() {
            self.sync.behind(id);
        }
    }

    /// Stores the entry behind the cursor, and tells of it unless it is a message that was told before.
    fn take_entry(&mut self, entry: Entry, step: &mut Step) {
        let (id, me) = (entry.conversation, self.me());
        if Some(entry.sender) == me {
            // Where only the newest entries were fetched, one that is missing may be further back.
            let is_whole = self.conversations.get(&id).is_some_and(|conversation| conversation.row().complete);
            let overtaken = if is_whole { self.outbox.overtaken(id, entry.message) } else { Vec::new() };
            for refused in overtaken {
                step.change(Change::PutOutgoing(refused.clone()));
                step.event(Event::Outgoing(refused));
            }
            if self.outbox.sequenced(id, entry.message) {
                step.change(Change::RemoveOutgoing(entry.message));
            }
        }
        step.touched.insert(id);
        if self.conversation(id).append(entry.clone(), me) {
            self.meet_all(&entry);
            if self.signals.types(id, entry.sender, false, step.now.monotonic) {
                step.event(Event::Typing { conversation: id, account: entry.sender, typing: false });
            }
            step.change(Change::PutEntry(entry.clone()));
            step.event(Event::Entry(entry));
        }
        if let Some(conversation) = self.conversations.get(&id) {
            self.receipts.owe(conversation.row(), step.now.monotonic);
        }
    }

    /// Asks for the names that an entry brings up, and after a change of the members for what the group is now.
    fn meet_all(&mut self, entry: &Entry) {
        self.meet(entry.sender, Some(entry.conversation));
        let Body::Event(what) = &entry.body else { return };
        let members = match what {
            What::Created(created) => &created.members[..],
            What::MembersAdded(added) => &added.members[..],
            What::MemberRemoved(removed) => std::slice::from_ref(&removed.member),
            What::RoleChanged(changed) => std::slice::from_ref(&changed.member),
            What::MemberLeft(_) | What::MemberJoined(_) | What::Closed(_) => &[],
            What::Updated(_) => return,
        };
        for account in members.iter().filter_map(|member| AccountId::from_slice(member).ok()) {
            self.meet(account, Some(entry.conversation));
        }
        self.questions.want(Question::Conversation(entry.conversation));
    }

    /// Shows what is older than a seq: from memory, from the storage, or from the server.
    pub(super) fn history(&mut self, id: ConversationId, before: Option<Seq>, limit: usize, step: &mut Step) {
        let limit = limit.clamp(1, PAGE_ENTRIES as usize);
        let before = before.unwrap_or(Seq(u64::MAX));
        let Some(conversation) = self.conversations.get(&id) else {
            return step.event(Event::History { conversation: id, before, entries: Vec::new(), more: false });
        };
        let entries = conversation.recent_before(before, limit);
        if let Some(first) = entries.first() {
            let more = !conversation.row().complete || conversation.stores_before(first.seq);
            return step.event(Event::History { conversation: id, before, entries, more });
        }
        if conversation.stores_before(before) {
            return step.outputs.push(Output::Load { conversation: id, before, limit });
        }
        self.fetch_older(id, before, limit, step);
    }

    /// What the storage has before a seq.
    pub(super) fn loaded(
        &mut self,
        id: ConversationId,
        before: Seq,
        limit: usize,
        entries: Vec<Entry>,
        step: &mut Step,
    ) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        match entries.first() {
            Some(first) => {
                let more = !conversation.row().complete || conversation.stores_before(first.seq);
                step.event(Event::History { conversation: id, before, entries, more });
            }
            // The oldest of what is held were messages under a second seq, which are not stored.
            None => self.fetch_older(id, before, limit, step),
        }
    }

    fn fetch_older(&mut self, id: ConversationId, before: Seq, limit: usize, step: &mut Step) {
        let Some(row) = self.conversations.get(&id).map(Conversation::row) else { return };
        let (floor, complete) = (row.floor, row.complete);
        // Nothing held yet: catching up brings it.
        let reachable = floor.0 > 1 && !complete && self.link.is_online();
        if !reachable {
            let more = !complete && row.head > Seq::ZERO;
            return step.event(Event::History { conversation: id, before, entries: Vec::new(), more });
        }
        let limit_wire = u32::try_from(limit).unwrap_or(PAGE_ENTRIES);
        let fetch = v1::Fetch { conversation: id.to_bytes(), from_seq: floor.0 - 1, limit: limit_wire, backward: true };
        self.request(Purpose::History { conversation: id, before, limit }, fetch, step);
    }

    /// A page of entries older than what was held.
    pub(super) fn older(&mut self, id: ConversationId, before: Seq, page: v1::EntryPage, step: &mut Step) {
        let entries: Vec<_> = page.entries.into_iter().filter_map(|entry| Entry::from_wire(entry).ok()).collect();
        let more = page.more && !entries.is_empty();
        let entries = self.conversation(id).prepend(entries, !more);
        for entry in &entries {
            self.meet_all(entry);
            step.change(Change::PutEntry(entry.clone()));
        }
        step.touched.insert(id);
        step.event(Event::History { conversation: id, before, entries, more });
    }

    /// Asks how far the others are, where messages of one's own may have been read meanwhile: the most recent conversations.
    fn want_receipts(&mut self, conversations: usize) {
        let open = self.conversations.values().map(Conversation::row).filter(|row| row.last_own > row.others_read);
        let mut open: Vec<_> = open.map(|row| (Reverse(row.activity_us), row.id)).collect();
        open.sort_unstable();
        for (_, id) in open.into_iter().take(conversations) {
            self.questions.want(Question::Receipts(id));
        }
    }
}
