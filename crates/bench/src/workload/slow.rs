//! Readers that do not read: what they cost those who do.

use super::group::{Group, Members};
use super::pairs;
use crate::bench::Bench;
use crate::report::Row;

/// How many, and beside whom.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Members of a group who never read from their sockets.
    #[arg(long, default_value_t = 1_000)]
    pub readers: usize,
    /// Posts a second in that group.
    #[arg(long, default_value_t = 5.0)]
    pub posts_per_s: f64,
    /// Pairs that go on meanwhile, in a closed loop.
    #[arg(long, default_value_t = 100)]
    pub pairs: usize,
    /// Seconds of each of the two measurements.
    #[arg(long, default_value_t = 15.0)]
    pub seconds: f64,
}

/// Measures the pairs beside a group whose members read, then beside one whose members do not.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Row> {
    let with_readers = throughput(bench, options, Members::Listen).await?;
    let before = bench.server.process().usage()?;
    let with_sleepers = throughput(bench, options, Members::Sleep).await?;
    let grown = bench.server.process().usage()?.since(&before);
    Ok(Row::new("slow readers")
        .parameter("readers", options.readers)
        .parameter("posts_per_s", options.posts_per_s)
        .parameter("pairs", options.pairs)
        .figure("pairs_per_s_beside_readers", with_readers)
        .figure("pairs_per_s_beside_sleepers", with_sleepers)
        .figure("ratio", with_sleepers / with_readers)
        .figure("memory_grown_mib", grown.anonymous_bytes as f64 / f64::from(1 << 20)))
}

async fn throughput(bench: &Bench, options: &Options, how: Members) -> anyhow::Result<f64> {
    let group = Group::start(bench, options.readers + 1, how, options.posts_per_s).await?;
    group.post(true);
    let writing = pairs::Options::closed_loop(options.pairs, 1, options.seconds);
    Ok(pairs::measure(bench, &writing).await?.per_second())
}
