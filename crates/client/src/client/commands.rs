//! What a person wants, and what leaves for the server because of it.

use super::{Client, Step, offline};
use crate::conversation::Conversation;
use crate::limits::{OUTBOX_PER_CONVERSATION_MAX, REQUESTS_MAX};
use crate::link::{Credentials, Phase};
use crate::outbox::Attempt;
use crate::people::Question;
use crate::requests::Purpose;
use crate::{Change, Command, Content, Event, Output, Recipient};
use hudhud_proto::limits::{CONTENT_TYPE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use hudhud_proto::v1::{self, ErrorCode, client_frame};
use hudhud_proto::{ConversationId, MessageId, ProtocolError, Seq};

impl Client {
    pub(super) fn command(&mut self, command: Command, step: &mut Step) {
        let now = step.now.monotonic;
        match command {
            Command::Authenticate { .. } => self.want_authentication(&command, step),
            Command::LogOut { tag } if self.link.is_online() => {
                self.request(Purpose::LogOut { tag }, v1::LogOut::default(), step);
            }
            Command::LogOut { tag } => step.answer(tag, offline()),
            Command::Send { tag, to, content } => {
                if let Err(error) = self.compose(tag, to, content, step) {
                    step.answer(tag, error);
                }
            }
            Command::Retry { conversation, message } => self.retry(conversation, message, step),
            Command::Discard { conversation, message } => {
                if self.outbox.discard(conversation, message) {
                    step.change(Change::RemoveOutgoing(message));
                    step.event(Event::OutgoingGone { conversation, message });
                }
            }
            Command::Read { conversation, seq } => self.read(conversation, seq, step),
            Command::Typing { conversation, typing } => {
                if self.link.is_online() && self.signals.type_in(conversation, typing, now) {
                    let conversation = conversation.to_bytes();
                    self.request(Purpose::Nothing, v1::Typing { conversation, typing }, step);
                }
            }
            Command::Watch(accounts) => self.signals.watch(accounts, now),
            Command::SetActive(active) => {
                if std::mem::replace(&mut self.link.active, active) != active && self.link.is_online() {
                    self.request(Purpose::Nothing, v1::SetActive { active }, step);
                }
            }
            Command::History { conversation, before, limit } => self.history(conversation, before, limit, step),
            Command::Refresh(conversation) => {
                self.questions.want(Question::Conversation(conversation));
                self.questions.want(Question::Receipts(conversation));
            }
            Command::Request { tag, command } => self.pass_on(tag, command, step),
            Command::GoOnline => {
                if self.account.as_ref().is_some_and(|account| account.token.is_some()) {
                    self.link.want(now);
                }
            }
            Command::GoOffline => self.close(step),
        }
    }

    fn want_authentication(&mut self, command: &Command, step: &mut Step) {
        let Some(credentials) = Credentials::of(command) else { return };
        let says_who = matches!(
            credentials.command,
            client_frame::Command::Register(_) | client_frame::Command::LogIn(_) | client_frame::Command::LogInJwt(_)
        );
        if !says_who {
            let error = ProtocolError::invalid("only Register, LogIn and LogInJwt say who somebody is");
            return step.answer(credentials.tag, error);
        }
        if self.account.as_ref().is_some_and(|account| account.token.is_some()) {
            let error = ProtocolError::invalid("somebody is logged in on this device: log out first");
            return step.answer(credentials.tag, error);
        }
        if let Some(replaced) = self.link.credentials.replace(credentials) {
            step.answer(replaced.tag, ProtocolError::invalid("given up for another attempt to log in"));
        }
        match self.link.phase() {
            Phase::Anonymous => self.authenticate(step),
            _ => self.link.want(step.now.monotonic),
        }
    }

    /// Takes a message into the outbox. It is persisted with this step, before it is sent.
    fn compose(&mut self, tag: u64, to: Recipient, content: Content, step: &mut Step) -> Result<(), ProtocolError> {
        let refuse = |code, message: &str| Err(ProtocolError::new(code, message));
        let Some(me) = self.me() else {
            return refuse(ErrorCode::Unauthenticated, "log in first: a message needs a sender");
        };
        if content.payload.len() > PAYLOAD_BYTES_MAX || content.content_type.len() > CONTENT_TYPE_BYTES_MAX {
            let message = format!("a message has at most {PAYLOAD_BYTES_MAX} bytes");
            return refuse(ErrorCode::Limit, &message);
        }
        let id = match to {
            Recipient::Conversation(id) if self.conversations.contains_key(&id) => id,
            Recipient::Conversation(_) => {
                return refuse(ErrorCode::NotFound, "this device knows no such conversation: connect, then try again");
            }
            Recipient::Account(account) => {
                let id = ConversationId::direct(me, account);
                let row = self.conversation(id).row_mut();
                if row.peer.is_none() {
                    (row.kind, row.peer) = (v1::ConversationKind::Direct, Some(account));
                    step.touched.insert(id);
                }
                self.meet(account, None);
                id
            }
        };
        if self.outbox.len(id) >= OUTBOX_PER_CONVERSATION_MAX {
            return refuse(ErrorCode::Limit, "too many messages wait for this conversation: connect first");
        }
        let message = self.next_id(step);
        let outgoing = self.outbox.compose(id, message, content, self.clock.now_us(step.now));
        self.signals.sent(id);
        self.save_progress(step);
        step.change(Change::PutOutgoing(outgoing.clone()));
        step.event(Event::Outgoing(outgoing));
        step.event(Event::Composed { tag, conversation: id, message });
        Ok(())
    }

    fn retry(&mut self, conversation: ConversationId, message: MessageId, step: &mut Step) {
        let fresh = self.next_id(step);
        let Some(outgoing) = self.outbox.retry(conversation, message, fresh) else { return };
        self.save_progress(step);
        if outgoing.message != message {
            step.change(Change::RemoveOutgoing(message));
            step.event(Event::OutgoingGone { conversation, message });
        }
        step.change(Change::PutOutgoing(outgoing.clone()));
        step.event(Event::Outgoing(outgoing));
    }

    fn read(&mut self, id: ConversationId, seq: Seq, step: &mut Step) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.mark_read(seq.min(conversation.row().cursor)) {
            step.touched.insert(id);
            self.receipts.owe(conversation.row(), step.now.monotonic);
        }
    }

    fn pass_on(&mut self, tag: u64, mut command: client_frame::Command, step: &mut Step) {
        use client_frame::Command as Wire;
        let message_id = match &mut command {
            Wire::CreateGroup(m) => Some(&mut m.message_id),
            Wire::UpdateGroup(m) => Some(&mut m.message_id),
            Wire::AddMembers(m) => Some(&mut m.message_id),
            Wire::RemoveMember(m) => Some(&mut m.message_id),
            Wire::LeaveGroup(m) => Some(&mut m.message_id),
            Wire::SetRole(m) => Some(&mut m.message_id),
            Wire::JoinByInvite(m) => Some(&mut m.message_id),
            Wire::Hello(_) | Wire::Pong(_) | Wire::Send(_) | Wire::LogOut(_) | Wire::Received(_) | Wire::Read(_) => {
                let error = ProtocolError::invalid("the client gives this command by itself: use its own");
                return step.answer(tag, error);
            }
            _ => None,
        };
        if let Some(id) = message_id.filter(|id| id.is_empty()) {
            let now_ms = self.clock.now_us(step.now) / 1_000;
            *id = self.ids.next(now_ms, &mut self.entropy).to_bytes();
        }
        if !self.link.is_online() {
            return step.answer(tag, offline());
        }
        if self.requests.of_people() >= REQUESTS_MAX {
            let error = ProtocolError::new(ErrorCode::Limit, "too many commands wait for an answer: wait for some");
            return step.answer(tag, error);
        }
        self.request(Purpose::Person { tag }, command, step);
    }

    pub(super) fn pump_outbox(&mut self, step: &mut Step) {
        let Self { outbox, requests, conversations, .. } = self;
        let now = step.now.monotonic;
        outbox.pump(now, |outgoing, attempt| {
            let (conversation, message) = (outgoing.conversation, outgoing.message);
            let peer = conversations.get(&conversation).and_then(|c| c.row().peer);
            let send = v1::Send {
                // The server may not know a direct chat yet: its first message makes it.
                conversation: peer.map_or_else(|| conversation.to_bytes(), |_| Default::default()),
                direct_with: peer.map_or_else(Default::default, |peer| peer.to_bytes()),
                message_id: message.to_bytes(),
                resend: attempt == Attempt::Again,
                content: outgoing.content.to_wire().into(),
            };
            let frame = requests.open(Purpose::Send { conversation, message }, send.into(), now);
            let request = frame.request;
            // Flow 01: the message is durable in the outbox; its request leaves for the load balancer.
            step.outputs.push(Output::Send(frame));
            request
        });
    }

    pub(super) fn pump_receipts(&mut self, step: &mut Step) {
        let conversations = &self.conversations;
        let row = |id| conversations.get(&id).map(Conversation::row);
        for (id, kind, seq) in self.receipts.take(step.now.monotonic, row) {
            let (purpose, conversation) = (Purpose::Receipt { conversation: id, kind, seq }, id.to_bytes());
            if kind == v1::ReceiptKind::Read {
                // Flow 14: a person has seen everything up to this seq.
                self.request(purpose, v1::Read { conversation, seq: seq.0 }, step);
            } else {
                // Flow 08: everything up to this seq is durable on this device.
                self.request(purpose, v1::Received { conversation, seq: seq.0 }, step);
            }
        }
    }

    pub(super) fn pump_questions(&mut self, step: &mut Step) {
        while let Some(question) = self.questions.next(step.now.monotonic) {
            let command = match question {
                Question::Conversation(id) => {
                    client_frame::Command::from(v1::GetConversation { conversation: id.to_bytes() })
                }
                Question::Receipts(id) => v1::ListReceipts { conversation: id.to_bytes() }.into(),
                Question::Person(account, shared) => {
                    let conversation = shared.map(ConversationId::to_bytes).unwrap_or_default();
                    v1::GetProfile { account: account.to_bytes(), conversation }.into()
                }
            };
            self.request(Purpose::Question(question), command, step);
        }
    }

    pub(super) fn pump_watch(&mut self, step: &mut Step) {
        if let Some(watched) = self.signals.take_watch(step.now.monotonic) {
            let accounts = watched.iter().map(|account| account.to_bytes()).collect();
            self.request(Purpose::Watch, v1::WatchPresence { accounts }, step);
        }
    }
}
