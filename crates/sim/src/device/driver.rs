//! What carries the client's outputs out, and dies between any two of them.

use super::{Device, Order, summary};
use crate::check;
use crate::mutants::Mutant;
use crate::network::DeviceEnd;
use crate::site::Site;
use crate::world::World;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hudhud_client::{
    Change, Client, Closed, Connection, Event, Input, Moment, Options, OutgoingState, Output, Storage as _,
};
use hudhud_proto::v1::server_frame;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches of changes that a device with [`Mutant::DeviceStoresLate`] holds back.
const HELD_BACK: usize = 12;

struct Driver {
    world: World,
    site: Arc<Site>,
    device: Arc<Device>,
    boots: u64,
    client: Client,
    link: Option<DeviceEnd>,
    /// Since when there is this link, or was the last one.
    connected: Duration,
    connecting: Option<BoxFuture<'static, Result<DeviceEnd, Closed>>>,
    timer: Option<Duration>,
    /// Inputs that outputs caused.
    inputs: VecDeque<Input>,
    /// Not stored yet. Empty but for a mutant.
    held_back: VecDeque<Vec<Change>>,
}

/// The device died at this point.
struct Died;

/// What happens next to a device.
enum Next {
    Order(Option<Order>),
    Made(Result<DeviceEnd, Closed>),
    Came(Result<Bytes, Closed>),
    Tick,
}

/// Drives a device until the run ends.
pub(super) async fn run(device: Arc<Device>, site: Arc<Site>, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut driver = Driver::new(device, site);
    if driver.input(Input::Start).is_err() {
        driver.die(Duration::from_millis(500)).await;
    }
    loop {
        let next = driver.next(&mut orders).await;
        let outcome = match next {
            Next::Order(None) => return,
            Next::Order(Some(Order::Want(command))) => driver.input(Input::Command(command)),
            Next::Order(Some(Order::Suspend(pause))) => {
                driver.world.note(format_args!("{} is suspended for {pause:?}", driver.device.name));
                driver.world.sleep(pause).await;
                driver.device.down.store(false, Ordering::Relaxed);
                Ok(())
            }
            Next::Order(Some(Order::Die(pause))) => {
                driver.die(pause).await;
                driver.device.down.store(false, Ordering::Relaxed);
                Ok(())
            }
            Next::Made(made) => {
                driver.connecting = None;
                match made {
                    Ok(link) => {
                        driver.link = Some(link);
                        driver.connected = driver.world.now();
                        driver.input(Input::Connected)
                    }
                    Err(closed) => driver.input(Input::Disconnected(closed)),
                }
            }
            Next::Came(Ok(frame)) => driver.frame(&frame),
            Next::Came(Err(closed)) => {
                driver.link = None;
                let (name, Closed { code, reason }) = (&driver.device.name, &closed);
                driver.world.note(format_args!("{name} lost its connection: {code:?} {reason}"));
                driver.input(Input::Disconnected(closed))
            }
            Next::Tick => {
                driver.timer = None;
                driver.input(Input::Tick)
            }
        };
        if outcome.is_err() {
            let pause = driver.world.draw(|chance| chance.millis(50..8_000));
            driver.die(pause).await;
        }
    }
}

impl Driver {
    fn new(device: Arc<Device>, site: Arc<Site>) -> Self {
        let world = site.world().clone();
        let client = boot(&device, &world, 0);
        Self {
            world,
            site,
            device,
            boots: 0,
            client,
            link: None,
            connected: Duration::ZERO,
            connecting: None,
            timer: None,
            inputs: VecDeque::new(),
            held_back: VecDeque::new(),
        }
    }

    async fn next(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Next {
        let (world, timer) = (&self.world, self.timer);
        let (connecting, link) = (&mut self.connecting, &self.link);
        let made = async {
            match connecting {
                Some(connecting) => connecting.await,
                None => std::future::pending().await,
            }
        };
        let came = async {
            match link {
                Some(link) => link.receive().await,
                None => std::future::pending().await,
            }
        };
        let tick = async {
            match timer {
                Some(at) => world.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            order = orders.recv() => Next::Order(order),
            made = made => Next::Made(made),
            came = came => Next::Came(came),
            () = tick => Next::Tick,
        }
    }

    fn frame(&mut self, frame: &Bytes) -> Result<(), Died> {
        match self.device.encoding.decode_server(frame) {
            Ok(frame) => {
                let line = summary::server_frame(&self.world, &frame);
                self.world.note(format_args!("{} got {line}", self.device.name));
                if let Some(server_frame::Event::Welcome(_)) = frame.event {
                    check::device::welcomed(&self.world, &self.device, self.connected);
                }
                self.input(Input::Frame(frame))
            }
            Err(error) => {
                let what = format!("{} got a frame that it can't read: {error}", self.device.name);
                self.world.observer().violate(0, what, Vec::new());
                Ok(())
            }
        }
    }

    /// Hands an input to the client and carries out what follows from it.
    fn input(&mut self, input: Input) -> Result<(), Died> {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            let moment = Moment { monotonic: self.world.now(), wall_us: self.device.clock.wall_us() };
            for output in self.client.handle(input, moment) {
                if self.world.strikes(self.world.plan().weather.device_dies) {
                    return Err(Died);
                }
                self.output(output);
            }
        }
        Ok(())
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Persist(changes) => self.persist(changes),
            Output::Connect => {
                let (site, device) = (self.site.clone(), self.device.clone());
                self.connecting = Some(Box::pin(async move {
                    let servers = site.servers();
                    site.network().connect(device.name.clone(), device.number, device.encoding, servers).await
                }));
            }
            Output::Disconnect => {
                self.connecting = None;
                self.link = None;
            }
            Output::Send(frame) => {
                let line = summary::client_frame(&self.world, &frame);
                self.world.note(format_args!("{} says {line}", self.device.name));
                if let Some(link) = &self.link {
                    link.send(self.device.encoding.encode_client(&frame));
                }
            }
            Output::SetTimer(at) => self.timer = Some(at),
            Output::Load { conversation, before, limit } => {
                let loaded = self.device.storage().entries_before(conversation, before, limit);
                let entries = loaded.expect("memory does not fail");
                self.inputs.push_back(Input::Loaded { conversation, before, limit, entries });
            }
            Output::Event(event) => self.event(event),
        }
    }

