//! A copy of the workspace with every mutant in it, each behind a switch of its own.
//!
//! An edited place becomes `if mutants::is_on(7) { theirs } else { ours }`. The switch is the environment variable
//! [`SWITCH`], read once: a process is one mutant, or none.

use super::table::{Mutant, Place, places};
use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The environment variable that holds the number of the mutant that a woven program is.
pub const SWITCH: &str = "HUDHUD_MUTANT";
/// The name of the woven simulator: the real one stays what it is.
pub const PROGRAM: &str = "mutated-sim";

/// The package that every mutated one knows: the switch lives there, in the copy alone.
const SWITCHBOARD: &str = "crates/proto/src/lib.rs";
const SIMULATOR: &str = "crates/sim/Cargo.toml";

/// What is in the files of a workspace, by path.
type Sources = BTreeMap<PathBuf, Vec<u8>>;

/// What is not source.
const PASSED_OVER: &[&str] = &["target", "node_modules"];

/// Brings the copy up to date and returns its folder. Files that did not change are left alone, so that a build has to do
/// only what is new.
pub fn weave(mutants: &[Mutant], folder: &Path) -> Result<PathBuf> {
    let root = workspace::root();
    let mut sources = Sources::new();
    for file in ["Cargo.toml", "Cargo.lock"] {
        sources.insert(PathBuf::from(file), read(&root.join(file))?);
    }
    collect(&root, Path::new("crates"), &mut sources)?;
    for (file, places) in places(mutants)? {
        change(&mut sources, &file, |source| edited(source, &places))?;
    }
    change(&mut sources, SWITCHBOARD, |source| Ok(format!("{source}{}", switchboard())))?;
    change(&mut sources, SIMULATOR, |source| {
        ensure!(
            source.contains("name = \"sim\""),
            "there is no program `sim` any more: mend this where it looks for it"
        );
        Ok(source.replace("\"sim\"", &format!("{PROGRAM:?}")))
    })?;
    synchronise(folder, &sources)?;
    Ok(folder.to_owned())
}

/// A source with its edits woven in.
fn edited(source: &str, places: &[Place<'_>]) -> Result<String> {
    let mut by_place: BTreeMap<(usize, usize), Vec<&Place<'_>>> = BTreeMap::new();
    for place in places {
        by_place.entry((place.bytes.start, place.bytes.end)).or_default().push(place);
    }
    let mut woven = String::with_capacity(2 * source.len());
    let mut done = 0;
    for ((start, end), choices) in by_place {
        let ours = &source[start..end];
        ensure!(start >= done, "two mutants edit different stretches of the same text:\n{ours}");
        woven += &source[done..start];
        woven += &choose(ours, &choices);
        done = end;
    }
    woven += &source[done..];
    Ok(woven)
}

/// The code that is one of several, whichever switch is on.
fn choose(ours: &str, choices: &[&Place<'_>]) -> String {
    let mut code = String::new();
    for Place { number, replace, .. } in choices {
        code += &format!("if hudhud_proto::mutants::is_on({number}) {{ {replace} }} else ");
    }
    code += &format!("{{ {ours} }}");
    // Statements stand for themselves; an expression may have neighbours.
    let is_expression = !ours.ends_with([';', '}']);
    if is_expression { format!("({code})") } else { code }
}

fn switchboard() -> String {
    format!(
        "\n/// Which mutant this process is.\npub mod mutants {{\n    \
         static NUMBER: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {{\n        \
         std::env::var({SWITCH:?}).ok().and_then(|number| number.parse().ok()).unwrap_or(0)\n    }});\n    \
         /// Whether it is this one.\n    \
         pub fn is_on(number: u32) -> bool {{\n        *NUMBER == number\n    }}\n}}\n"
    )
}

fn change(sources: &mut Sources, file: &str, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
    let bytes = sources.get_mut(Path::new(file)).with_context(|| format!("{file} is not there"))?;
    let text = std::str::from_utf8(bytes).with_context(|| format!("{file} is not text"))?;
    *bytes = change(text).with_context(|| format!("{file} can't be changed"))?.into_bytes();
    Ok(())
}

fn collect(root: &Path, below: &Path, sources: &mut Sources) -> Result<()> {
    let folder = root.join(below);
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let path = below.join(&name);
        if entry.file_type()?.is_dir() {
            if !PASSED_OVER.iter().any(|passed| name == *passed) {
                collect(root, &path, sources)?;
            }
        } else {
            sources.insert(path.clone(), read(&root.join(&path))?);
        }
    }
    Ok(())
}

/// Makes a folder hold these files, writes only those that differ, and removes what is not among them.
fn synchronise(folder: &Path, sources: &Sources) -> Result<()> {
    let mut there = Sources::new();
    if folder.join("crates").is_dir() {
        collect(folder, Path::new("crates"), &mut there)?;
    }
    for gone in there.keys().filter(|path| !sources.contains_key(*path)) {
        fs::remove_file(folder.join(gone)).with_context(|| format!("remove {}", gone.display()))?;
    }
    for (path, bytes) in sources {
        let path = folder.join(path);
        if fs::read(&path).is_ok_and(|there| there == *bytes) {
            continue;
        }
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weaves in mutants, each of which puts the second text in place of the first.
    fn weave_all(source: &str, edits: &[(&str, &'static str)]) -> Result<String> {
        let place = |(number, (find, replace)): (usize, &(&str, &'static str))| {
            let start = source.find(find).expect("it is there");
            Place { number, bytes: start..start + find.len(), replace }
        };
        edited(source, &(1..).zip(edits).map(place).collect::<Vec<_>>())
    }

    #[test]
    fn mutants_of_one_place_are_one_choice_and_those_of_others_their_own() {
        let woven = weave_all("f(a < b); g();", &[("a < b", "true"), ("g();", ""), ("a < b", "false")]);
        assert_eq!(
            woven.expect("it can be woven"),
            "f((if hudhud_proto::mutants::is_on(1) { true } else if hudhud_proto::mutants::is_on(3) { false } \
             else { a < b })); if hudhud_proto::mutants::is_on(2) {  } else { g(); }"
        );
    }

    #[test]
    fn what_overlaps_is_refused() {
        assert!(weave_all("f(a < b);", &[("a < b", "true"), ("f(a < b);", "")]).is_err());
    }

    #[test]
    fn a_copy_is_brought_up_to_date_and_what_is_the_same_is_not_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| PathBuf::from("crates").join(name);
        let first = BTreeMap::from([(file("a.rs"), b"a".to_vec()), (file("b.rs"), b"b".to_vec())]);
        synchronise(folder.path(), &first).expect("copied");
        let changed = |name: &str| {
            let data = fs::metadata(folder.path().join(file(name))).expect("it is there");
            data.modified().expect("files have a time")
        };
        let before = changed("a.rs");
        synchronise(folder.path(), &BTreeMap::from([(file("a.rs"), b"a".to_vec())])).expect("copied again");
        assert_eq!(changed("a.rs"), before);
        assert!(!folder.path().join(file("b.rs")).exists());
    }
}
