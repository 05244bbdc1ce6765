//! Damage to any file of a data folder is refused with the name of the file, mended with a warning, or of no effect: what is read is
//! what was written, or an error. Real files, flipped at offsets that a fixed seed chooses; all of them deleted and cut, too.

use bytes::Bytes;
use hudhud_engines::fjall::{Store, StoreOptions, check_files};
use hudhud_engines::{Options, Urls, log};
use hudhud_ports::memory::ManualClock;
use hudhud_ports::{Bus as _, Clock, Database, ErrorKind, Key, Store as _, Table, Tuning, Write};
use hudhud_proto::{Position, Shard};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MESSAGES: &Table = &Table { name: "timeline", database: Database::Messages, ttl: None, tuning: Tuning::DEFAULT };
const DIRECTORY: &Table = &Table { name: "inbox", database: Database::Directory, ttl: None, tuning: Tuning::DEFAULT };
const BUS: log::BusOptions = log::BusOptions {
    shards: 2,
    segment_bytes: 16 * 1024,
    backlog_bytes_max: 1 << 20,
    log_bytes_max: 1 << 20,
    unread_bytes_max: 16 * 1024,
};
/// Rows of each database before its tree is written to disk, and behind that.
const ROWS: u64 = 1_500;
const ROWS_IN_JOURNAL: u64 = 60;
const RECORDS: usize = 120;
/// Bytes that are flipped in each file.
const FLIPS: usize = 10;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(1))
}

fn open_store(folder: &Path) -> hudhud_ports::Result<Store> {
    // Small enough for tables, and for journals that are sealed.
    let options = StoreOptions { memtable_bytes_max: 64 * 1024, ..StoreOptions::default() };
    Store::open(&folder.join("store"), options, clock())
}

fn key(table: &'static Table, n: u64) -> Key {
    let partition = Bytes::copy_from_slice(&(n % 7).to_be_bytes());
    Key { table, partition, sort: Bytes::copy_from_slice(&n.to_be_bytes()) }
}

fn value(n: u64) -> Bytes {
    Bytes::from(format!("value {n} {}", "x".repeat(40 + (n * 37 % 150) as usize)))
}

async fn write(store: &Store, range: std::ops::Range<u64>) {
    for n in range {
        let rows = [MESSAGES, DIRECTORY].map(|table| Write { key: key(table, n), value: Some(value(n)), version: n });
        store.write(rows.to_vec()).await.expect("written");
        if n % 20 == 19 {
            store.flush().await.expect("flushed");
        }
    }
}

fn record(n: usize) -> Bytes {
    Bytes::from(format!("record {n} {}", "y".repeat(100 + n * 13 % 300)))
}

/// A file: its bytes without the zeros at its end, and its length.
type Stored = (PathBuf, Vec<u8>, u64);

/// The files of a folder and the folders within, empty ones too.
fn read_files(folder: &Path, within: &Path, files: &mut Vec<Stored>, folders: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder.join(within)).expect("listed") {
        let entry = entry.expect("listed");
        let path = within.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            folders.push(path.clone());
            read_files(folder, &path, files, folders);
        } else {
            let mut bytes = std::fs::read(folder.join(&path)).expect("read");
            let length = bytes.len() as u64;
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            files.push((path, bytes, length));
        }
    }
}

/// A folder as it was at one moment.
struct Picture {
    files: Vec<Stored>,
    folders: Vec<PathBuf>,
}

impl Picture {
    fn of(folder: &Path) -> Self {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        read_files(folder, Path::new(""), &mut files, &mut folders);
        files.sort();
        Self { files, folders }
    }

