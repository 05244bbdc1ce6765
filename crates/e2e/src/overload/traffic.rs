//! Honest people: pairs of them, one of whom writes to the other at a steady rate. Everything must arrive, once and in order.

use crate::Wire;
use futures_util::{SinkExt, StreamExt};
use hudhud_proto::v1::{self, ClientFrame, Content, ErrorCode, client_frame::Command, entry, server_frame::Event};
use hudhud_proto::{Encoding, MessageId};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// A receipt for every so many messages.
const RECEIPT_EVERY: u64 = 16;
/// How long the last messages may take to arrive.
const SETTLED_MAX: Duration = Duration::from_secs(90);

/// People who write and people who read.
pub struct Traffic {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    senders: Vec<JoinHandle<()>>,
}

struct Shared {
    started: Instant,
    stop: AtomicBool,
    sent: AtomicU64,
    accepted: AtomicU64,
    delivered: AtomicU64,
    /// From the moment at which each was to be written until it was read, in microseconds.
    took_us: Mutex<Vec<u64>>,
    violations: Mutex<Vec<String>>,
}

/// What arrived in a while.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Messages that were read.
    pub delivered: u64,
    /// Of them, each second.
    pub per_second: f64,
    /// Half of them took no longer, in milliseconds.
    pub median_ms: f64,
    /// Of a hundred of them 99 took no longer, in milliseconds.
    pub p99_ms: f64,
}

impl Traffic {
    /// Registers so many pairs, and lets each exchange so many messages a second.
    pub async fn start(server: SocketAddr, pairs: usize, per_second: u32) -> Self {
        let shared = Arc::new(Shared {
            started: Instant::now(),
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            took_us: Mutex::default(),
            violations: Mutex::default(),
        });
        let (mut tasks, mut senders) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            let (writer, _) = Wire::register(server, Encoding::Protobuf, &format!("writer{pair}")).await;
            let (reader, read_by) = Wire::register(server, Encoding::Protobuf, &format!("reader{pair}")).await;
            let (mut sink, mut answers) = writer.into_socket().split();
            tasks.push(tokio::spawn(read(shared.clone(), reader, pair)));
            let of_answers = shared.clone();
            tasks.push(tokio::spawn(async move {
                while let Some(Ok(message)) = answers.next().await {
                    let Message::Binary(bytes) = message else { continue };
                    of_answers.answered(&bytes);
                }
            }));
            let of_sender = shared.clone();
            senders.push(tokio::spawn(async move {
                let interval = Duration::from_secs(1) / per_second;
                // Not all at the same moment.
                let first = Instant::now() + interval * u32::try_from(pair % 16).expect("small") / 16;
                let mut request = 1_000;
                while !of_sender.stop.load(Ordering::Relaxed) {
                    // On time, or at once where it is late: what is offered is the same whatever the server does.
                    tokio::time::sleep_until(first + interval * u32::try_from(request - 1_000).expect("few")).await;
                    request += 1;
                    let frame = of_sender.message(request, &read_by);
                    if let Err(error) = sink.send(Message::Binary(frame)).await {
                        return of_sender.broken(format!("a writer was cut off: {error}"));
                    }
                    of_sender.sent.fetch_add(1, Ordering::Relaxed);
                }
                // The connection stays, for the answers.
                std::future::pending::<()>().await;
            }));
        }
        Self { shared, tasks, senders }
    }

    /// What arrives during so long.
    pub async fn window(&self, length: Duration) -> Window {
        self.shared.took_us.lock().clear();
        let (before, started) = (self.shared.delivered.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(length).await;
        let delivered = self.shared.delivered.load(Ordering::Relaxed) - before;
        let mut took_us = std::mem::take(&mut *self.shared.took_us.lock());
        took_us.sort_unstable();
        let at = |part: usize| took_us.get(took_us.len() * part / 100).map_or(f64::NAN, |us| *us as f64 / 1_000.0);
        Window {
            delivered,
            per_second: delivered as f64 / started.elapsed().as_secs_f64(),
            median_ms: at(50),
            p99_ms: at(99),
        }
    }

    /// Messages that were read so far.
    pub fn delivered(&self) -> u64 {
        self.shared.delivered.load(Ordering::Relaxed)
    }

    /// Writes no more, waits for what is on its way, and returns how many messages there were, or what is wrong.
    pub async fn finish(self) -> Result<u64, Vec<String>> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + SETTLED_MAX;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // A writer that is in the middle of its pause writes one more.
        let mut sent_before = u64::MAX;
        loop {
            let sent = load(&self.shared.sent);
            let is_settled = sent == sent_before && load(&self.shared.delivered) >= sent;
            if is_settled || Instant::now() > deadline {
                break;
            }
            sent_before = sent;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.tasks.iter().chain(&self.senders).for_each(JoinHandle::abort);
        let (sent, accepted, delivered) =
            (load(&self.shared.sent), load(&self.shared.accepted), load(&self.shared.delivered));
        let mut violations = std::mem::take(&mut *self.shared.violations.lock());
        if (accepted, delivered) != (sent, sent) {
            violations.push(format!("{sent} were sent, {accepted} accepted and {delivered} delivered"));
        }
        if violations.is_empty() { Ok(sent) } else { Err(violations) }
    }
}

