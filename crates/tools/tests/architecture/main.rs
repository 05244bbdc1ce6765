//! Proves that the workspace keeps its own rules: which package may know which, where sockets, engines, time and chance come
//! in, that the 19 steps are where ARCHITECTURE.md says, that no protobuf number is used twice, that links lead somewhere.
//!
//! A failure lists every place and says what to do. Rules with exceptions list them, each with its reason.

mod dependencies;
mod flow;
mod house_rules;
mod links;
mod mutants;
mod protobuf;
mod tables;

/// Fails with everything that was found and what to do about it.
#[track_caller]
fn none_of(found: Vec<String>, what_to_do: &str) {
    assert!(found.is_empty(), "\n\n  {}\n\n{what_to_do}\n", found.join("\n  "));
}
