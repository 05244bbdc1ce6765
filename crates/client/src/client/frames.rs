//! Frames from the server: pushes, and answers to what was asked.

use super::{Client, Step, offline};
use crate::limits::RECEIPTS_ASKED_AGAIN_MAX;
use crate::outbox::Failure;
use crate::people::Question;
use crate::requests::Purpose;
use crate::{Change, Event, Output, Person};
use hudhud_proto::v1::{self, ErrorCode, ServerFrame, server_frame};
use hudhud_proto::{AccountId, ConversationId, EnumValue, MessageId, ProtocolError, Seq};
use std::time::Duration;

/// How long a request of the client's own waits when the server fails it without saying how long.
const RETRY: Duration = Duration::from_secs(2);

impl Client {
    pub(super) fn frame(&mut self, frame: ServerFrame, step: &mut Step) {
        if !self.link.is_open() {
            return;
        }
        self.link.heard(step.now.monotonic);
        // What is not valid comes from a server that is broken or newer than this client; it changes nothing here.
        let Some(event) = frame.event else { return };
        let answer = match self.push(event, step) {
            None => return,
            Some(answer) => answer,
        };
        let purpose = self.requests.close(frame.request);
        match (purpose, answer) {
            (Some(purpose), server_frame::Event::Error(error)) => {
                self.failed(purpose, Some(frame.request), from_wire(&error), step);
            }
            (Some(purpose), answer) => self.answered(purpose, frame.request, answer, step),
            // Late, but still true.
            (None, server_frame::Event::Accepted(accepted)) => self.accepted(&accepted, step),
            (None, _) => {}
        }
    }

    /// Takes a push; gives anything else back.
    fn push(&mut self, event: server_frame::Event, step: &mut Step) -> Option<server_frame::Event> {
        let now = step.now.monotonic;
        match event {
            server_frame::Event::Entry(entry) => self.pushed_entry(entry, step),
            server_frame::Event::Receipt(receipt) => self.pushed_receipt(&receipt, step),
            server_frame::Event::Refused(refused) => self.pushed_refusal(&refused, step),
            server_frame::Event::TypingNotice(notice) => {
                if let (Ok(conversation), Ok(account)) =
                    (ConversationId::from_slice(&notice.conversation), AccountId::from_slice(&notice.account))
                    && self.signals.types(conversation, account, notice.typing, now)
                {
                    self.meet(account, Some(conversation));
                    step.event(Event::Typing { conversation, account, typing: notice.typing });
                }
            }
            server_frame::Event::Presence(presence) => show_presence(&presence, step),
            server_frame::Event::GoingAway(going) => {
                self.link.going_away(Duration::from_millis(going.reconnect_after_ms.into()), now);
            }
            server_frame::Event::Lagging(_) => {
                self.pushes_missed(now);
            }
            server_frame::Event::PreferencesChanged(changed) => {
                if let Ok(id) = ConversationId::from_slice(&changed.conversation) {
                    self.prefer(id, &changed.preferences, step);
                }
            }
            server_frame::Event::Ping(ping) if self.link.is_online() => {
                let inbox_version = self.inbox_version();
                self.request(Purpose::Nothing, v1::Pong { inbox_version }, step);
                if ping.inbox_version != inbox_version {
                    self.pushes_missed(now);
                }
            }
            other => return Some(other),
        }
        None
    }

    /// Pushes of entries are lost, and perhaps receipts with them.
    fn pushes_missed(&mut self, now: Duration) {
        // What is due already, after a connection, asks of more conversations.
        self.ask_receipts = self.ask_receipts.filter(|(at, _)| *at <= now).or(Some((now, RECEIPTS_ASKED_AGAIN_MAX)));
        self.sync.want_changes(now);
        // What the server did not have when it was asked for, after a crash, may have been among them.
        self.look_again();
    }

