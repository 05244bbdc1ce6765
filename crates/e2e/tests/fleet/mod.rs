//! Several people with several devices each: real clients with their databases on disk, and what was seen of them.

mod seen;

use crate::process::Server;
use hudhud_client::native::{self, Handle, Profile, Settings};
use hudhud_client::{Command, Connection, Content, Event, Options, Recipient};
use hudhud_ports::Store;
use hudhud_proto::v1::{CreateGroup, LogIn, Register, client_frame, server_frame};
use hudhud_proto::{AccountId, ConversationId};
use hudhud_sim::check::Violation;
use seen::{Seen, WatchedStorage};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Person and device, a device a row.
const DEVICES: [(&str, &str); 6] = [
    ("alice", "phone"),
    ("alice", "laptop"),
    ("bob", "phone"),
    ("bob", "laptop"),
    ("carol", "phone"),
    ("dave", "phone"),
];
const PASSWORD: &str = "correct horse";
/// How often each device writes.
const WRITE_INTERVAL: Duration = Duration::from_millis(40);
/// How long everything may take to agree after the last start.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// Nothing moved on any device for so long: all is quiet.
const QUIET: Duration = Duration::from_secs(2);
/// How often it is looked whether something moves.
const TURN: Duration = Duration::from_millis(50);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct Device {
    name: Arc<str>,
    account: AccountId,
    handle: Handle,
    events: mpsc::Receiver<Event>,
    /// Events that were taken and not yet looked at.
    taken: VecDeque<Event>,
}

/// Everybody.
pub struct Fleet {
    devices: Vec<Device>,
    group: ConversationId,
    seen: Arc<Seen>,
    written: u64,
}

impl Fleet {
    /// Registers everybody, logs their other devices in, and makes a group of all.
    pub async fn start(server: &Server, folder: &Path) -> Self {
        let seen = Arc::new(Seen::default());
        let mut devices: Vec<Device> = Vec::new();
        for (person, machine) in DEVICES {
            let name: Arc<str> = format!("{person}-{machine}").into();
            let profile = Profile::open(folder, &name).expect("a new folder");
            let storage = profile.into_storage().expect("a new database");
            let storage = WatchedStorage::new(storage, name.clone(), seen.clone());
            let options = Options { name: "e2e".into(), active: true };
            let settings = Settings { server: format!("ws://{}/v1/ws", server.address()), options };
            let (handle, events) = native::start(settings, Box::new(storage)).expect("a thread");
            let known = devices.iter().any(|other| other.name.starts_with(person));
            let (handle_text, password) = (person.to_owned(), PASSWORD.to_owned());
            let command = match known {
                false => client_frame::Command::Register(Register {
                    handle: handle_text,
                    password,
                    device_name: machine.into(),
                    ..Default::default()
                }),
                true => {
                    client_frame::Command::LogIn(LogIn { handle: handle_text, password, device_name: machine.into() })
                }
            };
            let mut device = Device { name, account: AccountId::new([0; 16]), handle, events, taken: VecDeque::new() };
            device.command(Command::Authenticate { tag: 1, command }).await;
            device.account = device
                .wait(|event| match event {
                    Event::LoggedIn(account) => Some(account.account),
                    Event::Answer { result: Err(error), .. } => panic!("{person} can't log in: {error}"),
                    _ => None,
                })
                .await;
            device.wait(|event| matches!(event, Event::Connection(Connection::Online)).then_some(())).await;
            devices.push(device);
        }
        let members = devices.iter().map(|device| device.account.to_bytes()).collect();
        let create = CreateGroup { title: "everybody".into(), members, ..Default::default() };
        devices[0].command(Command::Request { tag: 2, command: client_frame::Command::CreateGroup(create) }).await;
        let group = devices[0]
            .wait(|event| match event {
                Event::Answer { tag: 2, result: Ok(server_frame::Event::ChangeAccepted(accepted)) } => {
                    Some(ConversationId::from_slice(&accepted.conversation).expect("an id"))
                }
                Event::Answer { tag: 2, result } => panic!("no group: {result:?}"),
                _ => None,
            })
            .await;
        let mut fleet = Self { devices, group, seen, written: 0 };
        // Everybody must know the group before everybody writes to it.
        let deadline = Instant::now() + PATIENCE;
        while !fleet.seen.all_have(group, fleet.devices.len()) {
            assert!(Instant::now() < deadline, "the group does not reach everybody");
            fleet.pump().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        fleet
    }

    /// Has every device write to the group and to each other, and read, for a while.
    pub async fn write_for(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.pump().await;
            for n in 0..self.devices.len() {
                self.written += 1;
                // Two to the group, then one to the next person.
                let peer = self.devices[(n + 2) % self.devices.len()].account;
                let to = match self.written % 3 {
                    0 if peer != self.devices[n].account => Recipient::Account(peer),
                    _ => Recipient::Conversation(self.group),
                };
                let content = Content::text(format!("{} {}", self.devices[n].name, self.written));
                self.devices[n].command(Command::Send { tag: 0, to, content }).await;
            }
            tokio::time::sleep(WRITE_INTERVAL).await;
        }
    }

