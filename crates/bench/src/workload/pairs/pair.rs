//! One pair: who writes, and who receives.

use super::{Options, Seen};
use crate::account::Account;
use crate::clock;
use crate::connection::Connection;
use crate::workload::message;
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use hudhud_proto::v1::{self, ReceiptKind, entry, server_frame::Event};
use hudhud_proto::{AccountId, ConversationId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Lets everybody begin: the first half of the accounts writes to the second.
pub fn begin(
    options: &Options,
    accounts: &[Account],
    mut connections: Vec<Connection>,
    seen: &Seen,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    let receivers = connections.split_off(options.pairs);
    let options = Arc::new(options.clone());
    for (n, (sending, receiving)) in connections.into_iter().zip(receivers).enumerate() {
        let pair = Pair::new(&accounts[n], &accounts[options.pairs + n], seen.clone(), options.clone());
        let (receiver, phase) = (pair.clone(), n as f64 / options.pairs as f64);
        tasks.spawn(async move { pair.write(sending, phase).await });
        tasks.spawn(async move { receiver.receive(receiving).await });
    }
}

/// Two people.
#[derive(Clone)]
struct Pair {
    conversation: Bytes,
    receiver: AccountId,
    seen: Seen,
    options: Arc<Options>,
}

impl Pair {
    fn new(sender: &Account, receiver: &Account, seen: Seen, options: Arc<Options>) -> Self {
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
                if interval.is_some() {
                    self.seen.0.late.record(now - meant);
                }
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
                        self.seen.0.accepted.record(now - meant);
                    }
                    Event::Receipt(receipt) if receipt.kind == wanted && receipt.conversation == self.conversation => {
                        for _ in receipts..receipt.seq {
                            let meant = unreceived.pop_front().context("a receipt for what was not sent")?;
                            self.seen.0.receipt.record(now - meant);
                            self.seen.done();
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
                        self.seen.0.delivered.record(now - meant);
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
