//! Tries every mutant of `crates/sim/mutants.toml` in the simulator, and fails if one goes unnoticed.
#![allow(clippy::print_stdout, reason = "a command line speaks to a terminal")]

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use hudhud_tools::mutants::{Mutant, table, weave};
use hudhud_tools::workspace;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// How long one mutant may take until it counts as unnoticed: it may have made the simulator wait for ever.
const MUTANT_MAX: Duration = Duration::from_secs(600);
/// Seeds that the woven simulator has to pass while every switch is off.
const SEEDS_UNCHANGED: u64 = 2;

/// Tries mutants of the real code: mistakes that the simulator has to notice.
#[derive(Parser)]
struct Arguments {
    /// Only those whose name holds one of these.
    names: Vec<String>,
    /// Seeds that each is tried with, until one notices it.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Mutants tried at the same time; each takes one core.
    #[arg(long)]
    jobs: Option<usize>,
}

/// What the simulator said of a mutant.
struct Verdict {
    /// The seed and the guarantee by which it was noticed.
    noticed: Option<(u64, u8)>,
    took: Duration,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mutants = table::read()?;
    let chosen = |mutant: &Mutant| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| mutant.name.contains(name.as_str()))
    };
    let wanted: Vec<(usize, &Mutant)> = (1..).zip(&mutants).filter(|(_, mutant)| chosen(mutant)).collect();
    ensure!(!wanted.is_empty(), "no mutant has such a name: they are in {}", table::PATH);

    let started = Instant::now();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace::root().join("target"), PathBuf::from);
    let folder = weave::weave(&mutants, &target.join("mutants"))?;
    let program = build(&folder, &target)?;
    unchanged(&program)?;
    println!("{} mutants are built into one simulator: {:.0} s", mutants.len(), started.elapsed().as_secs_f64());

    let survivors = try_all(&wanted, &program, &arguments)?;
    println!(
        "{} of {} mutants were noticed; it took {:.0} s",
        wanted.len() - survivors.len(),
        wanted.len(),
        started.elapsed().as_secs_f64()
    );
    if survivors.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\nNot noticed: {}.\nEither faults or checker are too weak (docs/simulation.md), or what the mutant takes away has lost \
         its purpose.",
        survivors.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

/// Builds the woven simulator. Beside the workspace's own build, in the same choice of features: dependencies are there
/// already.
fn build(folder: &Path, target: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--workspace", "--bin", weave::PROGRAM])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .context("cargo can't be run")?;
    if !built.status.success() {
        bail!("the mutants do not compile:\n{}", String::from_utf8_lossy(&built.stderr));
    }
    Ok(target.join("debug").join(weave::PROGRAM))
}

/// With every switch off, what was woven is the code that it was made from.
fn unchanged(program: &Path) -> Result<()> {
    let verdict = simulate(program, 0, SEEDS_UNCHANGED)?;
    ensure!(verdict.noticed.is_none(), "the simulator fails without any mutant: `make sim` tells more");
    Ok(())
}

/// Tries them on all cores, prints a line for each as it is done, and returns who was not noticed.
fn try_all(wanted: &[(usize, &Mutant)], program: &Path, arguments: &Arguments) -> Result<Vec<String>> {
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let next = AtomicUsize::new(0);
    let survivors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let tries: Vec<_> = (0..jobs)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some((number, mutant)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let verdict = simulate(program, *number, arguments.seeds)?;
                        if tell(mutant, &verdict) {
                            survivors.lock().expect("nobody panics with it").push(mutant.name.clone());
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        tries.into_iter().try_for_each(|one| one.join().expect("nobody panics"))
    })?;
    Ok(survivors.into_inner().expect("nobody panics with it"))
}

/// Prints what came of a mutant. True if it was not noticed, or by something that it has nothing to do with.
fn tell(mutant: &Mutant, Verdict { noticed, took }: &Verdict) -> bool {
    let (name, took) = (&mutant.name, took.as_secs_f64());
    match noticed {
        Some((seed, guarantee)) if mutant.guarantees.contains(guarantee) => {
            println!("noticed    guarantee {guarantee:>2}  seed {seed:>3}  {took:>5.1} s  {name}");
            false
        }
        Some((seed, guarantee)) => {
            let expected = &mutant.guarantees;
            println!(
                "ASTRAY     guarantee {guarantee:>2}  seed {seed:>3}  {took:>5.1} s  {name}: expected {expected:?}"
            );
            true
        }
        None => {
            println!("SURVIVED                          {took:>5.1} s  {name}: {}", mutant.why);
            true
        }
    }
}

/// Runs seeds as one mutant, until one fails.
fn simulate(program: &Path, number: usize, seeds: u64) -> Result<Verdict> {
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(["--seeds", &seeds.to_string(), "--jobs", "1", "--brief", "--first"])
        .env(weave::SWITCH, number.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("the woven simulator can't be run")?;
    let mut stdout = child.stdout.take().context("its output is a pipe")?;
    let (send, said) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        // What was said until it broke off is enough.
        let _ = std::io::Read::read_to_string(&mut stdout, &mut text);
        let _ = send.send(text);
    });
    let said = said.recv_timeout(MUTANT_MAX);
    if said.is_err() {
        child.kill().context("end the woven simulator")?;
    }
    let status = child.wait()?;
    let said = said.unwrap_or_default();
    let noticed = said.lines().find_map(failed_seed);
    ensure!(
        noticed.is_some() || status.success() || status.code().is_none(),
        "the woven simulator failed without a word ({status}):\n{said}"
    );
    Ok(Verdict { noticed, took: started.elapsed() })
}

/// The seed and the guarantee in `seed 7 violates guarantee 6: …`.
fn failed_seed(line: &str) -> Option<(u64, u8)> {
    let (seed, rest) = line.strip_prefix("seed ")?.split_once(" violates guarantee ")?;
    let (guarantee, _) = rest.split_once(':')?;
    Some((seed.parse().ok()?, guarantee.parse().ok()?))
}
