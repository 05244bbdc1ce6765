//! Rounds on a cluster: people write, a fault strikes, everybody gets through again; in the end the checker looks.

use super::{Cluster, Fault};
use crate::fleet::{Fleet, Tally};
use crate::rounds::{judge, recover};
use anyhow::{Context as _, Result};
use hudhud_sim::chance::Chance;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// How long people write before a fault strikes, in milliseconds.
const LOAD_MS: Range<u64> = 300..1_200;

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

/// Has these faults strike, one after the other. Everything is in the folder. `told` hears of each round when it has ended.
/// Returns how many messages there were, and what must not be and is.
pub async fn run(
    seed: u64,
    faults: &[Fault],
    pace: Duration,
    folder: &Path,
    told: &mut dyn FnMut(&Round),
) -> Result<(Tally, Vec<String>)> {
    let mut cluster = Box::pin(Cluster::start(folder, Chance::new(seed, "cluster"))).await?;
    let mut fleet = Fleet::start(cluster.address(), folder, pace).await?;
    cluster.seen = fleet.seen().clone();
    for &fault in faults {
        let round = Box::pin(round(fault, &mut cluster, &mut fleet)).await;
        told(&round.with_context(|| format!("{fault}, seed {seed}"))?);
    }
    let settled = fleet.settle().await;
    let tally = cluster.seen.tally();
    cluster.stop().await?;
    let seen = cluster.seen.clone();
    fleet.stop()?;
    let messages = cluster.engines.messages().await?;
    let violations = judge(&seen, seen.stored(&*messages).await?);
    // Behind the checker, which may say why.
    settled.with_context(|| format!("{violations:#?}"))?;
    Ok((tally, violations))
}

async fn round(fault: Fault, cluster: &mut Cluster, fleet: &mut Fleet) -> Result<Round> {
    let load = cluster.chance.millis(LOAD_MS);
    fleet.write_for(load).await?;
    let note = Box::pin(fleet.write_while(fault.strike(cluster))).await?;
    let recovery = recover(fleet, &note).await?;
    cluster.all_run()?;
    Ok(Round { fault, note, recovery })
}
