//! A database whose calls can fail in every way that the contract of [`Store`] allows.

use super::{DAMAGED_ONE_IN, Fate, Machine, error, told};
use crate::mutants::Mutant;
use crate::network::Way;
use crate::server::Process;
use crate::world::World;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use hudhud_ports::{Claim, ErrorKind, Key, Result, Row, Scan, Store, Table, Write, memory};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// The engine and its disk, shared by all servers.
pub struct StoreDisk {
    machine: Machine,
    name: &'static str,
    rows: memory::Store,
    /// It lost something at some time.
    has_lost: AtomicBool,
}

/// A server's way to it.
pub struct ServerStore {
    disk: Arc<StoreDisk>,
    process: Process,
}

/// When what was not answered is done after all.
enum Landing {
    AtOnce,
    After(Duration),
    Never,
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("memory engines do not wait")
}

impl StoreDisk {
    /// An empty one. `clock` is the engine's own.
    pub fn new(world: &World, name: &'static str, clock: Arc<dyn hudhud_ports::Clock>) -> Arc<Self> {
        let (machine, rows) = (Machine::new(world), memory::Store::new(clock));
        Arc::new(Self { machine, name, rows, has_lost: AtomicBool::new(false) })
    }

    /// What is stored, without any fault: for who checks.
    pub fn rows(&self) -> &memory::Store {
        &self.rows
    }

    /// Loses power: what was not flushed is kept up to some point.
    pub fn lose_power(&self) {
        let unsynced = self.rows.unsynced();
        let world = &self.machine.world;
        let kept = world.draw(|chance| chance.index(unsynced + 1));
        self.machine.lose_power();
        self.rows.crash(kept);
        self.has_lost.fetch_or(kept < unsynced, Ordering::Relaxed);
        world.note(format_args!("{} kept {kept} of {unsynced} unsynced batches", self.name));
    }

    /// Whether it lost something at some time.
    pub fn has_lost(&self) -> bool {
        self.has_lost.load(Ordering::Relaxed)
    }

    /// Whoever wrote is gone, and what was under way from there with it. What it holds is on the disk by the time somebody
    /// has decided to go on.
    pub fn restart(&self) {
        self.machine.lose_power();
        now(self.rows.flush()).expect("memory does not fail");
    }

    /// The next sync fails.
    pub fn fail_sync(&self) {
        self.machine.sync_fails.store(true, Ordering::Relaxed);
    }

    /// Whether a sync failed.
    pub fn is_broken(&self) -> bool {
        self.machine.is_broken()
    }

    /// This server does not reach it until then, or is not answered.
    pub fn part(&self, server: &Arc<str>, until: Duration, way: Way) {
        self.machine.part(server, until, way);
    }

    /// Ends every fault.
    pub fn heal(&self) {
        self.machine.heal();
    }

    /// Answers nobody until then.
    pub fn stall(&self, until: Duration) {
        *self.machine.stalled_until.lock() = until;
    }

    /// Some of its rows can't be read until somebody mends them then.
    pub fn damage(&self, until: Duration) {
        let which = self.machine.world.draw(|chance| chance.below(u64::from(DAMAGED_ONE_IN))) as u8;
        *self.machine.damaged_until.lock() = (which, until);
    }

    /// Has no room until then.
    pub fn fill(&self, until: Duration) {
        *self.machine.full_until.lock() = until;
    }

    fn apply(&self, by: &str, writes: Vec<Write>) -> Result<()> {
        let world = &self.machine.world;
        let writes = match world.plan().mutant {
            Some(mutant) => mutant.keep(world, writes),
            None => writes,
        };
        world.note(format_args!("{by} stored in {}: {}", self.name, Tables(&writes)));
        for write in &writes {
            crate::check::rows::written(world, write);
        }
        told::tell(world, by, &writes);
        now(self.rows.write(writes))
    }
}

/// A batch of writes in a few words.
struct Tables<'a>(&'a [Write]);

impl std::fmt::Display for Tables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut counts: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for write in self.0 {
            let (count, version) = counts.entry(write.key.table.name).or_default();
            *count += 1;
            *version = (*version).max(write.version);
        }
        for (n, (table, (count, version))) in counts.into_iter().enumerate() {
            let space = if n == 0 { "" } else { " " };
            write!(f, "{space}{table}×{count}@{version:x}")?;
        }
        Ok(())
    }
}

impl ServerStore {
    /// The way of this process.
    pub fn new(disk: &Arc<StoreDisk>, process: &Process) -> Self {
        Self { disk: disk.clone(), process: process.clone() }
    }

    fn fate(&self, writes: bool) -> Fate {
        let weather = &self.disk.machine.world.plan().weather;
        self.disk.machine.fate(self.process.name(), weather.store_refuses, weather.store_times_out, writes)
    }

    async fn read<T>(
        &self,
        op: &'static str,
        partition: Bytes,
        read: impl FnOnce(&memory::Store) -> Result<T>,
    ) -> Result<T> {
        let machine = &self.disk.machine;
        let fate = self.fate(false);
        machine.reach().await;
        match fate {
            Fate::Done if machine.is_damaged(&partition) => Err(self.failed(op, ErrorKind::Corrupt)),
            Fate::Done => read(&self.disk.rows),
            Fate::Refused(kind) => Err(self.failed(op, kind)),
            Fate::Unanswered | Fate::Unreached | Fate::Unheard => self.unheard(op).await,
        }
    }

