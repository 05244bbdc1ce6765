//! Hudhud's load generator. It starts the server that it measures, beside itself, with everything durable as it ships.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to a terminal")]

mod account;
mod bench;
mod clock;
mod connection;
mod crew;
mod destination;
mod latency;
mod machine;
mod page;
mod plan;
mod predict;
mod proc;
mod report;
mod server;
mod set;
mod targets;
mod workload;

use anyhow::Context as _;
use bench::Bench;
use clap::{Parser, Subcommand};
use destination::Transport;
use report::{Report, Row};
use server::Server;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;
use workload::{backlog, group, growth, idle, pairs, restart, slow, storm};

/// The line of a page after which the table stands, up to the one that ends it.
const TABLE_BEGINS: &str = "<!-- bench: begin -->";
const TABLE_ENDS: &str = "<!-- bench: end -->";

/// Measures Hudhud: memory of a connection, CPU of a message, latencies from intended start times.
#[derive(Parser)]
struct Arguments {
    /// The server to start [default: the `hudhud` beside this program].
    #[arg(long, global = true)]
    server: Option<PathBuf>,
    /// The folder for the server's data, on the disk that is to be measured. Removed afterwards.
    #[arg(long, global = true, default_value = "target/bench")]
    folder: PathBuf,
    /// Also write the figures to this file, as JSON. Given twice, the last counts.
    #[arg(long, global = true, overrides_with = "json")]
    json: Option<PathBuf>,
    /// Have the server speak TLS, with a certificate that is made for the run.
    #[arg(long, global = true)]
    tls: bool,
    /// What to measure.
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// One workload.
    #[command(flatten)]
    One(Workload),
    /// The whole set; with --page the table between its markers is written anew.
    Set {
        /// A page in Markdown, such as docs/benchmarks.md.
        #[arg(long)]
        page: Option<PathBuf>,
        /// Only these workloads, such as idle,pairs; their rows replace those in the file of --json, and the others there stay.
        #[arg(long, value_delimiter = ',', value_name = "WORKLOADS")]
        only: Vec<String>,
    },
    /// A part of the load, as another process of this program orders it.
    #[command(name = crew::WORK, hide = true)]
    Work,
    /// Plans capacity from measured figures: nodes, operations, memory, disks, bandwidth. Computes only.
    Plan(plan::Options),
    /// Measures one load, has the planner say what another takes, measures that one too, and fails if they are too far apart.
    Predict(predict::Options),
    /// What changed between two files of figures.
    Compare {
        /// The figures to compare with.
        before: PathBuf,
        /// The figures that are compared.
        after: PathBuf,
    },
}

/// A workload, and what it goes over.
#[derive(Clone, Debug)]
struct Measurement {
    workload: Workload,
    over: Transport,
}

/// What the server has to do.
#[derive(Clone, Debug, Subcommand)]
enum Workload {
    /// Connections that do nothing: the memory of each.
    Idle(idle::Options),
    /// Pairs that write to each other.
    Pairs(pairs::Options),
    /// Pairs in an open loop, at half of what they reach in the closed loop that the options describe.
    HalfOfMaximum(pairs::Options),
    /// A group whose members are all online.
    Group(group::Options),
    /// People who come back to what waits for them.
    Backlog(backlog::Options),
    /// Everybody is cut off and comes back.
    Storm(storm::Options),
    /// Readers that do not read, beside pairs.
    Slow(slow::Options),
    /// What a message costs when few are stored, and when many are.
    Growth(growth::Options),
    /// The server is killed with a lot of data and starts again.
    Restart(restart::Options),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let descriptors = server::raise_descriptor_limit()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (mut measurements, page, kept) = match &arguments.action {
        Action::Compare { before, after } => {
            print!("{}", Report::read(before)?.compare(&Report::read(after)?));
            return Ok(());
        }
        Action::Plan(options) => {
            print!("{}", plan::run(options)?);
            return Ok(());
        }
        Action::Predict(options) => {
            let folder = folder(&arguments)?;
            let binary = binary(&arguments)?;
            print!("{}", runtime.block_on(predict::run(&binary, folder.path(), options))?);
            return Ok(());
        }
        Action::Work => return runtime.block_on(crew::work()),
        Action::One(workload) => (vec![Measurement { workload: workload.clone(), over: Transport::Plain }], None, None),
        Action::Set { page, only } if only.is_empty() => (set::full(), page.as_deref(), None),
        Action::Set { page, only } => {
            let chosen = set::only(only)?;
            let json = arguments.json.as_deref().context("--only needs --json, the file whose rows are replaced")?;
            (chosen, page.as_deref(), json.exists().then(|| Report::read(json)).transpose()?)
        }
    };
    if arguments.tls {
        measurements.iter_mut().for_each(|measurement| measurement.over = Transport::Tls);
    }
    eprintln!("{descriptors} descriptors may be open in each process");
    let mut report = runtime.block_on(measure(&arguments, &measurements))?;
    print!("{}", report.markdown());
    if let Some(kept) = kept {
        report = kept.replaced_by(report)?;
    }
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    page.map_or(Ok(()), |page| page::write(page, TABLE_BEGINS, TABLE_ENDS, &report.markdown()))
}

