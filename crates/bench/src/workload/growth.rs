//! What a message costs when few are stored, and when many are.

use super::{backlog, pairs, share};
use crate::bench::Bench;
use crate::report::Row;
use anyhow::ensure;

/// Conversations that the stored messages are spread over.
const CONVERSATIONS: usize = 1_024;

/// How many, and what is measured beside them.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Messages that are stored before the first measurement.
    #[arg(long, default_value_t = 10_000)]
    pub few: u64,
    /// Messages that are stored before the second.
    #[arg(long, default_value_t = 10_000_000)]
    pub many: u64,
    /// Pairs that are measured, in a closed loop with eight messages each.
    #[arg(long, default_value_t = 1_000)]
    pub pairs: usize,
    /// Seconds of each of the two measurements.
    #[arg(long, default_value_t = 15.0)]
    pub seconds: f64,
}

/// Measures.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Row> {
    ensure!(options.few < options.many, "there is nothing between {} and {} messages", options.few, options.many);
    let accounts = bench.accounts(2 * CONVERSATIONS).await?;
    let (writers, readers) = accounts.split_at(CONVERSATIONS);
    let fill = async |messages: u64| {
        let each = usize::try_from(messages).map(|messages| share(messages, CONVERSATIONS)).unwrap_or_default();
        backlog::write_all(bench, writers, readers, each.first().copied().unwrap_or_default() as u64, 200).await
    };
    fill(options.few).await?;
    let few = measure(bench, options).await?;
    let ((), filling) = bench.watch(fill(options.many - options.few)).await?;
    let many = measure(bench, options).await?;
    let stored = (options.many - options.few) as f64;
    Ok(Row::new("growth")
        .parameter("few", options.few)
        .parameter("many", options.many)
        .figure("cpu_of_few_us_per_message", few)
        .figure("cpu_of_many_us_per_message", many)
        .figure("cpu_ratio", many / few)
        .figure("stored_per_s", stored / filling.elapsed.as_secs_f64())
        .figure("stored_cpu_us_per_message", filling.cpu_us_each(stored))
        .figure("stored_written_bytes_per_message", filling.usage.written_bytes as f64 / stored)
        .figure("stored_records_per_fsync", filling.bus.records_per_sync()))
}

/// The server's CPU for a message, in microseconds.
async fn measure(bench: &Bench, options: &Options) -> anyhow::Result<f64> {
    // What filling left to do is not part of what a message costs.
    bench.rest().await?;
    let measured = pairs::measure(bench, &pairs::Options::closed_loop(options.pairs, 8, options.seconds)).await?;
    Ok(measured.spent.cpu_us_each(measured.messages as f64))
}
