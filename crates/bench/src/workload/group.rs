//! A group whose members are all online: what a delivery costs, and when the last member has a post. Beside it, perhaps,
//! pairs: whether they wait for the group.

use super::{message, pairs};
use crate::account::Account;
use crate::bench::{Bench, go_on};
use crate::clock;
use crate::connection::Connection;
use crate::latency::Latency;
use crate::report::Row;
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use hudhud_proto::v1::{self, entry, server_frame::Event};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

/// How long a post may take to its last member.
const REACHED_MAX: Duration = Duration::from_secs(60);

/// What the group does.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Members, all online.
    #[arg(long, default_value_t = 1_024)]
    pub members: usize,
    /// Posts a second. The next leaves when all members have the one before at the earliest.
    #[arg(long, default_value_t = 5.0)]
    pub posts_per_s: f64,
    /// Whether every member says "received".
    #[arg(long)]
    pub receipts: bool,
    /// Pairs that write to each other in an open loop, first without the group's posts, then beside them.
    #[arg(long, default_value_t = 0)]
    pub pairs: usize,
    /// Messages a second of all these pairs together.
    #[arg(long, default_value_t = 500.0)]
    pub pairs_per_s: f64,
    /// Seconds before the measurement begins.
    #[arg(long, default_value_t = 3.0)]
    pub warm_up_s: f64,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 15.0)]
    pub seconds: f64,
}

/// A group at work. It stops when dropped.
pub struct Group {
    tasks: JoinSet<anyhow::Result<()>>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    delivered: Latency,
    reached: Latency,
    deliveries: AtomicU64,
    /// Members that do not have the last post yet.
    missing: AtomicUsize,
    /// Nobody misses it any more.
    all: Notify,
    /// Whether posts are to be written.
    posting: tokio::sync::watch::Sender<bool>,
}

/// How members are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// They take what comes.
    Listen,
    /// They take what comes and say "received".
    Acknowledge,
    /// They never read from their socket.
    Sleep,
}

/// Measures.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Row> {
    let members = if options.receipts { Members::Acknowledge } else { Members::Listen };
    let mut group = Group::start(bench, options.members, members, options.posts_per_s).await?;
    let (warm_up, duration) = (Duration::from_secs_f64(options.warm_up_s), Duration::from_secs_f64(options.seconds));
    let mut row = Row::new("group")
        .parameter("members", options.members)
        .parameter("posts_per_s", options.posts_per_s)
        .parameter("receipts", options.receipts);
    group.post(true);
    go_on(&mut group.tasks, warm_up).await?;
    group.record(true);
    let before = group.seen.deliveries.load(Ordering::Relaxed);
    let ((), spent) = bench.watch(go_on(&mut group.tasks, duration)).await?;
    group.record(false);
    let deliveries = (group.seen.deliveries.load(Ordering::Relaxed) - before) as f64;
    ensure!(deliveries > 0.0, "nothing was delivered");
    let reached = group.seen.reached.percentiles();
    row = row
        .figure("deliveries_per_s", deliveries / spent.elapsed.as_secs_f64())
        .figure("server_cpu_us_per_delivery", spent.cpu_us_each(deliveries))
        .figure("last_member_p50_ms", reached.p50_ms)
        .figure("last_member_p99_ms", reached.p99_ms)
        .figure("delivered_p99_ms", group.seen.delivered.percentiles().p99_ms);
    row = spent.cores(row);
    if options.pairs > 0 {
        row = beside(bench, options, &mut group, row).await?;
    }
    Ok(row)
}

/// Pairs without and with the group's posts.
async fn beside(bench: &Bench, options: &Options, group: &mut Group, row: Row) -> anyhow::Result<Row> {
    let writing = pairs::Options {
        rate: Some(options.pairs_per_s),
        warm_up_s: options.warm_up_s,
        ..pairs::Options::closed_loop(options.pairs, 1, options.seconds)
    };
    group.post(false);
    let alone = pairs::measure(bench, &writing).await?.delivered().p99_ms;
    group.post(true);
    let beside = pairs::measure(bench, &writing).await?.delivered().p99_ms;
    Ok(row
        .parameter("pairs", options.pairs)
        .parameter("pairs_per_s", options.pairs_per_s)
        .figure("pairs_delivered_p99_alone_ms", alone)
        .figure("pairs_delivered_p99_beside_ms", beside)
        .figure("pairs_p99_ratio", beside / alone))
}

