//! The receipts that this device owes: "stored here up to", "seen by a person up to".
//!
//! A receipt is a watermark, so only the newest of a conversation is ever sent, and it is repeated until it is answered: after
//! an error, a timeout, another connection or another run. What was owed and told is in the conversation's row; this machine
//! knows when to tell it.

use crate::conversation::Row;
use crate::limits::{RECEIPT_DELAY, RECEIPTS_MAX};
use hudhud_proto::v1::ReceiptKind;
use hudhud_proto::{ConversationId, Seq};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Receipts {
    owed: BTreeSet<ConversationId>,
    in_flight: BTreeMap<(ConversationId, ReceiptOrder), Seq>,
    due: Option<Duration>,
}

/// Receipt kinds in the order in which they are told: nothing is read before it was received.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum ReceiptOrder {
    Received,
    Read,
}

impl ReceiptOrder {
    fn of(kind: ReceiptKind) -> Self {
        if kind == ReceiptKind::Read { Self::Read } else { Self::Received }
    }

    fn kind(self) -> ReceiptKind {
        match self {
            Self::Received => ReceiptKind::Received,
            Self::Read => ReceiptKind::Read,
        }
    }
}

/// What the server has not been told of a conversation.
fn untold(row: &Row) -> [(ReceiptOrder, Seq); 2] {
    let seq = |reached: Seq, told: Seq| if reached > told { reached } else { Seq::ZERO };
    [
        (ReceiptOrder::Received, seq(row.cursor, row.received_told)),
        // What another device has read is told already, or will be by that device.
        (ReceiptOrder::Read, seq(row.read.min(row.cursor), row.read_told)),
    ]
}

impl Receipts {
    /// Something of this conversation was stored or seen. Told after a moment, together with what comes meanwhile.
    pub(crate) fn owe(&mut self, row: &Row, now: Duration) {
        if untold(row).iter().any(|(_, seq)| *seq > Seq::ZERO) {
            self.owed.insert(row.id);
            self.due = self.due.or(Some(now + RECEIPT_DELAY));
        }
    }

    /// Told at once: a backlog has been stored.
    pub(crate) fn hurry(&mut self, now: Duration) {
        if self.due.is_some() {
            self.due = Some(now);
        }
    }

    /// The receipts to send now.
    pub(crate) fn take<'a>(
        &mut self,
        now: Duration,
        row: impl Fn(ConversationId) -> Option<&'a Row>,
    ) -> Vec<(ConversationId, ReceiptKind, Seq)> {
        let mut sends = Vec::new();
        if self.due.is_none_or(|due| due > now) {
            return sends;
        }
        while self.in_flight.len() < RECEIPTS_MAX
            && let Some(conversation) = self.owed.pop_first()
        {
            let Some(row) = row(conversation) else { continue };
            for (order, seq) in untold(row) {
                let under_way = self.in_flight.get(&(conversation, order)).copied().unwrap_or(Seq::ZERO);
                if seq > under_way {
                    self.in_flight.insert((conversation, order), seq);
                    sends.push((conversation, order.kind(), seq));
                }
            }
        }
        self.due = None;
        sends
    }

    /// A receipt was answered (or never will be): there is room for the next.
    pub(crate) fn answered(&mut self, conversation: ConversationId, kind: ReceiptKind, seq: Seq, now: Duration) {
        let key = (conversation, ReceiptOrder::of(kind));
        if self.in_flight.get(&key).is_some_and(|under_way| *under_way <= seq) {
            self.in_flight.remove(&key);
        }
        if !self.owed.is_empty() {
            self.due = self.due.or(Some(now));
        }
    }

    /// A receipt failed for now: it is repeated then.
    pub(crate) fn postpone(&mut self, conversation: ConversationId, kind: ReceiptKind, until: Duration) {
        self.in_flight.remove(&(conversation, ReceiptOrder::of(kind)));
        self.owed.insert(conversation);
        self.due = self.due.or(Some(until));
    }

    /// The connection is gone. Everything that is owed is found again by [`Receipts::owe`].
    pub(crate) fn disconnected(&mut self) {
        *self = Self::default();
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cursor: u64, read: u64) -> Row {
        let mut row = Row::new(ConversationId::new([5; 16]));
        (row.cursor, row.read) = (Seq(cursor), Seq(read));
        row
    }

    fn take(receipts: &mut Receipts, row: &Row, ms: u64) -> Vec<(ReceiptKind, u64)> {
        let sends = receipts.take(Duration::from_millis(ms), |_| Some(row));
        sends.into_iter().map(|(_, kind, seq)| (kind, seq.0)).collect()
    }

    #[test]
    fn receipts_are_gathered_and_only_the_newest_is_told() {
        let mut receipts = Receipts::default();
        receipts.owe(&row(1, 0), Duration::ZERO);
        receipts.owe(&row(2, 0), Duration::from_millis(40));
        assert_eq!(take(&mut receipts, &row(2, 0), 49), []);
        assert_eq!(take(&mut receipts, &row(2, 0), 50), [(ReceiptKind::Received, 2)]);
        assert_eq!(receipts.due(), None);
    }

    #[test]
    fn reading_is_told_after_receiving_and_never_beyond_what_is_stored() {
        let mut receipts = Receipts::default();
        receipts.owe(&row(3, 9), Duration::ZERO);
        receipts.hurry(Duration::ZERO);
        assert_eq!(take(&mut receipts, &row(3, 9), 0), [(ReceiptKind::Received, 3), (ReceiptKind::Read, 3)]);
    }

    #[test]
    fn a_failed_receipt_is_told_again_and_an_answered_one_is_not() {
        let mut receipts = Receipts::default();
        let mut row = row(3, 0);
        let told = [(ReceiptKind::Received, 3)];
        receipts.owe(&row, Duration::ZERO);
        assert_eq!(take(&mut receipts, &row, 50), told);
        receipts.owe(&row, Duration::from_millis(60));
        assert_eq!(take(&mut receipts, &row, 200), [], "it is under way");
        receipts.postpone(row.id, ReceiptKind::Received, Duration::from_millis(300));
        assert_eq!(take(&mut receipts, &row, 300), told);
        row.received_told = Seq(3);
        receipts.answered(row.id, ReceiptKind::Received, Seq(3), Duration::from_millis(400));
        receipts.owe(&row, Duration::from_millis(400));
        assert_eq!(receipts.due(), None);
    }
}