    /// An answer that is not an error.
    fn answered(&mut self, purpose: Purpose, request: u64, answer: server_frame::Event, step: &mut Step) {
        use server_frame::Event as Answer;
        match (purpose, answer) {
            (Purpose::Authenticate { tag }, Answer::LoggedIn(answer)) => self.logged_in(tag, answer, step),
            (Purpose::Hello, Answer::Welcome(welcome)) => self.welcomed(&welcome, step),
            (Purpose::Changes, Answer::ChangePage(page)) => self.changes(page, step),
            (Purpose::Fetch { conversation, start }, Answer::EntryPage(page)) => {
                self.fetched(conversation, start, page, step);
            }
            (Purpose::History { conversation, before, .. }, Answer::EntryPage(page)) => {
                self.older(conversation, before, page, step);
            }
            (Purpose::Send { .. }, Answer::Accepted(accepted)) => self.accepted(&accepted, step),
            (Purpose::Receipt { conversation, kind, seq }, Answer::Done(_)) => self.told(conversation, kind, seq, step),
            (Purpose::Question(question), answer) => {
                self.observe(&answer, step);
                if let (Question::Receipts(id), Answer::ReceiptList(list)) = (question, &answer) {
                    self.others_marked(id, v1::ReceiptKind::Received, Seq(list.received_by_all_seq), step);
                    self.others_marked(id, v1::ReceiptKind::Read, Seq(list.read_by_all_seq), step);
                }
                self.questions.answered(question);
            }
            (Purpose::Watch, Answer::PresenceList(list)) => {
                list.accounts.iter().for_each(|presence| show_presence(presence, step));
            }
            (Purpose::Person { tag }, answer) => {
                self.observe(&answer, step);
                step.event(Event::Answer { tag, result: Ok(answer) });
            }
            (Purpose::LogOut { .. }, _) => self.log_out_done(step),
            (Purpose::Nothing, _) => {}
            (purpose, _) => {
                let error = ProtocolError::new(ErrorCode::Internal, "the server gave an answer to another question");
                self.failed(purpose, Some(request), error, step);
            }
        }
    }

    /// A request that was answered with an error, or not in time (then there is no request to name).
    pub(super) fn failed(&mut self, purpose: Purpose, request: Option<u64>, error: ProtocolError, step: &mut Step) {
        let now = step.now.monotonic;
        let passes = error.retry_after_ms > 0 || matches!(error.code, ErrorCode::Unavailable | ErrorCode::Internal);
        let again = now + Duration::from_millis(error.retry_after_ms.into()).max(RETRY);
        match purpose {
            Purpose::Hello => self.not_welcomed(&error, step),
            Purpose::Changes => self.sync.changes_failed(again),
            Purpose::Fetch { conversation, .. } if passes => self.sync.fetch_failed(conversation, again),
            // Not a member, or never one: there is nothing to fetch until the server says otherwise.
            Purpose::Fetch { conversation, .. } => {
                self.sync.fetched(conversation);
                if let Some(conversation) = self.conversations.get_mut(&conversation) {
                    conversation.settle(conversation.row().head);
                }
            }
            Purpose::History { conversation, before, .. } => {
                step.event(Event::History { conversation, before, entries: Vec::new(), more: passes });
            }
            Purpose::Send { conversation, message } => {
                let Some(request) = request else { return };
                let failure = self.outbox.failed(conversation, message, request, &error, now, &mut self.entropy);
                let stuck = matches!(failure, Failure::Stuck | Failure::GivenUp(_));
                if let Failure::Refused(outgoing) | Failure::GivenUp(outgoing) = failure {
                    step.change(Change::PutOutgoing(outgoing.clone()));
                    step.event(Event::Outgoing(outgoing));
                }
                if stuck {
                    step.outputs.push(Output::Disconnect);
                    self.lost(None, step);
                }
            }
            Purpose::Receipt { conversation, kind, .. } if passes => self.receipts.postpone(conversation, kind, again),
            // The server knows no such conversation now: it is told again with the next entry or connection.
            Purpose::Receipt { conversation, kind, seq } => self.receipts.answered(conversation, kind, seq, now),
            Purpose::Question(question) if passes => self.questions.postpone(question, again),
            Purpose::Question(question) => self.questions.unanswerable(question),
            Purpose::Authenticate { tag } | Purpose::Person { tag } | Purpose::LogOut { tag } => {
                step.answer(tag, error);
            }
            Purpose::Watch | Purpose::Nothing => {}
        }
    }

    fn accepted(&mut self, accepted: &v1::Accepted, step: &mut Step) {
        let (Ok(conversation), Ok(message)) =
            (ConversationId::from_slice(&accepted.conversation), MessageId::from_slice(&accepted.message_id))
        else {
            return;
        };
        if let Some(outgoing) = self.outbox.accepted(conversation, message, step.now.monotonic) {
            step.change(Change::PutOutgoing(outgoing.clone()));
            step.event(Event::Outgoing(outgoing));
        }
    }

    fn pushed_refusal(&mut self, refused: &v1::Refused, step: &mut Step) {
        let (Ok(conversation), Ok(message)) =
            (ConversationId::from_slice(&refused.conversation), MessageId::from_slice(&refused.message_id))
        else {
            return;
        };
        if let Some(outgoing) = self.outbox.refused(conversation, message, &from_wire(&refused.error)) {
            step.change(Change::PutOutgoing(outgoing.clone()));
            step.event(Event::Outgoing(outgoing));
        }
    }

