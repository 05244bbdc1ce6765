//! The log of the bus is not what it was.

use super::World;
use crate::bus_log::{self, BusLog};
use crate::hudhud::POLL;
use anyhow::{Result, ensure};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// How a server ends that can't open its data.
const NOT_OPENED: i32 = 73;

/// How long it may take until a record is synced for certain.
const SYNCED_MAX: Duration = Duration::from_secs(60);

fn folder(world: &World) -> PathBuf {
    world.disk.data_from_here().join("bus")
}

pub(super) async fn torn_tail(world: &mut World) -> Result<String> {
    world.server.kill().await?;
    let torn = BusLog::read(&folder(world))?.tear(&mut world.chance)?;
    world.server.start_again().await?;
    let said = world.server.said();
    ensure!(!torn.leaves_bytes || said.contains("it is cut off"), "nothing is said of {}: {said}", torn.what);
    Ok(format!("{} behind the end of {}", torn.what, torn.file))
}

pub(super) async fn damaged(world: &mut World) -> Result<String> {
    // On a machine that has much else to do nothing may be so far yet. Until the first commit there is no such file.
    let deadline = Instant::now() + SYNCED_MAX;
    while bus_log::synced(&folder(world)).unwrap_or_default() == 0 {
        ensure!(Instant::now() < deadline, "no record is synced for certain");
        tokio::time::sleep(POLL).await;
    }
    world.server.kill().await?;
    let log = BusLog::read(&folder(world))?;
    let damage = log.damage(&mut world.chance)?;
    // Twice: the first attempt must not make it look as if nothing had been there.
    for _ in 0..2 {
        let status = world.server.start_in_vain().await?;
        let said = world.server.said();
        ensure!(status.code() == Some(NOT_OPENED), "with {}, the server ended with {status}: {said}", damage.what);
        let advice = [&damage.file, ", byte ", "Restore this folder from a copy"];
        ensure!(advice.iter().all(|words| said.contains(*words)), "it does not name the damage: {said}");
    }
    log.restore()?;
    world.server.start_again().await?;
    Ok(format!("{} in {}: not opened, exit code {NOT_OPENED}; restored", damage.what, damage.file))
}
