//! The clock of the server: the machine's, shifted by as much as a file says, while the server runs.
//!
//! libfaketime stands between the server and the wall clock. The monotonic clock stays as it is: so it is with machines whose
//! time is set.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's package `libfaketime` has its library: below a folder of the architecture's.
const FOLDERS: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// A clock that can be shifted. Shifts are seen within a second.
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that goes right, whose file is in this folder.
    ///
    /// # Errors
    /// When libfaketime is not installed.
    pub fn new(folder: &Path) -> Result<Self> {
        let folders = std::fs::read_dir(FOLDERS).with_context(|| format!("{FOLDERS} can't be read"))?;
        let mut libraries = folders.flatten().map(|entry| entry.path().join(LIBRARY)).filter(|path| path.exists());
        let Some(library) = libraries.next() else {
            bail!("libfaketime is not below {FOLDERS}: run `make deps`, or install Debian's package libfaketime")
        };
        let clock = Self { library, file: folder.join("clock") };
        clock.shift(0)?;
        Ok(clock)
    }

    /// Sets it so many seconds ahead of the machine's, or behind.
    pub fn shift(&self, seconds: i64) -> Result<()> {
        // Replaced as a whole: it may be read at any time.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n"))?;
        std::fs::rename(&new, &self.file)?;
        Ok(())
    }

    /// Gives it to a process that is about to start.
    pub fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library);
        command.env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.env("FAKETIME_CACHE_DURATION", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}
