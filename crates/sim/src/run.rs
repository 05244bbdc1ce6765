//! One run, from a seed to a verdict.

use crate::case::Case;
use crate::check::end::End;
use crate::check::{CONVERGENCE_MAX, Violation};
use crate::history;
use crate::people::People;
use crate::plan::Plan;
use crate::site::Site;
use crate::weather;
use crate::world::{Totals, World};
use std::sync::Arc;
use std::time::Duration;

/// How late a write or an append may land that was not answered, after faults have ended.
const LATE_MAX: Duration = Duration::from_secs(16);
/// How often the checker looks whether everybody agrees.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often people open all their conversations again, once all is quiet.
const REOPEN_INTERVAL: Duration = Duration::from_secs(8);

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Of everything that happened: the same seed has the same hash.
    pub trace_hash: String,
    /// What was counted.
    pub totals: Totals,
    /// What must not have happened, with its history; none if all is well.
    pub failure: Option<String>,
    /// Which guarantees were violated.
    pub violated: Vec<u8>,
    /// What was wrong first, in one line.
    pub first: Option<String>,
    /// How long after faults had begun it was seen.
    pub failed_after: Option<Duration>,
}

/// Runs a plan. `loud`: every line of the trace is printed.
///
/// # Panics
/// If the simulator itself can't run.
pub fn run(seed: u64, plan: Plan, loud: bool) -> Report {
    let case = Case { mutant: plan.mutant, ..Case::new(seed) };
    run_case(seed, seed, plan, &case.to_string(), loud)
}

/// Runs a plan with the chances of `dice`. `again`: the arguments that ask for this run.
pub(crate) fn run_case(seed: u64, dice: u64, plan: Plan, again: &str, loud: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O can always be made");
    runtime.block_on(async {
        let world = World::new(dice, plan, loud);
        let site = Site::new(&world);
        let people = People::new(&world, &site);
        let began = live(&world, &site, &people).await;
        report(seed, again, began, &world)
    })
}

/// Lives a whole run, and returns when faults began.
async fn live(world: &World, site: &Arc<Site>, people: &Arc<People>) -> Duration {
    if let Err(error) = people.set_up().await {
        world.observer().violate(0, format!("people can't begin: {error:#}"), Vec::new());
        return world.now();
    }
    let began = world.now();
    world.set_rough(true);
    world.note(format_args!("faults begin"));
    let until = world.now() + world.plan().busy;
    world.spawn(weather::blow(world.clone(), site.clone(), people.clone(), until));
    world.spawn(people.clone().live(until));
    while world.now() < until && world.observer().violations.is_empty() {
        world.sleep(LOOK_INTERVAL).await;
    }
    world.set_rough(false);
    world.note(format_args!("faults end"));
    site.heal();
    people.come_online();
    if world.observer().losses.count > 0 {
        people.say_something_everywhere();
    }
    let until = world.now() + CONVERGENCE_MAX;
    let nothing_late = world.now() + LATE_MAX;
    while world.now() < nothing_late {
        world.sleep(LOOK_INTERVAL).await;
        // What an event began before faults ended.
        site.heal();
    }
    if !settles(world, people, site, until, |end| end.settled(&world.observer())).await {
        return began;
    }
    // In a group a sender is told only of marks up to its own last message: what moved after a conversation was opened is seen
    // when it is opened again.
    let mut opened = None;
    let agreed = |end: &End<'_>| {
        if opened_again(world.now(), &mut opened) {
            people.reopen();
        }
        end.agreed(&world.observer())
    };
    if !settles(world, people, site, until, agreed).await {
        return began;
    }
    conclude(world, site, people, |end| {
        let observer = world.observer();
        end.settled(&observer).into_iter().chain(end.agreed(&observer)).collect()
    });
    began
}

/// Whether it is time to open everything again.
fn opened_again(now: Duration, opened: &mut Option<Duration>) -> bool {
    let is_time = opened.is_none_or(|opened| now >= opened + REOPEN_INTERVAL);
    if is_time {
        *opened = Some(now);
    }
    is_time
}

/// Waits until nothing is found any more. If that takes too long, what is found is wrong.
async fn settles(
    world: &World,
    people: &People,
    site: &Arc<Site>,
    until: Duration,
    mut find: impl FnMut(&End<'_>) -> Vec<Violation>,
) -> bool {
    while world.now() < until && world.observer().violations.is_empty() {
        world.sleep(LOOK_INTERVAL).await;
        if find(&End::new(world, site, &people.devices())).is_empty() {
            return true;
        }
    }
    let late = |mut one: Violation| {
        one.what = format!("not so {} s after faults ended: {}", CONVERGENCE_MAX.as_secs(), one.what);
        one
    };
    conclude(world, site, people, |end| find(end).into_iter().map(late).collect());
    false
}

fn conclude(world: &World, site: &Arc<Site>, people: &People, find: impl FnOnce(&End<'_>) -> Vec<Violation>) {
    let end = End::new(world, site, &people.devices());
    let found = find(&end);
    world.count(|totals| totals.entries = end.entries());
    let mut observer = world.observer();
    for Violation { guarantee, what, words } in found {
        observer.violate(guarantee, what, words);
    }
}

fn report(seed: u64, again: &str, began: Duration, world: &World) -> Report {
    world.count(|totals| {
        totals.runs = 1;
        totals.simulated = world.now();
    });
    let (violations, at) = {
        let observer = world.observer();
        (observer.violations.clone(), observer.violated_at.map(|at| world.since_start(at)))
    };
    let trace = world.trace();
    let failure = violations.first().zip(at).map(|(first, at)| {
        let mut text =
            format!("seed {seed} violates guarantee {}: {}\n", first.guarantee, history::promise(first.guarantee));
        for Violation { guarantee, what, .. } in &violations {
            text += &format!("  {guarantee}: {what}\n");
        }
        text += "how it came about:\n";
        text += &history::table(trace.lines(), first, at);
        text += &format!("replay it: cargo run -p hudhud-sim -- {again} --trace");
        text
    });
    Report {
        seed,
        trace_hash: trace.hash().to_hex().to_string(),
        totals: world.totals(),
        failure,
        violated: violations.iter().map(|violation| violation.guarantee).collect(),
        first: violations.into_iter().next().map(|first| first.what),
        failed_after: at.map(|at| at.saturating_sub(began)),
    }
}
