//! What was accepted and not yet applied when a backup was made is applied by the dispatcher itself, from a bus that holds nothing
//! else. The positions are those that the records had, so what was applied already comes to the same again.

use super::rows::decode_record;
use super::volume::{self, Items};
use crate::Failure;
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::memory::{self, Local};
use hudhud_ports::{Bus, Error, ErrorKind, Membership, Record, Result, ShardConsumer, Store};
use hudhud_proto::{Position, Shard};
use hudhud_roles::Services;
use hudhud_roles::dispatcher::Dispatcher;
use hudhud_roles::metrics::Metrics;
use hudhud_roles::session::Sessions;
use hudhud_roles::settings::Settings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

const ENGINE: &str = "backup's tail";
const CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Applies the tail of a backup to a store that holds its rows. Returns how many records there were.
pub async fn replay(backup: &Path, shards: u32, store: Arc<dyn Store>) -> std::result::Result<u64, Failure> {
    let parts = parts(backup)?;
    let records = parts.values().map(|part| part.records).sum();
    if records == 0 {
        return Ok(0);
    }
    let bus = Arc::new(Replay {
        shards,
        backup: backup.to_owned(),
        left: watch::Sender::new(parts.len()),
        parts: Arc::new(parts),
    });
    let mut left = bus.left.subscribe();
    let runtime = hudhud_engines::runtime();
    let services = Services {
        messages: store.clone(),
        directory: store,
        bus,
        cache: Arc::new(memory::Cache::new(runtime.clock.clone(), CACHE_BYTES_MAX)),
        // Nobody is connected.
        gateways: Arc::new(Local::new()),
        runtime,
        settings: Arc::new(Settings::default()),
        metrics: Arc::new(Metrics::new().0),
    };
    let dispatcher = Dispatcher::new(services.clone(), Arc::new(Sessions::new(&services)));
    drop(services);
    let mut running = tokio::spawn({
        let dispatcher = dispatcher.clone();
        async move { dispatcher.run().await }
    });
    tokio::select! {
        biased;
        ended = &mut running => {
            let error = ended.expect("a dispatcher does not panic").err();
            Err(error.map_or_else(|| Failure::Damaged("the dispatcher ended early".into()), Failure::from))
        }
        done = left.wait_for(|left| *left == 0) => {
            done.expect("the bus is held by the dispatcher");
            dispatcher.stop();
            running.await.expect("a dispatcher does not panic")?;
            Ok(records)
        }
    }
}

/// The records of one shard, which are neighbours in the volume.
#[derive(Clone, Copy)]
struct Part {
    /// How many items are before them.
    before: u64,
    records: u64,
    last: Position,
}

fn parts(backup: &Path) -> std::result::Result<BTreeMap<Shard, Part>, Failure> {
    let mut parts = BTreeMap::new();
    let mut items = Items::open(backup, volume::TAIL)?;
    let mut before = 0;
    while let Some(item) = items.next() {
        let (shard, position, _) = decode_record(item?).ok_or_else(|| items.damaged())?;
        let part = parts.entry(shard).or_insert(Part { before, records: 0, last: position });
        if part.before + part.records != before {
            return Err(items.damaged());
        }
        part.records += 1;
        part.last = position;
        before += 1;
    }
    Ok(parts)
}

/// A bus of which nothing is left but a backup's tail.
struct Replay {
    shards: u32,
    backup: PathBuf,
    parts: Arc<BTreeMap<Shard, Part>>,
    /// Shards that are not committed to their end.
    left: watch::Sender<usize>,
}

struct Member {
    backup: PathBuf,
    waiting: Vec<(Shard, Part)>,
    left: watch::Sender<usize>,
}

struct Consumer {
    shard: Shard,
    items: Items,
    /// Records that are still to be read.
    records: u64,
    last: Position,
    is_done: bool,
    left: watch::Sender<usize>,
}

fn unreadable(failure: Failure) -> Error {
    Error::new(ErrorKind::Corrupt, ENGINE, "next").because(failure)
}

#[async_trait]
impl Bus for Replay {
    fn shards(&self) -> u32 {
        self.shards
    }

    async fn append(&self, _: Shard, _: Vec<Bytes>) -> Result<Vec<Position>> {
        Err(Error::new(ErrorKind::Invalid, ENGINE, "append").because("nothing is accepted while a backup is restored"))
    }

    async fn join(&self) -> Result<Box<dyn Membership>> {
        let waiting = self.parts.iter().map(|(shard, part)| (*shard, *part)).collect();
        Ok(Box::new(Member { backup: self.backup.clone(), waiting, left: self.left.clone() }))
    }
}

#[async_trait]
impl Membership for Member {
    async fn assigned(&mut self) -> Result<Box<dyn ShardConsumer>> {
        let Some((shard, part)) = self.waiting.pop() else { return std::future::pending().await };
        let mut items = Items::open(&self.backup, volume::TAIL).map_err(unreadable)?;
        for _ in 0..part.before {
            items.next().transpose().map_err(unreadable)?;
        }
        let (records, last, left) = (part.records, part.last, self.left.clone());
        Ok(Box::new(Consumer { shard, items, records, last, is_done: false, left }))
    }
}

#[async_trait]
impl ShardConsumer for Consumer {
    fn shard(&self) -> Shard {
        self.shard
    }

    async fn next(&mut self, max: usize) -> Result<Option<Vec<Record>>> {
        if self.records == 0 {
            return std::future::pending().await;
        }
        let mut records = Vec::new();
        while self.records > 0 && records.len() < max.max(1) {
            let item = self.items.next().transpose().map_err(unreadable)?;
            let record = item.and_then(decode_record).ok_or_else(|| unreadable(self.items.damaged()))?;
            records.push(Record { position: record.1, bytes: record.2 });
            self.records -= 1;
        }
        Ok(Some(records))
    }

    async fn commit(&mut self, position: Position) -> Result<()> {
        if position >= self.last && !std::mem::replace(&mut self.is_done, true) {
            self.left.send_modify(|left| *left -= 1);
        }
        Ok(())
    }
}
