//! A member of the consumer group: its client, and the thread that the client's callbacks run on.
//!
//! The client fetches each shard into a queue of its own, which the shard's consumer empties. The thread hears which shards are
//! assigned and revoked, goes back where a consumer was dropped, and tells Kafka of commits. When the member is dropped the thread
//! leaves the group, so that its shards are assigned to others at once.

use super::client::{self, REQUEST_TIMEOUT};
use super::consumer::Consumer;
use super::failure::of_request;
use super::frame::Mark;
use super::group::Group;
use super::{ENGINE, Shared};
use async_trait::async_trait;
use hudhud_ports::{Error, ErrorKind, Membership, Result, ShardConsumer};
use parking_lot::Mutex;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the thread looks for what is not an event of the client.
const POLL: Duration = Duration::from_millis(50);
/// How long commits are gathered.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// How long a commit may take to be heard of when the member leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

type Client = BaseConsumer<Context>;

pub(super) struct Member {
    shared: Arc<Shared>,
    group: Arc<Group>,
}

impl Member {
    /// Blocks a little.
    pub(super) fn join(shared: Arc<Shared>) -> Result<Self> {
        const OP: &str = "join";
        let group = Arc::new(Group::new(shared.url.epoch, shared.shards));
        let topic = shared.url.topic.clone();
        let context = Context { group: group.clone(), topic: topic.clone() };
        let client = Client::from_config_and_context(&client::member(&shared.url), context);
        let client = Arc::new(client.map_err(|error| of_request(OP, error))?);
        // Before anything is assigned, so that nothing goes into the queue of all.
        for (partition, slot) in (0..).zip(&group.shards) {
            let queue = client.split_partition_queue(&topic, partition);
            let mut queue = queue.ok_or_else(|| Error::new(ErrorKind::Invalid, ENGINE, OP).because("no such shard"))?;
            let (group, shard) = (group.clone(), usize::try_from(partition).expect("counted from 0"));
            queue.set_nonempty_callback(move || group.shards[shard].changed.notify_waiters());
            *slot.queue.lock() = Some(queue);
        }
        let begun = client.subscribe(&[&topic]).map_err(|error| of_request(OP, error)).and_then(|()| {
            let (group, client, topic) = (group.clone(), client.clone(), topic);
            let thread = std::thread::Builder::new().name("hudhud-member".into());
            let spawned = thread.spawn(move || run(&group, client, &topic));
            spawned.map_err(|error| Error::new(ErrorKind::Unavailable, ENGINE, OP).because(error))
        });
        match begun.and_then(|thread| shared.members.add(Running { group: group.clone(), thread })) {
            Ok(()) => Ok(Self { shared, group }),
            Err(error) => {
                group.leave();
                empty(&group);
                Err(error)
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.group.leave();
    }
}

#[async_trait]
impl Membership for Member {
    async fn assigned(&mut self) -> Result<Box<dyn ShardConsumer>> {
        loop {
            let changed = self.group.assigned.notified();
            if let Some((shard, term, committed)) = self.group.take()? {
                return Ok(Box::new(Consumer::new(self.shared.clone(), self.group.clone(), shard, term, committed)));
            }
            changed.await;
        }
    }
}

/// Members whose threads have not ended: a process that ends has left the group before.
pub(super) struct Members {
    /// None once the bus is closed.
    running: Mutex<Option<Vec<Running>>>,
}

struct Running {
    group: Arc<Group>,
    thread: JoinHandle<()>,
}

impl Members {
    pub(super) fn new() -> Self {
        Self { running: Mutex::new(Some(Vec::new())) }
    }

    fn add(&self, member: Running) -> Result<()> {
        let mut running = self.running.lock();
        let closed = || Error::new(ErrorKind::Unavailable, ENGINE, "join").because("it was closed");
        let running = running.as_mut().ok_or_else(closed)?;
        running.retain(|member| !member.thread.is_finished());
        running.push(member);
        Ok(())
    }

    /// Has all of them leave, and takes no more. Blocks until they have left, or brokers do not answer.
    pub(super) fn close(&self) {
        let running = self.running.lock().take().unwrap_or_default();
        running.iter().for_each(|member| member.group.leave());
        let end = Instant::now() + REQUEST_TIMEOUT;
        while !running.iter().all(|member| member.thread.is_finished()) {
            if Instant::now() >= end {
                tracing::warn!("brokers do not hear that this process leaves: its shards are others' after a while");
                return;
            }
            std::thread::sleep(POLL / 5);
        }
    }
}

fn run(group: &Group, client: Arc<Client>, topic: &str) {
    let mut told = Instant::now();
    while !group.is_over() {
        match client.poll(POLL) {
            None => {}
            Some(Err(KafkaError::MessageConsumptionFatal(error))) => group.fail(error.to_string()),
            // Of brokers that are away, of a topic that is gone: the client goes on trying.
            Some(Err(error)) => tracing::debug!(%error, "the member's client reports an error"),
            Some(Ok(_)) => group.fail("a record came outside of its shard's queue".to_owned()),
        }
        for (shard, committed) in group.given_back() {
            let partition = partition(shard);
            match client.seek(topic, partition, offset(committed), REQUEST_TIMEOUT) {
                Ok(()) => group.went_back(shard),
                Err(error) => tracing::debug!(shard, %error, "can't go back to the last commit yet"),
            }
        }
        if told.elapsed() >= COMMIT_INTERVAL {
            told = Instant::now();
            commit(&client, topic, group, group.news(), CommitMode::Async);
        }
    }
    let news = group.news();
    if !news.is_empty() {
        commit(&client, topic, group, news, CommitMode::Async);
        // The answer is an event.
        client.poll(LEAVE_TIMEOUT);
    }
    empty(group);
    // The last one: leaves the group.
    drop(client);
}

/// Frees what holds the client.
fn empty(group: &Group) {
    for slot in &group.shards {
        let queue = slot.queue.lock().take();
        drop(queue);
    }
}

fn partition(shard: usize) -> i32 {
    i32::try_from(shard).expect("shards are partitions")
}

fn offset(mark: Option<Mark>) -> Offset {
    mark.map_or(Offset::Beginning, |mark| Offset::Offset(i64::try_from(mark.offset).expect("36 bits")))
}

fn commit(client: &Client, topic: &str, group: &Group, marks: Vec<(usize, Mark)>, mode: CommitMode) {
    if marks.is_empty() {
        return;
    }
    let mut offsets = TopicPartitionList::with_capacity(marks.len());
    for (shard, mark) in &marks {
        let mut place = offsets.add_partition(topic, partition(*shard));
        place.set_metadata(mark.metadata());
        place.set_offset(offset(Some(*mark))).expect("an offset");
    }
    if let Err(error) = client.commit(&offsets, mode) {
        tracing::debug!(%error, "a commit can't be sent; the next one covers it");
        marks.iter().for_each(|(shard, _)| group.tell_again(*shard));
    }
}

/// What the client calls, on the member's thread.
pub(super) struct Context {
    group: Arc<Group>,
    topic: String,
}

impl Context {
    fn assign(&self, client: &Client, assigned: &TopicPartitionList) {
        let shards = || assigned.elements().into_iter().map(|it| it.partition()).collect::<Vec<_>>();
        let committed = loop {
            match client.committed_offsets(assigned.clone(), REQUEST_TIMEOUT / 2).and_then(checked) {
                Ok(committed) => break Some(committed),
                Err(_) if self.group.is_over() => break None,
                // Until it is known, or the group takes the shards away.
                Err(error) => tracing::warn!(%error, shards = ?shards(), "the last commits are not known yet"),
            }
            std::thread::sleep(POLL);
        };
        let marks: Vec<(i32, Option<Mark>)> = match &committed {
            Some(committed) => committed.elements().iter().map(mark).collect(),
            None => shards().into_iter().map(|partition| (partition, None)).collect(),
        };
        let mut places = TopicPartitionList::with_capacity(marks.len());
        for (partition, mark) in &marks {
            places.add_partition_offset(&self.topic, *partition, offset(*mark)).expect("an offset");
        }
        if let Err(error) = client.incremental_assign(&places) {
            tracing::warn!(%error, "shards can't be taken");
            return;
        }
        for (partition, mark) in marks {
            tracing::debug!(partition, ?mark, "a shard is this member's");
            self.group.assign(usize::try_from(partition).unwrap_or(usize::MAX), mark);
        }
    }

    fn revoke(&self, client: &Client, revoked: &TopicPartitionList) {
        let mut news = Vec::new();
        for place in revoked.elements() {
            let shard = usize::try_from(place.partition()).unwrap_or(usize::MAX);
            news.extend(self.group.revoke(shard).map(|mark| (shard, mark)));
        }
        tracing::debug!(shards = revoked.count(), "shards are not this member's any more");
        // In the order in which the group hears of it: who gets the shards asks behind it.
        if !client.assignment_lost() {
            commit(client, &self.topic, &self.group, news, CommitMode::Async);
        }
        if let Err(error) = client.incremental_unassign(revoked) {
            tracing::warn!(%error, "shards can't be given back one by one: all are");
            if let Err(error) = client.unassign() {
                self.group.fail(format!("shards can't be given back: {error}"));
            }
        }
    }
}

/// With every place known.
fn checked(committed: TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    let failed = committed.elements().iter().find_map(|place| place.error().err());
    failed.map_or(Ok(committed), Err)
}

fn mark(place: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>) -> (i32, Option<Mark>) {
    let mark = match place.offset() {
        Offset::Offset(offset) => Mark::read(offset, place.metadata()),
        _ => None,
    };
    (place.partition(), mark)
}

impl rdkafka::ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, what: &str, message: &str) {
        client::log(level, what, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the member's client reports an error");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, client: &Client, what: RDKafkaRespErr, places: &mut TopicPartitionList) {
        match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(client, places),
            _ => self.revoke(client, places),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, places: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "Kafka did not take a commit");
        }
        for place in places.elements() {
            if place.error().is_err() {
                self.group.tell_again(usize::try_from(place.partition()).unwrap_or(usize::MAX));
            }
        }
    }
}
