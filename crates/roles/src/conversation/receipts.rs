//! Watermarks of a conversation's members, and who is told when one moves.

use super::Conversation;
use super::record::Moved;
use crate::session::Recipient;
use crate::tables::{self, InboxPart, Watermark};
use hudhud_ports::{Row, Write};
use hudhud_proto::v1::{ConversationKind, Receipt, ReceiptKind, SeqRow};
use hudhud_proto::{AccountId, Seq};
use std::collections::BTreeMap;

/// How far one member received and read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    /// Everything up to here is stored on one of its devices.
    pub received: Seq,
    /// Everything up to here was seen.
    pub read: Seq,
}

impl Marks {
    fn of(&self, kind: ReceiptKind) -> Seq {
        match kind {
            ReceiptKind::Read => self.read,
            _ => self.received,
        }
    }

    fn raise(&mut self, kind: ReceiptKind, seq: Seq) {
        match kind {
            // Who has read it has received it, whichever of the two arrives first.
            ReceiptKind::Read => {
                self.read = self.read.max(seq);
                self.received = self.received.max(seq);
            }
            _ => self.received = self.received.max(seq),
        }
    }
}

/// A receipt and who gets it.
#[derive(Clone, PartialEq, Debug)]
pub struct ReceiptPush {
    /// What.
    pub receipt: Receipt,
    /// Who.
    pub to: Recipient,
}

/// The watermarks of a conversation.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Receipts {
    marks: BTreeMap<AccountId, Marks>,
    /// The last seq of each recent sender: whom a tick may interest.
    last_sent: BTreeMap<AccountId, Seq>,
    /// What each account was told last, of received and of read. Not what is stored: an api stores a mark before its record is
    /// consumed, so a state that was just loaded holds marks that nobody was told of.
    told: BTreeMap<(AccountId, bool), Seq>,
}

impl Moved {
    /// The rows that hold the mark, in the messages and in the directory. Each is versioned by the seq itself, so that it is a
    /// maximum without a read. The mark never passes the head: entries that nobody has written yet would count as read. Of who
    /// is a member no more, only its own devices keep a mark.
    pub fn rows(&self, conversation: &Conversation) -> (Option<Write>, Option<Write>) {
        let seq = self.seq.min(conversation.reach(self.account).unwrap_or_default());
        if seq == Seq::ZERO {
            return (None, None);
        }
        let row = SeqRow { seq: seq.0, changed_us: self.moved_us };
        let put = |key| tables::put(key, &row, seq.0);
        let is_read = self.kind == ReceiptKind::Read;
        let which = if is_read { Watermark::Read } else { Watermark::Received };
        let shared = !self.own_devices_only && conversation.role(self.account).is_some();
        let own = match is_read {
            true => tables::inbox(self.account, conversation.id, InboxPart::Read),
            false => tables::cursor(self.account, self.device, conversation.id),
        };
        (shared.then(|| put(tables::watermark(conversation.id, self.account, which))), Some(put(own)))
    }
}

impl Receipts {
    /// The watermarks in the rows of their partition.
    pub fn from_rows(rows: &[Row]) -> hudhud_ports::Result<Self> {
        let mut receipts = Self::default();
        for row in rows {
            if let Some((account, which)) = tables::watermark_sort(&row.sort) {
                let kind = match which {
                    Watermark::Received => ReceiptKind::Received,
                    Watermark::Read => ReceiptKind::Read,
                };
                let seq = Seq(tables::read::<SeqRow>(row)?.seq);
                receipts.marks.entry(account).or_default().raise(kind, seq);
            }
        }
        Ok(receipts)
    }

    /// Notes who sent an entry.
    pub fn sent(&mut self, account: AccountId, seq: Seq) {
        let last = self.last_sent.entry(account).or_default();
        *last = (*last).max(seq);
    }

    /// A member's marks, counting what was before it came as received and read.
    pub fn marks(&self, conversation: &Conversation, account: AccountId) -> Marks {
        let mut marks = self.marks.get(&account).copied().unwrap_or_default();
        let since = conversation.members.get(&account).and_then(|row| row.visible.last()).map_or(0, |span| span.from);
        marks.raise(ReceiptKind::Read, Seq(since.saturating_sub(1)));
        marks
    }

