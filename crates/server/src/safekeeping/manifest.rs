//! What a backup holds: the file `manifest.json`, the last that is written. A folder without it is no backup.

use super::of_file;
use crate::Failure;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// The format of backups that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
const FILE: &str = "manifest.json";

/// What a backup holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the backup.
    pub format: u32,
    /// The version of Hudhud that made it.
    pub made_by: String,
    /// When its moment was, in microseconds since the Unix epoch.
    pub made_us: u64,
    /// Shards of the bus.
    pub shards: u32,
    /// The epoch of the bus.
    pub epoch: u16,
    /// The offset of the next record at that moment: everything accepted before it is here.
    pub next: u64,
    /// The offset up to which each shard was committed: what is behind it is in the tail.
    pub committed: Vec<u64>,
    /// The files.
    pub volumes: Vec<Entry>,
}

/// A file of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of it, hexadecimal.
    pub blake3: String,
    /// How many rows, records or conversations are in it.
    pub items: u64,
}

/// The manifest and its own checksum.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// BLAKE3 of the manifest as compact JSON, hexadecimal.
    blake3: String,
    manifest: Manifest,
}

impl Manifest {
    /// Whether this folder says that it is a backup.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE).is_file()
    }

    fn blake3(&self) -> String {
        let json = serde_json::to_vec(self).expect("numbers and strings are JSON");
        blake3::hash(&json).to_hex().to_string()
    }

    /// Writes it into a folder; it survives the loss of power.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(FILE);
        let sealed = Sealed { blake3: self.blake3(), manifest: self.clone() };
        let mut json = serde_json::to_vec_pretty(&sealed).expect("numbers and strings are JSON");
        json.push(b'\n');
        let write = || {
            let mut file = File::create_new(&path)?;
            file.write_all(&json)?;
            file.sync_all()?;
            File::open(folder)?.sync_all()
        };
        write().map_err(of_file(&path))
    }

    /// Reads the one in a folder, if it is whole and of a known format.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let text = std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Failure::Refused(format!(
                "{} is no whole backup: it has no {FILE}; one that was broken off can be deleted",
                folder.display()
            )),
            _ => of_file(&path)(source),
        })?;
        let damaged = |why: String| Failure::Damaged(format!("{}: {why}; use another backup", path.display()));
        let json: serde_json::Value = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let format = json["manifest"]["format"].as_u64();
        if format.is_some_and(|format| format > u64::from(FORMAT)) {
            let why = format!("{} is of a newer format than {FORMAT}: use the version that made it", folder.display());
            return Err(Failure::Refused(why));
        }
        let Sealed { blake3, manifest } = serde_json::from_value(json).map_err(|error| damaged(error.to_string()))?;
        match manifest.blake3() == blake3 {
            true => Ok(manifest),
            false => Err(damaged("it fails its checksum".into())),
        }
    }

    /// What it says of a file.
    pub fn entry(&self, name: &str) -> Result<&Entry, Failure> {
        let missing = || Failure::Damaged(format!("the backup's manifest does not name {name}; use another backup"));
        self.volumes.iter().find(|entry| entry.name == name).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let entry = Entry { name: "messages".into(), bytes: 7, blake3: "00".into(), items: 1 };
        Manifest {
            format: FORMAT,
            made_by: "0.1.0".into(),
            made_us: 1,
            shards: 2,
            epoch: 3,
            next: 4,
            committed: vec![1, 2],
            volumes: vec![entry],
        }
    }

    /// What was written is read; whichever digit or letter is changed in it, it is refused.
    #[test]
    fn a_changed_manifest_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        manifest().write(folder.path()).expect("written");
        assert_eq!(Manifest::read(folder.path()).expect("whole"), manifest());
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).expect("read");
        for at in (0..whole.len()).filter(|at| whole[*at].is_ascii_alphanumeric()) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, changed).expect("written");
            assert!(Manifest::read(folder.path()).is_err(), "byte {at}");
        }
    }

    /// A newer format is not read, and the message says what reads it.
    #[test]
    fn a_newer_format_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        Manifest { format: FORMAT + 1, ..manifest() }.write(folder.path()).expect("written");
        let failure = Manifest::read(folder.path()).expect_err("newer");
        assert!(failure.to_string().contains("the version that made it"), "{failure}");
    }
}
