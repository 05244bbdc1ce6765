//! The clock of the server jumps while it runs.

use super::{SHOWS_MAX, World};
use anyhow::{Result, ensure};
use std::time::Duration;
use tokio::time::Instant;

/// How far, in seconds.
const JUMP_S: std::ops::Range<u64> = 2 * 60..30 * 60;
/// How far a device may be from what the clock says: it asked a while ago.
const SLACK_S: u64 = 60;
/// How long devices have to ask for the time until they are cut off once more.
const ASK_AGAIN: Duration = Duration::from_secs(3);

pub(super) async fn ahead(world: &mut World) -> Result<String> {
    let seconds = world.chance.within(JUMP_S) as i64;
    jump(world, seconds).await
}

pub(super) async fn behind(world: &mut World) -> Result<String> {
    let seconds = world.chance.within(JUMP_S) as i64;
    jump(world, -seconds).await
}

/// Out and back, so that each round has a jump either way.
async fn jump(world: &mut World, seconds: i64) -> Result<String> {
    shift(world, seconds).await?;
    shift(world, 0).await?;
    Ok(format!("{seconds:+} seconds, and back"))
}

/// Jumps under connections that stay, then has everybody connect anew: a device asks for the time then.
async fn shift(world: &mut World, seconds: i64) -> Result<()> {
    world.clock.shift(seconds)?;
    world.hold(1_200..2_500).await;
    world.everybody_gets_through().await?;
    let know = |world: &World| world.seen.clocks().iter().all(|clock_s| clock_s.abs_diff(seconds) < SLACK_S);
    let deadline = Instant::now() + SHOWS_MAX;
    while !know(world) {
        ensure!(Instant::now() < deadline, "the clock is {seconds:+} s; devices know {:?}", world.seen.clocks());
        world.proxy.cut();
        let again = Instant::now() + ASK_AGAIN;
        while !know(world) && Instant::now() < again {
            tokio::time::sleep(crate::hudhud::POLL).await;
        }
    }
    Ok(())
}
