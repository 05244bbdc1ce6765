//! The server is killed when it has a lot of data, and starts again: how long until it is ready.

use super::backlog::write_all;
use crate::bench::Bench;
use crate::report::Row;
use std::path::Path;

/// People who write at the same time.
const WRITERS: usize = 64;
/// Messages of each before the folder is looked at again.
const MESSAGES: u64 = 1_000;

/// How much data.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// What log and databases take on disk before the server is killed, at least.
    #[arg(long, default_value_t = 1_024)]
    pub mebibytes: u64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 200)]
    pub payload_bytes: usize,
}

/// Measures.
pub async fn run(bench: &mut Bench, options: &Options) -> anyhow::Result<Row> {
    let accounts = bench.accounts(2 * WRITERS).await?;
    let (writers, readers) = accounts.split_at(WRITERS);
    let data = bench.server.data();
    let empty = bytes_below(&data)?;
    let before = bench.server.process().usage()?;
    let mut messages = 0;
    while bytes_below(&data)? < options.mebibytes << 20 {
        write_all(bench, writers, readers, MESSAGES, options.payload_bytes).await?;
        messages += MESSAGES * WRITERS as u64;
    }
    let written = bench.server.process().usage()?.since(&before).written_bytes;
    let stored = bytes_below(&data)?;
    let each = |bytes: u64| bytes as f64 / messages as f64;
    bench.server.kill_and_start().await?;
    Ok(Row::new("restart after kill -9")
        .parameter("payload_bytes", options.payload_bytes)
        .figure("messages", messages as f64)
        .figure("data_mib", stored as f64 / f64::from(1 << 20))
        .figure("disk_bytes_per_message", each(stored.saturating_sub(empty)))
        .figure("written_bytes_per_message", each(written))
        .figure("ready_again_after_ms", bench.server.start_time().as_secs_f64() * 1e3))
}

/// What the files of a folder take on disk: files of a log are made longer than what they hold.
fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A file that a compaction removed meanwhile takes nothing.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