    fn persist(&mut self, changes: Vec<Change>) {
        let mutant = self.world.plan().mutant;
        let changes = match mutant {
            Some(mutant) => mutant.keep_changes(&changes),
            None => changes,
        };
        self.held_back.push_back(changes);
        let most = if mutant == Some(Mutant::DeviceStoresLate) && self.world.is_rough() { HELD_BACK } else { 0 };
        while self.held_back.len() > most {
            let changes = self.held_back.pop_front().expect("there is one");
            check::device::persist(&self.world, &self.device, &changes);
        }
    }

    fn event(&mut self, event: Event) {
        let (world, device) = (&self.world, &self.device);
        let name = &device.name;
        match event {
            Event::Connection(connection) => {
                world.note(format_args!("{name} is {}", summary::connection(connection)));
                device.show(|shown| shown.connection = Some(connection));
            }
            Event::LoggedIn(account) => {
                world.names().call_device(account.device, name);
                device.show(|shown| shown.account = Some(account));
            }
            Event::LoggedOut { reason } => {
                world.note(format_args!("{name} was logged out: {reason}"));
                device.show(|shown| shown.account = None);
                if !world.observer().thrown_out.contains_key(name) {
                    let what = format!("{name} was logged out although nobody wanted it: {reason}");
                    world.observer().violate(11, what, vec![name.to_string()]);
                }
            }
            Event::Replaced => {
                let what = format!("{name} was told that another connection took its place, and has no other");
                world.observer().violate(10, what, vec![name.to_string()]);
            }
            Event::Suspended { reason } => {
                let what =
                    format!("{name} was told that its account is suspended, and there are no operators: {reason}");
                world.observer().violate(11, what, vec![name.to_string()]);
            }
            Event::Answer { tag, result } => {
                if let Ok(server_frame::Event::ChangeAccepted(accepted)) = &result {
                    check::device::change_accepted(world, device, accepted);
                }
                match &result {
                    Ok(_) => world.note(format_args!("{name} was answered #{tag}")),
                    Err(error) => world.note(format_args!("{name} was answered #{tag}: {error}")),
                }
                device.show(|shown| _ = shown.answers.insert(tag, result));
            }
            Event::Entry(entry) => check::device::show(world, device, &entry),
            Event::Composed { conversation, message, .. } => {
                check::device::composed(world, device, conversation, message);
            }
            Event::Outgoing(outgoing) => {
                let (message, conversation) =
                    (world.message(outgoing.message), world.conversation(outgoing.conversation));
                let state = match outgoing.state {
                    OutgoingState::Queued => "queued".to_owned(),
                    OutgoingState::Accepted => "accepted".to_owned(),
                    OutgoingState::Refused { code, .. } => format!("refused ({code:?})"),
                };
                world.note(format_args!("{name} shows {message} in {conversation} as {state}"));
            }
            _ => {}
        }
    }

    /// Nothing but the storage survives.
    async fn die(&mut self, pause: Duration) {
        self.world.count(|totals| totals.device_crashes += 1);
        self.world.note(format_args!("{} dies for {pause:?}", self.device.name));
        if let Some(link) = self.link.take() {
            if self.world.draw(|chance| chance.hits(500_000)) { link.reset() } else { link.vanish() }
        }
        self.connecting = None;
        self.timer = None;
        self.inputs.clear();
        self.held_back.clear();
        self.device.show(|shown| shown.connection = Some(Connection::Offline { failures: 0, retry_at: None }));
        let mut pause = pause;
        loop {
            self.world.sleep(pause).await;
            self.boots += 1;
            self.client = boot(&self.device, &self.world, self.boots);
            self.world.note(format_args!("{} starts again", self.device.name));
            if self.input(Input::Start).is_ok() {
                return;
            }
            // It died at once.
            self.inputs.clear();
            self.connecting = None;
            pause = Duration::from_millis(500);
        }
    }
}

fn boot(device: &Device, world: &World, boots: u64) -> Client {
    let state = device.storage().load().expect("memory does not fail");
    let mut entropy = world.stream(&format!("{} {boots}", device.name));
    let options = Options { name: "hudhud-sim".into(), active: device.number.is_multiple_of(2) };
    Client::new(options, state, move |bytes: &mut [u8]| entropy.fill(bytes))
}