    async fn unheard<T>(&self, op: &'static str) -> Result<T> {
        self.disk.machine.wait_in_vain().await;
        Err(self.failed(op, ErrorKind::Timeout))
    }

    /// Does it beside the caller: once it is under way, the caller's death does not end it. A loss of power does.
    async fn change<T: Send + 'static>(
        &self,
        op: &'static str,
        change: impl FnOnce(&StoreDisk) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let disk = self.disk.clone();
        let power = disk.machine.power();
        disk.machine.world.clone().spawn(async move {
            disk.machine.reach().await;
            if disk.machine.power() == power {
                // Who asked may be gone.
                let _ = answer.send(change(&disk));
            }
        });
        answered.await.map_err(|_| self.failed(op, ErrorKind::Unavailable))?
    }

    /// Some of it may be done, partition by partition, at once or later.
    async fn write_unanswered(&self, writes: Vec<Write>) {
        let world = &self.disk.machine.world;
        let mut batches: BTreeMap<(&'static Table, Bytes), Vec<Write>> = BTreeMap::new();
        for write in writes {
            batches.entry((write.key.table, write.key.partition.clone())).or_default().push(write);
        }
        let one_fate = world.draw(|chance| chance.hits(500_000)).then(|| self.landing());
        let power = self.disk.machine.power();
        for batch in batches.into_values() {
            let drawn;
            let landing = match &one_fate {
                Some(landing) => landing,
                None => {
                    drawn = self.landing();
                    &drawn
                }
            };
            let (disk, name) = (self.disk.clone(), self.process.name().clone());
            match landing {
                Landing::AtOnce => _ = disk.apply(&name, batch),
                Landing::Never => {}
                Landing::After(wait) => {
                    let wait = *wait;
                    world.spawn(async move {
                        disk.machine.world.sleep(wait).await;
                        if disk.machine.power() == power {
                            // Nobody waits for it.
                            let _ = disk.apply(&name, batch);
                        }
                    });
                }
            }
        }
        self.disk.machine.wait_in_vain().await;
    }

    fn landing(&self) -> Landing {
        self.disk.machine.world.draw(|chance| match chance.below(3) {
            0 => Landing::AtOnce,
            1 => Landing::After(chance.millis(1..15_000)),
            _ => Landing::Never,
        })
    }

    fn failed(&self, op: &'static str, kind: ErrorKind) -> hudhud_ports::Error {
        let (name, disk) = (self.process.name(), self.disk.name);
        self.disk.machine.world.note(format_args!("{name} failed to {op} in {disk}: {kind:?}"));
        if kind == ErrorKind::Fatal {
            self.process.alarm();
        }
        error(kind, op)
    }

    /// What was answered, and the process knows if that is the end of it.
    fn heard<T>(&self, op: &'static str, answer: Result<T>) -> Result<T> {
        match answer {
            Err(error) if error.kind() == ErrorKind::Fatal => Err(self.failed(op, ErrorKind::Fatal)),
            answer => answer,
        }
    }
}

#[async_trait]
impl Store for ServerStore {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.read("get", key.partition.clone(), |rows| now(rows.get(key))).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.read("scan", scan.partition.clone(), |rows| now(rows.scan(scan))).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        match self.fate(true) {
            Fate::Done => {
                let name = self.process.name().clone();
                self.change("write", move |disk| disk.apply(&name, writes)).await
            }
            Fate::Refused(kind) => {
                self.disk.machine.reach().await;
                Err(self.failed("write", kind))
            }
            Fate::Unanswered => {
                self.write_unanswered(writes).await;
                Err(self.failed("write", ErrorKind::Timeout))
            }
            Fate::Unreached => self.unheard("write").await,
            Fate::Unheard => {
                let name = self.process.name().clone();
                // Nobody hears whether it was done.
                let _ = self.change("write", move |disk| disk.apply(&name, writes)).await;
                self.unheard("write").await
            }
        }
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        let fate = self.fate(true);
        if let Fate::Refused(kind) = fate {
            self.disk.machine.reach().await;
            return Err(self.failed("claim", kind));
        }
        if fate == Fate::Unreached {
            return self.unheard("claim").await;
        }
        let claim = move |disk: &StoreDisk| match disk.machine.fails_to_sync() {
            true => Err(error(ErrorKind::Fatal, "claim")),
            false => now(disk.rows.claim(write)),
        };
        let claimed = self.change("claim", claim).await;
        match fate {
            Fate::Done => self.heard("claim", claimed),
            _ => self.unheard("claim").await,
        }
    }

    async fn flush(&self) -> Result<()> {
        let lies = self.disk.machine.world.plan().mutant == Some(Mutant::FlushDoesNothing);
        let fate = self.fate(false);
        if let Fate::Refused(kind) = fate {
            return Err(self.failed("flush", kind));
        }
        if fate == Fate::Unreached {
            return self.unheard("flush").await;
        }
        let flush = move |disk: &StoreDisk| match disk.machine.fails_to_sync() {
            true => Err(error(ErrorKind::Fatal, "flush")),
            false if lies => Ok(()),
            false => now(disk.rows.flush()),
        };
        let flushed = self.change("flush", flush).await;
        match fate {
            Fate::Done => self.heard("flush", flushed),
            _ => self.unheard("flush").await,
        }
    }
}