impl Group {
    /// Makes a group of new accounts, all connected. Nothing is posted yet.
    pub async fn start(bench: &Bench, members: usize, how: Members, posts_per_s: f64) -> anyhow::Result<Self> {
        ensure!(members >= 2, "a group has two members at least");
        let accounts = bench.accounts(members).await?;
        let mut connections = bench.connect(&accounts).await?;
        let mut writer = connections.remove(0);
        let conversation = create(&mut writer, &accounts).await?;
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        for connection in connections {
            let (seen, conversation) = (seen.clone(), conversation.clone());
            tasks.spawn(async move { member(connection, conversation, &seen, how).await });
        }
        let waits = if how == Members::Sleep { 0 } else { members - 1 };
        let writing = write(writer, conversation, seen.clone(), Duration::from_secs_f64(1.0 / posts_per_s), waits);
        tasks.spawn(writing);
        Ok(Self { tasks, seen })
    }

    /// Begins or ends the posting.
    pub fn post(&self, on: bool) {
        self.seen.posting.send_replace(on);
    }

    fn record(&self, on: bool) {
        self.seen.delivered.record_from_now(on);
        self.seen.reached.record_from_now(on);
    }
}

async fn create(writer: &mut Connection, accounts: &[Account]) -> anyhow::Result<Bytes> {
    let create = v1::CreateGroup {
        message_id: Bytes::copy_from_slice(Uuid::now_v7().as_bytes()),
        title: "bench".to_owned(),
        members: accounts[1..].iter().map(|account| account.id.to_bytes()).collect(),
        ..Default::default()
    };
    match writer.ask(create.into()).await? {
        Event::ChangeAccepted(accepted) if accepted.not_added.is_empty() => Ok(accepted.conversation),
        other => bail!("no group with everybody: {other:?}"),
    }
}

async fn write(
    mut connection: Connection,
    conversation: Bytes,
    seen: Arc<Seen>,
    interval: Duration,
    waits: usize,
) -> anyhow::Result<()> {
    let mut posting = seen.posting.subscribe();
    let mut next = clock::now();
    loop {
        posting.wait_for(|on| *on).await.context("nobody asks for posts any more")?;
        next = next.max(clock::now());
        tokio::time::sleep_until(clock::instant(next)).await;
        seen.missing.store(waits, Ordering::Release);
        let send = v1::Send { conversation: conversation.clone(), ..message(clock::stamped(next, 200)) };
        connection.ask(send.into()).await?;
        if waits > 0 {
            let all = timeout(REACHED_MAX, seen.all.notified()).await;
            all.with_context(|| format!("{} members have no post", seen.missing.load(Ordering::Acquire)))?;
        }
        next += interval;
    }
}

async fn member(mut connection: Connection, conversation: Bytes, seen: &Seen, how: Members) -> anyhow::Result<()> {
    if how == Members::Sleep {
        return std::future::pending().await;
    }
    let mut events = Vec::new();
    loop {
        events.clear();
        connection.receive(&mut events).await?;
        for (_, event) in events.drain(..) {
            let Event::Entry(received) = event else { continue };
            if let Some(entry::Body::Content(content)) = &received.body {
                let took = clock::now() - clock::stamp(&content.payload).context("a payload without its time")?;
                seen.delivered.record(took);
                seen.deliveries.fetch_add(1, Ordering::Relaxed);
                if seen.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
                    seen.reached.record(took);
                    seen.all.notify_one();
                }
            }
            if how == Members::Acknowledge {
                connection.feed(v1::Received { conversation: conversation.clone(), seq: received.seq }.into()).await?;
                connection.flush().await?;
            }
        }
    }
}
