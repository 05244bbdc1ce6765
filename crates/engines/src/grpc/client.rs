//! The end that pushes.

use super::codec::Codec;
use super::{
    CONNECT_TIMEOUT, ENGINE, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, MESSAGE_BYTES_MAX, PUSH, Secret, WINDOW_BYTES,
    wire,
};
use crate::Addresses;
use async_trait::async_trait;
use futures_util::stream;
use hudhud_ports::{Delivery, Error, ErrorKind, GatewayRef, Gateways, Result, Target};
use hudhud_proto::v1::{PushBatch, PushOutcome};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};

/// Pushes that wait for a link; who comes beyond waits for them.
const QUEUE_MAX: usize = 256;
/// Parts that a gateway was sent and has not answered.
const UNANSWERED_MAX: usize = 256;
/// How long a gateway that could not be reached is left alone: whoever dispatches waits for pushes, for other people too.
const AWAY: Duration = Duration::from_secs(3);
/// Parts that wait to be written.
const UNWRITTEN_MAX: usize = 8;

/// [`Gateways`] of other processes.
pub struct Remote {
    addresses: Arc<dyn Addresses>,
    secret: Secret,
    links: Mutex<BTreeMap<GatewayRef, Known>>,
}

/// A link, as those who push over it know it.
struct Known {
    queue: mpsc::Sender<Push>,
    /// When it could not be opened.
    failed: Arc<OnceLock<Instant>>,
}

impl Known {
    fn is_away(&self) -> bool {
        self.failed.get().is_some_and(|at| at.elapsed() < AWAY)
    }
}

/// A batch, and who waits for what becomes of it.
struct Push {
    batch: Vec<Delivery>,
    answer: oneshot::Sender<Result<Vec<Target>>>,
}

impl Remote {
    /// Reaches gateways at these addresses, with the secret of their cluster. Inside a tokio runtime.
    pub fn new(addresses: Arc<dyn Addresses>, secret: Secret) -> Self {
        Self { addresses, secret, links: Mutex::default() }
    }

    /// The queue of the link to a gateway; none where it was not reached a moment ago.
    fn link(&self, gateway: &GatewayRef) -> Option<mpsc::Sender<Push>> {
        let mut links = self.links.lock();
        if let Some(link) = links.get(gateway) {
            if !link.queue.is_closed() {
                return Some(link.queue.clone());
            }
            if link.is_away() {
                return None;
            }
        }
        links.retain(|_, link| !link.queue.is_closed() || link.is_away());
        let (queue, pushes) = mpsc::channel(QUEUE_MAX);
        let failed = Arc::new(OnceLock::new());
        let link = Link {
            gateway: gateway.clone(),
            addresses: self.addresses.clone(),
            secret: self.secret.clone(),
            pushes,
            failed: failed.clone(),
        };
        tokio::spawn(link.run());
        links.insert(gateway.clone(), Known { queue: queue.clone(), failed });
        Some(queue)
    }
}

#[async_trait]
impl Gateways for Remote {
    async fn push(&self, gateway: &GatewayRef, batch: Vec<Delivery>) -> Result<Vec<Target>> {
        let Some(link) = self.link(gateway) else {
            let why = "the gateway was not reached a moment ago";
            return Err(Error::new(ErrorKind::Unavailable, ENGINE, "push").because(why));
        };
        let (answer, answered) = oneshot::channel();
        if link.send(Push { batch, answer }).await.is_err() {
            return Err(broken());
        }
        answered.await.unwrap_or_else(|_| Err(broken()))
    }
}

/// The stream ended before the answer: it may have been delivered.
fn broken() -> Error {
    Error::new(ErrorKind::Timeout, ENGINE, "push").because("the way to the gateway broke before it answered")
}

/// The way to one run of one gateway, for as long as it works.
struct Link {
    gateway: GatewayRef,
    addresses: Arc<dyn Addresses>,
    secret: Secret,
    pushes: mpsc::Receiver<Push>,
    failed: Arc<OnceLock<Instant>>,
}

/// What was sent and is not answered, in its order.
#[derive(Default)]
struct Unanswered(Mutex<VecDeque<Part>>);

/// A part of a batch.
struct Part {
    /// Of the batch, on its last part.
    answer: Option<oneshot::Sender<Result<Vec<Target>>>>,
    _permit: OwnedSemaphorePermit,
}

