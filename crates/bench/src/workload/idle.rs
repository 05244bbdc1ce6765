//! Connections that do nothing: what each costs the server in memory.

use crate::bench::{Bench, go_on};
use crate::report::Row;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long the server has to come to rest before memory is read.
const REST: Duration = Duration::from_secs(5);

/// How many.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Connections with a session each, of an account each.
    #[arg(long, default_value_t = 1_000)]
    pub connections: usize,
}

/// Measures.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Row> {
    let accounts = bench.accounts(options.connections).await?;
    tokio::time::sleep(REST).await;
    let before = bench.server.process().usage()?;
    let mut tasks = JoinSet::new();
    for connection in bench.connect(&accounts).await? {
        tasks.spawn(connection.stay());
    }
    go_on(&mut tasks, REST).await?;
    let after = bench.server.process().usage()?;
    let each = |bytes: u64| bytes as f64 / 1_024.0 / options.connections as f64;
    let grown = after.since(&before);
    Ok(Row::new("idle")
        .parameter("connections", options.connections)
        .figure("memory_per_connection_kib", each(grown.anonymous_bytes))
        .figure("resident_per_connection_kib", each(grown.resident_bytes))
        .figure("server_resident_mib", after.resident_bytes as f64 / f64::from(1 << 20)))
}
