//! Folders that only their owner may look into.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// Who may look: the owner alone.
pub const MODE: u32 = 0o700;

/// Makes a folder, and those that it is in, unless they are there.
pub fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(path)
}