    /// Waits until every outbox is empty, every device holds the same, and nothing moves. Then has every conversation opened,
    /// so that marks are asked for, until that brings nothing new: in a group a sender is told only of marks up to its own
    /// last message.
    pub async fn settle(&mut self) {
        let deadline = Instant::now() + SETTLE_MAX;
        while !self.seen.agree() {
            assert!(Instant::now() < deadline, "they do not agree:\n{}", self.seen.disagreement());
            self.pump().await;
            tokio::time::sleep(TURN).await;
        }
        self.still_from(Instant::now(), deadline).await;
        loop {
            let opened = Instant::now();
            for device in &mut self.devices {
                for conversation in self.seen.conversations(&device.name) {
                    device.command(Command::Refresh(conversation)).await;
                }
            }
            if self.still_from(opened, deadline).await <= opened {
                return;
            }
        }
    }

    /// Waits until nothing moved on any device for [`QUIET`], counted from an instant at the earliest. Says when the last
    /// change was.
    async fn still_from(&mut self, from: Instant, deadline: Instant) -> Instant {
        loop {
            let last = self.seen.last_change();
            if last.max(from).elapsed() >= QUIET {
                return last;
            }
            assert!(Instant::now() < deadline, "it never gets quiet");
            self.pump().await;
            tokio::time::sleep(TURN).await;
        }
    }

    /// Messages that were written.
    pub fn composed(&self) -> u64 {
        self.written
    }

    /// Ends all clients, and holds what they have against what the server has.
    pub async fn check(self, messages: &dyn Store) -> Vec<Violation> {
        for device in self.devices {
            drop(device.events);
            device.handle.stop().expect("the disk did not fail");
        }
        self.seen.check(messages).await
    }

    /// Takes the events that are here.
    async fn pump(&mut self) {
        for device in &mut self.devices {
            while let Some(event) = device.event() {
                self.seen.event(&device.name, &event);
                // A person who reads everything at once.
                if let Event::Entry(entry) = event {
                    device.command(Command::Read { conversation: entry.conversation, seq: entry.seq }).await;
                }
            }
        }
    }
}

impl Device {
    /// Gives a command, when the client takes one: it may be busy with its disk. It may also wait for somebody to take its
    /// events, so they are taken meanwhile.
    async fn command(&mut self, command: Command) {
        let given = async {
            while self.handle.command(command.clone()).is_err() {
                tokio::select! {
                    () = self.handle.ready() => {}
                    Some(event) = self.events.recv() => self.taken.push_back(event),
                }
            }
        };
        tokio::time::timeout(PATIENCE, given).await.unwrap_or_else(|_| panic!("{} takes no command", self.name));
    }

    /// The next event that is here.
    fn event(&mut self) -> Option<Event> {
        self.taken.pop_front().or_else(|| self.events.try_recv().ok())
    }

    async fn wait<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = match self.taken.pop_front() {
                    Some(event) => event,
                    None => self.events.recv().await.expect("the client runs"),
                };
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{} waits in vain", self.name))
    }
}
