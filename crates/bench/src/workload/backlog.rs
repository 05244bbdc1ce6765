//! People who come back to what waits for them: how long it takes until they have everything, in order.

use super::message;
use crate::account::Account;
use crate::bench::Bench;
use crate::clock;
use crate::connection::Connection;
use crate::report::Row;
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use hudhud_proto::limits::PAGE_ENTRIES_MAX;
use hudhud_proto::v1::{self, entry, server_frame::Event};
use hudhud_proto::{AccountId, ConversationId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Unanswered sends of one who writes.
const WINDOW: usize = 128;
/// Pairs that write at the same time.
const WRITING_MAX: usize = 64;
/// How often the server's memory is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Who comes back to how much.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// People who were offline.
    #[arg(long, default_value_t = 1_000)]
    pub users: usize,
    /// Messages that wait for each.
    #[arg(long, default_value_t = 20)]
    pub messages: u64,
}

/// Measures.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Row> {
    let accounts = bench.accounts(2 * options.users).await?;
    let (writers, readers) = accounts.split_at(options.users);
    write_all(bench, writers, readers, options.messages, 200).await?;
    let before = bench.look().await?.usage;
    let highest = AtomicU64::new(before.resident_bytes);
    let drained = async {
        let mut tasks = JoinSet::new();
        for ((connection, reader), writer) in bench.connect(readers).await?.into_iter().zip(readers).zip(writers) {
            tasks.spawn(drain(connection, conversation(writer, reader), options.messages));
        }
        let mut draining = std::pin::pin!(all(tasks));
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                biased;
                drained = &mut draining => return drained,
                _ = look.tick() => {
                    highest.fetch_max(bench.server.process().usage()?.resident_bytes, Ordering::Relaxed);
                }
            }
        }
    };
    let ((), spent) = bench.watch(drained).await?;
    let (elapsed, highest) = (spent.elapsed.as_secs_f64(), highest.into_inner());
    let total = options.users as f64 * options.messages as f64;
    let row = Row::new("backlog")
        .parameter("users", options.users)
        .parameter("messages", options.messages)
        .figure("drained_s", elapsed)
        .figure("messages_per_s", total / elapsed)
        .figure("server_cpu_us_per_message", spent.cpu_us_each(total))
        .figure("memory_grown_at_most_mib", highest.saturating_sub(before.resident_bytes) as f64 / f64::from(1 << 20));
    Ok(spent.cores(row))
}

fn conversation(writer: &Account, reader: &Account) -> Bytes {
    ConversationId::direct(writer.id, reader.id).to_bytes()
}

async fn all(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no task panics or is cancelled")?;
    }
    Ok(())
}

/// Has each of the writers write so many messages to its reader, who is not there.
pub async fn write_all(
    bench: &Bench,
    writers: &[Account],
    readers: &[Account],
    messages: u64,
    payload_bytes: usize,
) -> anyhow::Result<()> {
    for (writers, readers) in writers.chunks(WRITING_MAX).zip(readers.chunks(WRITING_MAX)) {
        let mut tasks = JoinSet::new();
        for (connection, reader) in bench.connect(writers).await?.into_iter().zip(readers) {
            tasks.spawn(write(connection, reader.id, messages, payload_bytes));
        }
        all(tasks).await?;
    }
    Ok(())
}

async fn write(mut connection: Connection, to: AccountId, messages: u64, payload_bytes: usize) -> anyhow::Result<()> {
    let (mut sent, mut accepted, mut events) = (0, 0, Vec::new());
    while accepted < messages {
        while sent < messages && sent - accepted < WINDOW as u64 {
            // Numbered, so that the reader sees the order.
            let payload = clock::stamped(Duration::from_nanos(sent), payload_bytes);
            connection.feed(v1::Send { direct_with: to.to_bytes(), ..message(payload) }.into()).await?;
            sent += 1;
        }
        connection.flush().await?;
        events.clear();
        connection.receive(&mut events).await?;
        for (_, event) in events.drain(..) {
            match event {
                Event::Accepted(_) => accepted += 1,
                Event::Error(error) => bail!("the server says: {}", error.message),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Asks what has changed, fetches it page by page, and says "received" after each.
async fn drain(mut connection: Connection, conversation: Bytes, messages: u64) -> anyhow::Result<()> {
    let Event::ChangePage(page) = connection.ask(v1::Changes::default().into()).await? else {
        bail!("no page of changes");
    };
    let mut head = page.rows.iter().find(|row| row.conversation == conversation).map_or(0, |row| row.head_seq);
    let (mut seq, mut expected) = (0, 0);
    // Sequencing may be behind what was accepted: the head climbs, and every page tells it.
    while expected < messages {
        let fetch = v1::Fetch {
            conversation: conversation.clone(),
            from_seq: seq + 1,
            limit: PAGE_ENTRIES_MAX,
            ..Default::default()
        };
        let Event::EntryPage(page) = connection.ask(fetch.into()).await? else { bail!("no page of entries") };
        for entry in &page.entries {
            ensure!(entry.seq == seq + 1, "entry {} after {seq}", entry.seq);
            seq = entry.seq;
            let Some(entry::Body::Content(content)) = &entry.body else { continue };
            let number = clock::stamp(&content.payload).context("a payload without its number")?.as_nanos();
            ensure!(number == u128::from(expected), "message {number} where {expected} was expected");
            expected += 1;
        }
        head = head.max(page.head_seq);
        if page.entries.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        } else {
            connection.ask(v1::Received { conversation: conversation.clone(), seq }.into()).await?;
        }
    }
    ensure!(head >= seq, "a head of {head} with entries up to {seq}");
    Ok(())
}
