//! A real server goes through twenty rounds of load, fault and recovery, with every kind of fault at least once, while real
//! clients write, each with its database on disk. In the end nothing that was accepted is lost, shown twice or out of order:
//! the simulator's checker looks. `make soak` does the same for longer.
#![allow(clippy::print_stderr, reason = "what struck when is what one wants to know of a failure")]

use hudhud_e2e::clock::Clock;
use hudhud_e2e::disk::Disk;
use hudhud_e2e::fault::Fault;
use hudhud_e2e::fleet::Fleet;
use hudhud_e2e::process::Server;
use hudhud_e2e::rounds::{Plan, check, run};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const PACE: Duration = Duration::from_millis(100);
const PLAN: Plan = Plan { seed: 1, rounds: 20, pace: PACE };
/// How long people write where nothing strikes.
const LOAD: Duration = Duration::from_millis(800);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_rounds_of_faults_lose_nothing_and_repeat_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut told = |number: usize, round: &_| eprintln!("round {}: {round:?}", number + 1);
    let outcome = Box::pin(run(PLAN, folder.path(), &mut told)).await;
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
    let kinds: BTreeSet<Fault> = outcome.rounds.iter().map(|round| round.fault).collect();
    assert!(kinds.iter().eq(Fault::ALL.iter()), "not every kind of fault struck: {kinds:?}");
    let accepted = outcome.tally.accepted;
    assert!(accepted > 50 * PLAN.rounds as u64, "only {accepted} messages were accepted: that is no load");
}

/// The same check does find it when what was accepted is not there any more: it looks at a copy of the server's data that is
/// older than the last messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_what_it_accepted_is_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(Disk::new(folder.path()).expect("a disk"));
    let clock = Arc::new(Clock::new(folder.path()).expect("a clock"));
    let mut server = Server::start(disk.clone(), clock, folder.path()).await.expect("started");
    let mut fleet = Fleet::start(server.address(), folder.path(), PACE).await.expect("everybody is there");
    fleet.write_for(LOAD).await.expect("written");
    fleet.settle().await.expect("settled");
    server.terminate().await.expect("ended");
    let copy = folder.path().join("copy");
    let copied = Command::new("cp").arg("-a").arg(disk.data_from_here()).arg(&copy).status().expect("cp is there");
    assert!(copied.success());
    server.start_again().await.expect("started");
    fleet.write_for(LOAD).await.expect("written");
    fleet.settle().await.expect("settled");
    server.terminate().await.expect("ended");
    let seen = fleet.seen().clone();
    fleet.stop().expect("their disks did not fail");
    // First, so that it finds by itself what is missing.
    let before = check(&seen, &copy).await.expect("opened");
    assert!(before.iter().any(|violation| violation.starts_with("guarantee 11:")), "{before:#?}");
    let now = check(&seen, &disk.data_from_here()).await.expect("opened");
    assert!(now.is_empty(), "{now:#?}");
}
