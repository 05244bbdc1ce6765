//! The state of the line mode: takes lines and events, gives lines and commands. No I/O.

use super::{answers, describe, parse};
use crate::act::{Desk, Finished, Outcome};
use crate::world::{Tick, World, tick_of_outgoing};
use hudhud_client::{Body, Command, Connection, Entry, Event, OutgoingState};
use hudhud_proto::v1::ErrorCode;
use hudhud_proto::{AccountId, ConversationId, MessageId, ProtocolError, Seq};
use parse::{Local, Request};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// An entry waits so long for the name of whoever is in it.
const NAME_WAIT: Duration = Duration::from_secs(2);
/// Messages of one's own, in one conversation, whose further ticks are told.
const TICKING_MAX: usize = 1_000;

/// What a line wants its answer to carry.
#[derive(Debug)]
pub struct Ticket {
    /// The line's `do`.
    does: String,
    /// The line's `id`.
    id: Option<Value>,
}

#[derive(Debug)]
pub struct Mode {
    profile: String,
    server: String,
    world: World,
    now: Duration,
    ready: bool,
    over: bool,
    /// Something was asked to be closed: nothing is waited for.
    offline: bool,
    desk: Desk<Ticket>,
    /// A question who somebody is.
    authentication: Option<(u64, Ticket)>,
    lines: Vec<Value>,
    commands: Vec<Command>,
    /// Entries that wait for names, and the entries behind them.
    held: VecDeque<(Duration, Entry)>,
    /// Of one's own messages: how far they are, until they are read.
    ticking: BTreeMap<ConversationId, BTreeMap<Seq, (MessageId, Tick)>>,
    accepted: BTreeSet<MessageId>,
    /// As they were described last.
    described: BTreeMap<ConversationId, Value>,
    /// Messages of this run that were refused.
    refused: BTreeSet<MessageId>,
}

