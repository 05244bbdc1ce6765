//! Every link between our own pages leads somewhere.

use crate::none_of;
use hudhud_tools::{markdown, workspace};
use std::path::{Component, Path, PathBuf};

#[test]
fn links_between_pages_resolve() {
    let root = workspace::root();
    let pages = workspace::files("", ".md");
    let mut wrong = Vec::new();
    for page in &pages {
        for (offset, target) in markdown::links(&page.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
            let path = if path.is_empty() { PathBuf::from(&page.path) } else { normal(&folder.join(path)) };
            if !root.join(&path).exists() {
                wrong.push(format!("{}: {target}: no such file", page.at(offset)));
                continue;
            }
            let linked = pages.iter().find(|other| Path::new(&other.path) == path);
            if let Some(linked) = linked
                && !anchor.is_empty()
                && !markdown::anchors(&linked.text).iter().any(|a| a == anchor)
            {
                wrong.push(format!("{}: {target}: no such heading", page.at(offset)));
            }
        }
    }
    none_of(wrong, "Mend the link, or the name of what it should lead to.");
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = out.pop(),
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}
