//! The disk has no room.

use super::World;
use crate::process::END_MAX;
use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, prlimit};
use std::time::Duration;

/// What is left of a disk that is low: less than the 256 MiB below which the server takes nothing.
const LOW_BYTES: u64 = 240 << 20;
/// Nothing was accepted for so long: nothing is.
const QUIET: Duration = Duration::from_millis(700);
/// How a server ends whose engines can't go on, and what it says.
const FATAL: i32 = 70;
const ADVICE: &str = "Nothing acknowledged is lost; mend the cause";

pub(super) async fn low(world: &mut World) -> Result<String> {
    world.disk.fill(LOW_BYTES)?;
    world.nothing_is_accepted(QUIET).await?;
    ensure!(world.server.is_running()?, "it ended: {}", world.server.said());
    let free = world.disk.free()?;
    world.disk.empty()?;
    Ok(format!("{free} bytes left; the server stays"))
}

pub(super) async fn full(world: &mut World) -> Result<String> {
    world.disk.fill(0)?;
    world.nothing_is_accepted(QUIET).await?;
    world.hold(0..500).await;
    let free = world.disk.free()?;
    if world.server.is_running()? {
        world.disk.empty()?;
        return Ok(format!("{free} bytes left; the server stays"));
    }
    // A write that was admitted before found no room.
    ended(world).await?;
    world.disk.empty()?;
    world.server.start_again().await?;
    Ok(format!("{free} bytes left; the server ended with {FATAL}"))
}

/// The limit on the size of files stands for what a disk can't be made to do at the right moment: a write fails that the
/// server can't do without.
pub(super) async fn writes_fail(world: &mut World) -> Result<String> {
    let limit = Rlimit { current: Some(1), maximum: Some(1) };
    prlimit(Some(world.server.pid()), Resource::Fsize, limit)?;
    ended(world).await?;
    world.server.start_again().await?;
    Ok(format!("the server ended with {FATAL}"))
}

async fn ended(world: &mut World) -> Result<()> {
    let status = world.server.ended(END_MAX).await?;
    let said = world.server.said();
    ensure!(status.code() == Some(FATAL), "it ended with {status}: {said}");
    ensure!(said.contains(ADVICE), "it ended with {FATAL} and does not say what to do: {said}");
    Ok(())
}
