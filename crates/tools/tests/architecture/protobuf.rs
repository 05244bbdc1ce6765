//! A protobuf number means one thing for good: what is stored or sent today is read by every later version.
//!
//! `crates/proto/proto/numbers.txt` holds every number that was ever used. It only grows: `make numbers` appends what is new.

use crate::none_of;
use hudhud_tools::schema::{self, Number};
use hudhud_tools::workspace;
use std::fs;

const SNAPSHOT: &str = "crates/proto/proto/numbers.txt";

fn in_schema() -> Vec<Number> {
    workspace::files("crates/proto/proto", ".proto").iter().flat_map(|file| schema::numbers(&file.text)).collect()
}

fn ever_used() -> Vec<Number> {
    let text = fs::read_to_string(workspace::root().join(SNAPSHOT)).unwrap_or_default();
    text.lines().filter_map(Number::from_line).collect()
}

#[test]
fn no_number_means_two_things() {
    let (now, before) = (in_schema(), ever_used());
    assert!(now.len() > 300, "the schema is read: {} numbers", now.len());
    let found = schema::reused(before.iter().chain(&now));
    none_of(
        found.iter().map(|(before, now)| format!("{} was and is now: {}", before.to_line(), now.meaning)).collect(),
        "Give the new field a number that was never used. Also a new name or type for an old field is a new field: old \
         clients and old rows still have the old one.",
    );
}

#[test]
fn every_number_is_on_record() {
    let before = ever_used();
    let mut new: Vec<_> = in_schema().into_iter().filter(|number| !before.contains(number)).collect();
    if std::env::var_os("HUDHUD_RECORD_NUMBERS").is_some() {
        let all: std::collections::BTreeSet<_> = before.into_iter().chain(new.drain(..)).collect();
        let text: String = all.iter().map(|number| number.to_line() + "\n").collect();
        fs::write(workspace::root().join(SNAPSHOT), text).expect("the snapshot can be written");
    }
    none_of(new.iter().map(Number::to_line).collect(), "New fields: run `make numbers` and commit what it appends.");
}
