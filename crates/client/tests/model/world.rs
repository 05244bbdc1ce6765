//! Devices, their wires to the server, time, and what must hold.

use crate::server::{Frames, Server};
use hudhud_client::{
    Account, Change, Client, Closed, Command, Content, Event, Input, MemoryStorage, Moment, Options, Output, Recipient,
    Storage, Token,
};
use hudhud_proto::v1::{ClientFrame, ServerFrame, client_frame};
use hudhud_proto::{AccountId, ConversationId, DeviceId, MessageId, Seq};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

#[derive(Default)]
struct Wire {
    up: VecDeque<ClientFrame>,
    down: VecDeque<ServerFrame>,
}

enum Line {
    Down,
    Asked,
    Open(Wire),
}

pub struct Device {
    pub account: AccountId,
    pub device: DeviceId,
    pub storage: MemoryStorage,
    client: Client,
    line: Line,
    timer: Option<Duration>,
    /// Shown since the program started.
    shown: BTreeSet<(ConversationId, MessageId)>,
    /// What the person was told is safe, in order.
    pub composed: BTreeMap<ConversationId, Vec<MessageId>>,
    /// The next input's outputs are carried out up to here; then the program is killed.
    dies_after: Option<usize>,
    runs: u8,
}

pub struct World {
    pub server: Server,
    pub devices: Vec<Device>,
    now: Duration,
}

fn client(storage: &mut MemoryStorage, seed: u8) -> Client {
    let mut state = u64::from(seed) + 1;
    let entropy = move |bytes: &mut [u8]| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 33) as u8;
        }
    };
    let options = Options { name: "model".into(), active: true };
    Client::new(options, storage.load().expect("memory"), entropy)
}

impl World {
    /// One device per account given (an account may be given twice), all logged in.
    pub fn new(accounts: &[u8], conversations: &[(ConversationId, &[u8])]) -> Self {
        let account = |n: &u8| AccountId::new([*n; 16]);
        let mut server = Server::default();
        for (id, members) in conversations {
            server.members.insert(*id, members.iter().map(account).collect());
        }
        let mut world = Self { server, devices: Vec::new(), now: Duration::from_secs(1_000) };
        for (n, number) in accounts.iter().enumerate() {
            let (account, device) = (account(number), DeviceId::new([100 + n as u8; 16]));
            let mut storage = MemoryStorage::default();
            let token = Some(Token::new("token"));
            let row = Account { account, device, handle: "somebody".into(), token };
            storage.persist(&[Change::SaveAccount(row)]).expect("memory");
            world.devices.push(Device {
                account,
                device,
                client: client(&mut storage, n as u8 * 50),
                storage,
                line: Line::Down,
                timer: None,
                shown: BTreeSet::new(),
                composed: BTreeMap::new(),
                dies_after: None,
                runs: 0,
            });
            world.input(n, Input::Start);
        }
        world
    }

    fn moment(&self) -> Moment {
        Moment { monotonic: self.now, wall_us: 1_800_000_000_000_000 + self.now.as_micros() as u64 }
    }