    /// The folder again, with one file changed; `None` leaves that file out.
    fn with(&self, changed: &Path, bytes: Option<(&[u8], u64)>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for path in &self.folders {
            std::fs::create_dir_all(folder.path().join(path)).expect("made");
        }
        for (path, stored, length) in &self.files {
            let (bytes, length) = match path == changed {
                true => match bytes {
                    Some(changed) => changed,
                    None => continue,
                },
                false => (&stored[..], *length),
            };
            let mut file = File::create(folder.path().join(path)).expect("made");
            file.write_all(bytes).and_then(|()| file.set_len(length)).expect("written");
        }
        folder
    }
}

/// What must be there.
#[derive(Clone, Copy)]
struct Expected {
    /// Rows below this number were flushed.
    rows: u64,
    /// All rows, those that were not flushed too.
    rows_max: u64,
    records: usize,
}

/// How a damaged folder was met.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Not opened; or opened, and some reads answered with an error.
    Refused(String),
    /// Everything is there.
    Whole,
}

/// Opens what is there and reads all of it. Panics where something is missing or not as it was written.
fn meet(folder: &Path, expected: Expected) -> Outcome {
    block_on(async {
        let store = match open_store(folder) {
            Ok(store) => store,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let mut refused = None;
        for n in 0..expected.rows_max {
            for table in [MESSAGES, DIRECTORY] {
                match store.get(key(table, n)).await {
                    Ok(Some(row)) => assert!(row.value == value(n) && row.version == n, "row {n} is another one"),
                    Ok(None) => assert!(n >= expected.rows, "row {n} of {} was flushed and is gone", table.name),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                        refused = Some(error.to_string());
                    }
                }
            }
        }
        // What could not be flushed is not flushed any more: an error says so.
        store.close().await.ok();
        drop(store);
        let bus = match log::Bus::open(&folder.join("bus"), BUS) {
            Ok(bus) => bus,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let (tail, ()) = bus.freeze(|| ());
        let mut found = BTreeMap::new();
        for record in tail.records() {
            match record {
                Ok((_, position, bytes)) => drop(found.insert(position, bytes)),
                Err(error) => refused = Some(error.to_string()),
            }
        }
        for n in 0..expected.records {
            let position = Position::new(1, n as u64 + 1);
            assert_eq!(found.get(&position), Some(&record(n)), "record {n} was acknowledged and is gone");
        }
        assert_eq!(found.len(), expected.records, "there are records that nobody appended");
        bus.close().await.expect("closed");
        refused.map_or(Outcome::Whole, Outcome::Refused)
    })
}

/// A data folder with tables, journals and segments. As a server leaves it that was stopped, or one that was killed.
fn data(is_killed: bool) -> (Picture, Expected) {
    let folder = tempfile::tempdir().expect("a folder");
    block_on(async {
        let store = open_store(folder.path()).expect("opened");
        write(&store, 0..ROWS).await;
        store.close().await.expect("closed");
        drop(store);
        // Recovered journals go into tables; what follows is in a journal.
        let store = open_store(folder.path()).expect("opened");
        write(&store, ROWS..ROWS + ROWS_IN_JOURNAL).await;
        store.flush().await.expect("flushed");
        let bus = log::Bus::open(&folder.path().join("bus"), BUS).expect("opened");
        for n in 0..RECORDS {
            bus.append(Shard(n as u32 % 2), vec![record(n)]).await.expect("appended");
        }
        let flushed = ROWS + ROWS_IN_JOURNAL;
        if is_killed {
            let rows = [Write { key: key(MESSAGES, flushed), value: Some(value(flushed)), version: flushed }];
            store.write(rows.to_vec()).await.expect("written");
            let expected = Expected { rows: flushed, rows_max: flushed + 1, records: RECORDS };
            return (Picture::of(folder.path()), expected);
        }
        bus.close().await.expect("closed");
        store.close().await.expect("closed");
        drop(store);
        (Picture::of(folder.path()), Expected { rows: flushed, rows_max: flushed, records: RECORDS })
    })
}

/// A sequence of numbers that is the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end.max(1)
    }
}

