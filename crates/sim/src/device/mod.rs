//! A device: the real client on a storage that survives, driven on simulated time.

mod driver;
mod summary;

use crate::server::MachineClock;
use crate::site::Site;
use crate::watched::Watched;
use crate::world::World;
use hudhud_client::{Account, Command, Connection, ConversationRow, MemoryStorage};
use hudhud_proto::v1::server_frame;
use hudhud_proto::{ConversationId, Encoding, ProtocolError};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// A device, as those see it who are not it.
pub struct Device {
    world: World,
    name: Arc<str>,
    /// The last byte of its address: different for each device.
    number: u8,
    person: usize,
    encoding: Encoding,
    clock: MachineClock,
    orders: mpsc::UnboundedSender<Order>,
    storage: Mutex<MemoryStorage>,
    shown: Watched<Shown>,
    /// It was ordered to do nothing for a while, and that is not over.
    down: AtomicBool,
}

/// What its screen shows.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Who is logged in.
    pub account: Option<Account>,
    /// Where its connection stands.
    pub connection: Option<Connection>,
    /// Answers to what was asked, by tag.
    pub answers: BTreeMap<u64, Result<server_frame::Event, ProtocolError>>,
}

/// What happens to a device from outside.
#[derive(Debug)]
pub enum Order {
    /// Its person wants something.
    Want(Command),
    /// It dies, and is started again after a while.
    Die(Duration),
    /// It does nothing for a while.
    Suspend(Duration),
}

impl Device {
    /// A new device of a person, switched on.
    pub fn start(site: &Arc<Site>, name: &str, number: u8, person: usize, encoding: Encoding) -> Arc<Self> {
        let world = site.world();
        // Days off, either way: devices learn the time from servers.
        let offset_us = world.draw(|chance| match chance.below(3) {
            0 => chance.within(0..40 * 86_400_000_000) as i64 - 20 * 86_400_000_000,
            _ => chance.within(0..4_000_000) as i64 - 2_000_000,
        });
        let drift_ppm = world.draw(|chance| chance.within(0..400) as i64 - 200);
        let (orders, taken) = mpsc::unbounded_channel();
        let device = Arc::new(Self {
            world: world.clone(),
            name: name.into(),
            number,
            person,
            encoding,
            clock: MachineClock::new(world, drift_ppm, offset_us),
            orders,
            storage: Mutex::default(),
            shown: Watched::default(),
            down: AtomicBool::new(false),
        });
        world.spawn(driver::run(device.clone(), site.clone(), taken));
        device
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whose it is, as the plan counts people.
    pub fn person(&self) -> usize {
        self.person
    }

    /// Its clock.
    pub fn clock(&self) -> &MachineClock {
        &self.clock
    }

    /// Something happens to it. One trouble at a time: a device that is down already is left alone.
    pub fn order(&self, order: Order) {
        if !matches!(order, Order::Want(_)) && self.down.swap(true, Ordering::Relaxed) {
            return;
        }
        // The driver lives as long as the run.
        let _ = self.orders.send(order);
    }

    /// Its person wants something.
    pub fn want(&self, command: Command) {
        self.order(Order::Want(command));
    }

    /// What it has stored.
    pub fn storage(&self) -> MutexGuard<'_, MemoryStorage> {
        self.storage.lock()
    }

    /// The conversations that it has stored.
    pub fn conversations(&self) -> Vec<ConversationRow> {
        self.storage().conversations().cloned().collect()
    }

    /// A conversation that it has stored.
    pub fn conversation(&self, id: ConversationId) -> Option<ConversationRow> {
        self.storage().conversations().find(|row| row.id == id).cloned()
    }

    /// Who is logged in.
    pub fn account(&self) -> Option<Account> {
        self.shown.look(|shown| shown.account.clone())
    }

    /// Where its connection stands.
    pub fn connection(&self) -> Option<Connection> {
        self.shown.look(|shown| shown.connection)
    }

    /// Waits until its screen shows this, for so long at most. False if it did not.
    pub async fn shows(&self, limit: Duration, what: impl FnMut(&Shown) -> bool) -> bool {
        tokio::select! {
            biased;
            () = self.shown.until(what) => true,
            () = self.world.sleep(limit) => false,
        }
    }

    /// Asks and waits for the answer, for so long at most.
    pub async fn ask(
        &self,
        tag: u64,
        command: Command,
        limit: Duration,
    ) -> Option<Result<server_frame::Event, ProtocolError>> {
        self.want(command);
        self.shows(limit, |shown| shown.answers.contains_key(&tag)).await;
        self.shown.look(|shown| shown.answers.get(&tag).cloned())
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        self.shown.change(change);
    }
}