    fn input(&mut self, n: usize, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.moment();
            let outputs = self.devices[n].client.handle(input, now);
            for (done, output) in outputs.into_iter().enumerate() {
                if self.devices[n].dies_after.is_some_and(|most| done >= most) {
                    return self.restart(n);
                }
                if let Output::Disconnect = output {
                    let device = self.devices[n].device;
                    self.server.close(device);
                }
                inputs.extend(self.devices[n].carry_out(output));
            }
            if self.devices[n].dies_after.take().is_some() {
                return self.restart(n);
            }
        }
    }

    fn restart(&mut self, n: usize) {
        let device = &mut self.devices[n];
        self.server.close(device.device);
        device.runs += 1;
        device.client = client(&mut device.storage, n as u8 * 50 + device.runs);
        (device.line, device.timer, device.dies_after) = (Line::Down, None, None);
        let held = device.storage.conversations().map(|row| row.id).collect::<Vec<_>>();
        let entries = held.iter().flat_map(|id| device.storage.entries(*id));
        device.shown = entries.map(|entry| (entry.conversation, entry.message)).collect();
        self.input(n, Input::Start);
    }

    pub fn compose(&mut self, n: usize, to: Recipient) {
        self.input(n, Input::Command(Command::Send { tag: 0, to, content: Content::text("hi") }));
    }

    pub fn read(&mut self, n: usize, conversation: ConversationId) {
        self.input(n, Input::Command(Command::Read { conversation, seq: Seq(u64::MAX) }));
    }

    pub fn command(&mut self, n: usize, command: Command) {
        self.input(n, Input::Command(command));
    }

    /// The program is killed while it carries out what its next input causes.
    pub fn kill_after(&mut self, n: usize, outputs: usize) {
        self.devices[n].dies_after = Some(outputs);
    }

    pub fn connect(&mut self, n: usize) {
        if let Line::Asked = self.devices[n].line {
            self.devices[n].line = Line::Open(Wire::default());
            self.input(n, Input::Connected);
        }
    }

    pub fn cut(&mut self, n: usize) {
        if !matches!(self.devices[n].line, Line::Down) {
            self.devices[n].line = Line::Down;
            let device = self.devices[n].device;
            self.server.close(device);
            self.input(n, Input::Disconnected(Closed::default()));
        }
    }

    /// The server handles the next frame of a device.
    pub fn up(&mut self, n: usize) -> bool {
        self.server.now_us = self.moment().wall_us;
        let device = &mut self.devices[n];
        let Line::Open(wire) = &mut device.line else { return false };
        let Some(frame) = wire.up.pop_front() else { return false };
        let frames = self.server.handle(device.device, device.account, frame);
        self.route(frames);
        true
    }

    /// A device handles the next frame from the server.
    pub fn down(&mut self, n: usize) -> bool {
        let Line::Open(wire) = &mut self.devices[n].line else { return false };
        let Some(frame) = wire.down.pop_front() else { return false };
        self.input(n, Input::Frame(frame));
        true
    }

    pub fn dispatch(&mut self) -> bool {
        self.server.now_us = self.moment().wall_us;
        self.server.dispatch().map(|frames| self.route(frames)).is_some()
    }

    pub fn ping(&mut self, n: usize) {
        let ping = self.server.ping(self.devices[n].account);
        if let Line::Open(wire) = &mut self.devices[n].line {
            wire.down.push_back(ping);
        }
    }

    fn route(&mut self, frames: Frames) {
        for (to, frame) in frames {
            let device = self.devices.iter_mut().find(|device| device.device == to).expect("a device of this world");
            if let Line::Open(wire) = &mut device.line {
                wire.down.push_back(frame);
            }
        }
    }

    /// Does something to the pushes that are on their way to a device.
    pub fn pushes(&mut self, n: usize, change: impl FnOnce(&mut Vec<ServerFrame>)) {
        let Line::Open(wire) = &mut self.devices[n].line else { return };
        let (mut pushes, rest): (Vec<_>, Vec<_>) = wire.down.drain(..).partition(|frame| frame.request == 0);
        change(&mut pushes);
        wire.down = rest.into_iter().chain(pushes).collect();
    }

    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        for n in 0..self.devices.len() {
            if self.devices[n].timer.is_some_and(|at| at <= self.now) {
                self.devices[n].timer = None;
                self.input(n, Input::Tick);
            }
        }
    }

    /// No more faults: everything that is owed is done within eleven minutes, the longest for a lost receipt.
    pub fn heal(&mut self) {
        self.server.fault = None;
        self.server.land();
        for second in 0..660 {
            for n in 0..self.devices.len() {
                self.devices[n].dies_after = None;
                self.connect(n);
                if second % 30 == 29 {
                    self.ping(n);
                }
            }
            self.flow();
            self.wait(Duration::from_secs(1));
        }
    }

    /// Everything that is on its way arrives.
    pub fn flow(&mut self) {
        loop {
            let mut moved = self.dispatch();
            for n in 0..self.devices.len() {
                moved |= self.up(n) | self.down(n);
            }
            if !moved {
                break;
            }
        }
    }

    /// What must hold once everything is quiet.
    pub fn check(&self) {
        for device in &self.devices {
            assert_eq!(device.storage.outbox().count(), 0, "the outbox drains");
            for (id, composed) in &device.composed {
                let log = self.server.shown(*id).into_iter().map(|(_, message)| message);
                let mine: Vec<_> = log.filter(|message| composed.contains(message)).collect();
                assert_eq!(&mine, composed, "each message is in the log, and they keep their order");
            }
            for (id, members) in &self.server.members {
                if members.contains(&device.account) {
                    self.check_conversation(device, *id);
                }
            }
        }
    }

    fn check_conversation(&self, device: &Device, id: ConversationId) {
        let held: Vec<_> = device.storage.entries(id).map(|entry| (entry.seq, entry.message)).collect();
        assert_eq!(held, self.server.shown(id), "every device holds the log, each message once");
        let head = self.server.log(id).len() as u64;
        let row = device.storage.conversations().find(|row| row.id == id);
        assert_eq!(row.map_or(0, |row| row.cursor.0), head, "the cursor is at the head");
        assert_eq!(self.server.stored(id, device.device), head, "the server knows what is stored");
        if let Some(row) = row {
            // Ticks are about one's own messages: beyond the last of them nobody asks.
            let seen = |seq: u64| seq.min(row.last_own.0);
            let (received, read) = (row.others_received.0, row.others_read.0);
            let [all_received, all_read] = [false, true].map(|read| self.server.others(id, device.account, read));
            assert_eq!(seen(received), seen(all_received.max(all_read)), "two ticks");
            assert_eq!(seen(read), seen(all_read), "coloured ticks");
        }
    }
}

