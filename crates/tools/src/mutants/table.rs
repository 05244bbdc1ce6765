//! The table of mutants: `crates/sim/mutants.toml`. Its head explains the fields.

use crate::workspace;
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

/// Where the table is, relative to the workspace.
pub const PATH: &str = "crates/sim/mutants.toml";

/// A mistake.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// What it is called.
    pub name: String,
    /// What it must be seen to violate, one of these at least.
    pub guarantees: Vec<u8>,
    /// What the code does that this takes away.
    pub why: String,
    /// How it comes into the source.
    #[serde(rename = "edit")]
    pub edits: Vec<Edit>,
}

/// A piece of source and what stands there instead.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Relative to the workspace.
    pub file: String,
    /// Text that is there exactly once and holds [`Self::find`] exactly once; the whole file if there is none.
    #[serde(default)]
    pub within: Option<String>,
    /// An expression, or whole statements.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}

#[derive(Deserialize)]
struct Table {
    mutant: Vec<Mutant>,
}

/// Reads the table. An error names the mutant that makes no sense.
pub fn read() -> Result<Vec<Mutant>> {
    let text = fs::read_to_string(workspace::root().join(PATH)).with_context(|| format!("read {PATH}"))?;
    let Table { mutant: mutants } = toml::from_str(&text).with_context(|| format!("understand {PATH}"))?;
    let mut names = BTreeSet::new();
    for mutant in &mutants {
        let name = &mutant.name;
        ensure!(names.insert(name), "{name}: there are two mutants of this name");
        ensure!(!mutant.edits.is_empty(), "{name}: it edits nothing");
        let known =
            !mutant.guarantees.is_empty() && mutant.guarantees.iter().all(|guarantee| (1..=12).contains(guarantee));
        ensure!(known, "{name}: `guarantees` must name some of 1 to 12");
    }
    Ok(mutants)
}

impl Edit {
    /// Where in the text of its file the edit is.
    pub fn locate(&self, text: &str) -> Result<Range<usize>> {
        let around = match &self.within {
            Some(within) => once(text, within)?,
            None => 0..text.len(),
        };
        let found = once(&text[around.clone()], &self.find)?;
        Ok(around.start + found.start..around.start + found.end)
    }
}

/// Where a text stands, which must be there exactly once. White space around it does not count.
fn once(text: &str, wanted: &str) -> Result<Range<usize>> {
    let wanted = wanted.trim();
    let mut found = text.match_indices(wanted);
    match (wanted, found.next(), found.next()) {
        ("", ..) => bail!("nothing is looked for"),
        (_, Some((at, _)), None) => Ok(at..at + wanted.len()),
        (_, None, _) => bail!("this is not there any more:\n{wanted}"),
        _ => bail!("this is there more than once:\n{wanted}"),
    }
}

/// Where in its file an edit is.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Of the mutant, from 1.
    pub number: usize,
    /// The bytes that are replaced.
    pub bytes: Range<usize>,
    /// What replaces them.
    pub replace: &'a str,
}

/// The places of all edits by file. Every edit that has none is in the error, which says what to do.
pub fn places(mutants: &[Mutant]) -> Result<BTreeMap<String, Vec<Place<'_>>>> {
    let mut places: BTreeMap<String, Vec<Place<'_>>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, mutant) in (1..).zip(mutants) {
        for edit in &mutant.edits {
            let text = fs::read_to_string(workspace::root().join(&edit.file)).context("can't be read");
            match text.and_then(|text| edit.locate(&text)) {
                Ok(bytes) => {
                    let place = Place { number, bytes, replace: &edit.replace };
                    places.entry(edit.file.clone()).or_default().push(place);
                }
                Err(error) => wrong.push(format!("{} in {}: {error:#}", mutant.name, edit.file)),
            }
        }
    }
    if !wrong.is_empty() {
        bail!(
            "{}\n\nThe code has changed under these mutants. Let their edits in {PATH} take away the same again; `make mutants` \
             then shows that it is still noticed.",
            wrong.join("\n")
        );
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(within: Option<&str>, find: &str) -> Edit {
        Edit { file: String::new(), within: within.map(Into::into), find: find.into(), replace: String::new() }
    }

    #[test]
    fn an_edit_has_exactly_one_place_or_none() {
        let text = "let a = one();\nlet b = one();\n";
        assert_eq!(edit(None, "\nlet b = one();\n").locate(text).expect("it is there once"), 15..29);
        assert_eq!(edit(Some("b = one()"), "one()").locate(text).expect("it is there once in there"), 23..28);
        assert!(edit(None, "one()").locate(text).is_err(), "twice");
        assert!(edit(None, "two()").locate(text).is_err(), "not at all");
        assert!(edit(Some("a ="), "one()").locate(text).is_err(), "elsewhere");
        assert!(edit(None, " ").locate(text).is_err(), "nothing");
    }
}
