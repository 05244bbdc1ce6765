//! Connections that do nothing: what each costs the server in memory.

use super::share;
use crate::bench::{Bench, Spent};
use crate::crew::{Crew, Load};
use crate::report::Row;
use anyhow::ensure;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long their pings are watched.
const WATCHED: Duration = Duration::from_secs(10);

/// How long the server has to come to rest before memory is read.
const REST: Duration = Duration::from_secs(5);

/// How many.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Connections with a session each, of an account each.
    #[arg(long, default_value_t = 1_000)]
    pub connections: usize,
    /// Processes that they are spread over: each may have only so many descriptors.
    #[arg(long, default_value_t = 1)]
    pub processes: usize,
}

/// Measures.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Row> {
    let (mut crew, grown) = connect(bench, options, REST).await?;
    let after = bench.look().await?.usage;
    let ((), rest) = bench.watch(crew.go_on(WATCHED)).await?;
    let each = |bytes: u64| bytes as f64 / 1_024.0 / options.connections as f64;
    Ok(Row::new("idle")
        .parameter("connections", options.connections)
        .figure("memory_per_connection_kib", each(grown.usage.anonymous_bytes))
        .figure("resident_per_connection_kib", each(grown.usage.resident_bytes))
        .figure("server_resident_mib", after.resident_bytes as f64 / f64::from(1 << 20))
        .figure("server_cpu_us_per_connection", grown.cpu_us_each(options.connections as f64))
        .figure("idle_cores", rest.usage.cpu.div_duration_f64(rest.elapsed)))
}

/// Connects accounts that are there already, and says what that took. The server has so long to come to rest before and after.
pub async fn connect(bench: &Bench, options: &Options, rest: Duration) -> anyhow::Result<(Crew, Spent)> {
    ensure!(options.connections > 0, "there is at least one connection");
    let shares = share(options.connections, options.processes);
    let each = shares[0];
    let load = |connections| Load::Idle(Options { connections, processes: 1 });
    let mut crew = Crew::start(bench, shares.into_iter().map(load).collect(), each).await?;
    tokio::time::sleep(rest).await;
    let connected = async {
        crew.connect().await?;
        crew.go_on(rest).await
    };
    let ((), grown) = bench.watch(connected).await?;
    Ok((crew, grown))
}
