//! Several people with several devices each: real clients with their databases on disk, and what was seen of them.

mod device;
mod seen;

pub use seen::{Seen, Stored, Tally};

use anyhow::{Context as _, Result, bail, ensure};
use device::Device;
use hudhud_client::{Command, Connection, Content, Event, Recipient};
use hudhud_proto::ConversationId;
use hudhud_proto::v1::{CreateGroup, LogIn, Register, client_frame, server_frame};
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
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
/// How long everything may take to agree after the last fault, on a machine that may have much else to do.
const SETTLE_MAX: Duration = Duration::from_secs(180);
/// Nothing moved on any device for so long: all is quiet.
const QUIET: Duration = Duration::from_secs(2);
/// How often it is looked whether something moves.
const TURN: Duration = Duration::from_millis(50);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everybody.
pub struct Fleet {
    devices: Vec<Device>,
    group: ConversationId,
    seen: Arc<Seen>,
    written: u64,
    pace: Duration,
}

impl Fleet {
    /// Registers everybody, logs their other devices in, and makes a group of all. The databases are in the folder; each
    /// device writes once in every `pace` when it is told to write.
    pub async fn start(server: SocketAddr, folder: &Path, pace: Duration) -> Result<Self> {
        let seen = Arc::new(Seen::default());
        let mut devices: Vec<Device> = Vec::new();
        for (person, machine) in DEVICES {
            let mut device = Device::start(format!("{person}-{machine}"), server, folder, &seen)?;
            let (handle, password, device_name) = (person.to_owned(), PASSWORD.to_owned(), machine.to_owned());
            let command = match devices.iter().any(|other| other.name.starts_with(person)) {
                false => {
                    let register = Register { handle, password, device_name, ..Default::default() };
                    client_frame::Command::Register(register)
                }
                true => client_frame::Command::LogIn(LogIn { handle, password, device_name }),
            };
            device.command(Command::Authenticate { tag: 1, command }).await?;
            let logged_in = device.wait(|event| match event {
                Event::LoggedIn(account) => Some(Ok(account.account)),
                Event::Answer { result: Err(error), .. } => Some(Err(error)),
                _ => None,
            });
            device.account = logged_in.await?.with_context(|| format!("{person} can't log in"))?;
            device.wait(|event| matches!(event, Event::Connection(Connection::Online)).then_some(())).await?;
            devices.push(device);
        }
        let members = devices.iter().map(|device| device.account.to_bytes()).collect();
        let create = CreateGroup { title: "everybody".into(), members, ..Default::default() };
        devices[0].command(Command::Request { tag: 2, command: client_frame::Command::CreateGroup(create) }).await?;
        let created = devices[0].wait(|event| match event {
            Event::Answer { tag: 2, result } => Some(result),
            _ => None,
        });
        let group = match created.await? {
            Ok(server_frame::Event::ChangeAccepted(accepted)) => ConversationId::from_slice(&accepted.conversation)?,
            other => bail!("no group: {other:?}"),
        };
        let mut fleet = Self { devices, group, seen, written: 0, pace };
        // Everybody must know the group before everybody writes to it.
        let deadline = Instant::now() + PATIENCE;
        while !fleet.seen.all_have(group, fleet.devices.len()) {
            ensure!(Instant::now() < deadline, "the group does not reach everybody");
            fleet.pump().await?;
            tokio::time::sleep(TURN).await;
        }
        Ok(fleet)
    }

    /// What was seen of everybody.
    pub fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    /// Has every device write to the group and to each other, and read, for as long as the work takes. Returns what comes of
    /// that, behind the last message.
    pub async fn write_while<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let is_done = Cell::new(false);
        let working = async {
            let outcome = work.await;
            is_done.set(true);
            outcome
        };
        // Finished, not dropped: a command that a client was about to take is given to it.
        let writing = async {
            while !is_done.get() {
                self.write().await?;
                tokio::time::sleep(self.pace).await;
            }
            self.pump().await
        };
        let (outcome, written) = tokio::join!(working, writing);
        written?;
        outcome
    }

    /// As [`Self::write_while`], for a time.
    pub async fn write_for(&mut self, duration: Duration) -> Result<()> {
        let work = async {
            tokio::time::sleep(duration).await;
            Ok(())
        };
        self.write_while(work).await
    }

    /// One message of each device: two to the group, then one to the next person.
    async fn write(&mut self) -> Result<()> {
        self.pump().await?;
        for n in 0..self.devices.len() {
            self.written += 1;
            let peer = self.devices[(n + 2) % self.devices.len()].account;
            let to = match self.written % 3 {
                0 if peer != self.devices[n].account => Recipient::Account(peer),
                _ => Recipient::Conversation(self.group),
            };
            let content = Content::text(format!("{} {}", self.devices[n].name, self.written));
            self.devices[n].command(Command::Send { tag: 0, to, content }).await?;
        }
        Ok(())
    }

    /// Waits until every outbox is empty, every device holds the same, and nothing moves. Then has every conversation opened,
    /// so that marks are asked for, until that brings nothing new: in a group a sender is told only of marks up to its own
    /// last message.
    pub async fn settle(&mut self) -> Result<()> {
        let deadline = Instant::now() + SETTLE_MAX;
        while !self.seen.agree() {
            ensure!(Instant::now() < deadline, "they do not agree:\n{}", self.seen.disagreement());
            self.pump().await?;
            tokio::time::sleep(TURN).await;
        }
        self.still_from(Instant::now(), deadline).await?;
        loop {
            let opened = Instant::now();
            for device in &mut self.devices {
                for conversation in self.seen.conversations(&device.name) {
                    device.command(Command::Refresh(conversation)).await?;
                }
            }
            if self.still_from(opened, deadline).await? <= opened {
                return Ok(());
            }
        }
    }

    /// Waits until nothing moved on any device for [`QUIET`], counted from an instant at the earliest. Says when the last
    /// change was.
    async fn still_from(&mut self, from: Instant, deadline: Instant) -> Result<Instant> {
        loop {
            let last = self.seen.last_change();
            if last.max(from).elapsed() >= QUIET {
                return Ok(last);
            }
            ensure!(Instant::now() < deadline, "it never gets quiet");
            self.pump().await?;
            tokio::time::sleep(TURN).await;
        }
    }

    /// Ends all clients.
    pub fn stop(self) -> Result<()> {
        self.devices.into_iter().try_for_each(Device::stop)
    }

    /// Takes the events that are here.
    async fn pump(&mut self) -> Result<()> {
        for device in &mut self.devices {
            while let Some(event) = device.event() {
                self.seen.event(&device.name, &event);
                // A person who reads everything at once.
                if let Event::Entry(entry) = event {
                    device.command(Command::Read { conversation: entry.conversation, seq: entry.seq }).await?;
                }
            }
        }
        Ok(())
    }
}
