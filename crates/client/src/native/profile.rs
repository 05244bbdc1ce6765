//! A profile: the folder of one account on one computer, used by one process at a time.

use super::SqliteStorage;
use crate::StorageError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A profile that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Another process has it.
    #[error("the profile {} is in use by another process: quit that one, or choose another --profile", .0.display())]
    InUse(PathBuf),
    /// A name that is not one of a folder.
    #[error("{0:?} is no name for a profile: use letters, digits, '-', '_' and '.', and no '.' first")]
    Name(String),
    /// The folder can't be made or locked.
    #[error("the profile {} can't be opened: {source}", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its database can't be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// An open profile. Nobody else has it until it is dropped, or the process ends however it does.
#[derive(Debug)]
pub struct Profile {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Profile {
    /// Opens the profile of this name below a folder, and makes it if it is not there: readable by its owner alone.
    pub fn open(folder: &Path, name: &str) -> Result<Self, ProfileError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
            return Err(ProfileError::Name(name.into()));
        }
        let path = folder.join(name);
        let failed = |source| ProfileError::Folder { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ProfileError::InUse(path)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its storage, which keeps the profile's lock.
    pub fn into_storage(self) -> Result<SqliteStorage, ProfileError> {
        Ok(SqliteStorage::open(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_process_at_a_time_and_no_eyes_of_others() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let profile = Profile::open(folder.path(), "alice").expect("a new profile");
        assert!(matches!(Profile::open(folder.path(), "alice"), Err(ProfileError::InUse(_))));
        let storage = profile.into_storage().expect("an empty database");
        assert!(matches!(Profile::open(folder.path(), "alice"), Err(ProfileError::InUse(_))));
        let mode = |name: &str| {
            let metadata = folder.path().join("alice").join(name).metadata().expect("it is there");
            metadata.permissions().mode() & 0o777
        };
        assert_eq!((mode(""), mode("lock"), mode("client.db")), (0o700, 0o600, 0o600));
        drop(storage);
        Profile::open(folder.path(), "alice").expect("it is free again");
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["", "..", "../bob", "a/b", ".hidden", "a b"] {
            assert!(matches!(Profile::open(folder.path(), name), Err(ProfileError::Name(_))), "{name:?} passed");
        }
    }
}
