//! Whether the planner is right: this machine is measured at one load, the planner says what another would take, and that one is
//! measured, too. By CPU time and memory, so that it holds on a machine that does other things as well: the throughput of a
//! server is what a core does in a second of its own time.

use crate::bench::Bench;
use crate::destination::Transport;
use crate::plan::{Inputs, Measured, compute};
use crate::server::Server;
use crate::workload::{idle, pairs};
use anyhow::{Context as _, anyhow, ensure};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// How long the server has to come to rest before and after connections are made.
const REST: Duration = Duration::from_secs(2);

/// Two loads.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Pairs that are measured.
    #[arg(long, default_value_t = 200)]
    pairs: usize,
    /// Pairs of the load that is predicted.
    #[arg(long, default_value_t = 500)]
    other_pairs: usize,
    /// Messages in flight of each pair, in both loads: what leaves together costs less.
    #[arg(long, default_value_t = 1)]
    window: usize,
    /// Connections that are measured.
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// Connections that are predicted.
    #[arg(long, default_value_t = 4_000)]
    other_connections: usize,
    /// How often each load is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How far off a prediction may be, in percent of what was measured.
    #[arg(long, default_value_t = 15.0)]
    within_percent: f64,
}

/// What was predicted, and what came.
struct Prediction {
    what: &'static str,
    predicted: f64,
    measured: f64,
}

/// What an idle server and its connections hold.
struct Memory {
    empty_bytes: u64,
    grown_bytes: u64,
}

/// Measures, predicts, and measures again. An error where a prediction is too far off.
pub async fn run(binary: &Path, folder: &Path, options: &Options) -> anyhow::Result<String> {
    ensure!(options.rounds > 0, "there is at least one round");
    let [cpu_us, other_cpu_us] = cpu(binary, folder, options).await?;
    let few = memory(binary, folder, options.connections).await?;
    let many = memory(binary, folder, options.other_connections).await?;
    let (predicted_per_s, predicted_mib) = predict(options, cpu_us, &few)?;
    let mib = |memory: &Memory| (memory.empty_bytes + memory.grown_bytes) as f64 / f64::from(1 << 20);
    let predictions = [
        Prediction { what: "messages/s of a core", predicted: predicted_per_s, measured: 1e6 / other_cpu_us },
        Prediction { what: "MiB of the server", predicted: predicted_mib, measured: mib(&many) },
    ];
    let mut text = format!(
        "{} pairs with {} in flight: {cpu_us:.1} µs of CPU a message; {} connections: {:.1} MiB\n\
         {} pairs, {} connections:\n",
        options.pairs,
        options.window,
        options.connections,
        mib(&few),
        options.other_pairs,
        options.other_connections,
    );
    for Prediction { what, predicted, measured } in &predictions {
        let error = (predicted / measured - 1.0) * 100.0;
        writeln!(text, "  {what:<22} predicted {predicted:>8.1} measured {measured:>8.1} error {error:+.1}%")
            .expect("a string takes everything");
    }
    let within = options.within_percent / 100.0;
    ensure!(
        predictions.iter().all(|prediction| prediction.holds(within)),
        "{text}a prediction is more than {}% off",
        options.within_percent
    );
    Ok(text)
}

impl Prediction {
    fn holds(&self, within: f64) -> bool {
        (self.predicted / self.measured - 1.0).abs() <= within
    }
}

/// What the planner says of the other load, by the figures of this one: messages that a core does in a second, and memory in MiB.
fn predict(options: &Options, cpu_us: f64, memory: &Memory) -> anyhow::Result<(f64, f64)> {
    let value =
        |name, value| Measured { name, unit: "", value, source: String::new(), up_to: ("connections", f64::MAX) };
    let measured = [
        value("memory_mib_empty", memory.empty_bytes as f64 / f64::from(1 << 20)),
        value("memory_kib", memory.grown_bytes as f64 / 1_024.0 / options.connections as f64),
        value("cpu_us_message", cpu_us),
        // The loads have nothing of these.
        value("cpu_us_delivery", 0.0),
        value("cpu_us_connect", 0.0),
        value("cpu_us_idle", 0.0),
        value("cpu_us_read", 0.0),
        value("disk_bytes", 0.0),
    ];
    let mut inputs = Inputs::default();
    let load =
        [("daily_users", options.other_connections), ("devices_per_user", 1), ("concurrency", 1), ("group_share", 0)];
    for (name, number) in load {
        inputs.set(&format!("{name}={number}")).map_err(|why| anyhow!(why))?;
    }
    let sheet = compute(&inputs, &measured).map_err(|why| anyhow!(why))?;
    let cell = |name| sheet.cell(name).map(|line| line.value).with_context(|| format!("the sheet has no {name}"));
    Ok((cell("messages_per_core_s")?, cell("server_memory_gib")? * 1_024.0))
}

/// CPU time of the server for a message, in microseconds, of both loads. In turn, so that what the machine does meanwhile meets
/// both.
async fn cpu(binary: &Path, folder: &Path, options: &Options) -> anyhow::Result<[f64; 2]> {
    let bench = Bench::new(Server::start(binary, &folder.join("pairs"), Transport::Plain).await?);
    let loads = [options.pairs, options.other_pairs].map(|pairs| pairs::Options {
        warm_up_s: options.seconds / 4.0,
        ..pairs::Options::closed_loop(pairs, options.window, options.seconds)
    });
    let mut found = [const { Vec::new() }; 2];
    for _ in 0..options.rounds {
        for (load, found) in loads.iter().zip(&mut found) {
            let measured = pairs::measure(&bench, load).await?;
            found.push(measured.spent.cpu_us_each(measured.messages as f64));
        }
    }
    bench.server.stop()?;
    Ok(found.map(median))
}

/// What a server of its own holds before and after so many connect.
async fn memory(binary: &Path, folder: &Path, connections: usize) -> anyhow::Result<Memory> {
    let server = Server::start(binary, &folder.join(format!("idle-{connections}")), Transport::Plain).await?;
    let empty_bytes = server.process().usage()?.resident_bytes;
    let bench = Bench::new(server);
    let (crew, grown) = idle::connect(&bench, &idle::Options { connections, processes: 1 }, REST).await?;
    drop(crew);
    bench.server.stop()?;
    Ok(Memory { empty_bytes, grown_bytes: grown.usage.anonymous_bytes })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prediction may be off by as much as is said, to either side, and no more.
    #[test]
    fn a_prediction_holds_as_far_as_is_said() {
        for (predicted, holds) in [(100.0, true), (114.9, true), (115.1, false), (85.1, true), (84.9, false)] {
            let prediction = Prediction { what: "", predicted, measured: 100.0 };
            assert_eq!(prediction.holds(0.15), holds, "{predicted}");
        }
    }

    /// What comes of the planner is what a person computes: 4 KiB for each connection, and the same CPU for each message.
    #[test]
    fn the_planner_is_asked_for_the_other_load() {
        let options = Options {
            pairs: 1,
            other_pairs: 1,
            window: 1,
            connections: 1_024,
            other_connections: 10_240,
            rounds: 1,
            seconds: 1.0,
            within_percent: 15.0,
        };
        let memory = Memory { empty_bytes: 50 << 20, grown_bytes: 4 << 20 };
        let (per_s, mib) = predict(&options, 40.0, &memory).expect("a sheet");
        assert!((per_s - 25_000.0).abs() < 1e-6 && (mib - 90.0).abs() < 1e-6, "{per_s} {mib}");
    }
}
