//! Every target on its corpus and on seeded mutations of it: no panic, no broken promise, no memory beyond what the input's
//! length explains. One at a time, as the allocator counts for the whole process.

use hudhud_fuzz::{Mutations, TARGETS, Target};
use libtest_mimic::{Arguments, Failed, Trial};
use peak_alloc::PeakAlloc;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Changes when other mutations are wanted.
const SEED: u64 = 4;

/// What panicked since it was looked at last, on any thread: a task that panics tells nobody else.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn main() {
    std::panic::set_hook(Box::new(|info| PANICS.lock().expect("nobody panics with it").push(info.to_string())));
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let targets = TARGETS.iter().map(|target| Trial::test(target.name, || check(target)));
    let trials = targets.chain([Trial::test("what_goes_wrong_is_noticed", what_goes_wrong_is_noticed)]).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// A panic is, on this thread or on another one, and memory that the input does not explain.
fn what_goes_wrong_is_noticed() -> Result<(), Failed> {
    type Wrong = (&'static str, fn(&[u8]));
    let wrong: [Wrong; 3] = [
        ("here", |_| panic!("here")),
        ("there", |_| drop(std::thread::spawn(|| panic!("there")).join())),
        ("bytes of memory", |_| drop(vec![1_u8; 1 << 20])),
    ];
    for (why, run_wrong) in wrong {
        let target = Target { name: "wrong", run: run_wrong, short_run: 0, memory_factor: 1, memory_base: 1 << 10 };
        let told = run(&target, b"input").map_err(|failed| failed.message().unwrap_or_default().to_owned());
        assert!(told.as_ref().is_err_and(|told| told.contains(why)), "{why}: {told:?}");
    }
    Ok(())
}

fn check(target: &Target) -> Result<(), Failed> {
    let corpus = hudhud_fuzz::corpus(target.name)?;
    if corpus.is_empty() {
        return Err("its corpus holds nothing to begin with".into());
    }
    for input in &corpus {
        run(target, input)?;
    }
    let mut mutations = Mutations::new(&corpus, SEED);
    for _ in 0..target.short_run {
        run(target, &mutations.input())?;
    }
    Ok(())
}

fn run(target: &Target, input: &[u8]) -> Result<(), Failed> {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    // Whether it panicked is in PANICS.
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).ok();
    let used = ALLOCATOR.peak_usage().saturating_sub(before);
    let allowed = target.memory_base + target.memory_factor * input.len();
    let mut wrong = std::mem::take(&mut *PANICS.lock().expect("nobody panics with it"));
    if used > allowed {
        wrong.push(format!("{used} bytes of memory for {} bytes of input, {allowed} are allowed", input.len()));
    }
    match wrong.first() {
        None => Ok(()),
        Some(why) => {
            let kept = keep(target, input);
            let advice = "Mend it, and put this file into the corpus";
            Err(format!("{why}\nThe input is in {}. {advice}", kept.display()).into())
        }
    }
}

fn keep(target: &Target, input: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-found", target.name));
    std::fs::write(&path, input).expect("cargo made the folder");
    path
}
