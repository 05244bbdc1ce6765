//! A cluster of real processes on real engines, behind a real balancer, goes through one fault after another while real clients
//! write. In the end nothing that was accepted is lost, shown twice or out of order: the simulator's checker looks. Needs what
//! `scripts/deps cluster` installs, and fails where that is not there; `make cluster-test` runs it.
#![allow(clippy::print_stderr, reason = "what struck when is what one wants to know of a failure")]

use hudhud_e2e::cluster::{Fault, Round, run};
use std::time::Duration;

/// How often each device writes. Each message has ten receipts, and every engine three nodes, on one machine.
const PACE: Duration = Duration::from_millis(600);
const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes five minutes and 3 GiB: make cluster-test"]
async fn every_fault_of_a_cluster_loses_nothing_and_repeats_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rounds = 0;
    let mut told = |round: &Round| {
        rounds += 1;
        eprintln!("{:<22} recovered in {:>6} ms  {}", round.fault, round.recovery.as_millis(), round.note);
    };
    let outcome = Box::pin(run(SEED, Fault::ALL, PACE, folder.path(), &mut told)).await;
    let (tally, violations) = match outcome {
        Ok(outcome) => outcome,
        Err(error) => panic!("{error:#}; its files stay in {}", folder.keep().display()),
    };
    assert!(violations.is_empty(), "{violations:#?}; its files stay in {}", folder.keep().display());
    assert_eq!(rounds, Fault::ALL.len());
    assert!(tally.accepted > 10 * rounds as u64, "only {} messages were accepted: that is no load", tally.accepted);
}
