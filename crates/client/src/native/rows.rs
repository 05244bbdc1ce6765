//! Rows of the profile's database, written and read in the order of their columns.

use crate::{Account, Content, ConversationRow, Entry, Outgoing, OutgoingState, Person, Progress, Token};
use hudhud_proto::v1::{self, ErrorCode};
use hudhud_proto::{AccountId, ConversationId, DeviceId, EnumValue, Message, MessageId, Seq};
use rusqlite::types::Type;
use rusqlite::{Row, Transaction, params};

/// SQLite's integers are signed: the same 64 bits.
pub(super) fn int(value: u64) -> i64 {
    value.cast_signed()
}

fn uint(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

fn seq(row: &Row<'_>, column: usize) -> rusqlite::Result<Seq> {
    uint(row, column).map(Seq)
}

/// What a column holds is not what belongs there.
fn corrupt(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}

macro_rules! id_reader {
    ($name:ident, $id:ty) => {
        fn $name(row: &Row<'_>, column: usize) -> rusqlite::Result<$id> {
            let bytes: Vec<u8> = row.get(column)?;
            <$id>::from_slice(&bytes).map_err(|error| corrupt(column, error))
        }
    };
}

id_reader!(account_id, AccountId);
id_reader!(device_id, DeviceId);
id_reader!(conversation_id, ConversationId);
id_reader!(message_id, MessageId);

pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    entry.to_wire().encode_to_vec()
}

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let bytes: Vec<u8> = row.get(0)?;
    let wire = v1::Entry::decode_from_slice(&bytes).map_err(|error| corrupt(0, error))?;
    Entry::from_wire(wire).map_err(|error| corrupt(0, error))
}

pub(super) fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        account: account_id(row, 0)?,
        device: device_id(row, 1)?,
        handle: row.get(2)?,
        token: row.get::<_, Option<String>>(3)?.map(Token::new),
    })
}

pub(super) fn progress(row: &Row<'_>) -> rusqlite::Result<Progress> {
    Ok(Progress {
        changes_cursor: row.get::<_, Vec<u8>>(0)?.into(),
        clock_offset_us: row.get(1)?,
        last_id_ms: uint(row, 2)?,
        connection_number: uint(row, 3)?,
    })
}

pub(super) fn person(row: &Row<'_>) -> rusqlite::Result<Person> {
    Ok(Person { account: account_id(row, 0)?, handle: row.get(1)?, display_name: row.get(2)? })
}

pub(super) fn conversation(row: &Row<'_>) -> rusqlite::Result<ConversationRow> {
    Ok(ConversationRow {
        id: conversation_id(row, 0)?,
        kind: EnumValue::from(row.get::<_, i32>(1)?).as_known().unwrap_or(v1::ConversationKind::Unspecified),
        title: row.get(2)?,
        peer: row.get::<_, Option<Vec<u8>>>(3)?.map(|_| account_id(row, 3)).transpose()?,
        role: EnumValue::from(row.get::<_, i32>(4)?).as_known().unwrap_or(v1::Role::Unspecified),
        announce_only: row.get(5)?,
        member_count: row.get(6)?,
        info_seq: seq(row, 7)?,
        head: seq(row, 8)?,
        activity_us: uint(row, 9)?,
        cursor: seq(row, 10)?,
        floor: seq(row, 11)?,
        complete: row.get(12)?,
        read: seq(row, 13)?,
        read_told: seq(row, 14)?,
        received_told: seq(row, 15)?,
        others_received: seq(row, 16)?,
        others_read: seq(row, 17)?,
        last_own: seq(row, 18)?,
        muted_until_us: uint(row, 19)?,
        pinned: row.get(20)?,
        archived: row.get(21)?,
    })
}

pub(super) fn put_conversation(transaction: &Transaction<'_>, row: &ConversationRow) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO conversations
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    transaction.prepare_cached(sql)?.execute(params![
        row.id.as_bytes(),
        row.kind as i32,
        row.title,
        row.peer.as_ref().map(AccountId::as_bytes),
        row.role as i32,
        row.announce_only,
        row.member_count,
        int(row.info_seq.0),
        int(row.head.0),
        int(row.activity_us),
        int(row.cursor.0),
        int(row.floor.0),
        row.complete,
        int(row.read.0),
        int(row.read_told.0),
        int(row.received_told.0),
        int(row.others_received.0),
        int(row.others_read.0),
        int(row.last_own.0),
        int(row.muted_until_us),
        row.pinned,
        row.archived,
    ])?;
    Ok(())
}

const QUEUED: i32 = 0;
const ACCEPTED: i32 = 1;
const REFUSED: i32 = 2;

pub(super) fn outgoing(row: &Row<'_>) -> rusqlite::Result<Outgoing> {
    let state = match row.get(6)? {
        QUEUED => OutgoingState::Queued,
        ACCEPTED => OutgoingState::Accepted,
        _ => OutgoingState::Refused {
            code: EnumValue::from(row.get::<_, Option<i32>>(7)?.unwrap_or_default())
                .as_known()
                .unwrap_or(ErrorCode::Unspecified),
            reason: row.get::<_, Option<String>>(8)?.unwrap_or_default(),
        },
    };
    Ok(Outgoing {
        message: message_id(row, 0)?,
        conversation: conversation_id(row, 1)?,
        number: uint(row, 2)?,
        composed_us: uint(row, 3)?,
        content: Content { content_type: row.get(4)?, payload: row.get::<_, Vec<u8>>(5)?.into() },
        state,
    })
}

pub(super) fn put_outgoing(transaction: &Transaction<'_>, outgoing: &Outgoing) -> rusqlite::Result<()> {
    let (state, refusal) = match &outgoing.state {
        OutgoingState::Queued => (QUEUED, None),
        OutgoingState::Accepted => (ACCEPTED, None),
        OutgoingState::Refused { code, reason } => (REFUSED, Some((*code as i32, reason))),
    };
    let sql = "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    transaction.prepare_cached(sql)?.execute(params![
        outgoing.message.as_bytes(),
        outgoing.conversation.as_bytes(),
        int(outgoing.number),
        int(outgoing.composed_us),
        outgoing.content.content_type,
        &outgoing.content.payload[..],
        state,
        refusal.map(|(code, _)| code),
        refusal.map(|(_, reason)| reason),
    ])?;
    Ok(())
}
