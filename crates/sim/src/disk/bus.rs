//! A log that groups appends, and loses what it did not answer for.

use super::consumer::{self, ServerMembership};
use super::{Fate, Machine, error};
use crate::mutants::Mutant;
use crate::network::Way;
use crate::server::Process;
use crate::watched::Watched;
use crate::world::World;
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::memory::{Bus as Log, BusOptions};
use hudhud_ports::{Bus, ErrorKind, Membership, Result};
use hudhud_proto::{MessageId, Position, Shard};
use hudhud_roles::conversation::record::{Decoded, decode};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// Committed records that a shard keeps: so many commits may be forgotten by a crash.
const RETAINED_RECORDS: usize = 64;

/// The log and its disk, shared by all servers.
pub struct BusDisk {
    machine: Machine,
    log: Log,
    sync: Mutex<SyncState>,
    /// The number of the last group that is durable.
    synced: Watched<u64>,
    /// Raised to make every member lose its shards, as when a cluster shares them anew.
    shares: Watched<u64>,
    /// Raised when some server does not reach it any more.
    parted: Watched<u64>,
}

#[derive(Default)]
struct SyncState {
    /// The number of the group that is being gathered.
    group: u64,
    scheduled: bool,
    /// The messages in the records that are staged, oldest first.
    staged: Vec<Option<MessageId>>,
}

/// A server's way to it.
pub struct ServerBus {
    disk: Arc<BusDisk>,
    process: Process,
}

impl BusDisk {
    /// An empty one.
    pub fn new(world: &World) -> Arc<Self> {
        let options =
            BusOptions { shards: world.plan().shards, retained_records: RETAINED_RECORDS, ..BusOptions::default() };
        Arc::new(Self {
            machine: Machine::new(world),
            log: Log::new(options),
            sync: Mutex::new(SyncState { group: 1, ..SyncState::default() }),
            synced: Watched::new(0),
            shares: Watched::new(0),
            parted: Watched::new(0),
        })
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn world(&self) -> &World {
        &self.machine.world
    }

    pub(super) fn shares(&self) -> &Watched<u64> {
        &self.shares
    }

    /// What was appended and not synced is lost, or kept up to some point; so are the last commits; all members are gone.
    pub fn crash(&self) {
        let world = &self.machine.world;
        let unsynced = self.log.unsynced();
        let (kept, uncommitted) =
            world.draw(|chance| (chance.index(unsynced + 1), chance.index(RETAINED_RECORDS / 2 + 1)));
        self.machine.lose_power();
        self.log.crash(kept, uncommitted);
        let mut sync = self.sync.lock();
        sync.staged.truncate(kept);
        world.observer().durable.extend(sync.staged.drain(..).flatten());
        *sync = SyncState { group: sync.group + 1, ..SyncState::default() };
        world.note(format_args!("the bus kept {kept} of {unsynced} unsynced records and forgot {uncommitted} commits"));
    }

    /// The log is gone, records, commits and all: another epoch begins. Who appends or consumes is not there any more.
    pub fn lose(&self) {
        self.machine.lose_power();
        self.log.lose();
        let mut sync = self.sync.lock();
        *sync = SyncState { group: sync.group + 1, ..SyncState::default() };
        self.machine.world.note(format_args!("the log of the bus is lost"));
    }

    /// The next sync fails.
    pub fn fail_sync(&self) {
        self.machine.sync_fails.store(true, Ordering::Relaxed);
    }

    /// This server does not reach it until then, or is not answered. A cluster gives its shards to others after a while.
    pub fn part(&self, server: &Arc<str>, until: Duration, way: Way) {
        self.machine.part(server, until, way);
        self.parted.change(|times| *times += 1);
    }

    /// Waits until a server did not reach it for so long.
    pub(super) async fn was_unreachable(&self, server: &str, long: Duration) {
        let world = &self.machine.world;
        loop {
            self.parted.until(|_| self.is_parted(server)).await;
            world.sleep(long).await;
            if self.is_parted(server) {
                return;
            }
        }
    }

    pub(super) fn is_parted(&self, server: &str) -> bool {
        self.machine.lost_way(server).is_some()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.machine.is_broken()
    }

    /// Ends every fault.
    pub fn heal(&self) {
        self.machine.heal();
    }

    /// Answers nobody until then.
    pub fn stall(&self, until: Duration) {
        *self.machine.stalled_until.lock() = until;
    }

    /// Has no room until then.
    pub fn fill(&self, until: Duration) {
        *self.machine.full_until.lock() = until;
    }

    /// Takes all shards away from everybody and shares them anew.
    pub fn share_anew(&self) {
        self.shares.change(|times| *times += 1);
    }

    /// Appends and returns once it is durable; never, if the power goes before.
    async fn append(self: &Arc<Self>, by: &str, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        let power = self.machine.power();
        self.machine.reach().await;
        if self.machine.power() != power {
            return std::future::pending().await;
        }
        let count = records.len();
        let messages: Vec<_> = records.iter().map(|record| message(record)).collect();
        let positions = self.log.stage(shard, records)?;
        let world = &self.machine.world;
        let names: Vec<_> = messages.iter().flatten().map(|message| world.message(*message)).collect();
        self.sync.lock().staged.extend(messages);
        let names = names.join(" ");
        world.note(format_args!("{by} staged {count} records in shard {}: {positions:?} {names}", shard.0));
        let group = self.schedule_sync(power);
        if self.machine.world.plan().mutant != Some(Mutant::BusAnswersEarly) {
            self.synced.until(|synced| *synced >= group || self.machine.is_broken()).await;
            if self.machine.power() != power {
                return std::future::pending().await;
            }
            if self.machine.is_broken() {
                return Err(error(ErrorKind::Fatal, "append"));
            }
        }
        Ok(positions)
    }

    /// Everything staged until the next sync becomes durable together. Returns the number of that group.
    fn schedule_sync(self: &Arc<Self>, power: u64) -> u64 {
        let mut sync = self.sync.lock();
        let group = sync.group;
        if !sync.scheduled {
            sync.scheduled = true;
            let wait = self.machine.world.draw(|chance| chance.millis(1..10));
            let disk = self.clone();
            self.machine.world.spawn(async move {
                disk.machine.world.sleep(wait).await;
                if disk.machine.power() != power {
                    return;
                }
                if disk.machine.fails_to_sync() {
                    disk.machine.world.note(format_args!("a sync of the bus failed"));
                    disk.synced.change(|_| {});
                } else {
                    let staged = {
                        let mut sync = disk.sync.lock();
                        let staged = std::mem::take(&mut sync.staged);
                        *sync = SyncState { group: group + 1, ..SyncState::default() };
                        staged
                    };
                    let world = &disk.machine.world;
                    let names: Vec<_> = staged.iter().flatten().map(|message| world.message(*message)).collect();
                    if !names.is_empty() {
                        world.note(format_args!("the bus has {} on disk", names.join(" ")));
                    }
                    world.observer().durable.extend(staged.into_iter().flatten());
                    disk.log.sync();
                    disk.synced.change(|synced| *synced = group);
                }
            });
        }
        group
    }
}

/// The message that a record asks an entry for.
fn message(record: &[u8]) -> Option<MessageId> {
    match decode(record).ok()?.1 {
        Decoded::Submission(submission) => Some(submission.message),
        Decoded::Moved(_) => None,
    }
}

impl ServerBus {
    /// The way of this process.
    pub fn new(disk: &Arc<BusDisk>, process: &Process) -> Self {
        Self { disk: disk.clone(), process: process.clone() }
    }

