//! A connection's life: made, authenticated, welcomed, lost.

use super::{Client, Step, offline};
use crate::limits::{RECEIPTS_ASKED_MAX, RECONNECT_MAX};
use crate::people::Question;
use crate::requests::Purpose;
use crate::{Account, Change, Closed, Event, Output, Token};
use bytes::Bytes;
use hudhud_proto::v1::{self, ErrorCode};
use hudhud_proto::{AccountId, DeviceId, IdError, ProtocolError, Seq};
use std::time::Duration;

impl Client {
    /// Tells what the storage gave back, and connects.
    pub(super) fn start(&mut self, step: &mut Step) {
        let Some(account) = self.account.clone() else { return };
        let logged_in = account.token.is_some();
        step.event(Event::LoggedIn(account));
        self.people.values().for_each(|person| step.event(Event::Person(person.clone())));
        for conversation in self.conversations.values() {
            step.event(Event::Conversation(Box::new(conversation.summary())));
        }
        self.outbox.iter().for_each(|outgoing| step.event(Event::Outgoing(outgoing.clone())));
        if logged_in {
            self.link.want(step.now.monotonic);
        } else {
            step.event(Event::LoggedOut { reason: "this device was logged out: log in again".into() });
        }
    }

    /// The socket is open: whoever wants to log in goes first, then the session.
    pub(super) fn connected(&mut self, step: &mut Step) {
        self.link.connected(step.now.monotonic);
        if self.link.credentials.is_some() {
            self.authenticate(step);
        } else {
            self.greet(step);
        }
    }

    /// Says the credentials that wait, on the open connection.
    pub(super) fn authenticate(&mut self, step: &mut Step) {
        if let Some(credentials) = self.link.credentials.take() {
            self.request(Purpose::Authenticate { tag: credentials.tag }, credentials.command, step);
        }
    }

    fn greet(&mut self, step: &mut Step) {
        match self.account.as_ref().and_then(|account| account.token.clone()) {
            Some(token) => {
                let (token, client) = (token.reveal().to_owned(), self.name.clone());
                self.connection_number = self.connection_number.saturating_add(1);
                // Stored before it is said: no number is ever said twice.
                self.save_progress(step);
                let connection_number = self.connection_number;
                let hello = v1::Hello { token, client, active: self.link.active, connection_number };
                self.link.greeted(step.now.monotonic);
                self.request(Purpose::Hello, hello, step);
            }
            None => self.close(step),
        }
    }

    /// A new device of this account.
    pub(super) fn logged_in(&mut self, tag: u64, answer: v1::LoggedIn, step: &mut Step) {
        let account = match account_of(&answer) {
            Ok(account) => account,
            Err(error) => return step.answer(tag, error.into()),
        };
        if self.me().is_some_and(|me| me != account.account) {
            self.forget(step);
        }
        // To the server this device is new: it knows nothing of what is stored here.
        self.changes_cursor = Bytes::new();
        for conversation in self.conversations.values_mut() {
            conversation.row_mut().received_told = Seq::ZERO;
            step.touched.insert(conversation.row().id);
        }
        self.account = Some(account.clone());
        step.change(Change::SaveAccount(account.clone()));
        self.save_progress(step);
        step.event(Event::LoggedIn(account));
        step.event(Event::Answer { tag, result: Ok(v1::server_frame::Event::LoggedIn(answer)) });
        self.greet(step);
    }

    /// The session is open. What came before it is in the inbox, what comes now is pushed.
    pub(super) fn welcomed(&mut self, welcome: &v1::Welcome, step: &mut Step) {
        let now = step.now.monotonic;
        self.link.welcomed(Duration::from_millis(welcome.ping_interval_ms.into()));
        self.clock.seen(welcome.server_time_us, step.now);
        self.save_progress(step);
        self.outbox.connected(now);
        self.signals.connected(now);
        self.sync.connected(now);
        self.ask_receipts = Some((now, RECEIPTS_ASKED_MAX));
        self.look_again();
        for (id, conversation) in &self.conversations {
            if conversation.row().kind == v1::ConversationKind::Unspecified {
                self.questions.want(Question::Conversation(*id));
            }
            self.receipts.owe(conversation.row(), now);
        }
    }

    /// Fetches again what the server is said to have and did not have when it was asked.
    pub(super) fn look_again(&mut self) {
        for (id, conversation) in &mut self.conversations {
            conversation.unsettle();
            if conversation.is_behind() {
                self.sync.behind(*id);
            }
        }
    }

