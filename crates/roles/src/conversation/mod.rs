//! One conversation's state, and what a record does to it: the pure heart of the dispatcher.
//!
//! Nothing in here reads a clock, a store or a random number. What [`Conversation::apply`] answers depends on the state, the
//! record and its position alone, so a record that is consumed twice, or by a dispatcher that does not know yet that it was
//! replaced, leads to the same writes with the same versions. An api reads the same state to refuse early what the dispatcher
//! would refuse anyway ([`policy`]).

mod apply;
pub mod policy;
mod receipts;
pub mod record;
#[cfg(test)]
mod tests;

use crate::tables;
use hudhud_ports::{Error, ErrorKind, Row};
use hudhud_proto::v1::{ConversationKind, HeadRow, MemberRow, Role, Span};
use hudhud_proto::{AccountId, ConversationId, Position, Seq};
use std::collections::BTreeMap;

pub use apply::{CLOCK_SKEW_US_MAX, Known, Outcome, Sequenced};
pub use receipts::{Marks, ReceiptPush, Receipts};

/// Rows of one conversation's partition: the head and its members, past ones too.
pub const ROWS_MAX: usize = 16 * 1_024;

/// The state of a conversation up to some position.
#[derive(Clone, PartialEq, Debug)]
pub struct Conversation {
    /// Which.
    pub id: ConversationId,
    /// Absent until the first entry.
    pub head: Option<HeadRow>,
    /// Everybody who is or was a member.
    pub members: BTreeMap<AccountId, MemberRow>,
}

impl Conversation {
    /// A conversation without entries.
    pub fn new(id: ConversationId) -> Self {
        Self { id, head: None, members: BTreeMap::new() }
    }

    /// The state in the rows of its partition.
    pub fn from_rows(id: ConversationId, rows: &[Row]) -> hudhud_ports::Result<Self> {
        let mut conversation = Self::new(id);
        for row in rows {
            match tables::conversation_sort(&row.sort) {
                Some(None) => conversation.head = Some(tables::read(row)?),
                Some(Some(account)) => {
                    conversation.members.insert(account, tables::read(row)?);
                }
                None => return Err(Error::new(ErrorKind::Corrupt, "tables", "read a conversation")),
            }
        }
        Ok(conversation)
    }

    /// The seq of the last entry.
    pub fn head_seq(&self) -> Seq {
        Seq(self.head.as_ref().map_or(0, |head| head.seq))
    }

    /// The position of the record that made the last entry.
    pub fn head_position(&self) -> Position {
        Position::from_u64(self.head.as_ref().map_or(0, |head| head.position))
    }

    /// Direct or group; unspecified while there is no entry.
    pub fn kind(&self) -> ConversationKind {
        self.head.as_ref().and_then(|head| head.kind.as_known()).unwrap_or(ConversationKind::Unspecified)
    }

    /// Whether the operators of the server closed it.
    pub fn is_closed(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.closed)
    }

    /// The role of a present member.
    pub fn role(&self, account: AccountId) -> Option<Role> {
        self.members.get(&account).and_then(present_role)
    }

    /// The present members and their roles.
    pub fn present(&self) -> impl Iterator<Item = (AccountId, Role)> + '_ {
        self.members.iter().filter_map(|(account, row)| Some((*account, present_role(row)?)))
    }

    /// Whether an account may see an entry: it was a member then.
    pub fn may_see(&self, account: AccountId, seq: Seq) -> bool {
        self.members.get(&account).is_some_and(|row| row.visible.iter().any(|span| contains(span, seq)))
    }

    /// The last entry that an account may see: the head for a member, its leaving for who was one. None for strangers.
    pub fn reach(&self, account: AccountId) -> Option<Seq> {
        let span = self.members.get(&account)?.visible.last()?;
        Some(if span.to == 0 { self.head_seq() } else { Seq(span.to) })
    }

    /// Everybody who may see an entry.
    pub fn audience(&self, seq: Seq) -> impl Iterator<Item = AccountId> + '_ {
        self.members.keys().copied().filter(move |account| self.may_see(*account, seq))
    }

    /// The other account of a direct chat.
    pub fn peer(&self, account: AccountId) -> Option<AccountId> {
        match self.kind() {
            ConversationKind::Direct => self.members.keys().copied().find(|other| *other != account).or(Some(account)),
            _ => None,
        }
    }
}

/// Whether a span holds a seq.
pub fn contains(span: &Span, seq: Seq) -> bool {
    span.from <= seq.0 && (span.to == 0 || seq.0 <= span.to)
}

fn present_role(row: &MemberRow) -> Option<Role> {
    row.role.as_known().filter(|role| *role != Role::Unspecified)
}
