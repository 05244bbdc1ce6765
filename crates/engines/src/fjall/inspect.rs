//! Looks at fjall's files before fjall does: what it would take for an empty database, or delete, or trust, is refused here with the
//! name of the file.
//!
//! In the folder: `version`, journals, and `keyspaces` with a folder each: `current` (the number of the version u64, XXH3-128 of its
//! file, 0), that version `v<number>` (an archive with the tables' names and checksums) and `tables`. Blocks of tables have
//! checksums that fjall checks when it reads them, so starting a server need not read all of it; [`check_files`] does.

use super::{ENGINE, archive, journal, mark, open_error};
use hudhud_ports::{Error, ErrorKind, Result};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

const VERSION: &str = "version";
const KEYSPACES: &str = "keyspaces";
const LOCK: &str = "lock";
/// fjall's own keyspace, which holds the names of the others.
const META: &str = "0";
/// A server that was asked to stop lets go of its folder a moment after it ended.
const LOCK_TRIES: u32 = 4;
const LOCK_WAIT: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// That tables are there and can be opened.
    Shallow,
    /// That every byte of them is as it was written.
    Full,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| open_error(path, fjall::Error::Io(error))
}

fn corrupt(path: &Path, cause: &str) -> Error {
    let cause = format!("{}: {cause}. Restore a backup", path.display());
    Error::new(ErrorKind::Corrupt, ENGINE, "open").because(cause)
}

/// Keeps other processes away for as long as it is held.
pub(super) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed(&path))?;
    for tries in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => std::thread::sleep(LOCK_WAIT),
            Err(TryLockError::WouldBlock) => return Err(open_error(folder, fjall::Error::Locked)),
            Err(TryLockError::Error(error)) => return Err(failed(&path)(error)),
        }
    }
    Ok(file)
}

/// Whether fjall can be let in.
pub(super) fn before_opening(folder: &Path) -> Result<()> {
    match trees(folder, Depth::Shallow)?.into_iter().next() {
        Some(damage) => Err(damage),
        None => Ok(()),
    }
}

/// Reads every table of a store that is not open, and names each that is not as it was written. Journals are checked when the
/// store is opened. Blocks.
///
/// # Errors
/// Where the folder can't be read.
pub fn check_files(folder: &Path) -> Result<Vec<Error>> {
    let _lock = lock(folder)?;
    trees(folder, Depth::Full)
}

fn trees(folder: &Path, depth: Depth) -> Result<Vec<Error>> {
    // Written when the store is whole for the first time: from then on nothing may be missing.
    let is_born = folder.join(mark::FILE).exists();
    let (version, keyspaces) = (folder.join(VERSION), folder.join(KEYSPACES));
    if !version.exists() {
        return match is_born || !remove_unborn(folder).map_err(failed(folder))? {
            true => Ok(vec![corrupt(&version, "it is missing, but other files of the store are there")]),
            false => Ok(Vec::new()),
        };
    }
    let mut damage = Vec::new();
    let mut has_meta = false;
    for entry in std::fs::read_dir(&keyspaces).map_err(failed(&keyspaces))? {
        let path = entry.map_err(failed(&keyspaces))?.path();
        let is_meta = path.file_name().is_some_and(|name| name == META);
        has_meta |= is_meta;
        let is_finished = path.join("current").exists();
        match is_finished || is_born {
            // fjall makes such a one again; nothing was stored in it.
            false => {}
            true => tree(&path, if is_meta { Depth::Full } else { depth }, &mut damage),
        }
    }
    if is_born && !has_meta {
        damage.push(corrupt(&keyspaces.join(META), "it is missing"));
    }
    Ok(damage)
}

/// Removes what a crash left while the store was made; `false` where there is more than that.
fn remove_unborn(folder: &Path) -> io::Result<bool> {
    let keyspaces = folder.join(KEYSPACES);
    if keyspaces.exists() && keyspaces.read_dir()?.next().is_some() {
        return Ok(false);
    }
    let journals = journal::list(folder)?;
    for (_, path) in &journals {
        if std::fs::read(path)?.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    journals.iter().try_for_each(|(_, path)| std::fs::remove_file(path))?;
    Ok(true)
}

fn tree(folder: &Path, depth: Depth, damage: &mut Vec<Error>) {
    let current = folder.join("current");
    let version = match std::fs::read(&current).map(|bytes| parse_current(&bytes)) {
        Ok(Some((number, checksum))) => (folder.join(format!("v{number}")), checksum),
        Ok(None) => return damage.push(corrupt(&current, "it is damaged")),
        Err(error) => return damage.push(corrupt(&current, &error.to_string())),
    };
    let (path, checksum) = version;
    let tables = match std::fs::read(&path) {
        Ok(bytes) if xxh3_128(&bytes) == checksum => parse_tables(&bytes),
        Ok(_) => return damage.push(corrupt(&path, "it fails the checksum in `current`, or that is damaged")),
        Err(error) => return damage.push(corrupt(&path, &error.to_string())),
    };
    let Some(tables) = tables else { return damage.push(corrupt(&path, "it is of a form that is not known")) };
    for (number, checksum) in tables {
        let path = folder.join("tables").join(number.to_string());
        match table(&path, checksum, depth) {
            Ok(true) => {}
            Ok(false) => damage.push(corrupt(&path, "it fails its checksum")),
            Err(error) => damage.push(corrupt(&path, &error.to_string())),
        }
    }
}

fn table(path: &PathBuf, checksum: u128, depth: Depth) -> io::Result<bool> {
    let file = File::open(path)?;
    Ok(archive::has_contents(&file)? && (depth == Depth::Shallow || archive::checksum(&file)? == checksum))
}

/// The number of the version and the checksum of its file.
fn parse_current(bytes: &[u8]) -> Option<(u64, u128)> {
    let (number, rest) = archive::number(bytes, 8)?;
    let (checksum, rest) = archive::number(rest, 16)?;
    (rest == [0]).then_some((u64::try_from(number).ok()?, checksum))
}

/// The numbers and checksums of the tables of a version.
fn parse_tables(version: &[u8]) -> Option<Vec<(u64, u128)>> {
    let mut rest = version.get(archive::section(version, b"tables")?)?;
    let mut next = |count| {
        let (number, behind) = archive::number(rest, count)?;
        rest = behind;
        Some(number)
    };
    let mut tables = Vec::new();
    for _level in 0..next(1)? {
        for _run in 0..next(1)? {
            for _table in 0..next(4)? {
                let (number, _kind) = (next(8)?, next(1)?);
                let (checksum, _seqno) = (next(16)?, next(8)?);
                tables.push((u64::try_from(number).ok()?, checksum));
            }
        }
    }
    Some(tables)
}
