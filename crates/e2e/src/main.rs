//! `make soak`: rounds of load, fault and recovery on a real server for as long as it is told to, and a report.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to a terminal")]

use clap::Parser;
use hudhud_e2e::report::Report;
use hudhud_e2e::rounds::{Plan, Round, run};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Rounds until the checker looks and everything begins anew, with new people on an empty disk.
const ROUNDS: usize = 60;
/// How often each device writes.
const PACE: Duration = Duration::from_millis(100);

/// Has people write to a real server while one fault after another strikes it, and checks that nothing is lost.
#[derive(Parser)]
struct Arguments {
    /// How long, in minutes. The run that is under way then goes on to its end.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// What the faults follow from; each run takes the next one [default: the time].
    #[arg(long)]
    seed: Option<u64>,
    /// Rounds of a run.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: usize,
    /// Where the report goes for programs, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let end = Duration::from_secs(arguments.minutes * 60);
    let mut report = Report::default();
    let mut seed = arguments.seed.unwrap_or(now.as_secs());
    while report.is_good() && (started.elapsed() < end || report.runs == 0) {
        let folder = tempfile::tempdir()?;
        let plan = Plan { seed, rounds: arguments.rounds.max(1), pace: PACE };
        let mut told = |number: usize, round: &Round| {
            let (minutes, seconds) = (started.elapsed().as_secs() / 60, started.elapsed().as_secs() % 60);
            let recovery = round.recovery.as_millis();
            eprintln!(
                "{minutes:>3}:{seconds:02} of {} min  seed {seed} round {:>3}  {:<16} recovered in {recovery:>5} ms  {}",
                arguments.minutes,
                number + 1,
                round.fault,
                round.note
            );
        };
        let outcome = Box::pin(run(plan, folder.path(), &mut told)).await;
        if !outcome.violations.is_empty() {
            // To be looked at: the disks of the clients, the log of the server.
            eprintln!("seed {seed} failed; its files stay in {}", folder.keep().display());
        }
        report.add(outcome);
        report.lasted = started.elapsed();
        if let Some(file) = &arguments.json {
            std::fs::write(file, format!("{:#}\n", report.to_json()))?;
        }
        seed += 1;
    }
    print!("{report}");
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