    fn pushed_receipt(&mut self, receipt: &v1::Receipt, step: &mut Step) {
        let Ok(id) = ConversationId::from_slice(&receipt.conversation) else { return };
        let kind = receipt.kind.as_known().unwrap_or(v1::ReceiptKind::Unspecified);
        let seq = Seq(receipt.seq);
        let mine = self.me().is_some_and(|me| me.as_bytes() == &receipt.account[..]);
        match (mine, kind) {
            // Read on another device of this account.
            (true, v1::ReceiptKind::Read) => self.read_elsewhere(id, seq, step),
            (true, _) => {}
            (false, kind) => self.others_marked(id, kind, seq, step),
        }
    }

    /// This account has read so far, on some device.
    pub(super) fn read_elsewhere(&mut self, id: ConversationId, seq: Seq, step: &mut Step) {
        let conversation = self.conversation(id);
        let row = conversation.row_mut();
        row.read_told = row.read_told.max(seq);
        if conversation.mark_read(seq) {
            step.touched.insert(id);
        }
    }

    fn others_marked(&mut self, id: ConversationId, kind: v1::ReceiptKind, seq: Seq, step: &mut Step) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.mark_others(kind, seq) {
            step.touched.insert(id);
            step.event(Event::Receipt { conversation: id, kind, seq });
        }
    }

    /// The server knows this receipt, or wants to know nothing of it.
    fn told(&mut self, id: ConversationId, kind: v1::ReceiptKind, seq: Seq, step: &mut Step) {
        if let Some(conversation) = self.conversations.get_mut(&id) {
            let row = conversation.row_mut();
            let told = if kind == v1::ReceiptKind::Read { &mut row.read_told } else { &mut row.received_told };
            *told = seq.max(*told);
            self.unsaved.insert(id);
        }
        self.receipts.answered(id, kind, seq, step.now.monotonic);
    }

    pub(super) fn prefer(&mut self, id: ConversationId, preferences: &v1::Preferences, step: &mut Step) {
        let row = self.conversation(id).row_mut();
        let new = (preferences.muted_until_us, preferences.pinned, preferences.archived);
        if new != (row.muted_until_us, row.pinned, row.archived) {
            (row.muted_until_us, row.pinned, row.archived) = new;
            step.touched.insert(id);
        }
    }

    /// Learns whatever an answer says of people and conversations, whoever asked.
    fn observe(&mut self, answer: &server_frame::Event, step: &mut Step) {
        use server_frame::Event as Answer;
        match answer {
            Answer::Profile(profile) => self.learn_person(profile, step),
            Answer::MemberList(list) => {
                list.members.iter().for_each(|member| self.learn_person(&member.profile, step));
            }
            Answer::BlockList(list) => list.accounts.iter().for_each(|profile| self.learn_person(profile, step)),
            Answer::ContactList(list) => {
                list.contacts.iter().for_each(|contact| self.learn_person(&contact.profile, step));
            }
            Answer::Conversation(info) => {
                let Ok(id) = ConversationId::from_slice(&info.conversation) else { return };
                if let Some(peer) = info.peer.as_option() {
                    self.learn_person(peer, step);
                }
                // An answer with an id that is not one leaves the rest as it was.
                if self.conversation(id).learn(info).is_ok() {
                    step.touched.insert(id);
                }
            }
            _ => {}
        }
    }

    fn learn_person(&mut self, profile: &v1::Profile, step: &mut Step) {
        let Ok(person) = Person::from_wire(profile) else { return };
        if self.people.get(&person.account) != Some(&person) {
            self.people.insert(person.account, person.clone());
            step.change(Change::PutPerson(person.clone()));
            step.event(Event::Person(person));
        }
    }

    /// Asks for the names of somebody who is not known, met in this conversation.
    pub(super) fn meet(&mut self, account: AccountId, shared: Option<ConversationId>) {
        if account != AccountId::OPERATORS && !self.people.contains_key(&account) {
            self.questions.want(Question::Person(account, shared));
        }
    }
}

fn show_presence(presence: &v1::Presence, step: &mut Step) {
    if let Ok(account) = AccountId::from_slice(&presence.account) {
        let (online, last_seen_us) = (presence.online, presence.last_seen_us);
        step.event(Event::Presence { account, online, last_seen_us });
    }
}

fn from_wire(error: &v1::Error) -> ProtocolError {
    let code = EnumValue::as_known(&error.code).unwrap_or(ErrorCode::Unspecified);
    if code == ErrorCode::Unspecified && error.message.is_empty() {
        return offline();
    }
    ProtocolError {
        code,
        message: error.message.clone(),
        retry_after_ms: error.retry_after_ms,
        connection_number: error.connection_number,
    }
}
