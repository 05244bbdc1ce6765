//! Pairs of people: one writes, the other's device says "received", and perhaps "read". Closed loop: so many messages
//! without a receipt at a time. Open loop: so many a second, whatever the server does; latencies count from when a message
//! was meant to leave, so that a server that stands still is not spared the messages that would have come meanwhile.

use super::message;
use crate::account::Account;
use crate::bench::{Bench, Spent, go_on};
use crate::clock;
use crate::connection::Connection;
use crate::latency::Latency;
use crate::report::Row;
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use hudhud_proto::v1::{self, ReceiptKind, entry, server_frame::Event};
use hudhud_proto::{AccountId, ConversationId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// What pairs do.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Pairs of people.
    #[arg(long, default_value_t = 1_000)]
    pub pairs: usize,
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
#[derive(Default)]
struct Seen {
    accepted: Latency,
    delivered: Latency,
    receipt: Latency,
    /// Messages whose last receipt came.
    done: AtomicU64,
}

/// Pairs at work. They stop when dropped.
pub struct Pairs {
    seen: Arc<Seen>,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// What was measured.
pub struct Measured {
    /// Messages whose last receipt came.
    pub messages: u64,
    /// What the server used.
    pub spent: Spent,
    seen: Arc<Seen>,
}

/// Measures.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Row> {
    let mut pairs = Pairs::start(bench, options).await?;
    pairs.warm_up(options).await?;
    let measured = pairs.measure(bench, Duration::from_secs_f64(options.seconds)).await?;
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

impl Pairs {
    /// Connects everybody and lets them begin.
    pub async fn start(bench: &Bench, options: &Options) -> anyhow::Result<Self> {
        ensure!(options.window > 0 && options.pairs > 0, "there is at least one pair, and one message at a time");
        let accounts = bench.accounts(2 * options.pairs).await?;
        let mut connections = bench.connect(&accounts).await?;
        let receivers = connections.split_off(options.pairs);
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        let options = Arc::new(options.clone());
        for (n, (sending, receiving)) in connections.into_iter().zip(receivers).enumerate() {
            let pair = Pair::new(&accounts[n], &accounts[options.pairs + n], seen.clone(), options.clone());
            let (receiver, phase) = (pair.clone(), n as f64 / options.pairs as f64);
            tasks.spawn(async move { pair.write(sending, phase).await });
            tasks.spawn(async move { receiver.receive(receiving).await });
        }
        Ok(Self { seen, tasks })
    }

    /// Lets them go on without measuring: connections, caches and the log's files are new at first.
    pub async fn warm_up(&mut self, options: &Options) -> anyhow::Result<()> {
        go_on(&mut self.tasks, Duration::from_secs_f64(options.warm_up_s)).await
    }

    /// Measures for a while.
    pub async fn measure(&mut self, bench: &Bench, duration: Duration) -> anyhow::Result<Measured> {
        let seen = self.seen.clone();
        let record = |on| [&seen.accepted, &seen.delivered, &seen.receipt].map(|latency| latency.record_from_now(on));
        record(true);
        let before = seen.done.load(Ordering::Relaxed);
        let spent = bench.watch(&mut self.tasks, duration).await?;
        let messages = seen.done.load(Ordering::Relaxed) - before;
        record(false);
        ensure!(messages > 0, "not one message got its receipt");
        Ok(Measured { messages, spent, seen: self.seen.clone() })
    }
}

impl Measured {
    /// Messages a second.
    pub fn per_second(&self) -> f64 {
        self.messages as f64 / self.spent.elapsed.as_secs_f64()
    }

    /// From when a message was meant to leave until it was at the other's device: 99 of 100 took less, in milliseconds.
    pub fn delivered_p99_ms(&self) -> f64 {
        self.seen.delivered.percentiles().p99_ms
    }

    fn figures(&self, mut row: Row) -> Row {
        let usage = &self.spent.usage;
        let messages = self.messages as f64;
        row = row
            .figure("messages_per_s", self.per_second())
            .figure("server_cpu_us_per_message", usage.cpu_total().as_secs_f64() * 1e6 / messages)
            .figure("written_bytes_per_message", usage.written_bytes as f64 / messages);
        for (name, latency) in
            [("accepted", &self.seen.accepted), ("delivered", &self.seen.delivered), ("receipt", &self.seen.receipt)]
        {
            let found = latency.percentiles();
            row = row
                .figure(&format!("{name}_p50_ms"), found.p50_ms)
                .figure(&format!("{name}_p99_ms"), found.p99_ms)
                .figure(&format!("{name}_p999_ms"), found.p999_ms)
                .figure(&format!("{name}_max_ms"), found.max_ms);
        }
        for (thread, spent) in &usage.cpu {
            row = row.figure(&format!("cpu_us_per_message_of_{thread}"), spent.as_secs_f64() * 1e6 / messages);
        }
        row
    }
}

/// Two people.
#[derive(Clone)]
struct Pair {
    conversation: Bytes,
    receiver: AccountId,
    seen: Arc<Seen>,
    options: Arc<Options>,
}

impl Pair {
    fn new(sender: &Account, receiver: &Account, seen: Arc<Seen>, options: Arc<Options>) -> Self {
        let conversation = ConversationId::direct(sender.id, receiver.id).to_bytes();
        Self { conversation, receiver: receiver.id, seen, options }
    }

    /// The one who writes. `phase` is where in the interval of an open loop it begins, from 0 to 1.
    async fn write(self, mut connection: Connection, phase: f64) -> anyhow::Result<()> {
        let interval = self.options.rate.map(|rate| Duration::from_secs_f64(self.options.pairs as f64 / rate));
        let mut next = clock::now() + interval.unwrap_or_default().mul_f64(phase);
        // The conversation is new, so the n-th message has seq n. When each was meant to leave:
        let mut unaccepted: VecDeque<(u64, Duration)> = VecDeque::new();
        let mut unreceived: VecDeque<Duration> = VecDeque::new();
        let mut receipts = 0;
        let wanted = if self.options.read { ReceiptKind::Read } else { ReceiptKind::Received };
        let mut events = Vec::new();
        loop {
            let now = clock::now();
            while self.may_send(interval, now, next, unreceived.len()) {
                let meant = if interval.is_some() { next } else { now };
                let send = v1::Send {
                    direct_with: self.receiver.to_bytes(),
                    ..message(clock::stamped(meant, self.options.payload_bytes))
                };
                let request = connection.feed(send.into()).await?;
                unaccepted.push_back((request, meant));
                unreceived.push_back(meant);
                next += interval.unwrap_or_default();
            }
            connection.flush().await?;
            events.clear();
            match interval {
                None => connection.receive(&mut events).await?,
                Some(_) => tokio::select! {
                    biased;
                    received = connection.receive(&mut events) => received?,
                    () = tokio::time::sleep_until(clock::instant(next)) => {}
                },
            }
            let now = clock::now();
            for (request, event) in events.drain(..) {
                match event {
                    Event::Accepted(_) => {
                        let (asked, meant) = unaccepted.pop_front().context("accepted without having been sent")?;
                        ensure!(asked == request, "accepted out of turn");
                        self.seen.accepted.record(now - meant);
                    }
                    Event::Receipt(receipt) if receipt.kind == wanted && receipt.conversation == self.conversation => {
                        for _ in receipts..receipt.seq {
                            let meant = unreceived.pop_front().context("a receipt for what was not sent")?;
                            self.seen.receipt.record(now - meant);
                            self.seen.done.fetch_add(1, Ordering::Relaxed);
                        }
                        receipts = receipts.max(receipt.seq);
                    }
                    Event::Error(error) => bail!("the server says: {}", error.message),
                    Event::Refused(refused) => bail!("refused: {:?}", refused.error.as_option()),
                    _ => {}
                }
            }
        }
    }

    fn may_send(&self, interval: Option<Duration>, now: Duration, next: Duration, unreceived: usize) -> bool {
        match interval {
            None => unreceived < self.options.window,
            Some(_) => next <= now,
        }
    }

    /// The one who receives.
    async fn receive(self, mut connection: Connection) -> anyhow::Result<()> {
        let mut events = Vec::new();
        loop {
            events.clear();
            connection.receive(&mut events).await?;
            let now = clock::now();
            let mut seq = 0;
            for (_, event) in events.drain(..) {
                match event {
                    Event::Entry(entry) => {
                        seq = seq.max(entry.seq);
                        let Some(entry::Body::Content(content)) = &entry.body else { continue };
                        let meant = clock::stamp(&content.payload).context("a payload without its time")?;
                        self.seen.delivered.record(now - meant);
                    }
                    Event::Error(error) => bail!("the server says: {}", error.message),
                    Event::Lagging(_) => bail!("the load generator does not read fast enough"),
                    _ => {}
                }
            }
            if seq > 0 {
                let conversation = self.conversation.clone();
                connection.feed(v1::Received { conversation: conversation.clone(), seq }.into()).await?;
                if self.options.read {
                    connection.feed(v1::Read { conversation, seq }.into()).await?;
                }
                connection.flush().await?;
            }
        }
    }
}
