//! The embedded bus: one log on disk for all shards.
//!
//! One log rather than one per shard, so that whatever is appended at the same time shares one fsync. A position's
//! offset counts the records of the log.
//!
//! - `frame`: how a record is stored, and what tells a torn tail from corruption.
//! - `segment`: the files that the log consists of, allocated before they are written.
//! - `writer`: the one thread that appends, in groups.
//! - `index`: where the records that are not committed are; bounded by the backlog limit.
//! - `consumer`: members and their shards; a consumer that lags reads from disk.
//! - `commits`: how far each shard is applied, written down now and then; drops segments that nobody needs.
//! - `tail`: what is not committed at one moment, for a backup.
//! - `recovery`: from files to an index, after whatever happened.
//! - `meta`: what was decided when the log was born, and that only one process has it open.

mod commits;
mod consumer;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod index;
mod meta;
mod recovery;
mod segment;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::limits::check_records;
use hudhud_ports::{Assignment, Error, ErrorKind, Membership, Result};
use hudhud_proto::{Position, Shard};
use index::Index;
use parking_lot::{Condvar, Mutex};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use tokio::sync::{Notify, mpsc, oneshot};

pub use tail::Tail;

const ENGINE: &str = "embedded bus";
/// Appends that wait for the writer; more wait for their turn to do so.
const QUEUED_APPENDS_MAX: usize = 1_024;
const SEGMENT_BYTES_MIN: u64 = 4 * 1024;
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How a [`Bus`] uses memory and disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BusOptions {
    /// The number of shards, one or more, fixed when the log is born.
    pub shards: u32,
    /// What a segment is allocated with, 4 KiB to 1 GiB. A segment is deleted as a whole.
    pub segment_bytes: u64,
    /// Bytes of records that are not committed, from which on `append` answers `Full`. Memory for finding them grows
    /// with it, by less than a tenth for records of 250 bytes and more.
    pub backlog_bytes_max: u64,
    /// Segments on disk, from which on `append` answers `Full`. More than the backlog, as one record that is not committed
    /// keeps every segment behind it.
    pub log_bytes_max: u64,
    /// Records that are kept in memory until they are consumed; those beyond it are read from disk.
    pub unread_bytes_max: u64,
}

impl Default for BusOptions {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            shards: 16,
            segment_bytes: 64 * MIB,
            backlog_bytes_max: 1024 * MIB,
            log_bytes_max: 16 * 1024 * MIB,
            unread_bytes_max: 64 * MIB,
        }
    }
}

/// What a bus has made durable since it was opened.
#[derive(Default, Debug)]
pub struct Counts {
    /// Records that were appended.
    pub records: AtomicU64,
    /// Times that the disk was waited for: records that are appended at the same time share one.
    pub syncs: AtomicU64,
}

/// A [`hudhud_ports::Bus`] in a folder.
pub struct Bus {
    shared: Arc<Shared>,
    appends: mpsc::Sender<writer::Call>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    path: PathBuf,
    options: BusOptions,
    epoch: u16,
    state: Mutex<State>,
    /// Told when the members' shares change, or the bus ends.
    assigned: Notify,
    /// One per shard: told when it has a new record or changes hands, or the bus ends.
    changed: Vec<Notify>,
    /// Wakes who writes commits down.
    committed: Condvar,
    counts: Arc<Counts>,
    /// Why nothing can be promised any more.
    failed: OnceLock<String>,
}

struct State {
    index: Index,
    assignment: Assignment,
    /// Commits that are not written down yet.
    commits_changed: bool,
    closed: bool,
}

impl Bus {
    /// Opens the log in this folder, which is made if it is not there. Recovers what a crash left. Blocks.
    ///
    /// # Errors
    /// `Unavailable` when another process has it open, or the folder can't be used; `Invalid` when it was born with
    /// another number of shards; `Corrupt` when a record that was acknowledged is not there any more, or not as it was.
    pub fn open(path: &Path, options: BusOptions) -> Result<Self> {
        Self::open_behind(path, options, Position::ZERO)
    }

