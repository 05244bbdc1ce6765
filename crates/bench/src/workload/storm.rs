//! Everybody is cut off at once and comes back: how long until the last one has its session and knows what it missed.

use crate::account::Account;
use crate::bench::{Bench, go_on};
use crate::clock;
use crate::connection::{Connection, source};
use crate::destination::Destination;
use crate::latency::Latency;
use crate::report::Row;
use anyhow::bail;
use hudhud_proto::v1::{Changes, server_frame::Event};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long everybody is connected before the storm.
const CALM: Duration = Duration::from_secs(2);
/// A device that was refused comes back after this long at most, chosen at random.
const AGAIN_MAX: Duration = Duration::from_secs(2);
/// A device tries so often.
const TRIES_MAX: usize = 20;

/// How many, and how they come back.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Connections that are cut.
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// They come back at a random moment of so many seconds (full jitter).
    #[arg(long, default_value_t = 5.0)]
    pub jitter_s: f64,
}

/// Measures.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Row> {
    let accounts = bench.accounts(options.connections).await?;
    let mut tasks = JoinSet::new();
    for connection in bench.connect(&accounts).await? {
        tasks.spawn(connection.stay());
    }
    go_on(&mut tasks, CALM).await?;
    // Dropped, they close their sockets without a word.
    tasks.shutdown().await;
    let latency = Arc::new(Latency::default());
    latency.record_from_now(true);
    let storm = async {
        let mut tasks = JoinSet::new();
        for (n, account) in accounts.into_iter().enumerate() {
            let at = clock::now() + Duration::from_secs_f64(options.jitter_s).mul_f64(chance(n));
            tasks.spawn(come_back(bench.server.destination().clone(), source(n), account, at, latency.clone()));
        }
        let mut back = Vec::with_capacity(options.connections);
        while let Some(ended) = tasks.join_next().await {
            back.push(ended.expect("no task panics or is cancelled")?);
        }
        Ok(back)
    };
    // They stay until the server was looked at.
    let (_back, spent) = bench.watch(storm).await?;
    let resumed = latency.percentiles();
    let row = Row::new("reconnect storm")
        .parameter("connections", options.connections)
        .parameter("jitter_s", options.jitter_s)
        .figure("all_resumed_s", spent.elapsed.as_secs_f64())
        .figure("resumed_p50_ms", resumed.p50_ms)
        .figure("resumed_p99_ms", resumed.p99_ms)
        .figure("server_cpu_us_per_connection", spent.cpu_us_each(options.connections as f64));
    Ok(spent.cores(row))
}

/// Connects until it has a session and knows what changed. Counts from when it first meant to.
async fn come_back(
    server: Destination,
    source: IpAddr,
    account: Account,
    at: Duration,
    latency: Arc<Latency>,
) -> anyhow::Result<Connection> {
    tokio::time::sleep_until(clock::instant(at)).await;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match resume(&server, source, &account).await {
            Ok(connection) => {
                latency.record(clock::now() - at);
                return Ok(connection);
            }
            Err(error) if attempt == TRIES_MAX => return Err(error),
            Err(_) => {
                let dice = usize::from(account.device.as_bytes()[0]) + attempt;
                tokio::time::sleep(AGAIN_MAX.mul_f64(chance(dice))).await;
            }
        }
    }
}

async fn resume(server: &Destination, source: IpAddr, account: &Account) -> anyhow::Result<Connection> {
    let mut connection = Connection::resume(server, source, account).await?;
    match connection.ask(Changes::default().into()).await? {
        Event::ChangePage(_) => Ok(connection),
        other => bail!("no page of changes: {other:?}"),
    }
}

/// From 0 to 1, spread evenly over the numbers (the golden ratio's multiples), and the same in every run.
fn chance(n: usize) -> f64 {
    (n as f64 * 0.618_033_988_749_895).fract()
}
