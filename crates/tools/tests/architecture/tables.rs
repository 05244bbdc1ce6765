//! Every table has its place on paper: docs/tables.md says what it becomes in Cassandra.

use crate::none_of;
use hudhud_tools::workspace;
use std::collections::BTreeSet;
use std::fs;

fn read(path: &str) -> String {
    fs::read_to_string(workspace::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `database.table` of each line `NAME = "table", Database, …` in `tables.rs`.
fn in_code() -> BTreeSet<String> {
    let table = |line: &str| {
        let (_, rest) = line.trim().split_once(" = \"")?;
        let (name, rest) = rest.split_once("\", ")?;
        let database = rest.split(',').next()?;
        matches!(database, "Messages" | "Directory").then(|| format!("{}.{name}", database.to_lowercase()))
    };
    read("crates/roles/src/tables.rs").lines().filter_map(table).collect()
}

fn on_paper() -> BTreeSet<String> {
    let table = |line: &str| Some(line.strip_prefix("CREATE TABLE ")?.split_whitespace().next()?.to_owned());
    read("docs/tables.md").lines().filter_map(table).collect()
}

#[test]
fn every_table_is_on_paper() {
    let (code, paper) = (in_code(), on_paper());
    assert!(code.len() >= 20, "the tables are read: {code:?}");
    none_of(
        code.symmetric_difference(&paper).cloned().collect(),
        "Say in docs/tables.md what the table becomes, how large its partitions get, and each access to it; or take it out.",
    );
}