impl Shared {
    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).expect("a test is short")
    }

    fn broken(&self, what: String) {
        self.violations.lock().push(what);
    }

    /// The request's number tells the reader which message this is; the time, how long it took.
    fn message(&self, request: u64, to: &v1::LoggedIn) -> bytes::Bytes {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let mut unique = [0; 10];
        unique[..8].copy_from_slice(&request.to_be_bytes());
        let payload = [request.to_be_bytes(), self.now_us().to_be_bytes()].concat();
        let content =
            Content { content_type: "application/octet-stream".into(), payload: payload.into(), ..Default::default() };
        let send = v1::Send {
            direct_with: to.account.clone(),
            message_id: MessageId::v7(u64::try_from(now.as_millis()).expect("soon"), unique).to_bytes(),
            content: content.into(),
            ..Default::default()
        };
        Encoding::Protobuf.encode_client(&ClientFrame { request, command: Some(Command::Send(send)) })
    }

    fn answered(&self, bytes: &[u8]) {
        match Encoding::Protobuf.decode_server(bytes) {
            Ok(frame) if frame.request == 0 => {}
            Ok(v1::ServerFrame { event: Some(Event::Accepted(_)), .. }) => {
                _ = self.accepted.fetch_add(1, Ordering::Relaxed)
            }
            other => self.broken(format!("a message was answered {other:?}")),
        }
    }
}

/// Reads what comes, in its order.
async fn read(shared: Arc<Shared>, reader: Wire, pair: usize) {
    let mut socket = reader.into_socket();
    let mut last = 1_000;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else { continue };
        let frame = match Encoding::Protobuf.decode_server(&bytes) {
            Ok(frame) => frame,
            Err(error) => return shared.broken(format!("reader {pair} got no frame: {error}")),
        };
        let entry = match frame.event {
            Some(Event::Entry(entry)) => entry,
            Some(Event::Lagging(_)) => return shared.broken(format!("reader {pair} is said to lag")),
            Some(Event::Error(error)) if error.code.as_known() != Some(ErrorCode::RateLimited) => {
                return shared.broken(format!("reader {pair} is answered {error:?}"));
            }
            _ => continue,
        };
        let Some(entry::Body::Content(content)) = &entry.body else { continue };
        let number = |from: usize| content.payload.get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
        let (Some(request), Some(sent_us)) = (number(0).map(u64::from_be_bytes), number(8).map(u64::from_be_bytes))
        else {
            return shared.broken(format!("reader {pair} got what nobody wrote"));
        };
        if request != last + 1 {
            return shared.broken(format!("reader {pair} got message {request} behind {last}"));
        }
        last = request;
        shared.took_us.lock().push(shared.now_us().saturating_sub(sent_us));
        shared.delivered.fetch_add(1, Ordering::Relaxed);
        if last % RECEIPT_EVERY == 0 {
            let received = v1::Received { conversation: entry.conversation, seq: entry.seq };
            let frame = ClientFrame { request: last, command: Some(Command::Received(received)) };
            if socket.send(Message::Binary(Encoding::Protobuf.encode_client(&frame))).await.is_err() {
                return shared.broken(format!("reader {pair} was cut off"));
            }
        }
    }
    shared.broken(format!("reader {pair} was closed"));
}
