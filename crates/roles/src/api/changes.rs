//! The inbox: which conversations have moved. The ready queue of a device is whatever of it is past the device's cursors.

use super::{Api, Caller, errors};
use crate::tables::{self, InboxPart};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use hudhud_ports::{Order, Row, Scan};
use hudhud_proto::limits::{INBOX_ROWS_MAX, PAGE_ROWS_MAX};
use hudhud_proto::v1::{ChangePage, Changes, InboxHeadRow, InboxRow, PreferencesRow, SeqRow};
use hudhud_proto::{AccountId, ConversationId, ProtocolError};

/// Rows that one conversation has in an inbox.
const PARTS: usize = 3;
/// How far back of a cursor's time changes are told again, in microseconds: an entry carries the time of its acceptance and is
/// written a little later. What is later than this is found by the inbox version.
const OVERLAP_US: u64 = 60 * 1_000_000;

/// What an opaque cursor says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cursor {
    /// Rows that did not change since then are left out.
    since_us: u64,
    /// The `since_us` of the walk after this one: when this one began.
    next_us: u64,
    /// The last conversation of the page before.
    after: Option<ConversationId>,
}

impl Cursor {
    const VERSION: u8 = 1;

    fn decode(mut bytes: &[u8], now_us: u64) -> Result<Self, ProtocolError> {
        if bytes.is_empty() {
            return Ok(Self { since_us: 0, next_us: now_us, after: None });
        }
        let invalid = || ProtocolError::invalid("the cursor is not one of this server's: start with an empty one");
        if bytes.len() < 17 || bytes.get_u8() != Self::VERSION {
            return Err(invalid());
        }
        let (since_us, next_us) = (bytes.get_u64(), bytes.get_u64());
        Ok(match bytes {
            [] => Self { since_us: next_us, next_us: now_us, after: None },
            after => Self { since_us, next_us, after: Some(ConversationId::from_slice(after).map_err(|_| invalid())?) },
        })
    }

    fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(33);
        bytes.put_u8(Self::VERSION);
        bytes.put_u64(self.since_us);
        bytes.put_u64(self.next_us);
        if let Some(after) = self.after {
            bytes.put_slice(after.as_bytes());
        }
        bytes.freeze()
    }
}

pub(super) async fn changes(api: &Api, caller: &Caller, changes: Changes) -> Result<ChangePage, ProtocolError> {
    let mut cursor = Cursor::decode(&changes.cursor, api.services.now_us())?;
    let mut rows = Vec::new();
    loop {
        let (inbox, last) = read(api, caller.account, cursor.after).await?;
        let since_us = cursor.since_us.saturating_sub(OVERLAP_US);
        rows.extend(inbox.into_iter().filter(|(changed_us, _)| *changed_us >= since_us).map(|(_, row)| row));
        cursor.after = last;
        match last {
            None => {
                let inbox_version = inbox_version(api, caller.account).await?;
                return Ok(ChangePage { rows, cursor: cursor.encode(), more: false, inbox_version });
            }
            Some(_) if rows.len() >= PAGE_ROWS_MAX / 2 => {
                return Ok(ChangePage { rows, cursor: cursor.encode(), more: true, inbox_version: 0 });
            }
            Some(_) => {}
        }
    }
}

/// The sum of the head seqs of all conversations in an inbox, modulo 2^64. A device that knows all heads has the same sum, as no
/// device knows a head that the inbox does not.
pub(super) async fn inbox_version(api: &Api, account: AccountId) -> Result<u64, ProtocolError> {
    let (mut sum, mut after) = (0_u64, None);
    loop {
        let (inbox, last) = read(api, account, after).await?;
        sum = inbox.iter().fold(sum, |sum, (_, row)| sum.wrapping_add(row.head_seq));
        after = last;
        if after.is_none() {
            return Ok(sum);
        }
    }
}

/// One page of an inbox and when each row changed last; with the last conversation of it, if there may be more.
pub(super) async fn read(
    api: &Api,
    account: AccountId,
    after: Option<ConversationId>,
) -> Result<(Vec<(u64, InboxRow)>, Option<ConversationId>), ProtocolError> {
    const ROWS: usize = PAGE_ROWS_MAX / 2 * PARTS;
    let from = after.map_or_else(Bytes::new, |conversation| {
        // Behind every part of that conversation: parts are letters.
        [conversation.as_bytes().as_slice(), &[u8::MAX]].concat().into()
    });
    let scan = Scan {
        table: tables::INBOX,
        partition: account.to_bytes(),
        from,
        to: None,
        order: Order::Ascending,
        limit: ROWS,
    };
    let rows = api.services.directory.scan(scan).await.map_err(errors::from_port)?;
    let is_last = rows.len() < ROWS;
    let mut inbox: Vec<(ConversationId, u64, InboxRow)> = Vec::new();
    for row in rows {
        let (conversation, part) = tables::inbox_sort(&row.sort).ok_or_else(corrupt)?;
        if inbox.last().is_none_or(|(id, ..)| *id != conversation) {
            inbox.push((conversation, 0, InboxRow { conversation: conversation.to_bytes(), ..Default::default() }));
        }
        let (_, changed_us, merged) = inbox.last_mut().expect("pushed above");
        *changed_us = (*changed_us).max(merge(merged, part, &row)?);
    }
    // The last conversation of a full read may have more parts behind the limit: it is read again.
    if !is_last && inbox.len() > 1 {
        inbox.pop();
    }
    let last = inbox.last().map(|(id, ..)| *id).filter(|_| !is_last);
    // A conversation with a mark or preferences and no entry is not in the inbox yet.
    let rows = inbox.into_iter().filter(|(.., row)| row.head_seq > 0).map(|(_, changed_us, row)| (changed_us, row));
    Ok((rows.take(INBOX_ROWS_MAX).collect(), last))
}

fn merge(merged: &mut InboxRow, part: InboxPart, row: &Row) -> Result<u64, ProtocolError> {
    Ok(match part {
        InboxPart::Head => {
            let head: InboxHeadRow = tables::read(row).map_err(errors::from_port)?;
            merged.kind = head.kind;
            merged.head_seq = head.head_seq;
            merged.activity_us = head.activity_us;
            head.activity_us
        }
        InboxPart::Preferences => {
            let preferences: PreferencesRow = tables::read(row).map_err(errors::from_port)?;
            merged.preferences = preferences.preferences;
            preferences.changed_us
        }
        InboxPart::Read => {
            let read: SeqRow = tables::read(row).map_err(errors::from_port)?;
            merged.read_seq = read.seq;
            read.changed_us
        }
    })
}

fn corrupt() -> ProtocolError {
    errors::from_port(hudhud_ports::Error::new(hudhud_ports::ErrorKind::Corrupt, "tables", "read an inbox"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_where_the_page_ended_and_then_from_when_the_walk_began() {
        let start = Cursor::decode(&[], 1_000).expect("empty is the start");
        let middle = Cursor { after: Some(ConversationId::new([5; 16])), ..start };
        assert_eq!(Cursor::decode(&middle.encode(), 2_000).expect("its own cursor"), middle);
        let end = Cursor::decode(&start.encode(), 3_000).expect("its own cursor");
        assert_eq!(end, Cursor { since_us: 1_000, next_us: 3_000, after: None });
        assert!(Cursor::decode(b"nonsense", 0).is_err());
        assert!(Cursor::decode(&[9; 33], 0).is_err());
    }
}
