//! Pages in Markdown whose figures are written by a program, between two lines that mark them.

use anyhow::{Context as _, bail};
use std::path::Path;

/// Puts a text between the markers of a page.
pub fn write(page: &Path, begins: &str, ends: &str, text: &str) -> anyhow::Result<()> {
    let before = std::fs::read_to_string(page).with_context(|| format!("{} can't be read", page.display()))?;
    let Some(after) = replaced(&before, begins, ends, text) else {
        bail!("{} has no lines {begins} and {ends}: add them where the figures are to stand", page.display());
    };
    std::fs::write(page, after).with_context(|| format!("{} can't be written", page.display()))
}

/// The page with another text between its markers; none where it has no markers.
pub fn replaced(page: &str, begins: &str, ends: &str, text: &str) -> Option<String> {
    let (head, rest) = page.split_once(begins)?;
    let (_, tail) = rest.split_once(ends)?;
    Some(format!("{head}{begins}\n\n{text}\n{ends}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_written_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let page = folder.path().join("page.md");
        std::fs::write(&page, "head\n<b>\nold\n<e>\ntail\n").expect("written");
        write(&page, "<b>", "<e>", "new\n").expect("written");
        assert_eq!(std::fs::read_to_string(&page).expect("read"), "head\n<b>\n\nnew\n\n<e>\ntail\n");
        let error = write(&page, "<x>", "<e>", "").expect_err("no such marker");
        assert!(error.to_string().contains("has no lines <x> and <e>"), "{error}");
    }
}
