//! The embedded database on fjall, a log-structured merge tree.
//!
//! One fjall database serves both of Hudhud's, each in a keyspace of its own. A keyspace per table would multiply the
//! memory tables (twenty tables, twenty times their memory) and gain nothing: the table's name leads the key, so that a
//! partition is one ordered range all the same, and a new table costs nothing.
//!
//! All writes go through one thread (`writer`), which takes whatever waits, checks versions, and writes it as one batch:
//! no locks, atomic for free, one fsync for all who flush. Reads run on the caller's thread: from the block cache they are
//! shorter than a hand-over to another thread (29-34 µs for the last 50 entries of a conversation).

mod archive;
mod cache;
mod expiry;
mod frozen;
#[doc(hidden)]
pub mod fuzz;
mod inspect;
mod journal;
mod mark;
mod row;
#[cfg(test)]
mod tests;
mod writer;

use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, Readable as _};
use hudhud_ports::limits::{check_key, check_key_part, check_lists, check_writes};
use hudhud_ports::{Claim, Clock, Error, ErrorKind, Key, Order, Result, Row, Scan, Write};
use mark::{Mark, Synced};
use parking_lot::Mutex;
use row::{Cell, Slot};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

pub use frozen::Frozen;
pub use inspect::check_files;
pub use row::StoredRow;

const ENGINE: &str = "embedded store";
const MESSAGES: &str = "messages";
const DIRECTORY: &str = "directory";
/// Calls that wait for the writer; more wait for their turn to do so.
const QUEUED_CALLS_MAX: usize = 1_024;
/// Rows in memory, of both databases together.
const ROW_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How a [`Store`] uses memory and disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreOptions {
    /// Blocks and indexes that are kept in memory.
    pub block_cache_bytes_max: u64,
    /// Writes that each of the two keyspaces gathers in memory before they go into its tree. Up to four more may wait
    /// for that.
    pub memtable_bytes_max: u64,
    /// Journals on disk; at least 64 MiB.
    pub journals_bytes_max: u64,
    /// When the disk has less room than this, writes are refused as `Full`. Below it come journals and compactions,
    /// which can't be refused.
    pub disk_free_bytes_min: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            block_cache_bytes_max: 64 * MIB,
            memtable_bytes_max: 16 * MIB,
            journals_bytes_max: 256 * MIB,
            disk_free_bytes_min: 256 * MIB,
        }
    }
}

/// A [`hudhud_ports::Store`] in a folder, for both databases.
pub struct Store {
    shared: Arc<Shared>,
    calls: mpsc::Sender<writer::Call>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    path: PathBuf,
    options: StoreOptions,
    clock: Arc<dyn Clock>,
    database: Database,
    messages: Keyspace,
    directory: Keyspace,
    cache: cache::Cache,
    /// Why nothing can be promised any more.
    failed: OnceLock<String>,
}

