//! The process stops, in one way or another.

use super::World;
use anyhow::Result;
use rustix::process::Signal;

pub(super) async fn kill(world: &mut World) -> Result<String> {
    world.server.kill().await?;
    let away = world.hold(0..600).await;
    world.server.start_again().await?;
    Ok(format!("away for {away:?}"))
}

pub(super) async fn pause(world: &mut World) -> Result<String> {
    world.server.signal(Signal::STOP)?;
    let stat = format!("/proc/{}/stat", world.server.pid().as_raw_nonzero());
    // Behind the name, which is in brackets.
    let is_stopped = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
    world.shows("the process is stopped", |_| is_stopped()).await?;
    let paused = world.hold(1_500..4_000).await;
    world.server.signal(Signal::CONT)?;
    Ok(format!("for {paused:?}"))
}

pub(super) async fn terminate(world: &mut World) -> Result<String> {
    world.server.terminate().await?;
    let away = world.hold(0..600).await;
    world.server.start_again().await?;
    Ok(format!("exit code 0, away for {away:?}"))
}
