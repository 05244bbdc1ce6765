//! Measures what honest people have left while others flood a server, and while it is backed up: messages a second in windows
//! with and without each, by turns, in one run. Ends with 1 where less than 95 % are left.
#![allow(clippy::print_stdout, reason = "a command line speaks to a terminal")]

use clap::Parser;
use hudhud_e2e::overload::{Flood, Kind, Server, SlowReaders, Traffic, Usage, Window, raise_open_files};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What must be left of the throughput.
const LEFT_MIN: f64 = 0.95;
/// Between a flood and a window without one, for the server to forget it.
const SETTLE: Duration = Duration::from_secs(2);
/// Messages a second that nobody of the slow readers reads.
const UNREAD_PER_SECOND: u32 = 10;
const LIMITS: &str = "\
connections_max = 15000
unauthenticated_max = 12000
buffer_bytes_max = 67108864
header_timeout_ms = 30000
ping_interval_ms = 600000
";

/// Measures honest traffic beside floods and slow readers.
#[derive(Parser)]
struct Arguments {
    /// Pairs of honest people.
    #[arg(long, default_value_t = 20)]
    pairs: usize,
    /// Messages a second of each pair. Together less than the machine can do: what is measured is what gets through.
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// Windows with and windows without each flood; their medians are compared.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Length of a window, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections on which nobody says who it is. Those that trickle are a fifth of it.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Slow readers, in one group; up to 1,000.
    #[arg(long, default_value_t = 1_000)]
    readers: usize,
}

/// Windows of one kind of flood.
#[derive(Default)]
struct Measured {
    without: Vec<Window>,
    with: Vec<Window>,
    connected: usize,
    resident_bytes: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let files = raise_open_files();
    let needed = (arguments.connections + arguments.readers + 4 * arguments.pairs + 100) as u64;
    if files < needed {
        println!("This needs {needed} open files and may have {files}: raise `ulimit -n`, or lower --connections.");
        return ExitCode::FAILURE;
    }
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let server = Server::start(folder.path(), LIMITS).await;
    let traffic = Traffic::start(server.address(), arguments.pairs, arguments.rate).await;
    let length = Duration::from_secs(arguments.seconds);
    println!(
        "{} pairs, {} messages a second each; {} windows of {length:?}",
        arguments.pairs, arguments.rate, arguments.rounds
    );
    println!(
        "{:<32} {:>6} {:>9} {:>9} {:>6} {:>15} {:>15} {:>8}",
        "", "conns", "msg/s", "flooded", "left", "median/p99 ms", "flooded", "RSS MiB"
    );
    let mut is_enough = true;
    for kind in Kind::ALL {
        let is_cheap = matches!(kind, Kind::Silent | Kind::SilentWebSocket);
        let count = if is_cheap { arguments.connections } else { arguments.connections / 5 };
        let mut measured = Measured::default();
        for _ in 0..arguments.rounds {
            tokio::time::sleep(SETTLE).await;
            measured.without.push(traffic.window(length).await);
            let flood = Flood::start(kind, server.address(), count).await;
            measured.with.push(traffic.window(length).await);
            measured.connected = measured.connected.max(flood.connected());
            measured.note(server.usage());
        }
        is_enough &= measured.print(kind.name());
    }
    let mut measured = Measured::default();
    for _ in 0..arguments.rounds {
        let back_up = async |until| {
            while Instant::now() < until {
                server.back_up(&folder.path().join("backup")).await;
            }
        };
        measured.window(&traffic, &server, length, back_up).await;
    }
    is_enough &= measured.print("one backup after the other");
    let mut slow = SlowReaders::gather(server.address(), arguments.readers).await;
    let mut measured = Measured { connected: arguments.readers, ..Measured::default() };
    for _ in 0..arguments.rounds {
        let write = async |until| {
            let mut turns = tokio::time::interval(Duration::from_secs(1) / UNREAD_PER_SECOND);
            while Instant::now() < until {
                turns.tick().await;
                slow.write(1).await;
            }
        };
        measured.window(&traffic, &server, length, write).await;
    }
    is_enough &= measured.print("slow readers of a busy group");
    match traffic.finish().await {
        Ok(delivered) => println!("{delivered} messages were sent, and all of them arrived once and in order."),
        Err(violations) => {
            println!("Broken: {violations:#?}");
            is_enough = false;
        }
    }
    match is_enough {
        true => ExitCode::SUCCESS,
        false => {
            println!("Less than {:.0} % was left, or something was lost.", 100.0 * LEFT_MIN);
            ExitCode::FAILURE
        }
    }
}

impl Measured {
    /// A window without, and one while something is done until then.
    async fn window(
        &mut self,
        traffic: &Traffic,
        server: &Server,
        length: Duration,
        disturb: impl AsyncFnOnce(Instant),
    ) {
        tokio::time::sleep(SETTLE).await;
        self.without.push(traffic.window(length).await);
        let (window, ()) = tokio::join!(traffic.window(length), disturb(Instant::now() + length));
        self.with.push(window);
        self.note(server.usage());
    }

    fn note(&mut self, usage: Usage) {
        self.resident_bytes = self.resident_bytes.max(usage.resident_bytes);
    }

    /// Prints a line, and says whether enough was left.
    fn print(&self, name: &str) -> bool {
        let (without, with) = (middle(&self.without), middle(&self.with));
        let left = with.per_second / without.per_second;
        println!(
            "{name:<32} {:>6} {:>9.1} {:>9.1} {:>5.1}% {:>15} {:>15} {:>8}",
            self.connected,
            without.per_second,
            with.per_second,
            100.0 * left,
            format!("{:.1}/{:.1}", without.median_ms, without.p99_ms),
            format!("{:.1}/{:.1}", with.median_ms, with.p99_ms),
            self.resident_bytes / 1_024 / 1_024,
        );
        left >= LEFT_MIN
    }
}

/// The window of the median throughput.
fn middle(windows: &[Window]) -> Window {
    let mut windows = windows.to_vec();
    windows.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
    windows[windows.len() / 2]
}