impl Store {
    /// Opens the database in this folder, which is made if it is not there. Recovers what a crash left. Blocks.
    ///
    /// # Errors
    /// `Unavailable` when another process has it open, or the folder can't be used; `Corrupt` when what is in it is.
    pub fn open(path: &Path, options: StoreOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let failed = |error| open_error(path, error);
        std::fs::create_dir_all(path).map_err(|error| failed(fjall::Error::Io(error)))?;
        let lock = inspect::lock(path)?;
        let synced = Synced::load(path).map_err(|error| failed(fjall::Error::Io(error)))?;
        inspect::before_opening(path)?;
        journal::check(path, synced.as_ref())?;
        // fjall takes it now. Whoever is quicker has the folder as it was left here.
        drop(lock);
        let database = open_database(path, &options, &clock).map_err(failed)?;
        if let Some(missing) =
            [MESSAGES, DIRECTORY].iter().find(|name| synced.is_some() && !database.keyspace_exists(name))
        {
            let cause = format!("{}: the keyspace {missing} is missing. Restore a backup", path.display());
            return Err(Error::new(ErrorKind::Corrupt, ENGINE, "open").because(cause));
        }
        let keyspace_options = || KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes_max);
        let keyspace = |name: &str| database.keyspace(name, keyspace_options).map_err(failed);
        let (messages, directory) = (keyspace(MESSAGES)?, keyspace(DIRECTORY)?);
        let synced = compare(path, synced, &messages)?;
        let failed = OnceLock::new();
        let path = path.to_owned();
        let cache = cache::Cache::new(ROW_CACHE_BYTES_MAX);
        let shared = Arc::new(Shared { path, options, clock, database, messages, directory, cache, failed });
        let (calls, receiver) = mpsc::channel(QUEUED_CALLS_MAX);
        let writer = std::thread::Builder::new().name("hudhud-store".into()).spawn({
            let shared = shared.clone();
            move || writer::run(&shared, synced, receiver)
        });
        let writer = writer.map_err(|error| Error::new(ErrorKind::Unavailable, ENGINE, "open").because(error))?;
        Ok(Self { shared, calls, writer: Mutex::new(Some(writer)) })
    }

    /// A view of everything at this moment. Every write that returned before is in it. Blocks, for as long as a group of writes
    /// takes.
    pub fn freeze(&self) -> Result<Frozen> {
        let gone = || self.shared.gone("freeze");
        let (done, frozen) = oneshot::channel();
        self.calls.blocking_send(writer::Call::Freeze { done }).map_err(|_| gone())?;
        let snapshot = frozen.blocking_recv().map_err(|_| gone())?;
        Ok(Frozen::new(snapshot, self.shared.messages.clone(), self.shared.directory.clone()))
    }

    /// Stores rows as they were stored elsewhere, whatever is there.
    pub async fn import(&self, rows: Vec<StoredRow>) -> Result<()> {
        self.call("import", |done| writer::Call::Import { rows, done }).await
    }

    /// Flushes, and refuses every later write. The folder is free once the store is dropped.
    pub async fn close(&self) -> Result<()> {
        let flushed = hudhud_ports::Store::flush(self).await;
        let (done, closed) = oneshot::channel();
        if self.calls.send(writer::Call::Close { done }).await.is_ok() {
            // An error means that the writer ended by itself, which is as good.
            closed.await.ok();
        }
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            writer.join().map_err(|_| Error::new(ErrorKind::Fatal, ENGINE, "close").because("its writer panicked"))?;
        }
        flushed
    }

    async fn call<T>(
        &self,
        op: &'static str,
        call: impl FnOnce(oneshot::Sender<Result<T>>) -> writer::Call,
    ) -> Result<T> {
        let gone = || self.shared.gone(op);
        let (done, answer) = oneshot::channel();
        self.calls.send(call(done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Shared {
    fn keyspace(&self, database: hudhud_ports::Database) -> &Keyspace {
        match database {
            hudhud_ports::Database::Messages => &self.messages,
            hudhud_ports::Database::Directory => &self.directory,
        }
    }

    fn read(&self, slot: &Slot) -> Result<Option<Cell>> {
        let absent = match self.cache.get(slot) {
            Ok(row) => return Ok(row),
            Err(absent) => absent,
        };
        // Of a snapshot: a keyspace's own get shows part of a batch while it is applied.
        let stored = self.database.snapshot().get(self.keyspace(slot.0), &slot.1);
        let stored = stored.map_err(|error| read_error("get", error))?;
        let row = stored.as_deref().map(Cell::decode).transpose()?;
        self.cache.fill(absent, slot.clone(), row.clone());
        Ok(row)
    }

    /// The writer ended: because it was closed, or because it can't go on.
    fn gone(&self, op: &'static str) -> Error {
        match self.failed.get() {
            Some(cause) => Error::new(ErrorKind::Fatal, ENGINE, op).because(cause.clone()),
            None => Error::new(ErrorKind::Unavailable, ENGINE, op).because("it was closed"),
        }
    }
}

/// Holds what came up against what the file says that was synced, and writes the file where it is not there. Returns what the
/// store goes on from.
fn compare(path: &Path, synced: Option<Synced>, messages: &Keyspace) -> Result<Synced> {
    let row = messages.get(mark::KEY).map_err(|error| open_error(path, error))?;
    let last = row.as_deref().and_then(Mark::decode);
    let number = last.map_or(0, |mark| mark.number);
    if let Some(synced) =
        synced.filter(|synced| synced.number > number || last.is_some_and(|last| last.salt != synced.salt))
    {
        let cause = format!(
            "{}: it ends at batch {number}, but batch {} was flushed once: a journal was cut or is missing, or files of \
             different folders were mixed. Restore a backup",
            path.display(),
            synced.number
        );
        return Err(Error::new(ErrorKind::Corrupt, ENGINE, "open").because(cause));
    }
    let salt = match (last, synced) {
        (Some(last), _) => last.salt,
        (None, Some(synced)) => synced.salt,
        (None, None) => {
            let mut salt = mark::Salt::default();
            getrandom::fill(&mut salt)
                .map_err(|error| Error::new(ErrorKind::Unavailable, ENGINE, "open").because(error))?;
            salt
        }
    };
    let now = Synced { salt, number };
    // fjall has synced what it recovered.
    now.store(path).map_err(|error| open_error(path, fjall::Error::Io(error)))?;
    Ok(now)
}

fn open_database(path: &Path, options: &StoreOptions, clock: &Arc<dyn Clock>) -> fjall::Result<Database> {
    let clock = clock.clone();
    Database::builder(path)
        .cache_size(options.block_cache_bytes_max)
        .max_journaling_size(options.journals_bytes_max)
        // Of several, one does nothing but hand compactions on, to itself as well, and takes a core for as long as one runs.
        .worker_threads(1)
        // Large values are encrypted.
        .journal_compression(fjall::CompressionType::None)
        .with_compaction_filter_factories(Arc::new(move |_| Some(Arc::new(expiry::DropExpired::new(clock.clone())))))
        .open()
}

fn open_error(path: &Path, error: fjall::Error) -> Error {
    use fjall::Error as E;
    let (kind, advice) = match &error {
        E::Locked => (ErrorKind::Unavailable, "another process has it open: stop that one first"),
        E::Io(_) => (ErrorKind::Unavailable, "check the disk, the folder and its permissions"),
        E::Storage(fjall::LsmError::Io(_)) => {
            (ErrorKind::Unavailable, "check the disk, the folder and its permissions")
        }
        _ => (ErrorKind::Corrupt, "restore a backup"),
    };
    Error::new(kind, ENGINE, "open").because(format!("{}: {error}; {advice}", path.display()))
}

fn read_error(op: &'static str, error: fjall::Error) -> Error {
    use fjall::Error as E;
    let kind = match &error {
        E::Poisoned => ErrorKind::Fatal,
        E::Io(cause) | E::Storage(fjall::LsmError::Io(cause)) if cause.kind() != io::ErrorKind::InvalidData => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Corrupt,
    };
    Error::new(kind, ENGINE, op).because(error)
}

#[async_trait]
impl hudhud_ports::Store for Store {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        check_key(ENGINE, "get", &key)?;
        let cell = self.shared.read(&(key.table.database, row::key_bytes(&key).into()))?;
        Ok(cell.and_then(|cell| cell.into_row(key.sort, self.shared.clock.now_us())))
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        check_key_part(ENGINE, "scan", "partition", &scan.partition)?;
        if scan.limit == 0 || scan.to.as_ref().is_some_and(|to| *to < scan.from) {
            return Ok(Vec::new());
        }
        let prefix = row::partition_prefix(scan.table, &scan.partition);
        let prefix_bytes = prefix.len();
        let from = std::ops::Bound::Included([&prefix, &*scan.from].concat());
        let to = match &scan.to {
            Some(to) => std::ops::Bound::Included([&prefix, &**to].concat()),
            None => std::ops::Bound::Excluded(row::after_prefix(prefix)),
        };
        // Of a snapshot: a keyspace's own range shows what is written while it is read.
        let mut stored = self.shared.database.snapshot().range(self.shared.keyspace(scan.table.database), (from, to));
        let now_us = self.shared.clock.now_us();
        let mut rows = Vec::new();
        while rows.len() < scan.limit {
            let next = match scan.order {
                Order::Ascending => stored.next(),
                Order::Descending => stored.next_back(),
            };
            let Some(next) = next else { break };
            let (key, value) = next.into_inner().map_err(|error| read_error("scan", error))?;
            let sort = bytes::Bytes::copy_from_slice(&key[prefix_bytes..]);
            rows.extend(Cell::decode(&value)?.into_row(sort, now_us));
        }
        Ok(rows)
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        check_writes(ENGINE, "write", &writes)?;
        self.call("write", |done| writer::Call::Write { lists: vec![writes], done }).await
    }

    async fn write_in_order(&self, lists: Vec<Vec<Write>>) -> Result<()> {
        check_lists(ENGINE, &lists)?;
        self.call("write_in_order", |done| writer::Call::Write { lists, done }).await
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        check_writes(ENGINE, "claim", std::slice::from_ref(&write))?;
        self.call("claim", |done| writer::Call::Claim { write, done }).await
    }

    async fn flush(&self) -> Result<()> {
        self.call("flush", |done| writer::Call::Flush { done }).await
    }
}
