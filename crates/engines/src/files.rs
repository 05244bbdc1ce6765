//! Files that are there as a whole or not at all, whatever happens meanwhile.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Writes a file anew, so that after a crash or a power loss it is there as it was or as it is now.
pub(crate) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = folder.join(format!("{name}.new"));
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(unfinished, folder.join(name))?;
    sync_folder(folder)
}

/// Returns once files that were made or renamed in this folder are there after a power loss.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