impl Mode {
    pub fn new(profile: &str, server: &str) -> Self {
        Self {
            profile: profile.into(),
            server: server.into(),
            world: World::default(),
            now: Duration::ZERO,
            ready: false,
            over: false,
            offline: false,
            desk: Desk::default(),
            authentication: None,
            lines: Vec::new(),
            commands: Vec::new(),
            held: VecDeque::new(),
            ticking: BTreeMap::new(),
            accepted: BTreeSet::new(),
            described: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    /// What was printed is taken.
    pub fn take_lines(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.lines)
    }

    /// What is given to the client is taken.
    pub fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Whether a line may come: not before what was stored is here, and not while it is about to be known whether there is a
    /// session, so that a script need not wait for one by itself.
    pub fn takes_lines(&self) -> bool {
        let may_connect = match self.world.connection {
            // A connection without a session stays like this after a wrong password.
            Connection::Connecting => self.world.is_logged_in() || self.authentication.is_some(),
            Connection::Offline { failures, .. } => failures == 0 && self.authentication.is_some(),
            Connection::CatchingUp | Connection::Online => self.authentication.is_some(),
        };
        self.ready && !may_connect
    }

    /// Whether a line said `quit`.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether nothing more is to be expected: everything is sent, answered and, with a connection, fetched.
    pub fn is_done(&self) -> bool {
        let outbox = self.world.outbox.values();
        let settled = outbox.clone().all(|outgoing| matches!(outgoing.state, OutgoingState::Refused { .. }));
        let caught_up = !self.world.is_logged_in() || self.world.connection == Connection::Online;
        let answered = self.desk.is_idle() && self.authentication.is_none() && self.held.is_empty();
        answered && (self.offline || (settled && caught_up))
    }

    /// Whether something that was asked for has not left this device, or was refused in this run.
    pub fn is_unsent(&self) -> bool {
        let pending = !self.desk.is_idle() || self.authentication.is_some();
        pending || self.world.waiting() > 0 || !self.refused.is_empty()
    }

    /// So much time has passed since the start.
    pub fn tick(&mut self, now: Duration) {
        self.now = now;
        self.release();
    }

    /// A line came.
    pub fn line(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        match parse::parse(line) {
            Ok((request, does, id)) => self.request(request, Ticket { does, id }),
            Err((message, id)) => {
                let ticket = Ticket { does: String::new(), id };
                self.error(&ticket, &ProtocolError::invalid(message));
            }
        }
    }

    fn request(&mut self, request: Request, ticket: Ticket) {
        match request {
            Request::Act(act) => {
                match act {
                    crate::act::Act::Offline => self.offline = true,
                    crate::act::Act::Online => self.offline = false,
                    _ => {}
                }
                let finished = self.desk.begin(act, ticket, &self.world, &mut self.commands);
                finished.into_iter().for_each(|finished| self.finished(finished));
            }
            Request::Authenticate(command) => {
                let tag = self.desk.tag();
                self.commands.push(Command::Authenticate { tag, command });
                if let Some((_, replaced)) = self.authentication.replace((tag, ticket)) {
                    self.error(&replaced, &ProtocolError::invalid("given up for another attempt to log in"));
                }
            }
            Request::Local(Local::Conversations) => {
                let all = self.world.conversations.values();
                let all: Vec<_> = all.map(|summary| describe::summary(&self.world, summary)).collect();
                self.answer(&ticket, json!({ "conversations": all }));
            }
            Request::Local(Local::Outbox) => {
                let mut all: Vec<_> = self.world.outbox.values().collect();
                all.sort_by_key(|outgoing| outgoing.number);
                let all: Vec<_> = all.into_iter().map(describe::outgoing).collect();
                self.answer(&ticket, json!({ "outbox": all }));
            }
            Request::Local(Local::Quit) => self.over = true,
        }
    }

    fn finished(&mut self, finished: Finished<Ticket>) {
        match finished.result {
            Ok(Outcome::Composed(conversation, message)) => {
                let ids = json!({ "conversation": conversation.to_string(), "message": message.to_string() });
                self.answer(&finished.ticket, ids);
            }
            Ok(Outcome::Answer(answer)) => {
                let answer = answers::answer(&self.world, &answer);
                self.answer(&finished.ticket, answer);
            }
            Ok(Outcome::Told) => {
                if finished.act == crate::act::Act::LogOut {
                    let connection = self.world.connection;
                    self.world = World { connection, ..World::default() };
                    self.described.clear();
                    self.ticking.clear();
                }
                self.answer(&finished.ticket, json!({}));
            }
            Err(error) => self.error(&finished.ticket, &error),
        }
    }

    fn answer(&mut self, ticket: &Ticket, mut answer: Value) {
        let known = [("event", json!("answer")), ("do", json!(ticket.does)), ("id", json!(ticket.id))];
        if let Value::Object(fields) = &mut answer {
            fields.extend(known.into_iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.to_owned(), v)));
        }
        self.lines.push(answer);
    }

    fn error(&mut self, ticket: &Ticket, error: &ProtocolError) {
        let mut line = describe::error(error);
        line["event"] = json!("error");
        if !ticket.does.is_empty() {
            line["do"] = json!(ticket.does);
        }
        if let Some(id) = &ticket.id {
            line["id"] = id.clone();
        }
        self.lines.push(line);
    }

    /// Something happened.
    pub fn event(&mut self, event: Event) {
        self.world.take(&event);
        if let Some(finished) = self.desk.take(&event, &self.world, &mut self.commands) {
            self.finished(finished);
        }
        match event {
            Event::Connection(connection) => self.connection(connection),
            Event::Conversation(summary) => {
                let described = describe::conversation(&self.world, &summary.row);
                if self.described.get(&summary.row.id) != Some(&described) {
                    self.described.insert(summary.row.id, described.clone());
                    self.lines.push(described);
                }
            }
            Event::Entry(entry) => {
                self.held.push_back((self.now + NAME_WAIT, entry));
                self.release();
            }
            Event::Person(_) => self.release(),
            Event::History { conversation, before, entries, more } => {
                let entries: Vec<_> = entries.iter().map(|entry| describe::entry(&self.world, entry)).collect();
                let mut line = json!({ "event": "history", "conversation": conversation.to_string(),
                    "entries": entries, "more": more });
                if before < Seq(u64::MAX) {
                    line["before"] = json!(before.0);
                }
                self.lines.push(line);
            }
            Event::Outgoing(outgoing) => {
                let tick = tick_of_outgoing(&outgoing);
                if tick == Tick::Refused {
                    if self.ready {
                        self.refused.insert(outgoing.message);
                    }
                } else {
                    self.refused.remove(&outgoing.message);
                }
                if tick != Tick::Accepted || self.accepted.insert(outgoing.message) {
                    let mut line = describe::tick(outgoing.conversation, outgoing.message, None, tick);
                    if let OutgoingState::Refused { code, reason } = &outgoing.state {
                        let error = describe::error(&ProtocolError::new(*code, reason.clone()));
                        (line["code"], line["reason"]) = (error["code"].clone(), json!(reason));
                    }
                    self.lines.push(line);
                }
            }
            Event::OutgoingGone { message, .. } => drop(self.refused.remove(&message)),
            Event::Receipt { conversation, kind, seq } => {
                self.lines.push(describe::receipt(conversation, kind, seq));
                self.raise_ticks(conversation);
            }
            Event::Answer { tag, result } => self.authenticated(tag, result.err()),
            other => self.lines.extend(describe::event(&self.world, &other)),
        }
    }

    fn connection(&mut self, connection: Connection) {
        let now = self.now;
        self.lines.push(describe::connection(connection, now));
        // The first one comes behind everything that was stored.
        if !std::mem::replace(&mut self.ready, true) {
            let handle = self.world.me.as_ref().filter(|_| self.world.is_logged_in()).map(|me| &me.handle);
            let line = json!({ "event": "ready", "profile": self.profile, "server": self.server, "handle": handle });
            self.lines.push(line);
        }
    }

    fn authenticated(&mut self, tag: u64, error: Option<ProtocolError>) {
        let Some((_, ticket)) = self.authentication.take_if(|(asked, _)| *asked == tag) else { return };
        match error {
            None => {
                let me = self.world.me.as_ref().map(describe::account).unwrap_or_default();
                self.answer(&ticket, me);
            }
            Some(error) => self.error(&ticket, &error),
        }
    }

    /// Tells the entries whose people are known, or that have waited long enough; in their order.
    fn release(&mut self) {
        while let Some((until, entry)) = self.held.front() {
            let is_known = |account: &AccountId| self.world.handle_of(*account).is_some();
            if *until > self.now && !describe::people(entry).iter().all(is_known) {
                return;
            }
            if let Some((_, entry)) = self.held.pop_front() {
                self.tell(&entry);
            }
        }
    }

    fn tell(&mut self, entry: &Entry) {
        self.lines.push(describe::entry(&self.world, entry));
        if !self.world.is_me(entry.sender) || !matches!(entry.body, Body::Content(_)) {
            return;
        }
        let (conversation, message) = (entry.conversation, entry.message);
        if !self.accepted.remove(&message) {
            self.lines.push(describe::tick(conversation, message, Some(entry.seq), Tick::Accepted));
        }
        let ticking = self.ticking.entry(conversation).or_default();
        ticking.insert(entry.seq, (message, Tick::Accepted));
        if ticking.len() > TICKING_MAX {
            ticking.pop_first();
        }
        self.raise_ticks(conversation);
    }

    /// Tells the messages that are further than was told.
    fn raise_ticks(&mut self, conversation: ConversationId) {
        let Some(row) = self.world.conversations.get(&conversation).map(|summary| &summary.row) else { return };
        let Some(ticking) = self.ticking.get_mut(&conversation) else { return };
        for (seq, (message, told)) in ticking.iter_mut() {
            let reached = if *seq <= row.others_read {
                Tick::Read
            } else if *seq <= row.others_received {
                Tick::Delivered
            } else {
                break;
            };
            // Whoever has read it has received it: no tick is left out.
            for tick in [Tick::Delivered, Tick::Read] {
                if *told < tick && tick <= reached {
                    self.lines.push(describe::tick(conversation, *message, Some(*seq), tick));
                    *told = tick;
                }
            }
        }
        ticking.retain(|_, (_, told)| *told < Tick::Read);
    }
}

/// The code of an error in a script's spelling: `NOT_FOUND`.
pub fn code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Unspecified => "UNSPECIFIED",
        ErrorCode::Invalid => "INVALID",
        ErrorCode::Unauthenticated => "UNAUTHENTICATED",
        ErrorCode::Forbidden => "FORBIDDEN",
        ErrorCode::NotFound => "NOT_FOUND",
        ErrorCode::Conflict => "CONFLICT",
        ErrorCode::Limit => "LIMIT",
        ErrorCode::RateLimited => "RATE_LIMITED",
        ErrorCode::Unavailable => "UNAVAILABLE",
        ErrorCode::GoBack => "GO_BACK",
        ErrorCode::RecipientUnavailable => "RECIPIENT_UNAVAILABLE",
        ErrorCode::RegistrationClosed => "REGISTRATION_CLOSED",
        ErrorCode::Internal => "INTERNAL",
        ErrorCode::BlockedByYou => "BLOCKED_BY_YOU",
        ErrorCode::Full => "FULL",
        ErrorCode::Suspended => "SUSPENDED",
    }
}