impl Device {
    /// Carries an output out; what must hold at that moment is checked.
    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Persist(changes) => self.storage.persist(&changes).expect("memory"),
            Output::Connect => self.line = Line::Asked,
            Output::Disconnect => self.line = Line::Down,
            Output::SetTimer(at) => self.timer = Some(at),
            Output::Load { conversation, before, limit } => {
                let entries = self.storage.entries_before(conversation, before, limit).expect("memory");
                return Some(Input::Loaded { conversation, before, limit, entries });
            }
            Output::Send(frame) => {
                self.check_durable(&frame);
                if let Line::Open(wire) = &mut self.line {
                    wire.up.push_back(frame);
                }
            }
            Output::Event(Event::Entry(entry)) => {
                let id = (entry.conversation, entry.message);
                assert!(self.shown.insert(id), "a message is shown once");
                assert!(self.storage.entries(id.0).any(|held| *held == entry), "it is stored before it is shown");
            }
            Output::Event(Event::Composed { conversation, message, .. }) => {
                assert!(self.storage.outbox().any(|outgoing| outgoing.message == message), "safe means durable");
                self.composed.entry(conversation).or_default().push(message);
            }
            Output::Event(_) => {}
        }
        None
    }

    fn check_durable(&self, frame: &ClientFrame) {
        match &frame.command {
            Some(client_frame::Command::Send(send)) => {
                let held = self.storage.outbox().any(|outgoing| outgoing.message.as_bytes() == &send.message_id[..]);
                assert!(held, "a message is durable before it is sent");
            }
            Some(client_frame::Command::Received(received)) => {
                let row = self.storage.conversations().find(|row| row.id.as_bytes() == &received.conversation[..]);
                assert!(row.is_some_and(|row| row.cursor.0 >= received.seq), "received means stored");
            }
            _ => {}
        }
    }
}
