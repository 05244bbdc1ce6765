//! A real server goes through twenty rounds of load, fault and recovery, with every kind of fault at least once, while real
//! clients write, each with its database on disk. In the end nothing that was accepted is lost, shown twice or out of order:
//! the simulator's checker looks. `make soak` does the same for longer.
#![allow(clippy::print_stderr, reason = "what struck when is what one wants to know of a failure")]

use hudhud_e2e::clock::Clock;
use hudhud_e2e::disk::Disk;
use hudhud_e2e::fault::Fault;
use hudhud_e2e::fleet::Fleet;
use hudhud_e2e::hudhud;
use hudhud_e2e::process::Server;
use hudhud_e2e::rounds::{Plan, check, run, stored};
use std::collections::BTreeSet;
use std::ffi::OsStr;
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

/// A backup is restored that is older than what devices hold. They keep what they have, everybody goes on writing, and beyond
/// what the backup could not have nothing is lost, shown twice or out of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_ahead_of_a_restored_server_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(Disk::new(folder.path()).expect("a disk"));
    let clock = Arc::new(Clock::new(folder.path()).expect("a clock"));
    let mut server = Server::start(disk.clone(), clock, folder.path()).await.expect("started");
    let mut fleet = Fleet::start(server.address(), folder.path(), PACE).await.expect("everybody is there");
    fleet.write_for(LOAD).await.expect("written");
    let (data, backup) = (disk.data_from_here(), folder.path().join("backup"));
    hudhud_command(["backup".as_ref(), backup.as_os_str(), "--data".as_ref(), data.as_os_str()]);
    fleet.write_for(LOAD).await.expect("written");
    fleet.settle().await.expect("settled");
    server.kill().await.expect("killed");

    std::fs::remove_dir_all(&data).expect("removed");
    hudhud_command(["restore".as_ref(), backup.as_os_str(), "--verify".as_ref(), "--data".as_ref(), data.as_os_str()]);
    // What was on its way when the backup was made is applied first.
    server.start_again().await.expect("started");
    fleet.settle().await.expect("settled");
    server.terminate().await.expect("ended");
    let seen = fleet.seen().clone();
    seen.restored(&stored(&seen, &data).await.expect("opened"));
    assert!(seen.gone() > 0, "devices are not ahead of the backup");

    server.start_again().await.expect("started");
    let restored = seen.accepted();
    fleet.write_for(LOAD).await.expect("written");
    fleet.settle().await.expect("settled");
    assert!(seen.accepted() > restored, "everybody goes on");
    server.terminate().await.expect("ended");
    fleet.stop().expect("their disks did not fail");
    let violations = check(&seen, &data).await.expect("opened");
    assert!(violations.is_empty(), "{violations:#?}");
}

fn hudhud_command<const N: usize>(words: [&OsStr; N]) {
    let done = Command::new(hudhud::binary().expect("built")).args(words).output().expect("it runs");
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
}