    /// As [`Self::open`], where somebody else remembers how far this bus had come ([`Self::reached`]): a bus that is gone then
    /// begins a higher epoch instead of giving the same positions out again.
    ///
    /// # Errors
    /// Also `Corrupt` when the bus ends before that.
    pub fn open_behind(path: &Path, options: BusOptions, reached: Position) -> Result<Self> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&options.segment_bytes) || options.shards == 0 {
            let cause = format!(
                "{} bytes per segment and {} shards; {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX} bytes and one shard or more \
                 are allowed",
                options.segment_bytes, options.shards
            );
            return Err(Error::new(ErrorKind::Invalid, ENGINE, "open").because(cause));
        }
        let meta = meta::open(path, options.shards, reached)?;
        let recovered = recovery::recover(path, meta.epoch, &options)?;
        let end = Position::new(meta.epoch, recovered.index.next() - 1);
        if end < reached {
            return Err(meta::behind(path, end, reached));
        }
        let state = State {
            index: recovered.index,
            assignment: Assignment::new(options.shards),
            // What the last run had no time to write down or delete is done now.
            commits_changed: true,
            closed: false,
        };
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            options,
            epoch: meta.epoch,
            state: Mutex::new(state),
            assigned: Notify::new(),
            changed: (0..options.shards).map(|_| Notify::new()).collect(),
            committed: Condvar::new(),
            counts: Arc::default(),
            failed: OnceLock::new(),
        });
        let (appends, receiver) = mpsc::channel(QUEUED_APPENDS_MAX);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(work);
            thread.map_err(|error| unavailable("open", path, error))
        };
        let writer = writer::Writer::new(shared.clone(), recovered.active);
        let threads = vec![
            spawn("hudhud-bus", Box::new(move || writer.run(receiver)))?,
            spawn("hudhud-commits", {
                let shared = shared.clone();
                // Holds the folder's lock for as long as it may write there; it is the last to end.
                Box::new(move || commits::run(&shared, meta.lock))
            })?,
        ];
        Ok(Self { shared, appends, threads: Mutex::new(threads) })
    }

    /// Makes a bus in a folder that is not there, for data that was restored: opened, it begins an epoch above this one, so
    /// that no position and no seq is given out a second time. Survives the loss of power. Blocks.
    pub fn found(path: &Path, shards: u32, epoch: u16) -> Result<()> {
        meta::found(path, shards, epoch).map_err(|error| unavailable("open", path, error))
    }

    /// The position of the last record; the offset is 0 before the first one of an epoch.
    pub fn reached(&self) -> Position {
        Position::new(self.shared.epoch, self.shared.state.lock().index.next() - 1)
    }

    /// What it has made durable; they go on counting.
    pub fn counts(&self) -> Arc<Counts> {
        self.shared.counts.clone()
    }

    /// What is not committed, and what a function returns that is called at that very moment: no record becomes visible and
    /// no commit is taken meanwhile, so it should be short.
    pub fn freeze<T>(&self, meanwhile: impl FnOnce() -> T) -> (Tail, T) {
        let state = self.shared.state.lock();
        let tail = Tail::of(&state.index, self.shared.epoch);
        let other = meanwhile();
        drop(state);
        (tail, other)
    }

    /// Takes no more appends, writes the commits down and frees the folder.
    pub async fn close(&self) -> Result<()> {
        let (done, closed) = oneshot::channel();
        if self.appends.send(writer::Call::Close { done }).await.is_ok() {
            // An error means that the writer ended by itself, which is as good.
            closed.await.ok();
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            thread.join().map_err(|_| Error::new(ErrorKind::Fatal, ENGINE, "close").because("a thread panicked"))?;
        }
        match self.shared.failed.get() {
            Some(_) => Err(self.shared.gone("close")),
            None => Ok(()),
        }
    }
}

impl Shared {
    /// The threads ended: because the bus was closed, or because it can't go on.
    fn gone(&self, op: &'static str) -> Error {
        match self.failed.get() {
            Some(cause) => Error::new(ErrorKind::Fatal, ENGINE, op).because(cause.clone()),
            None => Error::new(ErrorKind::Unavailable, ENGINE, op).because("it was closed"),
        }
    }

    fn wake_all(&self) {
        self.assigned.notify_waiters();
        self.changed.iter().for_each(Notify::notify_waiters);
        self.committed.notify_all();
    }
}

fn unavailable(op: &'static str, path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, ENGINE, op).because(format!("{}: {error}", path.display()))
}

#[async_trait]
impl hudhud_ports::Bus for Bus {
    fn shards(&self) -> u32 {
        self.shared.options.shards
    }

    async fn append(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        check_records(ENGINE, &records)?;
        if shard.0 >= self.shared.options.shards {
            let cause = format!("shard {} of {}", shard.0, self.shared.options.shards);
            return Err(Error::new(ErrorKind::Invalid, ENGINE, "append").because(cause));
        }
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let gone = || self.shared.gone("append");
        let (done, appended) = oneshot::channel();
        // First a place in the queue, then room in the backlog: nothing is reserved by a call that is dropped while it waits.
        let place = self.appends.reserve().await.map_err(|_| gone())?;
        let append = writer::Append::new(shard, records, done);
        if !self.shared.state.lock().index.reserve(append.bytes) {
            let cause = "records are appended faster than they are consumed";
            return Err(Error::new(ErrorKind::Full, ENGINE, "append").because(cause));
        }
        place.send(writer::Call::Append(append));
        appended.await.map_err(|_| gone())?
    }

    async fn join(&self) -> Result<Box<dyn Membership>> {
        Ok(Box::new(consumer::Member::join(self.shared.clone())?))
    }
}
