//! `make cluster-soak`: a cluster of real processes on real engines, one fault after another for as long as it is told to.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to a terminal")]

use anyhow::Context as _;
use clap::Parser;
use hudhud_e2e::cluster::{Fault, Round, run};
use hudhud_sim::chance::Chance;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often each device writes. Each message has ten receipts, and every engine three nodes, on one machine.
const PACE: Duration = Duration::from_millis(600);
/// Rounds until the checker looks and everything begins anew, with new people on empty engines.
const ROUNDS: usize = 42;

/// Has people write to a cluster while one fault after another strikes it, and checks that nothing is lost.
#[derive(Parser)]
struct Arguments {
    /// How long, in minutes. The run that is under way then goes on to its end.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// What the order of the faults follows from; each run takes the next one [default: the time].
    #[arg(long)]
    seed: Option<u64>,
    /// Rounds of a run.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: usize,
    /// Only faults whose names have this in them.
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let is_wanted = |fault: &&Fault| arguments.only.as_ref().is_none_or(|words| fault.name().contains(words.as_str()));
    let wanted: Vec<Fault> = Fault::ALL.iter().filter(is_wanted).copied().collect();
    let names = Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>().join("; ");
    anyhow::ensure!(!wanted.is_empty(), "no fault has that in its name: {names}");
    let started = Instant::now();
    let mut seed = arguments.seed.unwrap_or(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let (mut runs, mut rounds, mut accepted) = (0, 0, 0);
    while runs == 0 || started.elapsed() < Duration::from_secs(arguments.minutes * 60) {
        let folder = tempfile::tempdir()?;
        let mut chance = Chance::new(seed, "order");
        let faults: Vec<Fault> = (0..arguments.rounds).filter_map(|_| chance.pick(&wanted).copied()).collect();
        let mut told = |round: &Round| {
            rounds += 1;
            let (minutes, seconds) = (started.elapsed().as_secs() / 60, started.elapsed().as_secs() % 60);
            let recovery = round.recovery.as_millis();
            println!("{minutes:>3}:{seconds:02}  {:<22} recovered in {recovery:>6} ms  {}", round.fault, round.note);
        };
        let outcome = Box::pin(run(seed, &faults, PACE, folder.path(), &mut told)).await;
        let violations = match outcome {
            Ok((tally, violations)) => {
                accepted += tally.accepted;
                violations
            }
            Err(error) => vec![format!("{error:#}")],
        };
        if !violations.is_empty() {
            // To be looked at: the disks of the clients, the logs of the processes.
            eprintln!("seed {seed}: {violations:#?}\nits files stay in {}", folder.keep().display());
            return Ok(ExitCode::FAILURE);
        }
        runs += 1;
        seed = seed.checked_add(1).context("the last seed")?;
    }
    let minutes = started.elapsed().as_secs() / 60;
    println!(
        "{runs} runs, {rounds} rounds in {minutes} minutes, {accepted} messages accepted: nothing lost, twice or out of order"
    );
    Ok(ExitCode::SUCCESS)
}
