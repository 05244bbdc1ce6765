//! The reading side of the bus: shares that are lost while a process stands still, reads and commits that fail.

use super::bus::BusDisk;
use super::error;
use crate::mutants::Mutant;
use crate::server::{Process, Pulse};
use crate::world::World;
use async_trait::async_trait;
use hudhud_ports::{Bus as _, ErrorKind, Membership, Record, Result, ShardConsumer};
use hudhud_proto::{Position, Shard};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a cluster waits for a member that is not heard of, until others get its shards.
const SESSION: Duration = Duration::from_secs(3);
/// How often it is looked whether a server is reached again.
const REACHED_POLL: Duration = Duration::from_millis(100);

/// Who consumes what.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) bus: Arc<BusDisk>,
    pub(super) process: Process,
}

/// A member, as its process holds it. What the bus does with it goes on beside, whether the process runs or not.
pub(super) struct ServerMembership {
    assigned: mpsc::UnboundedReceiver<Box<dyn ShardConsumer>>,
}

/// Why a member has no shards any more.
enum Over {
    /// Its process dropped it, or is gone.
    Gone,
    /// The bus did not hear of it, or shares anew: it joins again when it can.
    Evicted,
}

impl ServerMembership {
    pub(super) fn new(place: Place) -> Self {
        let (assign, assigned) = mpsc::unbounded_channel();
        let world = place.bus.world().clone();
        world.spawn(place.keep_member(assign));
        Self { assigned }
    }
}

#[async_trait]
impl Membership for ServerMembership {
    async fn assigned(&mut self) -> Result<Box<dyn ShardConsumer>> {
        match self.assigned.recv().await {
            Some(consumer) => Ok(consumer),
            None => std::future::pending().await,
        }
    }
}

impl Place {
    async fn keep_member(self, assign: mpsc::UnboundedSender<Box<dyn ShardConsumer>>) {
        let world = self.bus.world().clone();
        loop {
            let mut member = self.bus.log().join().await.expect("memory does not fail");
            let over = self.hold(&mut member, &assign).await;
            let crashed = self.process.pulse() == Pulse::Dead;
            match over {
                Over::Gone if crashed && !world.plan().arrangement.is_embedded() => {
                    world.sleep(SESSION).await;
                    return;
                }
                Over::Gone => return,
                Over::Evicted => {
                    world.note(format_args!("{} lost its shards", self.process.name()));
                    drop(member);
                    let wait = world.draw(|chance| chance.millis(1..1_000));
                    world.sleep(wait).await;
                    self.is_reached().await;
                    if !self.process.runs().await {
                        return;
                    }
                }
            }
        }
    }

    async fn hold(
        &self,
        member: &mut Box<dyn Membership>,
        assign: &mpsc::UnboundedSender<Box<dyn ShardConsumer>>,
    ) -> Over {
        let shares = self.bus.shares().get();
        let mut evicted = std::pin::pin!(evicted(&self.bus, &self.process));
        loop {
            tokio::select! {
                biased;
                () = assign.closed() => return Over::Gone,
                () = &mut evicted => return Over::Evicted,
                () = self.bus.shares().until(|now| *now != shares) => return Over::Evicted,
                consumer = member.assigned() => {
                    let consumer = consumer.expect("memory does not fail");
                    let shard = consumer.shard().0;
                    self.bus.world().note(format_args!("{} has shard {shard}", self.process.name()));
                    if assign.send(Box::new(ServerConsumer { place: self.clone(), consumer, held: Vec::new() })).is_err() {
                        return Over::Gone;
                    }
                }
            }
        }
    }
}

/// Waits until a process was not heard of for longer than its session. An engine of its own stands still with it.
async fn evicted(bus: &BusDisk, process: &Process) {
    let world = bus.world();
    if world.plan().arrangement.is_embedded() {
        return std::future::pending().await;
    }
    tokio::select! {
        biased;
        () = stood_still(world, process) => {}
        () = bus.was_unreachable(process.name(), SESSION) => {}
    }
}

async fn stood_still(world: &World, process: &Process) {
    loop {
        process.stands_still().await;
        tokio::select! {
            biased;
            _ = process.runs() => {}
            () = world.sleep(SESSION) => return,
        }
    }
}

struct ServerConsumer {
    place: Place,
    consumer: Box<dyn ShardConsumer>,
    /// Read, and not on its way yet.
    held: Vec<Record>,
}

impl ServerConsumer {
    fn fails(&self, op: &'static str) -> Result<()> {
        let world = self.place.bus.world();
        if self.place.bus.is_broken() {
            self.place.process.alarm();
            return Err(error(ErrorKind::Fatal, op));
        }
        if world.strikes(world.plan().weather.consumer_fails) {
            world.note(format_args!("{} failed to {op} shard {}", self.place.process.name(), self.shard().0));
            return Err(error(ErrorKind::Unavailable, op));
        }
        Ok(())
    }
}

impl Place {
    /// Waits until the bus reaches this server. By then its shard may be another one's.
    async fn is_reached(&self) {
        while self.bus.is_parted(self.process.name()) {
            self.bus.world().sleep(REACHED_POLL).await;
        }
    }
}

#[async_trait]
impl ShardConsumer for ServerConsumer {
    fn shard(&self) -> Shard {
        self.consumer.shard()
    }

    async fn next(&mut self, max: usize) -> Result<Option<Vec<Record>>> {
        self.fails("read")?;
        let world = self.place.bus.world().clone();
        let (wait, max) = world.draw(|chance| (chance.millis(0..3), 1 + chance.index(max)));
        if !wait.is_zero() {
            world.sleep(wait).await;
        }
        // Kept until it is handed out: who cancels the call would lose what it read.
        if self.held.is_empty() {
            self.held = match self.consumer.next(max).await? {
                Some(records) => records,
                None => {
                    self.place.is_reached().await;
                    let (name, shard) = (self.place.process.name(), self.shard().0);
                    world.note(format_args!("{name} learnt that shard {shard} is not its own any more"));
                    return Ok(None);
                }
            };
        }
        self.place.is_reached().await;
        let records = Some(std::mem::take(&mut self.held));
        let (name, shard) = (self.place.process.name(), self.shard().0);
        match records.as_deref() {
            Some([first, .., last]) => {
                world.note(format_args!("{name} read shard {shard}: {:?} to {:?}", first.position, last.position));
            }
            Some([one]) => world.note(format_args!("{name} read shard {shard}: {:?}", one.position)),
            _ => {}
        }
        if let (Some(Mutant::CommitsBeforeApplying), Some(records)) = (world.plan().mutant, &records)
            && let Some(last) = records.last()
        {
            self.consumer.commit(last.position).await?;
        }
        Ok(records)
    }

    async fn commit(&mut self, position: Position) -> Result<()> {
        self.fails("commit")?;
        let committed = self.consumer.commit(position).await;
        let (name, shard) = (self.place.process.name(), self.shard().0);
        self.place
            .bus
            .world()
            .note(format_args!("{name} committed shard {shard} at {position:?}: {}", committed.is_ok()));
        committed
    }
}
