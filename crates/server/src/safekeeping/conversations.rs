//! A checksum for each conversation: over its timeline, its head and members, and its watermarks.

use hudhud_engines::fjall::{Frozen, StoredRow};
use hudhud_ports::{Database, Result};
use hudhud_proto::ConversationId;
use hudhud_roles::tables;
use std::iter::Peekable;

type Rows<'a> = Peekable<Box<dyn Iterator<Item = Result<StoredRow>> + 'a>>;

/// The bytes of an item with a conversation and its checksum.
pub const ITEM_BYTES: usize = 16 + 32;

/// The conversations of a view in the order of their ids, with their checksums. Holds one row of each table at a time.
pub struct Sums<'a> {
    tables: Vec<Rows<'a>>,
}

impl<'a> Sums<'a> {
    /// Of all conversations.
    pub fn of(messages: &'a Frozen) -> Self {
        let rows = |table: &'static hudhud_ports::Table| {
            let rows: Box<dyn Iterator<Item = _>> = Box::new(messages.table(Database::Messages, table.name));
            rows.peekable()
        };
        Self { tables: [tables::TIMELINE, tables::CONVERSATION, tables::WATERMARKS].map(rows).into() }
    }

    /// The least conversation that has a row left, or the error that is next.
    fn least(&mut self) -> Option<Result<ConversationId>> {
        let mut least = None;
        for rows in &mut self.tables {
            match rows.peek() {
                None => {}
                // Taken, so that it is reported once.
                Some(Err(_)) => return rows.next().map(|row| row.map(|row| conversation(&row))),
                Some(Ok(row)) => {
                    let id = conversation(row);
                    least = Some(least.map_or(id, |least: ConversationId| least.min(id)));
                }
            }
        }
        least.map(Ok)
    }
}

/// Whose row it is: partitions of these tables begin with the conversation.
pub fn conversation(row: &StoredRow) -> ConversationId {
    let mut id = [0; 16];
    let known = row.partition.len().min(16);
    id[..known].copy_from_slice(&row.partition[..known]);
    ConversationId::new(id)
}

impl Iterator for Sums<'_> {
    type Item = Result<(ConversationId, [u8; 32])>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = match self.least()? {
            Ok(id) => id,
            Err(error) => return Some(Err(error)),
        };
        let mut hasher = blake3::Hasher::new();
        for rows in &mut self.tables {
            while let Some(Ok(row)) = rows.next_if(|row| row.as_ref().is_ok_and(|row| conversation(row) == id)) {
                let item = super::rows::encode_row(&row);
                hasher.update(&(item.len() as u64).to_be_bytes());
                hasher.update(&item);
            }
        }
        Some(Ok((id, *hasher.finalize().as_bytes())))
    }
}
