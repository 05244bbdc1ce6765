//! The storage of a profile: one SQLite database, one transaction per persist, synced before it returns.

use super::profile::Profile;
use super::rows;
use crate::limits::RECENT_ENTRIES;
use crate::{Change, Entry, State, Storage, StorageError};
use hudhud_proto::{ConversationId, Seq};
use rusqlite::{Connection, Transaction, params};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

/// Raised with every change of the tables. An older database is brought up, a newer one refused.
const SCHEMA_VERSION: i64 = 2;

const SCHEMA: &str = "
    CREATE TABLE account (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        account BLOB NOT NULL, device BLOB NOT NULL, handle TEXT NOT NULL, token TEXT
    ) STRICT;
    CREATE TABLE progress (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        changes_cursor BLOB NOT NULL, clock_offset_us INTEGER NOT NULL, last_id_ms INTEGER NOT NULL,
        connection_number INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE conversations (
        id BLOB PRIMARY KEY,
        kind INTEGER NOT NULL, title TEXT NOT NULL, peer BLOB, role INTEGER NOT NULL, announce_only INTEGER NOT NULL,
        member_count INTEGER NOT NULL, info_seq INTEGER NOT NULL, head INTEGER NOT NULL, activity_us INTEGER NOT NULL,
        cursor INTEGER NOT NULL, floor INTEGER NOT NULL, complete INTEGER NOT NULL, read INTEGER NOT NULL,
        read_told INTEGER NOT NULL, received_told INTEGER NOT NULL, others_received INTEGER NOT NULL,
        others_read INTEGER NOT NULL, last_own INTEGER NOT NULL, muted_until_us INTEGER NOT NULL,
        pinned INTEGER NOT NULL, archived INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE entries (
        conversation BLOB NOT NULL, seq INTEGER NOT NULL, entry BLOB NOT NULL,
        UNIQUE (conversation, seq)
    ) STRICT;
    CREATE TABLE outbox (
        message BLOB PRIMARY KEY,
        conversation BLOB NOT NULL, number INTEGER NOT NULL, composed_us INTEGER NOT NULL,
        content_type TEXT NOT NULL, payload BLOB NOT NULL,
        state INTEGER NOT NULL, refused_code INTEGER, refused_reason TEXT
    ) STRICT;
    CREATE TABLE people (
        account BLOB PRIMARY KEY, handle TEXT NOT NULL, display_name TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// What a database of version 1 lacks.
const TO_VERSION_2: &str = "ALTER TABLE progress ADD COLUMN connection_number INTEGER NOT NULL DEFAULT 0";

const TABLES: [&str; 6] = ["account", "progress", "conversations", "entries", "outbox", "people"];

/// A profile's database.
#[derive(Debug)]
pub struct SqliteStorage {
    database: Connection,
    /// Held as long as the database is open.
    _profile: Profile,
}

impl SqliteStorage {
    pub(super) fn open(profile: Profile) -> Result<Self, StorageError> {
        let path = profile.path().join("client.db");
        let failed = |source| StorageError::new(format!("opening {}", path.display()), source);
        // Made here and not by SQLite, so that it is never readable by others; its journal takes the same mode.
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        file.map_err(|source| StorageError::new(format!("opening {}", path.display()), source))?;
        let mut database = Connection::open(&path).map_err(failed)?;
        prepare(&mut database).map_err(failed)?;
        Ok(Self { database, _profile: profile })
    }
}

fn prepare(database: &mut Connection) -> rusqlite::Result<()> {
    database.pragma_update(None, "journal_mode", "WAL")?;
    // With a write-ahead log this syncs at each commit: what was persisted survives the loss of power.
    database.pragma_update(None, "synchronous", "FULL")?;
    let transaction = database.transaction()?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        SCHEMA_VERSION => {}
        0 => transaction.execute_batch(SCHEMA)?,
        1 => transaction.execute_batch(TO_VERSION_2)?,
        newer => {
            let message = format!("its version {newer} is newer than this program knows ({SCHEMA_VERSION}): update it");
            return Err(rusqlite::Error::InvalidParameterName(message));
        }
    }
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

impl Storage for SqliteStorage {
    fn load(&mut self) -> Result<State, StorageError> {
        self.load_all().map_err(|source| StorageError::new("reading the profile", source))
    }

    fn persist(&mut self, changes: &[Change]) -> Result<(), StorageError> {
        let write = |database: &mut Connection| {
            let transaction = database.transaction()?;
            changes.iter().try_for_each(|change| apply(&transaction, change))?;
            transaction.commit()
        };
        write(&mut self.database).map_err(|source| StorageError::new("writing to the profile", source))
    }

    fn entries_before(
        &mut self,
        conversation: ConversationId,
        before: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let read = self.read_entries_before(conversation, before, limit);
        read.map_err(|source| StorageError::new("reading the profile", source))
    }
}

impl SqliteStorage {
    fn load_all(&self) -> rusqlite::Result<State> {
        let mut state = State {
            account: self.all("SELECT account, device, handle, token FROM account", rows::account)?.pop(),
            conversations: self.all("SELECT * FROM conversations", rows::conversation)?,
            outbox: self.all("SELECT * FROM outbox ORDER BY number", rows::outgoing)?,
            people: self.all("SELECT account, handle, display_name FROM people", rows::person)?,
            ..State::default()
        };
        let progress = "SELECT changes_cursor, clock_offset_us, last_id_ms, connection_number FROM progress";
        state.progress = self.all(progress, rows::progress)?.pop().unwrap_or_default();
        for row in &state.conversations {
            state.entries.extend(self.read_entries_before(row.id, Seq(u64::MAX), RECENT_ENTRIES)?);
        }
        Ok(state)
    }

    fn all<T>(&self, sql: &str, read: fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Vec<T>> {
        self.database.prepare(sql)?.query_map([], read)?.collect()
    }

    fn read_entries_before(
        &self,
        conversation: ConversationId,
        before: Seq,
        limit: usize,
    ) -> rusqlite::Result<Vec<Entry>> {
        let sql = "SELECT entry FROM entries WHERE conversation = ? AND seq < ? ORDER BY seq DESC LIMIT ?";
        let before = i64::try_from(before.0).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut newest: Vec<_> = self
            .database
            .prepare_cached(sql)?
            .query_map(params![conversation.as_bytes(), before, limit], rows::entry)?
            .collect::<rusqlite::Result<_>>()?;
        newest.reverse();
        Ok(newest)
    }
}

fn apply(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    let execute = |sql: &str, values: &[&dyn rusqlite::ToSql]| transaction.prepare_cached(sql)?.execute(values);
    match change {
        Change::SaveAccount(account) => {
            let token = account.token.as_ref().map(crate::Token::reveal);
            execute(
                "INSERT OR REPLACE INTO account VALUES (0, ?, ?, ?, ?)",
                params![account.account.as_bytes(), account.device.as_bytes(), account.handle, token],
            )?;
        }
        Change::SaveProgress(progress) => {
            let [last_id_ms, number] = [progress.last_id_ms, progress.connection_number].map(rows::int);
            execute(
                "INSERT OR REPLACE INTO progress VALUES (0, ?, ?, ?, ?)",
                params![&progress.changes_cursor[..], progress.clock_offset_us, last_id_ms, number],
            )?;
        }
        Change::PutConversation(row) => rows::put_conversation(transaction, row)?,
        Change::PutEntry(entry) => {
            let (seq, bytes) = (rows::int(entry.seq.0), rows::encode(entry));
            execute(
                "INSERT OR REPLACE INTO entries (conversation, seq, entry) VALUES (?, ?, ?)",
                params![entry.conversation.as_bytes(), seq, bytes],
            )?;
        }
        Change::PutOutgoing(outgoing) => rows::put_outgoing(transaction, outgoing)?,
        Change::RemoveOutgoing(message) => {
            execute("DELETE FROM outbox WHERE message = ?", params![message.as_bytes()])?;
        }
        Change::PutPerson(person) => {
            execute(
                "INSERT OR REPLACE INTO people VALUES (?, ?, ?)",
                params![person.account.as_bytes(), person.handle, person.display_name],
            )?;
        }
        Change::Clear => {
            for table in TABLES {
                transaction.execute(&format!("DELETE FROM {table}"), [])?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
