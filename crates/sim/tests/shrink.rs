//! A run that fails is made smaller, fails in the same way, and can be asked for again by what is printed.

use hudhud_sim::case::{Case, kinds};
use hudhud_sim::mutants::Mutant;
use hudhud_sim::shrink::shrink;

/// Runs that the search may take. All that it would find takes more.
const RUNS_MAX: usize = 40;
/// Seeds in which the mutant must be noticed.
const SEEDS: u64 = 20;

#[test]
fn a_failing_run_becomes_a_small_one_that_fails_alike() {
    let cases = (1..=SEEDS).map(|seed| Case { mutant: Some(Mutant::BusAnswersEarly), ..Case::new(seed) });
    let failed = cases.map(|case| (case.run(false).expect("nothing is cut"), case));
    let (report, case) = failed.into_iter().find(|(report, _)| report.failure.is_some()).expect("a seed notices it");
    let guarantee = report.violated[0];

    let mut tried = 0;
    let shrunk = shrink(&case, report, RUNS_MAX, 2, |runs, _| tried = runs);
    assert!(shrunk.runs == tried && tried < RUNS_MAX + 2, "{tried} runs");
    let [before, after] = [&case, &shrunk.case].map(|case| case.plan().expect("its kinds of faults are known"));
    assert!(after.busy < before.busy, "{:?} of {:?}", after.busy, before.busy);
    assert!(kinds(&after).len() < kinds(&before).len(), "{:?} of {:?}", kinds(&after), kinds(&before));

    let again = shrunk.case.run(false).expect("its kinds of faults are known");
    assert!(again.violated.contains(&guarantee));
    assert_eq!(again.trace_hash, shrunk.report.trace_hash, "the case is the whole of it");
    let story = again.failure.expect("it fails");
    assert!(story.contains(&format!("-- {}", shrunk.case)), "it says how to replay it:\n{story}");
    assert!(story.contains("✗"), "it ends with what was violated:\n{story}");
}