    /// The lowest mark of all present members but one: what the ticks of that one show.
    pub fn lowest_of_others(&self, conversation: &Conversation, but: AccountId, kind: ReceiptKind) -> Seq {
        self.lowest(conversation, kind).but(but)
    }

    /// Moves a member's mark and says who is to be told. Nothing if it did not climb.
    pub fn apply(&mut self, conversation: &Conversation, moved: &Moved) -> Vec<ReceiptPush> {
        let Some(reach) = conversation.reach(moved.account) else {
            return Vec::new();
        };
        let seq = moved.seq.min(reach);
        let receipt = |seq: Seq, account: Option<AccountId>| Receipt {
            conversation: conversation.id.to_bytes(),
            kind: moved.kind.into(),
            seq: seq.0,
            account: account.map(AccountId::to_bytes).unwrap_or_default(),
        };
        let mut pushes = Vec::new();
        if moved.kind == ReceiptKind::Read {
            let to = Recipient::OtherDevices(moved.account, moved.device);
            pushes.push(ReceiptPush { receipt: receipt(seq, Some(moved.account)), to });
        }
        if moved.own_devices_only || conversation.role(moved.account).is_none() {
            return pushes;
        }
        self.marks.entry(moved.account).or_default().raise(moved.kind, seq);
        let (about, reached): (_, Vec<(AccountId, Seq)>) = match conversation.kind() {
            ConversationKind::Direct => {
                let peer = conversation.peer(moved.account).filter(|peer| *peer != moved.account);
                (Some(moved.account), peer.map(|peer| (peer, seq)).into_iter().collect())
            }
            _ => {
                let lowest = self.lowest(conversation, moved.kind);
                let senders = self.last_sent.keys().filter(|sender| conversation.role(**sender).is_some());
                (None, senders.map(|sender| (*sender, lowest.but(*sender))).collect())
            }
        };
        for (account, seq) in reached {
            let told = self.told.entry((account, moved.kind == ReceiptKind::Read)).or_default();
            let interesting = about.is_some() || self.last_sent.get(&account).is_some_and(|last| *last > *told);
            if seq > *told && interesting {
                *told = seq;
                pushes.push(ReceiptPush { receipt: receipt(seq, about), to: Recipient::Account(account) });
            }
        }
        pushes
    }

    /// What is left of a push about reading for who keeps read receipts off and so learns nothing of others' reading: that it
    /// was received, unless that was told before.
    pub fn without_reading(&mut self, push: ReceiptPush) -> Option<ReceiptPush> {
        let Recipient::Account(account) = push.to else { return None };
        let told = self.told.entry((account, false)).or_default();
        let seq = Seq(push.receipt.seq);
        if seq <= *told {
            return None;
        }
        *told = seq;
        let receipt = Receipt { kind: ReceiptKind::Received.into(), ..push.receipt };
        Some(ReceiptPush { receipt, ..push })
    }

    fn lowest(&self, conversation: &Conversation, kind: ReceiptKind) -> Lowest {
        let mut lowest = Lowest { first: None, second: conversation.head_seq() };
        for (account, _) in conversation.present() {
            let mark = self.marks(conversation, account).of(kind);
            match lowest.first {
                Some((_, first)) if mark >= first => lowest.second = lowest.second.min(mark),
                first => {
                    lowest.second = first.map_or(lowest.second, |(_, seq)| lowest.second.min(seq));
                    lowest.first = Some((account, mark));
                }
            }
        }
        lowest
    }
}

/// The lowest mark and whose it is, and the lowest of all others.
#[derive(Clone, Copy, Debug)]
struct Lowest {
    first: Option<(AccountId, Seq)>,
    second: Seq,
}

impl Lowest {
    fn but(&self, account: AccountId) -> Seq {
        match self.first {
            Some((whose, seq)) if whose != account => seq,
            _ => self.second,
        }
    }
}
