//! Runs the simulator: many seeds for an overview, one seed for its story.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to a terminal")]

use clap::Parser;
use hudhud_sim::mutants::Mutant;
use hudhud_sim::plan::Plan;
use hudhud_sim::world::Totals;
use hudhud_sim::{Report, run};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Simulates Hudhud: real servers and clients on simulated time, network and disks.
#[derive(Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Print every line of the trace.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Print what the servers log, too.
    #[arg(long, requires = "seed")]
    logs: bool,
    /// Run each seed twice and compare.
    #[arg(long)]
    check_replay: bool,
    /// Break a promise on purpose.
    #[arg(long)]
    mutant: Option<Mutant>,
    /// Runs at the same time; each takes one core.
    #[arg(long)]
    jobs: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.logs {
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).without_time().init();
    }
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    }
}

fn simulate(seed: u64, arguments: &Arguments) -> Report {
    let plan = || Plan { mutant: arguments.mutant, ..Plan::new(seed) };
    let mut report = run(seed, plan(), arguments.trace);
    if arguments.check_replay {
        let again = run(seed, plan(), false);
        if again.trace_hash != report.trace_hash {
            let failure = report.failure.unwrap_or_default();
            report.failure = Some(format!("seed {seed} went another way when it was run again\n{failure}"));
        }
    }
    report
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    if arguments.trace {
        println!("{:#?}", Plan::new(seed));
    }
    let report = simulate(seed, arguments);
    println!("trace {}", report.trace_hash);
    conclude(report.totals, started);
    match report.failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn many(arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from + arguments.seeds;
    let outcome: Mutex<(Totals, Vec<String>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let report = simulate(seed, arguments);
                    let mut outcome = outcome.lock().expect("nobody panics while holding it");
                    outcome.0 += report.totals;
                    if let Some(failure) = report.failure {
                        println!("\n{failure}");
                        outcome.1.push(format!("{seed}"));
                    }
                    eprint!("\r{} of {} seeds, {} failed ", outcome.0.runs, arguments.seeds, outcome.1.len());
                }
            });
        }
    });
    eprintln!();
    let (totals, mut failed) = outcome.into_inner().expect("nobody panics while holding it");
    conclude(totals, started);
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    failed.sort_by_key(|seed| seed.parse::<u64>().unwrap_or_default());
    println!("failed: {}", failed.join(" "));
    ExitCode::FAILURE
}

fn conclude(totals: Totals, started: Instant) {
    let Totals { runs, composed, entries, stored, server_crashes, device_crashes, power_losses, faults, simulated } =
        totals;
    println!(
        "{runs} runs, {:.0} simulated seconds in {:.1} real ones: {composed} messages written, {entries} entries, \
         {stored} stored by devices; {faults} faults, of them {server_crashes} server and {device_crashes} device crashes, \
         {power_losses} power losses",
        simulated.as_secs_f64(),
        started.elapsed().as_secs_f64(),
    );
}
