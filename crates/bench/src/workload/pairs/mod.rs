//! Pairs of people: one writes, the other's device says "received", and perhaps "read". Closed loop: so many messages
//! without a receipt at a time. Open loop: so many a second, whatever the server does; latencies count from when a message
//! was meant to leave, so that a server that stands still is not spared the messages that would have come meanwhile.

use super::share;
use crate::bench::{Bench, Spent};
use crate::crew::{Crew, Found, Load};
use crate::latency::{Latency, Percentiles};
use crate::report::Row;
use anyhow::ensure;
pub use pair::begin;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

mod pair;

/// What pairs do.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Pairs of people.
    #[arg(long, default_value_t = 1_000)]
    pub pairs: usize,
    /// Processes that they are spread over.
    #[arg(long, default_value_t = 1)]
    pub processes: usize,
    /// Messages of a pair that wait for their receipt. Without --rate: the next leaves when there is room.
    #[arg(long, default_value_t = 1)]
    pub window: usize,
    /// Messages a second of all pairs together, instead of a window.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Bytes of a message.
    #[arg(long, default_value_t = 200)]
    pub payload_bytes: usize,
    /// Whether everything is read, too.
    #[arg(long)]
    pub read: bool,
    /// Seconds before the measurement begins.
    #[arg(long, default_value_t = 3.0)]
    pub warm_up_s: f64,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
}

/// What was seen of all pairs.
#[derive(Clone, Default)]
pub struct Seen(Arc<Kinds>);

/// See the page for what each is.
#[derive(Default)]
struct Kinds {
    late: Latency,
    accepted: Latency,
    delivered: Latency,
    receipt: Latency,
    /// Messages whose last receipt came, while recording.
    done: AtomicU64,
    recording: AtomicBool,
}

/// Pairs at work, in other processes. They stop when dropped.
struct Pairs {
    crew: Crew,
}

/// What was measured.
pub struct Measured {
    /// Messages whose last receipt came.
    pub messages: u64,
    /// What the server used.
    pub spent: Spent,
    latencies: BTreeMap<String, Latency>,
}

/// Measures.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Row> {
    let measured = measure(bench, options).await?;
    let mut row = Row::new(if options.rate.is_some() { "pairs, open loop" } else { "pairs" })
        .parameter("pairs", options.pairs)
        .parameter("payload_bytes", options.payload_bytes);
    row = match options.rate {
        Some(rate) => row.parameter("rate_per_s", rate.round()),
        None => row.parameter("window", options.window),
    };
    if options.read {
        row = row.parameter("read", true);
    }
    Ok(measured.figures(row))
}

/// Connects pairs of new accounts, lets them warm up, measures them, and ends them.
pub async fn measure(bench: &Bench, options: &Options) -> anyhow::Result<Measured> {
    let mut pairs = Pairs::start(bench, options).await?;
    pairs.warm_up(options).await?;
    pairs.measure(bench, Duration::from_secs_f64(options.seconds)).await
}

impl Options {
    /// A closed loop of messages as they are measured everywhere: 200 bytes, received, not read.
    pub fn closed_loop(pairs: usize, window: usize, seconds: f64) -> Self {
        Self { pairs, processes: 1, window, rate: None, payload_bytes: 200, read: false, warm_up_s: 3.0, seconds }
    }

    /// What each process does.
    fn shares(&self) -> Vec<Self> {
        let shares = share(self.pairs, self.processes);
        let rate = |pairs| self.rate.map(|rate| rate * pairs as f64 / self.pairs as f64);
        shares.into_iter().map(|pairs| Self { pairs, rate: rate(pairs), ..self.clone() }).collect()
    }
}

impl Pairs {
    /// Connects everybody and lets them begin.
    async fn start(bench: &Bench, options: &Options) -> anyhow::Result<Self> {
        ensure!(options.window > 0 && options.pairs > 0, "there is at least one pair, and one message at a time");
        let shares = options.shares();
        let each = 2 * shares[0].pairs;
        let mut crew = Crew::start(bench, shares.into_iter().map(Load::Pairs).collect(), each).await?;
        crew.connect().await?;
        Ok(Self { crew })
    }

    /// Lets them go on without measuring: connections, caches and the log's files are new at first.
    async fn warm_up(&mut self, options: &Options) -> anyhow::Result<()> {
        self.crew.go_on(Duration::from_secs_f64(options.warm_up_s)).await
    }

    /// Measures for a while.
    async fn measure(&mut self, bench: &Bench, duration: Duration) -> anyhow::Result<Measured> {
        let recorded = async {
            self.crew.record().await?;
            self.crew.go_on(duration).await?;
            self.crew.tell().await
        };
        let (found, spent) = bench.watch(recorded).await?;
        let messages = found.iter().map(|found| found.messages).sum();
        ensure!(messages > 0, "not one message got its receipt");
        let mut latencies: BTreeMap<String, Latency> = BTreeMap::new();
        for (kind, recorded) in found.into_iter().flat_map(|found| found.latencies) {
            latencies.entry(kind).or_default().add(&recorded);
        }
        Ok(Measured { messages, spent, latencies })
    }
}

impl Seen {
    /// Whether what comes from now on counts.
    pub fn record_from_now(&self, on: bool) {
        for (_, latency) in self.kinds() {
            latency.record_from_now(on);
        }
        self.0.recording.store(on, Ordering::Relaxed);
    }

    /// What was recorded.
    pub fn found(&self) -> Found {
        let latencies = self.kinds().map(|(kind, latency)| (kind.to_owned(), latency.recorded()));
        Found { messages: self.0.done.load(Ordering::Relaxed), latencies: latencies.into() }
    }

    fn kinds(&self) -> [(&'static str, &Latency); 4] {
        let Kinds { late, accepted, delivered, receipt, .. } = &*self.0;
        [("late", late), ("accepted", accepted), ("delivered", delivered), ("receipt", receipt)]
    }

    fn done(&self) {
        if self.0.recording.load(Ordering::Relaxed) {
            self.0.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Measured {
    /// Messages a second.
    pub fn per_second(&self) -> f64 {
        self.messages as f64 / self.spent.elapsed.as_secs_f64()
    }

    /// From when a message was meant to leave until it was at the other's device.
    pub fn delivered(&self) -> Percentiles {
        self.latencies["delivered"].percentiles()
    }

    /// As figures of a row.
    pub fn figures(&self, mut row: Row) -> Row {
        let Spent { usage, bus, .. } = &self.spent;
        let messages = self.messages as f64;
        row = row
            .figure("messages_per_s", self.per_second())
            .figure("server_cpu_us_per_message", self.spent.cpu_us_each(messages))
            .figure("load_cpu_us_per_message", self.spent.generator_cpu.as_secs_f64() * 1e6 / messages)
            .figure("written_bytes_per_message", usage.written_bytes as f64 / messages)
            .figure("records_per_message", bus.records as f64 / messages)
            .figure("records_per_fsync", bus.records_per_sync());
        for (kind, latency) in self.latencies.iter().filter(|(_, latency)| !latency.is_empty()) {
            let found = latency.percentiles();
            row = row
                .figure(&format!("{kind}_p50_ms"), found.p50_ms)
                .figure(&format!("{kind}_p99_ms"), found.p99_ms)
                .figure(&format!("{kind}_p999_ms"), found.p999_ms)
                .figure(&format!("{kind}_max_ms"), found.max_ms);
        }
        for (thread, spent) in &usage.cpu_by_thread {
            row = row.figure(&format!("cpu_us_per_message_of_{thread}"), spent.as_secs_f64() * 1e6 / messages);
        }
        self.spent.cores(row)
    }
}
