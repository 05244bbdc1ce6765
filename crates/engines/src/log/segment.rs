//! The files that the log consists of. A segment holds the records from one offset on, in order, up to where the next one
//! begins.
//!
//! It begins with a header of 24 bytes: `HUDHUDL1`, the first offset (6), the epoch (2), the salt of its records'
//! checksums (4), CRC-32 of these (4).

use super::ENGINE;
use crate::files::sync_folder;
use bytes::{Buf, BufMut};
use hudhud_ports::{Error, ErrorKind, Result};
use rustix::fs::FallocateFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"HUDHUDL1";
/// Bytes of a segment that are read at once when all of it is.
const READ_BYTES: usize = 1024 * 1024;
const EXTENSION: &str = "log";
/// A segment that is being made; removed when the log is opened.
const UNFINISHED: &str = "segment.new";

/// Where the first record is.
pub(super) const HEADER_BYTES: u64 = 24;

/// One file of the log.
#[derive(Debug)]
pub(super) struct Segment {
    /// The offset of its first record.
    pub(super) first: u64,
    /// With what the checksums of its records begin.
    pub(super) salt: u32,
    /// What is allocated.
    pub(super) bytes: u64,
    pub(super) path: PathBuf,
    file: File,
}

impl Segment {
    /// Makes an empty segment, allocated, with all of its bytes zero. It is there after a power loss.
    ///
    /// Allocated, because an fsync of a file that grows has to write the file system's journal as well, and because a
    /// full disk then shows here, where nothing is written yet.
    pub(super) fn create(folder: &Path, epoch: u16, first: u64, bytes: u64) -> io::Result<Self> {
        let unfinished = folder.join(UNFINISHED);
        let made = random_salt().and_then(|salt| {
            let file = Self::create_as(&unfinished, &Header { first, epoch, salt }, bytes)?;
            let path = folder.join(format!("{first:020}.{EXTENSION}"));
            std::fs::rename(&unfinished, &path)?;
            sync_folder(folder)?;
            Ok(Self { first, salt, bytes, path, file })
        });
        if made.is_err() {
            // Gives back what a full disk did let it have. An error here is no worse than the one that is reported.
            std::fs::remove_file(&unfinished).ok();
        }
        made
    }

    fn create_as(path: &Path, header: &Header, bytes: u64) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        allocate(&file, bytes)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_all()?;
        Ok(file)
    }

    /// Opens a segment, which must be of this epoch.
    pub(super) fn open(path: PathBuf, epoch: u16) -> Result<Self> {
        let failed = |error| super::unavailable("open", &path, error);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut stored = [0; HEADER_BYTES as usize];
        if bytes >= HEADER_BYTES {
            file.read_exact_at(&mut stored, 0).map_err(failed)?;
        }
        match Header::decode(&stored).filter(|header| header.epoch == epoch) {
            Some(Header { first, salt, .. }) => Ok(Self { first, salt, bytes, path, file }),
            None => Err(corrupt(&path, 0, &format!("the header is not that of a segment of epoch {epoch}"))),
        }
    }

    /// The segments in a folder, in the order of their offsets. Removes what a crash left unfinished.
    pub(super) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                paths.push(path);
            } else if path.file_name().is_some_and(|name| name == UNFINISHED) {
                std::fs::remove_file(path)?;
            }
        }
        // Twenty digits each, so names sort as offsets do.
        paths.sort();
        Ok(paths)
    }

    /// All of it, but for the zeros at its end, of which a chunk is left: most of a new segment is not worth its memory.
    pub(super) fn read_all(&self) -> io::Result<Vec<u8>> {
        let zero = vec![0; READ_BYTES];
        let (mut bytes, mut chunk, mut zeros) = (Vec::new(), zero.clone(), 0);
        for at in (0..self.bytes).step_by(READ_BYTES) {
            chunk.truncate(usize::try_from(self.bytes - at).unwrap_or(usize::MAX));
            self.file.read_exact_at(&mut chunk, at)?;
            if chunk[..] == zero[..chunk.len()] {
                zeros += chunk.len();
            } else {
                bytes.resize(bytes.len() + std::mem::take(&mut zeros), 0);
                bytes.extend_from_slice(&chunk);
            }
        }
        bytes.resize(bytes.len() + zeros.min(READ_BYTES), 0);
        Ok(bytes)
    }

    /// Fills the buffer with what is from this byte on.
    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }

    /// Writes at this byte, within what is allocated.
    pub(super) fn write(&self, buffer: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(buffer, at)
    }

    /// Returns once everything that was written survives the loss of power.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Makes everything from this byte on zero, and allocated still. Survives the loss of power.
    pub(super) fn clear_from(&self, at: u64) -> io::Result<()> {
        self.file.set_len(at)?;
        allocate(&self.file, self.bytes)?;
        self.file.sync_all()
    }

    /// Gives back everything from this byte on; nothing can be written any more. Survives the loss of power.
    pub(super) fn cut_off(&self, at: u64) -> io::Result<()> {
        self.file.set_len(at)?;
        self.file.sync_all()
    }
}

struct Header {
    first: u64,
    epoch: u16,
    salt: u32,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut header = [0; HEADER_BYTES as usize];
        let mut rest = &mut header[..];
        rest.put_slice(MAGIC);
        rest.put_uint(self.first, 6);
        rest.put_u16(self.epoch);
        rest.put_u32(self.salt);
        let checksum = crc32fast::hash(&header[..20]);
        header[20..].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let stored = bytes;
        bytes.advance(MAGIC.len());
        let header = Self { first: bytes.get_uint(6), epoch: bytes.get_u16(), salt: bytes.get_u32() };
        (header.encode() == stored).then_some(header)
    }
}

/// Reads a header, as far as fuzzing is concerned.
pub(super) fn check_header(bytes: &[u8; HEADER_BYTES as usize]) {
    if let Some(header) = Header::decode(bytes) {
        assert_eq!(header.encode(), *bytes);
    }
}

fn random_salt() -> io::Result<u32> {
    let mut salt = [0; 4];
    getrandom::fill(&mut salt)?;
    Ok(u32::from_be_bytes(salt))
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // Not every file system can.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_zeros(file, bytes),
        Err(error) => Err(error.into()),
    }
}

fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 64 * 1024];
    let mut at = file.metadata()?.len();
    while at < bytes {
        let step = (bytes - at).min(ZEROS.len() as u64);
        file.write_all_at(&ZEROS[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

/// Whether there was no room for it.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// A record that was acknowledged is not there: says where, and what can be done.
pub(super) fn corrupt(path: &Path, at: u64, cause: &str) -> Error {
    let advice = "This is no torn tail of a crash, but damage to records that were acknowledged. Restore this folder from \
                  a copy. If there is none, move all *.log files of the folder away: the bus then begins a new epoch, and \
                  devices send again what was accepted but not delivered yet";
    let cause = format!("{}, byte {at}: {cause}. {advice}", path.display());
    Error::new(ErrorKind::Corrupt, ENGINE, "open").because(cause)
}
