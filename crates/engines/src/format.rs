//! The format of a data folder, in its file `format` (text, for people): which version of Hudhud can open it.
//!
//! | format | what it brought |
//! |---|---|
//! | 1 | No file `format`. |
//! | 2 | The bus seals its end, and its `meta` has a checksum. The store numbers its batches, and its file `synced` says how far they must be there. |
//!
//! An older format is opened as it is and becomes the present one by being used. A newer one is refused: nothing is touched.

use crate::files::replace;
use hudhud_ports::{Error, ErrorKind, Result};
use std::io;
use std::path::Path;

/// The format that this version writes.
pub const FORMAT: u32 = 2;

const ENGINE: &str = "data folder";
const FILE: &str = "format";
const WORDS: &str = "hudhud data, format ";

/// The format of what is in a folder; none where there is nothing. Touches nothing.
///
/// # Errors
/// As [`check`].
pub fn format_of(folder: &Path) -> Result<Option<u32>> {
    let path = folder.join(FILE);
    match std::fs::read(&path) {
        Ok(text) => match parse(&text) {
            Some(format) if format <= FORMAT => Ok(Some(format)),
            Some(format) => {
                let cause = format!(
                    "{} is of format {format}, and this version knows formats up to {FORMAT}: start the newer version that \
                     wrote it, or restore a backup that was made before the upgrade",
                    folder.display()
                );
                Err(refused(ErrorKind::Invalid, cause))
            }
            None => {
                let cause = format!(
                    "{} is damaged: check the disk (`hudhud verify`), then write \"{WORDS}{FORMAT}\" into it, or restore a \
                     backup",
                    path.display()
                );
                Err(refused(ErrorKind::Corrupt, cause))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok((folder.join("bus").exists() || folder.join("store").exists()).then_some(1))
        }
        Err(error) => Err(refused(ErrorKind::Unavailable, format!("{}: {error}", folder.display()))),
    }
}

/// Returns if what is in the folder can be opened, or nothing is. Makes the folder, and notes the format.
///
/// # Errors
/// `Invalid` when it is of a newer format; `Corrupt` when the file says nothing; `Unavailable` when it can't be used.
pub fn check(folder: &Path) -> Result<()> {
    let failed = |error: io::Error| refused(ErrorKind::Unavailable, format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    match format_of(folder)? {
        Some(FORMAT) => Ok(()),
        found => {
            if found == Some(1) {
                tracing::info!(folder = %folder.display(), "data of format 1 is used as format {FORMAT} from now on");
            }
            note(folder).map_err(failed)
        }
    }
}

fn refused(kind: ErrorKind, cause: String) -> Error {
    Error::new(kind, ENGINE, "open").because(cause)
}

fn note(folder: &Path) -> io::Result<()> {
    replace(folder, FILE, format!("{WORDS}{FORMAT}\n").as_bytes())
}

fn parse(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.strip_prefix(WORDS)?.strip_suffix('\n').unwrap_or_default().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new folder gets the present format, one without the file becomes it, and one that is newer is left alone.
    #[test]
    fn only_what_is_known_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(FILE);
        for _ in 0..2 {
            check(folder.path()).expect("new, then the present one");
        }
        assert_eq!(std::fs::read_to_string(&file).expect("written"), "hudhud data, format 2\n");
        for (text, kind) in [
            ("hudhud data, format 3\n", ErrorKind::Invalid),
            ("hudhud data, format x\n", ErrorKind::Corrupt),
            ("", ErrorKind::Corrupt),
        ] {
            std::fs::write(&file, text).expect("written");
            let error = check(folder.path()).expect_err("not known");
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(std::fs::read_to_string(&file).expect("left alone"), text);
        }
        std::fs::write(&file, "hudhud data, format 1\n").expect("written");
        check(folder.path()).expect("an older one");
        assert_eq!(std::fs::read_to_string(&file).expect("written"), "hudhud data, format 2\n");
    }
}
