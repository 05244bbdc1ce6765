//! The bus on Apache Kafka.
//!
//! A shard is a partition of one topic, and an append is one record of Kafka, so that it is there as a whole or not at all.
//! Acknowledged means: every copy that is in step has it, and there are two of these at least. `docs/cluster.md` has what the
//! cluster needs, and what to do when a log is lost.
//!
//! - `frame`: what one append looks like, and what a position is.
//! - `producer`: the writing side.
//! - `group`: who has which shard, and how far it is: shared by all that follows.
//! - `member`: the client of one member, its thread and its callbacks.
//! - `consumer`: the reading side of one shard.
//! - `topic`: what the topic has to be, checked at the start and made by `hudhud migrate`.
//! - `reached`: how far the shards had come, remembered where a lost log is not lost, too.

mod client;
mod consumer;
mod failure;
mod frame;
mod group;
mod member;
mod producer;
mod reached;
mod topic;
mod url;

pub use topic::migrate;
pub use url::Url;

use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::limits::check_records;
use hudhud_ports::{Error, ErrorKind, Membership, Result, Store};
use hudhud_proto::{Position, Shard};
use member::{Member, Members};
use producer::Producer;
use reached::Reached;
use std::sync::Arc;
use topic::Cluster;

const ENGINE: &str = "kafka";

/// A [`hudhud_ports::Bus`] on a topic.
pub struct Bus {
    shared: Arc<Shared>,
}

struct Shared {
    url: Url,
    shards: u32,
    producer: Producer,
    members: Members,
    reached: Reached,
}

impl Bus {
    /// Connects. [`migrate`] must have made the topic. The store remembers how far the shards come.
    ///
    /// # Errors
    /// When no broker can be reached, the topic is not as it has to be, or ends before what the store remembers.
    pub async fn open(url: &Url, shards: u32, store: Option<Arc<dyn Store>>) -> Result<Self> {
        let reached = Reached::load(url, shards, store).await?;
        let cluster = Cluster::new(url)?;
        if !cluster.check(shards).await? {
            reached.check_nothing(url)?;
            let cause = format!("there is no topic {}: run `hudhud migrate` first", url.topic);
            return Err(Error::new(ErrorKind::Invalid, ENGINE, "open").because(cause));
        }
        reached.check(url, &cluster, shards).await?;
        // Before anything is appended: a log that is lost from now on is known to have been there.
        reached.begin(url.epoch).await?;
        let producer = Producer::new(url)?;
        Ok(Self { shared: Arc::new(Shared { url: url.clone(), shards, producer, members: Members::new(), reached }) })
    }

    /// Takes no more appends and members, waits for what they have in hand, and remembers how far the shards are.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn close(&self) -> Result<()> {
        let shared = self.shared.clone();
        blocking("close", move || {
            shared.members.close();
            shared.producer.close();
            Ok(())
        })
        .await?;
        self.shared.reached.save().await
    }
}

#[async_trait]
impl hudhud_ports::Bus for Bus {
    fn shards(&self) -> u32 {
        self.shared.shards
    }

    async fn append(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        check_records(ENGINE, &records)?;
        let Shared { url, shards, producer, .. } = &*self.shared;
        if shard.0 >= *shards {
            let cause = format!("shard {} of {shards}", shard.0);
            return Err(Error::new(ErrorKind::Invalid, ENGINE, "append").because(cause));
        }
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let offset = producer.append(shard, frame::encode(&records)).await?;
        Ok(frame::positions(url.epoch, offset, records.len())?.collect())
    }

    async fn join(&self) -> Result<Box<dyn Membership>> {
        let shared = self.shared.clone();
        let member = blocking("join", move || Member::join(shared)).await?;
        Ok(Box::new(member))
    }
}

/// The client's questions wait for their answers: not on a thread that serves others.
async fn blocking<T: Send + 'static>(op: &'static str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Error::new(ErrorKind::Unavailable, ENGINE, op).because(error)),
    }
}
