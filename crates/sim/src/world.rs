//! What everything in a run shares: time, chance, the trace, whether things fail, and what was seen.

use crate::chance::{Chance, PerMillion};
use crate::check::Observer;
use crate::plan::Plan;
use crate::trace::{Names, Trace};
use hudhud_proto::{AccountId, ConversationId, DeviceId, MessageId};
use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// True time at the start of every run, in microseconds since the Unix epoch.
const START_US: u64 = 1_800_000_000_000_000;

/// The world of one run. Cheap to clone; clones are the same world.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    seed: u64,
    plan: Plan,
    started: Instant,
    /// Whether anything fails now.
    rough: AtomicBool,
    chance: Mutex<Chance>,
    trace: Mutex<Trace>,
    names: Mutex<Names>,
    totals: Mutex<Totals>,
    observer: Mutex<Observer>,
}

/// What is counted in a run, for the summary.
#[derive(Clone, Copy, Default, Debug)]
pub struct Totals {
    /// Runs.
    pub runs: u64,
    /// Messages that people composed.
    pub composed: u64,
    /// Entries in all timelines at the end.
    pub entries: u64,
    /// Entries stored by devices.
    pub stored: u64,
    /// Server processes that died.
    pub server_crashes: u64,
    /// Devices that died.
    pub device_crashes: u64,
    /// Power losses.
    pub power_losses: u64,
    /// Faults of every kind, those above included.
    pub faults: u64,
    /// Simulated time.
    pub simulated: Duration,
}

impl World {
    /// A new world, in which nothing fails yet. Inside of the runtime whose time it has.
    pub fn new(seed: u64, plan: Plan, loud: bool) -> Self {
        Self {
            inner: Arc::new(Inner {
                seed,
                plan,
                started: Instant::now(),
                rough: AtomicBool::new(false),
                chance: Mutex::new(Chance::new(seed, "world")),
                trace: Mutex::new(Trace::new(loud)),
                names: Mutex::default(),
                totals: Mutex::default(),
                observer: Mutex::default(),
            }),
        }
    }

    /// What the seed decided at the start.
    pub fn plan(&self) -> &Plan {
        &self.inner.plan
    }

    /// Another stream of numbers of this seed.
    pub fn stream(&self, name: &str) -> Chance {
        Chance::new(self.inner.seed, name)
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.inner.started.elapsed()
    }

    /// How long after the start this was.
    pub fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.inner.started)
    }

    /// True time, in microseconds since the Unix epoch. Machines have clocks of their own.
    pub fn true_us(&self) -> u64 {
        START_US + u64::try_from(self.now().as_micros()).expect("runs are short")
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Waits until a time since the start.
    pub async fn sleep_until(&self, at: Duration) {
        tokio::time::sleep_until(self.inner.started + at).await;
    }

    /// Runs something that is no part of any server: what is under way in a network or a disk. No crash ends it.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(future);
    }

    /// Draws.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut self.inner.chance.lock())
    }

    /// Whether a fault of this chance happens now. Never while nothing fails.
    pub fn strikes(&self, chance: PerMillion) -> bool {
        let strikes = self.is_rough() && self.draw(|draw| draw.hits(chance));
        if strikes {
            self.count(|totals| totals.faults += 1);
        }
        strikes
    }

    /// Whether anything fails now.
    pub fn is_rough(&self) -> bool {
        self.inner.rough.load(Ordering::Relaxed)
    }

    /// From now on things fail, or not any more.
    pub fn set_rough(&self, rough: bool) {
        self.inner.rough.store(rough, Ordering::Relaxed);
    }

    /// Something happened: it becomes a line of the trace.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        let now = self.now();
        self.inner.trace.lock().note(now, what);
    }

    /// The trace.
    pub fn trace(&self) -> MutexGuard<'_, Trace> {
        self.inner.trace.lock()
    }

    /// What was seen so far.
    pub fn observer(&self) -> MutexGuard<'_, Observer> {
        self.inner.observer.lock()
    }

    /// Counts.
    pub fn count(&self, count: impl FnOnce(&mut Totals)) {
        count(&mut self.inner.totals.lock());
    }

    /// What was counted.
    pub fn totals(&self) -> Totals {
        *self.inner.totals.lock()
    }

    /// Names.
    pub fn names(&self) -> MutexGuard<'_, Names> {
        self.inner.names.lock()
    }

    /// An account's name.
    pub fn account(&self, account: AccountId) -> String {
        self.names().account(account)
    }

    /// A device's name.
    pub fn device(&self, device: DeviceId) -> String {
        self.names().device(device)
    }

    /// A conversation's name.
    pub fn conversation(&self, conversation: ConversationId) -> String {
        self.names().conversation(conversation)
    }

    /// A message's name.
    pub fn message(&self, message: MessageId) -> String {
        self.names().message(message)
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.composed += other.composed;
        self.entries += other.entries;
        self.stored += other.stored;
        self.server_crashes += other.server_crashes;
        self.device_crashes += other.device_crashes;
        self.power_losses += other.power_losses;
        self.faults += other.faults;
        self.simulated += other.simulated;
    }
}

impl crate::check::Names for World {
    fn conversation(&self, id: ConversationId) -> String {
        self.conversation(id)
    }

    fn message(&self, id: MessageId) -> String {
        self.message(id)
    }
}
