//! Runs the simulator: many seeds for an overview, one seed for its story.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to a terminal")]

mod progress;

use clap::Parser;
use hudhud_sim::Report;
use hudhud_sim::case::{Case, Cuts};
use hudhud_sim::mutants::Mutant;
use hudhud_sim::shrink::{Shrunk, shrink};
use hudhud_sim::world::Totals;
use progress::Progress;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// Runs to make the first failure smaller with; 0 leaves it as it is.
    #[arg(long, default_value_t = 200)]
    shrink: usize,
    /// Stop at the first failure.
    #[arg(long)]
    first: bool,
    /// Print no more than a line for each failure.
    #[arg(long)]
    brief: bool,
    #[command(flatten)]
    cuts: Cuts,
}

impl Arguments {
    fn case(&self, seed: u64) -> Case {
        Case { seed, cuts: self.cuts.clone(), mutant: self.mutant }
    }

    fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = arguments.case(arguments.from).plan() {
        eprintln!("error: {error}");
        return ExitCode::from(2);
    }
    if arguments.logs {
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).without_time().init();
    }
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    }
}

fn simulate(seed: u64, arguments: &Arguments) -> Report {
    let case = arguments.case(seed);
    let run = |loud| case.run(loud).expect("main has tried whether such a plan can be made");
    let mut report = run(arguments.trace);
    if arguments.check_replay && run(false).trace_hash != report.trace_hash {
        let failure = report.failure.unwrap_or_default();
        report.failure = Some(format!("seed {seed} went another way when it was run again\n{failure}"));
    }
    report
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    if arguments.trace
        && let Ok(plan) = arguments.case(seed).plan()
    {
        println!("{plan:#?}");
    }
    let report = simulate(seed, arguments);
    println!("trace {}", report.trace_hash);
    conclude(report.totals, started);
    let Some(failure) = &report.failure else { return ExitCode::SUCCESS };
    println!("{failure}");
    if !arguments.trace {
        make_smaller(report, arguments);
    }
    ExitCode::FAILURE
}

fn many(arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    let next = AtomicU64::new(arguments.from);
    let stopped = AtomicBool::new(false);
    let end = arguments.from + arguments.seeds;
    let outcome = Mutex::new((Totals::default(), Vec::<Report>::new(), Progress::new(arguments.seeds)));
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs() {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let report = simulate(seed, arguments);
                    let mut outcome = outcome.lock().expect("nobody panics while holding it");
                    let (totals, failed, progress) = &mut *outcome;
                    *totals += report.totals;
                    let Some(failure) = &report.failure else {
                        progress.passed();
                        continue;
                    };
                    progress.failed(if arguments.brief { in_brief(failure) } else { failure });
                    stopped.fetch_or(arguments.first, Ordering::Relaxed);
                    failed.push(report);
                }
            });
        }
    });
    let (totals, mut failed, progress) = outcome.into_inner().expect("nobody panics while holding it");
    progress.end();
    conclude(totals, started);
    failed.sort_by_key(|report| report.seed);
    let seeds: Vec<String> = failed.iter().map(|report| report.seed.to_string()).collect();
    match failed.into_iter().next() {
        None => ExitCode::SUCCESS,
        Some(first) => {
            println!("failed: {}", seeds.join(" "));
            make_smaller(first, arguments);
            ExitCode::FAILURE
        }
    }
}

/// The first line of a failure: seed, guarantee, what was promised.
fn in_brief(failure: &str) -> &str {
    failure.lines().next().unwrap_or_default()
}

/// Looks for a smaller run that fails in the same way, and tells its story.
fn make_smaller(report: Report, arguments: &Arguments) {
    if arguments.shrink == 0 || arguments.brief || report.violated.is_empty() {
        return;
    }
    let (case, jobs) = (arguments.case(report.seed), arguments.jobs());
    println!("\nlooking for a smaller run that violates guarantee {} ...", report.violated[0]);
    let mut last = case.clone();
    let Shrunk { case: smaller, report, runs } = shrink(&case, report, arguments.shrink, jobs, |runs, smaller| {
        if *smaller != last {
            println!("{runs:>4} runs: {smaller}");
            last = smaller.clone();
        }
    });
    match report.failure.filter(|_| smaller != case) {
        Some(failure) => println!("\nafter {runs} runs, the smallest is this.\n{failure}"),
        None => println!("none was found in {runs} runs"),
    }
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