    /// The server does not open a session.
    pub(super) fn not_welcomed(&mut self, error: &ProtocolError, step: &mut Step) {
        if error.code == ErrorCode::Unauthenticated {
            return self.logged_out(&error.message, step);
        }
        if error.code == ErrorCode::Suspended {
            return self.suspended(&error.message, step);
        }
        // A profile that was brought back from a copy counts on from where the server is.
        self.connection_number = self.connection_number.max(error.connection_number);
        step.outputs.push(Output::Disconnect);
        // However long the server says, somebody who waits at the screen is not kept waiting for hours.
        let told = Duration::from_millis(error.retry_after_ms.into()).min(RECONNECT_MAX * 10);
        self.lost(Some(told), step);
    }

    pub(super) fn disconnected(&mut self, closed: Closed, step: &mut Step) {
        if !self.link.is_up() {
            return;
        }
        if closed.code == Some(Closed::UNAUTHENTICATED) {
            return self.logged_out("the server takes this device's token no more: log in again", step);
        }
        if closed.code == Some(Closed::SUSPENDED) {
            return self.suspended(&closed.reason, step);
        }
        if closed.code == Some(Closed::REPLACED) {
            self.link.stop();
            self.reset_session(step);
            return step.event(Event::Replaced);
        }
        if let Some(credentials) = self.link.credentials.take() {
            let why = if closed.reason.is_empty() { "the connection was closed" } else { closed.reason.as_str() };
            let message = format!("could not reach the server: {why}");
            step.answer(credentials.tag, ProtocolError::new(ErrorCode::Unavailable, message));
        }
        self.lost(None, step);
    }

    /// There is no connection any more; another one is made after a while if somebody is logged in.
    pub(super) fn lost(&mut self, told: Option<Duration>, step: &mut Step) {
        let wanted = self.account.as_ref().is_some_and(|account| account.token.is_some());
        self.link.lost(step.now.monotonic, wanted, told, &mut self.entropy);
        self.reset_session(step);
    }

    /// Closes the connection; none is made until somebody asks.
    pub(super) fn close(&mut self, step: &mut Step) {
        if self.link.stop() {
            step.outputs.push(Output::Disconnect);
        }
        self.reset_session(step);
    }

    /// Asking again is of no use for now. The token may be worth something later.
    fn suspended(&mut self, reason: &str, step: &mut Step) {
        self.close(step);
        step.event(Event::Suspended { reason: reason.into() });
    }

    /// The token is worth nothing any more. What is stored stays readable.
    fn logged_out(&mut self, reason: &str, step: &mut Step) {
        self.close(step);
        if let Some(account) = &mut self.account {
            account.token = None;
            step.change(Change::SaveAccount(account.clone()));
        }
        step.event(Event::LoggedOut { reason: reason.into() });
    }

    /// A person logged out here: everything goes.
    pub(super) fn log_out_done(&mut self, step: &mut Step) {
        self.close(step);
        self.forget(step);
        step.event(Event::LoggedOut { reason: "logged out".into() });
    }

    fn forget(&mut self, step: &mut Step) {
        self.account = None;
        self.changes_cursor = Bytes::new();
        self.conversations.clear();
        self.outbox = crate::outbox::Outbox::default();
        self.people.clear();
        self.questions = crate::people::Questions::default();
        self.unsaved.clear();
        step.touched.clear();
        step.changes.clear();
        step.change(Change::Clear);
    }

    /// Nothing of the connection remains: whoever waited for an answer is told.
    fn reset_session(&mut self, step: &mut Step) {
        for purpose in self.requests.abandon() {
            match purpose {
                Purpose::Person { tag } | Purpose::Authenticate { tag } | Purpose::LogOut { tag } => {
                    step.answer(tag, offline());
                }
                Purpose::History { conversation, before, .. } => {
                    step.event(Event::History { conversation, before, entries: Vec::new(), more: true });
                }
                _ => {}
            }
        }
        self.outbox.disconnected();
        self.sync.disconnected();
        self.receipts.disconnected();
        self.questions.disconnected();
        for (conversation, account) in self.signals.disconnected() {
            step.event(Event::Typing { conversation, account, typing: false });
        }
    }
}

fn account_of(answer: &v1::LoggedIn) -> Result<Account, IdError> {
    Ok(Account {
        account: AccountId::from_slice(&answer.account)?,
        device: DeviceId::from_slice(&answer.device)?,
        handle: answer.handle.clone(),
        token: Some(Token::new(answer.token.clone())),
    })
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