async fn measure(arguments: &Arguments, measurements: &[Measurement]) -> anyhow::Result<Report> {
    let binary = binary(arguments)?;
    std::fs::create_dir_all(&arguments.folder)?;
    let mut report = Report { machine: machine::look(&arguments.folder)?, rows: Vec::new() };
    for (n, measurement) in measurements.iter().enumerate() {
        let started = Instant::now();
        eprintln!("{} of {}: {measurement:?}", n + 1, measurements.len());
        let folder = folder(arguments)?;
        let row = run(measurement, &binary, folder.path()).await.with_context(|| format!("{measurement:?}"))?;
        for (name, value) in &row.figures {
            eprintln!("  {name} {value:.3}");
        }
        eprintln!("  took {:.0} s", started.elapsed().as_secs_f64());
        report.rows.push(row);
    }
    Ok(report)
}

/// The server that is started.
fn binary(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    let beside = || Ok(std::env::current_exe()?.with_file_name("hudhud"));
    arguments.server.clone().map_or_else(beside, Ok)
}

/// A folder of its own for a server, which is removed when dropped.
fn folder(arguments: &Arguments) -> anyhow::Result<TempDir> {
    let parent = std::path::absolute(&arguments.folder)?;
    std::fs::create_dir_all(&parent)?;
    Ok(tempfile::tempdir_in(parent)?)
}

async fn run(Measurement { workload, over }: &Measurement, binary: &Path, folder: &Path) -> anyhow::Result<Row> {
    let server = Server::start(binary, folder, *over).await?;
    let (start, empty) = (server.start_time(), server.process().usage()?.resident_bytes);
    let mut bench = Bench::new(server);
    let mut row = match workload {
        Workload::Idle(options) => idle::run(&bench, options).await?,
        Workload::Pairs(options) => pairs::run(&bench, options).await?,
        Workload::HalfOfMaximum(options) => half_of_maximum(&bench, folder, options).await?,
        Workload::Group(options) => group::run(&bench, options).await?,
        Workload::Backlog(options) => backlog::run(&bench, options).await?,
        Workload::Storm(options) => storm::run(&bench, options).await?,
        Workload::Slow(options) => slow::run(&bench, options).await?,
        Workload::Growth(options) => growth::run(&bench, options).await?,
        Workload::Restart(options) => restart::run(&mut bench, options).await?,
    };
    bench.server.stop()?;
    if *over == Transport::Tls {
        row = row.parameter(report::TLS, true);
    }
    Ok(row.figure("empty_server_mib", empty as f64 / f64::from(1 << 20)).figure("ready_after_ms", millis(start)))
}

/// First as fast as it goes, then half as fast whatever happens.
async fn half_of_maximum(bench: &Bench, folder: &Path, options: &pairs::Options) -> anyhow::Result<Row> {
    let maximum = pairs::measure(bench, options).await?.per_second();
    bench.rest().await?;
    let fsync_p50_ms = machine::look(folder)?.fsync_p50_ms;
    let half = pairs::Options { rate: Some(maximum / 2.0), ..options.clone() };
    let measured = pairs::measure(bench, &half).await?;
    let row = Row::new("half of maximum").parameter("pairs", options.pairs).parameter("window", options.window);
    Ok(measured
        .figures(row)
        .figure("closed_loop_maximum_per_s", maximum)
        .figure("fsync_p50_ms", fsync_p50_ms)
        .figure("delivered_p50_above_fsync_ms", measured.delivered().p50_ms - fsync_p50_ms))
}

fn millis(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
