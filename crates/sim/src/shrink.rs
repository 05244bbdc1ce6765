//! From a run that fails to a small one: fewer kinds of faults, people, devices and seconds, the same guarantee.
//!
//! Delta debugging on the plan: whatever can be left out is left out. What is left out changes everything that chance decides
//! afterwards, so each cut is tried with a few throws of the dice.

use crate::case::{Case, Cuts, kinds};
use crate::run::Report;

/// Throws of the dice that a cut is tried with, beside the one that failed before.
const THROWS: u64 = 4;
/// The shortest time that people are busy, in seconds.
const BUSY_S_MIN: u64 = 2;
/// The longest waits of people, in milliseconds: fewer things happen.
const PAUSES_MS: [u64; 2] = [5_000, 2_000];

/// What is left.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest run that was found.
    pub case: Case,
    /// How it failed.
    pub report: Report,
    /// How many runs it took.
    pub runs: usize,
}

/// Makes a run that fails smaller, with so many further runs at most, so many of them at the same time. `progress` is told
/// after each cut that was tried: runs so far, and the smallest case.
pub fn shrink(case: &Case, report: Report, runs_max: usize, jobs: usize, progress: impl FnMut(usize, &Case)) -> Shrunk {
    let Some(guarantee) = report.violated.first().copied() else {
        return Shrunk { case: case.clone(), report, runs: 0 };
    };
    let shrunk = Shrunk { case: case.clone(), report, runs: 0 };
    let mut search = Search { guarantee, runs_max, jobs: jobs.max(1), shrunk, progress };
    search.shorten();
    search.leave_out_faults();
    search.leave_out_people();
    search.slow_down();
    search.shorten();
    search.leave_out_faults();
    search.shrunk
}

struct Search<P> {
    guarantee: u8,
    runs_max: usize,
    jobs: usize,
    shrunk: Shrunk,
    progress: P,
}

impl<P: FnMut(usize, &Case)> Search<P> {
    fn cuts(&self) -> Cuts {
        self.shrunk.case.cuts.clone()
    }

    /// Whether the run still fails in the same way with these cuts; then they are the best so far. With one number of jobs
    /// or another, the answer is the same: the first throw that fails is taken.
    fn fails_with(&mut self, cuts: Cuts) -> bool {
        let throws = std::iter::once(cuts.throw).chain((0..=THROWS).filter(|throw| *throw != cuts.throw));
        let cases: Vec<Case> = throws
            .take(1 + THROWS as usize)
            .map(|throw| Case { cuts: Cuts { throw, ..cuts.clone() }, ..self.shrunk.case.clone() })
            .collect();
        let mut fails = false;
        for some in cases.chunks(self.jobs) {
            if self.shrunk.runs >= self.runs_max {
                break;
            }
            self.shrunk.runs += some.len();
            let is_same = |report: &Report| report.violated.contains(&self.guarantee);
            let failed = some.iter().zip(run_all(some)).find(|(_, report)| report.as_ref().is_ok_and(is_same));
            if let Some((case, Ok(report))) = failed {
                (self.shrunk.case, self.shrunk.report) = (case.clone(), report);
                fails = true;
                break;
            }
        }
        (self.progress)(self.shrunk.runs, &self.shrunk.case);
        fails
    }

    fn busy_s(&self) -> u64 {
        self.shrunk.case.plan().map_or(0, |plan| plan.busy.as_secs())
    }

    /// Nothing that came after the failure brought it about; then halves.
    fn shorten(&mut self) {
        let after_s = self.shrunk.report.failed_after.map_or(u64::MAX, |after| after.as_secs() + 1);
        if after_s < self.busy_s() {
            self.fails_with(Cuts { busy_s: Some(after_s.max(BUSY_S_MIN)), ..self.cuts() });
        }
        while self.busy_s() > BUSY_S_MIN {
            let half = (self.busy_s() / 2).max(BUSY_S_MIN);
            if !self.fails_with(Cuts { busy_s: Some(half), ..self.cuts() }) {
                return;
            }
        }
    }

    /// All of them, halves, quarters, one by one.
    fn leave_out_faults(&mut self) {
        let mut left = self.shrunk.case.plan().map_or_else(|_| Vec::new(), |plan| kinds(&plan));
        let mut chunk = left.len();
        while chunk > 0 {
            let mut at = 0;
            while at < left.len() {
                let end = (at + chunk).min(left.len());
                let mut without = self.cuts().without;
                without.extend_from_slice(&left[at..end]);
                if self.fails_with(Cuts { without, ..self.cuts() }) {
                    left.drain(at..end);
                } else {
                    at = end;
                }
            }
            chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
        }
    }

    fn leave_out_people(&mut self) {
        let Ok(plan) = self.shrunk.case.plan() else { return };
        self.fails_with(Cuts { one_server: true, ..self.cuts() });
        if plan.crowd > 0 {
            self.fails_with(Cuts { no_crowd: true, ..self.cuts() });
        }
        let fewer =
            (1..plan.people.len()).find(|people| self.fails_with(Cuts { people: Some(*people), ..self.cuts() }));
        let people = fewer.unwrap_or(plan.people.len());
        let devices = plan.people[..people].iter().map(|person| person.devices.len()).max().unwrap_or(1);
        let _ = (1..devices).find(|devices| self.fails_with(Cuts { devices: Some(*devices), ..self.cuts() }));
    }

    fn slow_down(&mut self) {
        let _ = PAUSES_MS.iter().find(|ms| self.fails_with(Cuts { pause_ms: Some(**ms), ..self.cuts() }));
    }
}

/// Runs each of them, all at the same time.
fn run_all(cases: &[Case]) -> Vec<Result<Report, String>> {
    std::thread::scope(|scope| {
        let runs: Vec<_> = cases.iter().map(|case| scope.spawn(|| case.run(false))).collect();
        runs.into_iter().map(|run| run.join().expect("a run does not panic")).collect()
    })
}
