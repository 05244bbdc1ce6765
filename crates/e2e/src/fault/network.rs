//! The network between clients and server.

use super::World;
use crate::proxy::Way;
use anyhow::{Result, ensure};
use std::time::Duration;

/// Cuts in one round.
const CUTS: u32 = 4;
/// Nothing was accepted for so long: nothing gets through.
const QUIET: Duration = Duration::from_millis(500);

pub(super) async fn cut(world: &mut World) -> Result<String> {
    for _ in 0..CUTS {
        world.proxy.cut();
        world.hold(100..700).await;
    }
    Ok(format!("{CUTS} times"))
}

pub(super) async fn slow(world: &mut World) -> Result<String> {
    world.proxy.set(Way::Slow, Way::Slow);
    let slow = world.hold(2_000..4_000).await;
    world.proxy.set(Way::Open, Way::Open);
    Ok(format!("for {slow:?}"))
}

pub(super) async fn black_hole(world: &mut World) -> Result<String> {
    hole(world, Way::Shut, Way::Shut).await
}

pub(super) async fn hole_up(world: &mut World) -> Result<String> {
    hole(world, Way::Shut, Way::Open).await
}

pub(super) async fn hole_down(world: &mut World) -> Result<String> {
    hole(world, Way::Open, Way::Shut).await
}

/// A part of the network swallows everything. It comes back, or it has forgotten its connections.
async fn hole(world: &mut World, up: Way, down: Way) -> Result<String> {
    world.proxy.set(up, down);
    world.nothing_is_accepted(QUIET).await?;
    let held = world.hold(1_000..4_000).await;
    ensure!(world.server.is_running()?, "it ended: {}", world.server.said());
    let forgotten = world.chance.below(2) == 0;
    if forgotten {
        world.proxy.cut();
    }
    world.proxy.set(Way::Open, Way::Open);
    Ok(format!("for {held:?}, then {}", if forgotten { "cut" } else { "open again" }))
}
