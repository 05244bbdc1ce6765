//! The state behind the screen: takes the client's events, keys and time, gives commands. No I/O in here, so that tests
//! look at it like a person does.

mod editing;
mod form;
mod keys;
mod timeline;

#[cfg(test)]
mod tests;

pub use form::{Field, Form, Mode};
pub use timeline::{Timeline, View};

use crate::act::{Act, Desk, Finished, Outcome};
use crate::commands::HELP;
use crate::text;
use crate::words;
use crate::world::World;
use hudhud_client::{Command, Event};
use hudhud_proto::limits::WATCHED_MAX;
use hudhud_proto::v1::{ConversationKind, server_frame};
use hudhud_proto::{AccountId, ConversationId, ProtocolError, Seq};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;
use tui_input::Input;

/// Entries that are asked for at a time.
const PAGE_ENTRIES: usize = 100;

/// What the program was started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the server is.
    pub server: String,
    /// The handle that the form suggests.
    pub handle: String,
    /// This device's name for its owner's list of devices.
    pub device: String,
    /// For times.
    pub zone: TimeZone,
}

/// One line for the person, above the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Something is done.
    Done(String),
    /// Something is wrong, and what to do.
    Wrong(String),
}

/// Everything that the screen shows.
#[derive(Debug)]
pub struct App {
    pub setup: Setup,
    pub world: World,
    /// Since the start of the client, as its events count.
    pub now: Duration,
    /// The storage's content is here.
    pub ready: bool,
    /// Asks who somebody is.
    pub form: Option<Form>,
    /// On the right.
    pub open: Option<ConversationId>,
    pub view: View,
    pub input: Input,
    pub notice: Option<Notice>,
    /// Answers of several lines, under the timeline.
    pub panel: Vec<String>,
    timelines: BTreeMap<ConversationId, Timeline>,
    drafts: BTreeMap<ConversationId, Input>,
    desk: Desk<()>,
    commands: Vec<Command>,
    is_focused: bool,
    over: bool,
    told_active: bool,
    told_watched: Vec<AccountId>,
    told_read: BTreeMap<ConversationId, Seq>,
}

