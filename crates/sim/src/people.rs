//! What people do: they register, write, read, type, make groups and change them, go offline and come back.

use crate::chance::Chance;
use crate::check::{self, Thrown};
use crate::device::{Device, Order};
use crate::site::Site;
use crate::world::World;
use anyhow::{Context as _, ensure};
use hudhud_client::{Command, Connection, Content, ConversationRow, OutgoingState, Recipient};
use hudhud_proto::v1::{self, ConversationKind, Role, Switch, client_frame, server_frame};
use hudhud_proto::{AccountId, Encoding, Seq};
use hudhud_roles::api::Who;
use hudhud_roles::conversation::policy::is_admin;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// Devices that log in while others write.
const LATE_DEVICES_MAX: usize = 3;
/// How long somebody who throws a device out waits for the answer.
const THROW_OUT_MAX: Duration = Duration::from_secs(40);
/// How long setting up may take, while nothing fails.
const SET_UP_MAX: Duration = Duration::from_secs(20);

/// Everybody, with their devices.
pub struct People {
    world: World,
    site: Arc<Site>,
    chance: Mutex<Chance>,
    devices: Mutex<Vec<Arc<Device>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: Vec<AccountId>,
    crowd: Vec<AccountId>,
    last_tag: u64,
    texts: u64,
    late_devices: usize,
}

fn password(name: &str) -> String {
    format!("the password of {name}")
}

