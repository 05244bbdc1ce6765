//! The files of a backup: items one after another, each behind its length (u32, big-endian).

use super::manifest::Entry;
use super::of_file;
use crate::Failure;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Rows of the database of conversations.
pub const MESSAGES: &str = "messages";
/// Rows of the database of accounts.
pub const DIRECTORY: &str = "directory";
/// Records that were accepted and not committed.
pub const TAIL: &str = "tail";
/// The checksums of all conversations, without the tail.
pub const CONVERSATIONS: &str = "conversations";
/// All of them.
pub const ALL: [&str; 4] = [MESSAGES, DIRECTORY, TAIL, CONVERSATIONS];

/// No item is larger: a value has 1 MiB at most.
const ITEM_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// How often a writer looks whether it is too fast.
const PACE_BYTES: u64 = 256 * 1024;
/// How long a writer sleeps at once, so that it notices when it is to stop.
const PACE_SLEEP_MAX: Duration = Duration::from_millis(100);

/// How fast a backup is written, so that the server has its disk to itself most of the time.
pub struct Pace {
    bytes_per_s: u64,
    started: Instant,
    bytes: u64,
    stop: CancellationToken,
}

impl Pace {
    /// So many bytes a second, until it is to stop.
    pub fn new(bytes_per_s: u64, stop: CancellationToken) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), started: Instant::now(), bytes: 0, stop }
    }

    fn wrote(&mut self, bytes: u64) -> Result<(), Failure> {
        let before = self.bytes;
        self.bytes += bytes;
        if self.bytes / PACE_BYTES == before / PACE_BYTES {
            return Ok(());
        }
        let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_s as f64);
        loop {
            if self.stop.is_cancelled() {
                return Err(Failure::Refused(
                    "the server stops: back up again once it runs, or now that it does not".into(),
                ));
            }
            match due.saturating_sub(self.started.elapsed()) {
                Duration::ZERO => return Ok(()),
                rest => std::thread::sleep(rest.min(PACE_SLEEP_MAX)),
            }
        }
    }
}

/// A file that is being written.
pub struct Writer<'a> {
    name: &'static str,
    path: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    bytes: u64,
    items: u64,
    pace: &'a mut Pace,
}

impl<'a> Writer<'a> {
    /// Begins a file that is not there.
    pub fn create(folder: &Path, name: &'static str, pace: &'a mut Pace) -> Result<Self, Failure> {
        let path = folder.join(name);
        let file = BufWriter::with_capacity(PACE_BYTES as usize, File::create_new(&path).map_err(of_file(&path))?);
        Ok(Self { name, path, file, hasher: blake3::Hasher::new(), bytes: 0, items: 0, pace })
    }

    /// Adds an item.
    pub fn add(&mut self, item: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(item.len()).expect("items are below 4 MiB").to_be_bytes();
        for bytes in [&length[..], item] {
            self.hasher.update(bytes);
            self.file.write_all(bytes).map_err(of_file(&self.path))?;
        }
        let bytes = 4 + item.len() as u64;
        self.bytes += bytes;
        self.items += 1;
        self.pace.wrote(bytes)
    }

    /// Ends the file. It survives the loss of power.
    pub fn finish(self) -> Result<Entry, Failure> {
        let failed = of_file(&self.path);
        let file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        let blake3 = self.hasher.finalize().to_hex().to_string();
        Ok(Entry { name: self.name.into(), bytes: self.bytes, blake3, items: self.items })
    }
}

/// Whether a file is as its entry says.
pub fn check(folder: &Path, entry: &Entry) -> Result<(), Failure> {
    let path = folder.join(&entry.name);
    let damaged = |why: &str| Failure::Damaged(format!("{}: {why}; use another backup", path.display()));
    let mut file = File::open(&path).map_err(of_file(&path))?;
    if file.metadata().map_err(of_file(&path))?.len() != entry.bytes {
        return Err(damaged("it has not the size that the manifest says"));
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; PACE_BYTES as usize];
    loop {
        match file.read(&mut buffer).map_err(of_file(&path))? {
            0 => break,
            bytes => hasher.update(&buffer[..bytes]),
        };
    }
    match hasher.finalize().to_hex().as_str() == entry.blake3 {
        true => Ok(()),
        false => Err(damaged("it fails its checksum")),
    }
}

/// The items of a file that was checked.
pub struct Items {
    path: PathBuf,
    file: BufReader<File>,
}

impl Items {
    /// From the first one on.
    pub fn open(folder: &Path, name: &str) -> Result<Self, Failure> {
        let path = folder.join(name);
        let file = BufReader::with_capacity(PACE_BYTES as usize, File::open(&path).map_err(of_file(&path))?);
        Ok(Self { path, file })
    }

    /// The error of an item that is not what it should be.
    pub fn damaged(&self) -> Failure {
        Failure::Damaged(format!("{}: it holds something else; use another backup", self.path.display()))
    }

    fn read(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            outcome => outcome?,
        }
        let length = u32::from_be_bytes(length);
        if length > ITEM_BYTES_MAX {
            return Err(std::io::Error::other("an item is too large"));
        }
        let mut item = vec![0; length as usize];
        self.file.read_exact(&mut item)?;
        Ok(Some(item))
    }
}

impl Iterator for Items {
    type Item = Result<Vec<u8>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map_err(of_file(&self.path)).transpose()
    }
}
