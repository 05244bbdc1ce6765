//! The machine that measures and is measured: what its figures are to be held against.

use crate::report::Machine;
use anyhow::Context as _;
use hdrhistogram::Histogram;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

/// Calls of fdatasync that are timed.
const SYNCS: usize = 500;
/// Bytes before each.
const SYNC_BYTES: usize = 4 * 1_024;

/// Looks at this machine, and at the disk that a folder is on.
pub fn look(folder: &Path) -> anyhow::Result<Machine> {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor =
        processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": an unknown processor");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let syncs = sync_micros(folder)?;
    let at = |quantile| syncs.value_at_quantile(quantile) as f64 / 1_000.0;
    Ok(Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        processor: processor.trim_start_matches([' ', '\t', ':']).to_owned(),
        kernel: kernel.trim().to_owned(),
        fsync_p50_ms: at(0.5),
        fsync_p99_ms: at(0.99),
        load_average: load.split_whitespace().next().and_then(|minute| minute.parse().ok()).unwrap_or_default(),
    })
}

/// How long fdatasync takes after a write into a file that does not grow, as the server's log does it.
fn sync_micros(folder: &Path) -> anyhow::Result<Histogram<u64>> {
    let path = folder.join("fsync-probe");
    let file = File::create(&path).with_context(|| format!("{} can't be written", path.display()))?;
    let block = [0x5a; SYNC_BYTES];
    for n in 0..SYNCS {
        file.write_all_at(&block, (n * SYNC_BYTES) as u64)?;
    }
    file.sync_all()?;
    let mut micros = Histogram::new(3).context("3 digits are possible")?;
    for n in 0..SYNCS {
        file.write_all_at(&block, (n * SYNC_BYTES) as u64)?;
        let started = Instant::now();
        file.sync_data()?;
        micros.saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    std::fs::remove_file(&path)?;
    Ok(micros)
}