impl Link {
    /// Opens the way, and serves pushes over it until it breaks, or until nobody can push any more.
    async fn run(mut self) {
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        let slow = || Error::new(ErrorKind::Unavailable, ENGINE, "connect").because("it took too long");
        match opened.unwrap_or_else(|_| Err(slow())) {
            Ok(Some((parts, outcomes))) => self.forward(parts, outcomes).await,
            Ok(None) => self.answer_all(|push| Ok(targets(&push.batch))),
            Err(error) => {
                tracing::debug!(gateway = %self.gateway.name, %error, "a gateway is not reached");
                let why = error.to_string();
                // Before the queue is closed: whoever finds it closed knows why.
                _ = self.failed.set(Instant::now());
                self.answer_all(|_| Err(Error::new(ErrorKind::Unavailable, ENGINE, "connect").because(why.clone())));
            }
        }
    }

    /// Answers what waits, and takes no more.
    fn answer_all(&mut self, answer: impl Fn(&Push) -> Result<Vec<Target>>) {
        self.pushes.close();
        while let Ok(push) = self.pushes.try_recv() {
            let answer = answer(&push);
            // Who no longer waits needs no answer.
            _ = push.answer.send(answer);
        }
    }

    /// The way in and the way back; none where this run of the gateway is over.
    async fn open(&self) -> Result<Option<(mpsc::Sender<PushBatch>, Streaming<PushOutcome>)>> {
        let Some(address) = self.addresses.of(&self.gateway).await? else { return Ok(None) };
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Unavailable, ENGINE, "connect").because(error)
        };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| failed(error.into()))?;
        let endpoint = endpoint
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let channel = endpoint.connect().await.map_err(|error| failed(error.into()))?;
        let mut grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (parts, queue) = mpsc::channel(UNWRITTEN_MAX);
        let queue = stream::unfold(queue, |mut queue| async move { Some((queue.recv().await?, queue)) });
        let mut request = Request::new(queue);
        self.secret.put(request.metadata_mut());
        grpc.ready().await.map_err(|error| failed(error.into()))?;
        let path = PathAndQuery::from_static(PUSH);
        let answer = grpc.streaming(request, path, Codec::<PushBatch, PushOutcome>::default()).await;
        Ok(Some((parts, answer.map_err(|status| failed(status.into()))?.into_inner())))
    }

    async fn forward(self, parts: mpsc::Sender<PushBatch>, outcomes: Streaming<PushOutcome>) {
        let Self { gateway, mut pushes, .. } = self;
        let unanswered = Unanswered::default();
        let end = tokio::select! {
            () = write(&gateway, &mut pushes, &parts, &unanswered) => None,
            status = read(outcomes, &unanswered) => status,
        };
        if let Some(status) = end {
            tracing::debug!(gateway = %gateway.name, %status, "the way to a gateway broke");
        }
        // Dropping the queue and what is not answered tells everybody who waits.
    }
}

/// Sends what is pushed, in its order, until nobody can push any more or the other end is gone.
async fn write(
    gateway: &GatewayRef,
    pushes: &mut mpsc::Receiver<Push>,
    parts: &mpsc::Sender<PushBatch>,
    unanswered: &Unanswered,
) {
    let room = Arc::new(Semaphore::new(UNANSWERED_MAX));
    while let Some(Push { batch, answer }) = pushes.recv().await {
        let mut answer = Some(answer);
        let batch = wire::parts(gateway, batch);
        let last = batch.len() - 1;
        for (at, part) in batch.into_iter().enumerate() {
            let permit = room.clone().acquire_owned().await.expect("it is never closed");
            let answer = if at == last { answer.take() } else { None };
            // Before it is sent: its outcome may come back at once.
            unanswered.0.lock().push_back(Part { answer, _permit: permit });
            if parts.send(part).await.is_err() {
                return;
            }
        }
    }
}

/// Hands outcomes to those who wait for them. Returns when there are no more, and why.
async fn read(mut outcomes: Streaming<PushOutcome>, unanswered: &Unanswered) -> Option<Status> {
    let mut absent = BTreeSet::new();
    loop {
        let outcome = match outcomes.message().await {
            Ok(outcome) => outcome?,
            Err(status) => return Some(status),
        };
        let part = unanswered.0.lock().pop_front();
        let Some(part) = part else { return Some(Status::internal("an outcome that nobody asked for")) };
        match wire::absent(outcome) {
            Ok(targets) => absent.extend(targets),
            Err(error) => return Some(Status::internal(error.to_string())),
        }
        if let Some(answer) = part.answer {
            // Who no longer waits needs no answer.
            _ = answer.send(Ok(std::mem::take(&mut absent).into_iter().collect()));
        }
    }
}

/// All targets of a batch, each once.
fn targets(batch: &[Delivery]) -> Vec<Target> {
    let targets: BTreeSet<Target> = batch.iter().flat_map(|delivery| &delivery.targets).copied().collect();
    targets.into_iter().collect()
}
