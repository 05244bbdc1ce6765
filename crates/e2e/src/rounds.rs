//! Rounds: people write, a fault strikes, everybody gets through again. In the end nothing that was accepted is lost, shown
//! twice or out of order: the simulator's checker looks at what every device and the server have on disk.

use crate::clock::Clock;
use crate::disk::Disk;
use crate::fault::{Fault, World, draw};
use crate::fleet::{Fleet, Seen, Stored, Tally};
use crate::process::Server;
use crate::proxy::Proxy;
use anyhow::{Context as _, Result, ensure};
use hudhud_engines::{Options, Urls};
use hudhud_sim::chance::Chance;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long people write before a fault strikes, in milliseconds. Not the same in each round, so that it strikes at other
/// moments.
const LOAD_MS: std::ops::Range<u64> = 200..700;
/// How long it may take until everybody gets through again, on a machine that may have much else to do.
const RECOVERY_MAX: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

/// What is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// From which the faults and everything about them follow. The moments at which they strike do not: this is a real machine.
    pub seed: u64,
    /// Rounds of load, fault and recovery.
    pub rounds: usize,
    /// How often each device writes.
    pub pace: Duration,
}

/// One round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Round {
    /// What struck.
    pub fault: Fault,
    /// How it went.
    pub note: String,
    /// From the end of the fault until every device had a message accepted that it wrote behind that.
    pub recovery: Duration,
}

/// What came of all rounds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Those that went well.
    pub rounds: Vec<Round>,
    /// Messages, counted.
    pub tally: Tally,
    /// What must not be and is, as the checker says; and what went wrong before it could look.
    pub violations: Vec<String>,
}

/// Runs a plan. Everything is in the folder. `told` hears of each round when it has ended.
pub async fn run(plan: Plan, folder: &Path, told: &mut dyn FnMut(usize, &Round)) -> Outcome {
    let mut outcome = Outcome::default();
    if let Err(error) = Box::pin(play(plan, folder, told, &mut outcome)).await {
        outcome.violations.push(format!("{error:#}"));
    }
    outcome
}

async fn play(plan: Plan, folder: &Path, told: &mut dyn FnMut(usize, &Round), outcome: &mut Outcome) -> Result<()> {
    let (disk, clock) = (Arc::new(Disk::new(folder)?), Arc::new(Clock::new(folder)?));
    let server = Server::start(disk.clone(), clock.clone(), folder).await?;
    let proxy = Proxy::start(server.address()).await?;
    let mut fleet = Fleet::start(proxy.address(), folder, plan.pace).await?;
    let faults = draw(&mut Chance::new(plan.seed, "faults"), plan.rounds);
    let chance = Chance::new(plan.seed, "strikes");
    let mut world = World { server, proxy, disk, clock, seen: fleet.seen().clone(), chance };
    for (number, fault) in faults.into_iter().enumerate() {
        let round = Box::pin(round(fault, &mut world, &mut fleet)).await;
        outcome.tally = world.seen.tally();
        let round = round.with_context(|| format!("round {} of seed {}, {fault}", number + 1, plan.seed))?;
        told(number, &round);
        outcome.rounds.push(round);
    }
    let settled = fleet.settle().await;
    outcome.tally = world.seen.tally();
    world.server.terminate().await?;
    fleet.stop()?;
    outcome.violations.extend(check(&world.seen, &world.disk.data_from_here()).await?);
    // Behind the checker, which may say why.
    settled
}

async fn round(fault: Fault, world: &mut World, fleet: &mut Fleet) -> Result<Round> {
    let load = world.chance.millis(LOAD_MS);
    fleet.write_for(load).await?;
    let note = Box::pin(fleet.write_while(fault.strike(world))).await?;
    let recovery = recover(fleet, &note).await?;
    ensure!(world.server.is_running()?, "the server ended behind the fault: {}", world.server.said());
    Ok(Round { fault, note, recovery })
}

/// Has everybody write until every device had a message accepted that it wrote behind what struck. Returns how long that took.
pub async fn recover(fleet: &mut Fleet, struck: &str) -> Result<Duration> {
    let ended = Instant::now();
    let seen = fleet.seen().clone();
    seen.mark();
    let through = async {
        while !seen.all_through() {
            ensure!(
                ended.elapsed() < RECOVERY_MAX,
                "after {struck}: not everybody gets through:\n{}",
                seen.disagreement()
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(ended.elapsed())
    };
    fleet.write_while(through).await
}

/// Holds what clients have against what a server left in its data folder. Returns what must not be.
pub async fn check(seen: &Seen, data: &Path) -> Result<Vec<String>> {
    Ok(judge(seen, stored(seen, data).await?))
}

/// Holds what clients have against what is stored. Returns what must not be.
pub fn judge(seen: &Seen, stored: Stored) -> Vec<String> {
    seen.check(stored).into_iter().map(|it| format!("guarantee {}: {}", it.guarantee, it.what)).collect()
}

/// What a server left in its data folder of the conversations that clients know.
pub async fn stored(seen: &Seen, data: &Path) -> Result<Stored> {
    let urls = Urls::all(format!("embedded:{}", data.display()));
    let engines = hudhud_engines::open(&urls, &Options::default(), hudhud_engines::runtime().clock).await?;
    let stored = seen.stored(&*engines.messages).await;
    engines.close().await?;
    stored
}