impl People {
    /// Nobody has an account yet.
    pub fn new(world: &World, site: &Arc<Site>) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            site: site.clone(),
            chance: Mutex::new(world.stream("people")),
            devices: Mutex::default(),
            state: Mutex::default(),
        })
    }

    /// All devices.
    pub fn devices(&self) -> Vec<Arc<Device>> {
        self.devices.lock().clone()
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut self.chance.lock())
    }

    fn tag(&self) -> u64 {
        let mut state = self.state.lock();
        state.last_tag += 1;
        state.last_tag
    }

    /// Everybody registers, and logs in on every device.
    pub async fn set_up(&self) -> anyhow::Result<()> {
        let plan = self.world.plan();
        for (person, planned) in plan.people.iter().enumerate() {
            for (n, encoding) in planned.devices.iter().enumerate() {
                let device = self.log_in(person, *encoding, n == 0).await?;
                if n == 0 && !planned.read_receipts {
                    let privacy = v1::Privacy { read_receipts: Switch::Off.into(), ..Default::default() };
                    let set = v1::SetPrivacy { privacy: privacy.into() };
                    let tag = self.tag();
                    let answer = device.ask(tag, Command::Request { tag, command: set.into() }, SET_UP_MAX).await;
                    ensure!(matches!(answer, Some(Ok(_))), "{} can't set its privacy: {answer:?}", device.name());
                }
            }
        }
        for n in 0..plan.crowd {
            let account = self.register_silently(&format!("crowd{n}")).await?;
            self.state.lock().crowd.push(account);
        }
        Ok(())
    }

    /// A new device of a person; the first one registers.
    async fn log_in(&self, person: usize, encoding: Encoding, first: bool) -> anyhow::Result<Arc<Device>> {
        let handle = self.world.plan().people[person].name;
        let (number, of_person) = {
            let devices = self.devices.lock();
            (devices.len() + 1, devices.iter().filter(|device| device.person() == person).count() + 1)
        };
        let name = format!("{handle}.{of_person}");
        let device = Device::start(&self.site, &name, u8::try_from(number)?, person, encoding);
        self.devices.lock().push(device.clone());
        let (handle, password) = (handle.to_owned(), password(handle));
        let command: client_frame::Command = match first {
            true => v1::Register { handle, password, device_name: name.clone(), ..Default::default() }.into(),
            false => v1::LogIn { handle, password, device_name: name.clone() }.into(),
        };
        let mut tries = 0;
        loop {
            let tag = self.tag();
            let command = command.clone();
            let answer = device.ask(tag, Command::Authenticate { tag, command }, SET_UP_MAX).await;
            match answer {
                Some(Ok(server_frame::Event::LoggedIn(_))) => break,
                // Under faults, somebody tries again.
                _ if tries < 8 => self.world.sleep(Duration::from_secs(1)).await,
                answer => anyhow::bail!("{name} can't log in: {answer:?}"),
            }
            tries += 1;
        }
        let online = device.shows(SET_UP_MAX, |shown| shown.connection == Some(Connection::Online)).await;
        ensure!(online || self.world.is_rough(), "{name} does not get online");
        let account = device.account().context("it is logged in")?;
        if first {
            let mut names = self.world.names();
            names.call_account(account.account, self.world.plan().people[person].name);
            drop(names);
            self.state.lock().accounts.push(account.account);
        }
        Ok(device)
    }

    /// An account of which no device ever connects.
    async fn register_silently(&self, handle: &str) -> anyhow::Result<AccountId> {
        let run = self.site.servers().first().and_then(|server| server.running()).context("a server runs")?;
        let front = run.front().context("devices reach the first server")?;
        let (handle, password) = (handle.to_owned(), password(handle));
        let register = v1::Register { handle: handle.clone(), password, ..Default::default() };
        let who = Who::Anonymous(IpAddr::V4(Ipv4Addr::new(10, 1, 0, self.draw(|chance| chance.below(250)) as u8)));
        match front.api().handle(&who, register.into()).await {
            Ok(server_frame::Event::LoggedIn(answer)) => {
                let account = AccountId::from_slice(&answer.account)?;
                self.world.names().call_account(account, &handle);
                Ok(account)
            }
            answer => anyhow::bail!("{handle} can't register: {answer:?}"),
        }
    }

    /// Lives until the time is over.
    pub async fn live(self: Arc<Self>, until: Duration) {
        self.make_groups();
        while self.world.now() < until {
            let pause_ms_max = self.world.plan().pause_ms_max;
            let pause = self.draw(|chance| chance.millis(1..pause_ms_max));
            self.world.sleep(pause).await;
            self.act();
        }
    }

    /// Something happens: somebody does something on some device.
    fn act(self: &Arc<Self>) {
        let devices = self.devices();
        let Some(device) = self.draw(|chance| chance.pick(&devices).cloned()) else { return };
        if device.account().is_none() {
            return;
        }
        if self.draw(|chance| chance.hits(self.world.plan().turmoil)) {
            return self.change_group(&device);
        }
        match self.draw(|chance| chance.below(100)) {
            0..30 => self.write_to_somebody(&device),
            30..52 => self.write_to_conversation(&device),
            52..70 => self.read(&device),
            70..74 => self.type_something(&device),
            74..86 => self.change_group(&device),
            86..88 => self.make_group(&device, &[]),
            88..91 => self.disconnect_for_a_while(device),
            91..93 => self.look_back(&device),
            93..95 => self.prefer(&device),
            95..96 => self.block(&device),
            96..98 => self.go_through_refused(&device),
            98..99 => self.watch(&device),
            _ => self.come_with_another_device(),
        }
    }

    fn text(&self, device: &Device) -> Content {
        let number = {
            let mut state = self.state.lock();
            state.texts += 1;
            state.texts
        };
        let padding = self.draw(|chance| match chance.below(20) {
            0 => chance.index(20_000),
            _ => chance.index(100),
        });
        Content::text(format!("{} #{number}{}", device.name(), " ".repeat(padding)))
    }

    fn write(&self, device: &Device, to: Recipient) {
        let count = self.draw(|chance| match chance.below(10) {
            0..6 => 1,
            6..9 => chance.within(2..6),
            _ => chance.within(6..24),
        });
        for _ in 0..count {
            let (tag, content) = (self.tag(), self.text(device));
            device.want(Command::Send { tag, to, content });
        }
    }

    fn write_to_somebody(&self, device: &Device) {
        let accounts = self.state.lock().accounts.clone();
        if let Some(account) = self.draw(|chance| chance.pick(&accounts).copied()) {
            self.write(device, Recipient::Account(account));
        }
    }

    fn write_to_conversation(&self, device: &Device) {
        if let Some(row) = self.some_conversation(device, |row| row.role != Role::Unspecified) {
            self.write(device, Recipient::Conversation(row.id));
        }
    }

    fn some_conversation(&self, device: &Device, wanted: impl Fn(&ConversationRow) -> bool) -> Option<ConversationRow> {
        let mut rows = device.conversations();
        // Now and then somebody tries what can't be done.
        if self.draw(|chance| chance.below(20)) > 0 {
            rows.retain(|row| wanted(row));
        }
        self.draw(|chance| chance.pick(&rows).cloned())
    }

    fn read(&self, device: &Device) {
        if let Some(row) = self.some_conversation(device, |row| row.read < row.cursor) {
            let back = self.draw(|chance| if chance.hits(300_000) { chance.below(5) } else { 0 });
            let seq = Seq(row.cursor.0.saturating_sub(back));
            // The device takes it as far as it holds entries by then.
            check::device::read(&self.world, device, row.id, seq);
            device.want(Command::Read { conversation: row.id, seq });
        }
    }

    fn type_something(&self, device: &Device) {
        if let Some(row) = self.some_conversation(device, |_| true) {
            let typing = self.draw(|chance| chance.hits(700_000));
            device.want(Command::Typing { conversation: row.id, typing });
        }
    }

    fn request(&self, device: &Device, command: impl Into<client_frame::Command>) {
        device.want(Command::Request { tag: self.tag(), command: command.into() });
    }

    fn make_groups(&self) {
        let devices = self.devices();
        let crowd = self.state.lock().crowd.clone();
        if let Some(device) = self.draw(|chance| chance.pick(&devices).cloned()) {
            self.make_group(&device, &crowd);
        }
        if let Some(device) = self.draw(|chance| chance.pick(&devices).cloned()) {
            self.make_group(&device, &[]);
        }
    }

    fn make_group(&self, device: &Device, crowd: &[AccountId]) {
        let accounts = self.state.lock().accounts.clone();
        let members = self.draw(|chance| chance.some(&accounts, 700_000));
        let members = members.iter().chain(crowd).map(|account| account.to_bytes()).collect();
        let title = format!("group {}", self.tag());
        self.request(device, v1::CreateGroup { title, members, ..Default::default() });
    }

    fn change_group(&self, device: &Device) {
        let is_group = |row: &ConversationRow| row.kind == ConversationKind::Group && row.role != Role::Unspecified;
        let Some(row) = self.some_conversation(device, is_group) else { return };
        let accounts = self.state.lock().accounts.clone();
        let Some(somebody) = self.draw(|chance| chance.pick(&accounts).copied()) else { return };
        let (conversation, member, message_id) = (row.id.to_bytes(), somebody.to_bytes(), Default::default());
        match self.draw(|chance| chance.below(12)) {
            0..5 => {
                let more = self.draw(|chance| chance.some(&accounts, 300_000));
                let members = more.into_iter().chain([somebody]).map(AccountId::to_bytes).collect();
                self.request(device, v1::AddMembers { conversation, message_id, members });
            }
            5..7 => self.request(device, v1::RemoveMember { conversation, message_id, member }),
            7 => self.request(device, v1::LeaveGroup { conversation, message_id }),
            8..10 => {
                let role = self
                    .draw(|chance| *chance.pick(&[Role::Member, Role::Admin, Role::Admin, Role::Owner]).expect("four"));
                self.request(device, v1::SetRole { conversation, message_id, member, role: role.into() });
            }
            10 => {
                let title = format!("title {}", self.tag());
                self.request(device, v1::UpdateGroup { conversation, message_id, title, ..Default::default() });
            }
            _ => {
                let on = self.draw(|chance| chance.hits(300_000));
                let announce_only = if on { Switch::On } else { Switch::Off }.into();
                self.request(device, v1::UpdateGroup { conversation, message_id, announce_only, ..Default::default() });
            }
        }
    }

    fn disconnect_for_a_while(&self, device: Arc<Device>) {
        let pause = self.draw(|chance| chance.millis(200..15_000));
        device.want(Command::GoOffline);
        let world = self.world.clone();
        self.world.spawn(async move {
            world.sleep(pause).await;
            device.want(Command::GoOnline);
        });
    }

    fn look_back(&self, device: &Device) {
        if let Some(row) = self.some_conversation(device, |_| true) {
            let before = self.draw(|chance| chance.hits(500_000).then(|| Seq(1 + chance.below(row.head.0 + 1))));
            device.want(Command::History { conversation: row.id, before, limit: 20 });
        }
    }

    fn prefer(&self, device: &Device) {
        if let Some(row) = self.some_conversation(device, |_| true) {
            let (pinned, archived) = self.draw(|chance| (chance.hits(500_000), chance.hits(500_000)));
            let muted_until_us = if pinned { u64::MAX } else { 0 };
            let preferences = v1::Preferences { muted_until_us, pinned, archived };
            let conversation = row.id.to_bytes();
            self.request(device, v1::SetPreferences { conversation, preferences: preferences.into() });
        }
    }

    fn block(&self, device: &Device) {
        let accounts = self.state.lock().accounts.clone();
        let Some(account) = self.draw(|chance| chance.pick(&accounts).copied()) else { return };
        let account = account.to_bytes();
        match self.draw(|chance| chance.hits(300_000)) {
            true => self.request(device, v1::Block { account }),
            false => self.request(device, v1::Unblock { account }),
        }
    }

    /// What was refused is sent again or given up.
    fn go_through_refused(&self, device: &Device) {
        let refused: Vec<_> = {
            let storage = device.storage();
            let refused = storage.outbox().filter(|outgoing| matches!(outgoing.state, OutgoingState::Refused { .. }));
            refused.map(|outgoing| (outgoing.conversation, outgoing.message)).collect()
        };
        for (conversation, message) in refused {
            device.want(match self.draw(|chance| chance.hits(500_000)) {
                true => Command::Retry { conversation, message },
                false => Command::Discard { conversation, message },
            });
        }
    }

    fn watch(&self, device: &Device) {
        let accounts = self.state.lock().accounts.clone();
        device.want(Command::Watch(self.draw(|chance| chance.some(&accounts, 500_000))));
        device.want(Command::SetActive(self.draw(|chance| chance.hits(500_000))));
    }

    fn come_with_another_device(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.late_devices >= LATE_DEVICES_MAX || state.accounts.is_empty() {
                return;
            }
            state.late_devices += 1;
        }
        let people = self.clone();
        let person = self.draw(|chance| chance.index(self.world.plan().people.len()));
        self.world.spawn(async move {
            // Under faults it may not work out; then there is one device that nobody is logged in on.
            let _ = people.log_in(person, Encoding::Protobuf, false).await;
        });
    }

    /// Everybody is there again, on every device, with clocks that are right.
    pub fn come_online(&self) {
        for device in self.devices() {
            device.clock().set(0);
            device.want(Command::GoOnline);
        }
    }

    /// Everybody closes the app and opens it again, and every conversation in it.
    pub fn reopen(&self) {
        for device in self.devices().into_iter().filter(|device| device.account().is_some()) {
            device.want(Command::GoOffline);
            device.want(Command::GoOnline);
            for row in device.conversations() {
                device.want(Command::Refresh(row.id));
            }
        }
    }

    /// Somebody throws one of the own devices out from another one. At least one stays.
    pub fn throw_out_a_device(self: &Arc<Self>) {
        let is_in = |device: &Arc<Device>| {
            device.account().is_some() && !self.world.observer().thrown_out.contains_key(device.name())
        };
        let devices: Vec<_> = self.devices().into_iter().filter(is_in).collect();
        let Some(by) = self.draw(|chance| chance.pick(&devices).cloned()) else { return };
        let others = devices.iter().filter(|other| other.person() == by.person() && other.name() != by.name());
        let others: Vec<_> = others.cloned().collect();
        let Some(who) = self.draw(|chance| chance.pick(&others).cloned()) else { return };
        let Some(account) = who.account() else { return };
        self.world.note(format_args!("{} throws {} out", by.name(), who.name()));
        self.world.observer().thrown_out.insert(who.name().clone(), Thrown::Asked);
        let (people, tag) = (self.clone(), self.tag());
        let command = v1::RemoveDevice { device: account.device.to_bytes() };
        self.world.spawn(async move {
            let answer = by.ask(tag, Command::Request { tag, command: command.into() }, THROW_OUT_MAX).await;
            // Without an answer it may be out or not.
            if let Some(Ok(_)) = answer {
                people.world.note(format_args!("{} is out", who.name()));
                people.world.observer().thrown_out.insert(who.name().clone(), Thrown::Out);
            }
        });
    }

    /// Somebody writes into each conversation: what a lost log left undone is done with the next entry.
    pub fn say_something_everywhere(&self) {
        let devices = self.devices();
        let mut said = BTreeSet::new();
        for device in devices.iter().filter(|device| device.account().is_some()) {
            for row in device.conversations() {
                let may = row.role != Role::Unspecified && (!row.announce_only || is_admin(row.role));
                if may && said.insert(row.id) {
                    let (tag, content) = (self.tag(), self.text(device));
                    device.want(Command::Send { tag, to: Recipient::Conversation(row.id), content });
                }
            }
        }
    }

    /// A device dies, or does nothing, for a while.
    pub fn trouble(&self, order: impl FnOnce(Duration) -> Order) {
        let devices = self.devices();
        let (device, pause) = self.draw(|chance| (chance.pick(&devices).cloned(), chance.millis(100..10_000)));
        if let Some(device) = device {
            device.order(order(pause));
        }
    }
}