    /// Under way beside the caller.
    fn start(&self, shard: Shard, records: Vec<Bytes>, after: Duration) -> oneshot::Receiver<Result<Vec<Position>>> {
        let (answer, answered) = oneshot::channel();
        let (disk, by) = (self.disk.clone(), self.process.name().clone());
        let power = disk.machine.power();
        self.disk.machine.world.spawn(async move {
            if !after.is_zero() {
                disk.machine.world.sleep(after).await;
            }
            if disk.machine.power() == power {
                // Who asked may be gone.
                let _ = answer.send(disk.append(&by, shard, records).await);
            }
        });
        answered
    }

    fn failed(&self, kind: ErrorKind, shard: Shard) -> hudhud_ports::Error {
        let name = self.process.name();
        self.disk.machine.world.note(format_args!("{name} failed to append to shard {}: {kind:?}", shard.0));
        if kind == ErrorKind::Fatal {
            self.process.alarm();
        }
        error(kind, "append")
    }
}

#[async_trait]
impl Bus for ServerBus {
    fn shards(&self) -> u32 {
        self.disk.log.shards()
    }

    async fn append(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        let machine = &self.disk.machine;
        let weather = &machine.world.plan().weather;
        match machine.fate(self.process.name(), weather.bus_refuses, weather.bus_times_out, true) {
            Fate::Done => {
                let answer = self.start(shard, records, Duration::ZERO).await;
                let answer = answer.map_err(|_| self.failed(ErrorKind::Timeout, shard))?;
                match answer {
                    Err(error) if error.kind() == ErrorKind::Fatal => Err(self.failed(ErrorKind::Fatal, shard)),
                    answer => answer,
                }
            }
            Fate::Unreached => {
                machine.wait_in_vain().await;
                Err(self.failed(ErrorKind::Timeout, shard))
            }
            Fate::Unheard => {
                // Nobody hears the answer.
                drop(self.start(shard, records, Duration::ZERO));
                machine.wait_in_vain().await;
                Err(self.failed(ErrorKind::Timeout, shard))
            }
            Fate::Refused(kind) => {
                machine.reach().await;
                Err(self.failed(kind, shard))
            }
            Fate::Unanswered => {
                let landings = machine.world.draw(|chance| match chance.below(4) {
                    0 => vec![],
                    1 => vec![Duration::ZERO],
                    2 => vec![chance.millis(1..12_000)],
                    _ => vec![chance.millis(0..1_000), chance.millis(1..12_000)],
                });
                for after in landings {
                    // Nobody waits for the answer.
                    drop(self.start(shard, records.clone(), after));
                }
                machine.wait_in_vain().await;
                Err(self.failed(ErrorKind::Timeout, shard))
            }
        }
    }

    async fn join(&self) -> Result<Box<dyn Membership>> {
        self.disk.machine.reach().await;
        Ok(Box::new(ServerMembership::new(consumer::Place { bus: self.disk.clone(), process: self.process.clone() })))
    }
}
