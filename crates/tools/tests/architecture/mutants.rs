//! Mutants of the real code still fit the code: each edit has exactly one place. `make mutants` tries them.

use hudhud_tools::mutants::table;
use std::collections::BTreeSet;

/// Mutants that there must be at least.
const MUTANTS_MIN: usize = 15;
/// The guarantees of `docs/simulation.md` that the simulator checks.
const GUARANTEES: std::ops::RangeInclusive<u8> = 1..=11;

#[test]
fn every_mutant_has_its_place_in_the_code() {
    let mutants = table::read().unwrap_or_else(|error| panic!("\n\n{error:#}\n"));
    table::places(&mutants).unwrap_or_else(|error| panic!("\n\n{error:#}\n"));
    assert!(mutants.len() >= MUTANTS_MIN, "there are {} mutants", mutants.len());
}

#[test]
fn every_guarantee_has_a_mutant_that_breaks_it() {
    let mutants = table::read().unwrap_or_else(|error| panic!("\n\n{error:#}\n"));
    let broken: BTreeSet<u8> = mutants.iter().flat_map(|mutant| mutant.guarantees.clone()).collect();
    let unbroken = GUARANTEES.filter(|guarantee| !broken.contains(guarantee));
    crate::none_of(
        unbroken.map(|guarantee| format!("guarantee {guarantee}")).collect(),
        "Nothing shows that the checker sees this one fall: add a mutant to crates/sim/mutants.toml.",
    );
}