/// Meets a folder, and says which damage it was if that panics.
fn meet_damaged(folder: &Path, expected: Expected, what: &str) -> Outcome {
    let met = std::panic::catch_unwind(AssertUnwindSafe(|| meet(folder, expected)));
    let outcome = met.unwrap_or_else(|_| panic!("{what}: see above"));
    if let Outcome::Refused(why) = &outcome {
        let names_it =
            why.contains(&*folder.to_string_lossy()) || why.contains("a block of a table") || why.contains("(get)");
        assert!(names_it, "{what}: the message names no file: {why}");
    }
    outcome
}

fn flip_everywhere(is_killed: bool) {
    let (picture, expected) = data(is_killed);
    let untouched = picture.with(Path::new(""), None);
    assert_eq!(meet(untouched.path(), expected), Outcome::Whole, "without damage");
    let tables = picture.files.iter().filter(|(path, ..)| path.to_string_lossy().contains("tables/")).count();
    assert!(
        tables >= 2,
        "there are no tables to damage: {:?}",
        picture.files.iter().map(|file| &file.0).collect::<Vec<_>>()
    );
    let mut dice = Dice(if is_killed { 1 } else { 2 });
    let (mut refused, mut whole) = (0, 0);
    for (path, stored, length) in &picture.files {
        for flip in 0..FLIPS.min(stored.len()) {
            // The first and the last bytes, which are headers and trailers, and some between.
            let at = match flip {
                0 => 0,
                1 => stored.len() - 1,
                2 => dice.below(stored.len().min(64)),
                3 => stored.len() - 1 - dice.below(stored.len().min(64)),
                _ => dice.below(stored.len()),
            };
            let bit = dice.below(8);
            let mut bytes = stored.clone();
            bytes[at] ^= 1 << bit;
            let folder = picture.with(path, Some((&bytes, *length)));
            match meet_damaged(folder.path(), expected, &format!("{}, byte {at}, bit {bit}", path.display())) {
                Outcome::Refused(_) => refused += 1,
                Outcome::Whole => whole += 1,
            }
        }
    }
    assert!(refused > whole / 4, "most files are data: {refused} flips were refused, {whole} changed nothing");
}

/// Of a folder whose server was stopped, whichever bit flips.
#[test]
fn a_flipped_bit_is_never_served() {
    flip_everywhere(false);
}

/// Of a folder whose server was killed: what was acknowledged last is in a journal and in a segment that nobody closed.
#[test]
fn a_flipped_bit_is_never_served_after_a_kill() {
    flip_everywhere(true);
}

/// Each byte of the journal's batches that were flushed last, where fjall by itself would take damage for the end.
#[test]
fn the_journal_is_not_cut_where_it_was_flushed() {
    let (picture, expected) = data(true);
    let journals: Vec<_> =
        picture.files.iter().filter(|(path, ..)| path.extension().is_some_and(|e| e == "jnl")).collect();
    let (path, stored, length) = journals.iter().max_by_key(|(_, stored, _)| stored.len()).expect("there is one");
    let mut refused = 0;
    for at in (0..stored.len()).rev().step_by(stored.len() / 60 + 1) {
        let mut bytes = stored.clone();
        bytes[at] ^= 0x41;
        let folder = picture.with(path, Some((&bytes, *length)));
        let what = format!("{}, byte {at}", path.display());
        refused += usize::from(meet_damaged(folder.path(), expected, &what) != Outcome::Whole);
    }
    assert!(refused > 40, "only {refused} of 60");
}

/// Keyspace and number of a list of tables.
fn version_of(path: &Path) -> Option<(&Path, u64)> {
    let name = path.file_name()?.to_str()?;
    Some((path.parent()?, name.strip_prefix('v')?.parse().ok()?))
}

/// Whether one is a later list of the same tables than the other.
fn is_later(one: &Path, other: &Path) -> bool {
    version_of(one).zip(version_of(other)).is_some_and(|(one, other)| one.0 == other.0 && one.1 > other.1)
}

