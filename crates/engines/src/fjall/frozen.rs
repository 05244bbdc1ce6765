//! A view of a store as it was at one moment, for whoever reads all of it: a backup, a check.

use super::{ENGINE, StoredRow, mark, row};
use fjall::{Keyspace, Readable as _, Snapshot};
use hudhud_ports::{Database, Error, ErrorKind, Result};
use std::ops::Bound;

/// Rows as they were. What the store writes meanwhile is not seen; what it would have dropped stays on disk until this goes.
pub struct Frozen {
    snapshot: Snapshot,
    messages: Keyspace,
    directory: Keyspace,
}

impl Frozen {
    pub(super) fn new(snapshot: Snapshot, messages: Keyspace, directory: Keyspace) -> Self {
        Self { snapshot, messages, directory }
    }

    /// Every row, in the order of tables, partitions and sort keys; deletions that are remembered and rows that are expired too.
    /// Reads the disk.
    ///
    /// # Errors
    /// `Corrupt`, with the row where it is known, for one that is not as it was written. Behind an error of the disk or of a
    /// block there are no further rows.
    pub fn rows(&self, database: Database) -> impl Iterator<Item = Result<StoredRow>> + '_ {
        self.range(database, (Bound::Excluded(mark::KEY.to_vec()), Bound::Unbounded))
    }

    /// The same of one table.
    pub fn table(&self, database: Database, table: &str) -> impl Iterator<Item = Result<StoredRow>> + '_ {
        let from = row::table_prefix(table);
        let to = row::after_prefix(from.clone());
        self.range(database, (Bound::Included(from), Bound::Excluded(to)))
    }

    /// One row.
    pub fn get(&self, key: &hudhud_ports::Key) -> Result<Option<StoredRow>> {
        let (database, bytes) = (key.table.database, row::key_bytes(key));
        let stored = self.snapshot.get(self.keyspace(database), &bytes).map_err(unreadable)?;
        stored.map(|value| StoredRow::decode(database, &bytes, &value)).transpose()
    }

    fn keyspace(&self, database: Database) -> &Keyspace {
        match database {
            Database::Messages => &self.messages,
            Database::Directory => &self.directory,
        }
    }

    fn range(
        &self,
        database: Database,
        range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    ) -> impl Iterator<Item = Result<StoredRow>> + '_ {
        let mut rows = self.snapshot.range(self.keyspace(database), range);
        let mut is_over = false;
        std::iter::from_fn(move || {
            if is_over {
                return None;
            }
            let next = rows.next()?.into_inner().map_err(unreadable);
            is_over = next.is_err();
            Some(next.and_then(|(key, value)| StoredRow::decode(database, &key, &value)))
        })
    }
}

fn unreadable(error: fjall::Error) -> Error {
    let kind = super::read_error("read", error);
    match kind.kind() {
        ErrorKind::Corrupt => Error::new(ErrorKind::Corrupt, ENGINE, "read").because(format!(
            "a block of a table is damaged ({kind}): `hudhud verify` on the stopped server names the file"
        )),
        _ => kind,
    }
}