impl App {
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            world: World::default(),
            now: Duration::ZERO,
            ready: false,
            form: None,
            open: None,
            view: View::default(),
            input: Input::default(),
            notice: None,
            panel: Vec::new(),
            timelines: BTreeMap::new(),
            drafts: BTreeMap::new(),
            desk: Desk::default(),
            commands: Vec::new(),
            is_focused: true,
            over: false,
            told_active: true,
            told_watched: Vec::new(),
            told_read: BTreeMap::new(),
        }
    }

    /// What the client is to do since this was last called.
    pub fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Whether the person has enough.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The entries of the open conversation.
    pub fn timeline(&self) -> Option<&Timeline> {
        self.timelines.get(&self.open?)
    }

    /// So much time has passed since the start of the client.
    pub fn tick(&mut self, now: Duration) {
        self.now = now;
    }

    /// The terminal is looked at, or not.
    pub fn focus(&mut self, focused: bool) {
        self.is_focused = focused;
        self.settle();
    }

    /// Something happened.
    pub fn event(&mut self, event: Event) {
        self.world.take(&event);
        match &event {
            Event::Connection(_) => {
                // The first one comes behind everything that was stored.
                if !std::mem::replace(&mut self.ready, true) && self.world.me.is_none() {
                    self.form = Some(Form::new(Mode::Register, &self.setup.handle));
                }
                self.timelines.values_mut().for_each(Timeline::try_again);
            }
            Event::LoggedIn(_) => self.form = None,
            Event::LoggedOut { reason } => self.logged_out(reason),
            Event::Replaced => {
                let wrong = "this profile has connected from a copy elsewhere: /online takes the connection back";
                self.notice = Some(Notice::Wrong(wrong.into()));
            }
            Event::Suspended { reason } => {
                let wrong = format!("{} (/online asks again)", text::line(reason));
                self.notice = Some(Notice::Wrong(wrong));
            }
            Event::Entry(entry) => {
                if let Some(timeline) = self.timelines.get_mut(&entry.conversation) {
                    timeline.add(entry.clone());
                }
            }
            Event::History { conversation, entries, more, .. } => {
                self.timelines.entry(*conversation).or_default().add_older(entries, *more);
            }
            Event::Answer { tag, result: Err(error) } => {
                if let Some(form) = &mut self.form {
                    form.failed(*tag, &error.message);
                }
            }
            _ => {}
        }
        if let Some(finished) = self.desk.take(&event, &self.world, &mut self.commands) {
            self.finished(finished);
        }
        self.settle();
    }

    fn logged_out(&mut self, reason: &str) {
        let handle = self.world.me.as_ref().map_or(&self.setup.handle, |me| &me.handle);
        let mut form = Form::new(Mode::LogIn, handle);
        form.message = Some(text::line(reason));
        self.form = Some(form);
    }

    /// Starts an act of the person.
    fn act(&mut self, act: Act) {
        if let Some(finished) = self.desk.begin(act, (), &self.world, &mut self.commands) {
            self.finished(finished);
        }
    }

    fn finished(&mut self, finished: Finished<()>) {
        match finished.result {
            Ok(Outcome::Answer(answer)) => self.answered(&finished.act, &answer),
            Ok(Outcome::Told) if finished.act == Act::LogOut => {
                let connection = self.world.connection;
                self.world = World { connection, ..World::default() };
                (self.open, self.input, self.view) = (None, Input::default(), View::default());
                (self.panel, self.notice) = (Vec::new(), None);
                self.timelines.clear();
                self.drafts.clear();
                self.told_read.clear();
                self.told_watched.clear();
            }
            Ok(Outcome::Told | Outcome::Composed(..)) => {}
            Err(error) => self.failed(finished.act, &error),
        }
    }

    fn answered(&mut self, act: &Act, answer: &server_frame::Event) {
        use server_frame::Event as Answer;
        let opens = match (act, answer) {
            (Act::Open(_), Answer::Conversation(conversation)) => Some(&conversation.conversation),
            (Act::CreateGroup { .. } | Act::Join { .. }, Answer::ChangeAccepted(accepted)) => {
                Some(&accepted.conversation)
            }
            _ => None,
        };
        if let Some(Ok(id)) = opens.map(|bytes| ConversationId::from_slice(bytes)) {
            self.open(id);
        }
        let lines = words::answer(&self.world, act, answer, &self.setup.zone);
        match <[String; 1]>::try_from(lines) {
            Ok([line]) => self.notice = Some(Notice::Done(line)),
            Err(lines) => self.panel = lines,
        }
    }

    fn failed(&mut self, act: Act, error: &ProtocolError) {
        self.notice = Some(Notice::Wrong(text::line(&error.message)));
        // What could not be queued is still there to be sent.
        if let Act::Send { text, .. } = act
            && self.input.value().is_empty()
        {
            self.input = Input::new(text);
        }
    }

    /// Shows a conversation on the right.
    fn open(&mut self, id: ConversationId) {
        if self.open == Some(id) {
            return;
        }
        self.stop_typing();
        let draft = self.drafts.remove(&id).unwrap_or_default();
        let left = std::mem::replace(&mut self.input, draft);
        if let Some(before) = self.open.replace(id)
            && !left.value().is_empty()
        {
            self.drafts.insert(before, left);
        }
        (self.view, self.notice, self.panel) = (View::default(), None, Vec::new());
        if let Entry::Vacant(timeline) = self.timelines.entry(id) {
            timeline.insert(Timeline::loading());
            self.commands.push(Command::History { conversation: id, before: None, limit: PAGE_ENTRIES });
        }
        self.commands.push(Command::Refresh(id));
        self.settle();
    }

    fn stop_typing(&mut self) {
        if let Some(conversation) = self.open.filter(|_| !self.input.value().is_empty()) {
            self.commands.push(Command::Typing { conversation, typing: false });
        }
    }

    /// The conversations in the order of the list: pinned ones first, put away ones last, else by what happened last. A
    /// direct chat in which nothing was ever said shows only while it is open.
    pub fn order(&self) -> Vec<ConversationId> {
        let composed = |id| self.world.outgoing(id).last().map_or(0, |outgoing| outgoing.composed_us);
        let mut order = Vec::new();
        for summary in self.world.conversations.values() {
            let (row, composed) = (&summary.row, composed(summary.row.id));
            let is_empty = row.kind != ConversationKind::Group && summary.last.is_none() && composed == 0;
            if !is_empty || self.open == Some(row.id) {
                order.push(((!row.pinned, row.archived, u64::MAX - row.activity_us.max(composed)), row.id));
            }
        }
        order.sort_unstable();
        order.into_iter().map(|(_, id)| id).collect()
    }

    /// The screen was drawn: how many lines there are above the ones on it, if the beginning came into sight.
    pub fn drawn(&mut self, scroll_max: Option<usize>) {
        let Some(scroll_max) = scroll_max else { return };
        self.view.clamp(scroll_max);
        let Some(conversation) = self.open else { return };
        if let Some(before) = self.timelines.get_mut(&conversation).and_then(Timeline::want_older) {
            self.commands.push(Command::History { conversation, before: Some(before), limit: PAGE_ENTRIES });
        }
    }

    /// Tells the client what follows from what is on the screen: who looks, what was seen, whose presence is shown.
    fn settle(&mut self) {
        if self.told_active != self.is_focused {
            self.told_active = self.is_focused;
            self.commands.push(Command::SetActive(self.is_focused));
        }
        if !self.world.is_logged_in() {
            return;
        }
        if let Some(conversation) = self.open
            && self.is_focused
            && self.view.is_at_end()
            && let Some(newest) = self.timeline().and_then(Timeline::newest)
        {
            let read = self.world.conversations.get(&conversation).map_or(Seq::ZERO, |summary| summary.row.read);
            let told = self.told_read.get(&conversation).copied().unwrap_or(Seq::ZERO);
            if newest > read.max(told) {
                self.told_read.insert(conversation, newest);
                self.commands.push(Command::Read { conversation, seq: newest });
            }
        }
        let watched = self.watched();
        if watched != self.told_watched {
            self.told_watched.clone_from(&watched);
            self.commands.push(Command::Watch(watched));
        }
    }

    /// The people in direct chats: the open one, and as many more as may be watched.
    fn watched(&self) -> Vec<AccountId> {
        let peer = |id: &ConversationId| self.world.conversations.get(id)?.row.peer;
        let mut watched: Vec<AccountId> = Vec::new();
        for account in self.open.iter().chain(&self.order()).filter_map(peer) {
            if watched.len() < WATCHED_MAX && !watched.contains(&account) {
                watched.push(account);
            }
        }
        // Their order changes with every message, and is nothing to tell.
        watched.sort_unstable();
        watched
    }

    fn show_help(&mut self) {
        let line = |(command, what): &(&str, &str)| format!("{command:<36} {what}");
        self.panel = std::iter::once("Commands".to_owned()).chain(HELP.iter().map(line)).collect();
    }
}