/// A file that is missing, or that was cut, is noticed.
#[test]
fn a_file_that_is_missing_or_cut_is_noticed() {
    let (picture, expected) = data(false);
    let is_journal = |path: &Path| path.extension().is_some_and(|extension| extension == "jnl");
    let journals = picture.files.iter().filter(|(path, ..)| is_journal(path)).count();
    for (path, stored, length) in &picture.files {
        // What was not yet moved into tables of the oldest of several journals goes with it, and nothing tells.
        if journals > 1 && is_journal(path) {
            continue;
        }
        let name = path.display();
        let folder = picture.with(path, None);
        let missing = meet_damaged(folder.path(), expected, &format!("{name} is missing"));
        // These are made again: nothing is in them that is not elsewhere. Nor is it in a list of tables that a later one replaced.
        let is_spare = ["lock", "synced", "commits"].iter().any(|spare| path.ends_with(spare))
            || picture.files.iter().any(|(other, ..)| is_later(other, path));
        let is_empty = stored.is_empty();
        assert!(is_spare || is_empty || missing != Outcome::Whole, "{name} is missing, and nobody noticed");
        let cut = &stored[..stored.len() / 2];
        let folder = picture.with(path, Some((cut, *length)));
        meet_damaged(folder.path(), expected, &format!("{name} is cut"));
        let folder = picture.with(path, Some((cut, cut.len() as u64)));
        meet_damaged(folder.path(), expected, &format!("{name} is cut short"));
    }
}

/// The check of all files finds damage that a start would not read, and names the table.
#[test]
fn every_byte_of_a_table_is_checked() {
    let (picture, _) = data(false);
    let tables = picture.files.iter().filter(|(path, ..)| path.to_string_lossy().contains("tables/"));
    let whole = picture.with(Path::new(""), None);
    assert!(check_files(&whole.path().join("store")).expect("read").is_empty());
    for (path, stored, length) in tables {
        let mut bytes = stored.clone();
        bytes[stored.len() / 2] ^= 1;
        let folder = picture.with(path, Some((&bytes, *length)));
        let found = check_files(&folder.path().join("store")).expect("read");
        let [damage] = &found[..] else { panic!("{found:?}") };
        assert!(damage.to_string().contains(&*folder.path().join(path).to_string_lossy()), "{damage}");
    }
}

fn urls(folder: &Path) -> Urls {
    Urls::all(format!("embedded:{}", folder.display()))
}

/// The store remembers how far the bus had come: a bus that is gone begins a higher epoch, and an older copy of it is refused.
#[tokio::test]
async fn a_bus_that_is_gone_does_not_begin_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let bus = folder.path().join("bus");
    let open = async || hudhud_engines::open(&urls(folder.path()), &Options::default(), clock()).await;
    let engines = open().await.expect("opened");
    engines.bus.append(Shard(0), vec![record(1)]).await.expect("appended");
    engines.close().await.expect("closed");
    let older = Picture::of(&bus);
    for epoch in 2..4 {
        std::fs::remove_dir_all(&bus).expect("removed");
        let engines = open().await.expect("opened");
        let position = engines.bus.append(Shard(0), vec![record(2)]).await.expect("appended")[0];
        assert_eq!(position.epoch(), epoch);
        engines.close().await.expect("closed");
    }
    std::fs::remove_dir_all(&bus).expect("removed");
    std::fs::rename(older.with(Path::new(""), None).keep(), &bus).expect("the older one is back");
    let error = open().await.err().expect("it is older").to_string();
    assert!(error.contains("older copy") && error.contains("*.log"), "{error}");
}

/// A folder of a newer version is left alone, and the message says what to do.
#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("format"), "hudhud data, format 99\n").expect("written");
    let error = hudhud_engines::open(&urls(folder.path()), &Options::default(), clock()).await.err().expect("newer");
    assert!(error.to_string().contains("format 99") && error.to_string().contains("newer version"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1, "nothing was made");
}
