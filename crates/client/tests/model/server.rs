//! A server as small as its contract: logs, an inbox, watermarks, and the faults that a real one has.

use bytes::Bytes;
use hudhud_client::Entry;
use hudhud_proto::v1::{self, ClientFrame, ErrorCode, ReceiptKind, ServerFrame, client_frame, server_frame};
use hudhud_proto::{AccountId, ConversationId, DeviceId, MessageId, Seq};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Entries per page: few, so that there are many pages.
const PAGE: usize = 4;
const ROWS: usize = 2;

/// What becomes of a send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendFault {
    /// Refused for now; nothing is stored.
    Unavailable,
    /// Refused for now, but it is stored, and shows up at the end of the bus later.
    LandsLate,
}

struct Record {
    account: AccountId,
    device: DeviceId,
    send: v1::Send,
    conversation: ConversationId,
}

#[derive(Default)]
struct Log {
    entries: Vec<v1::Entry>,
    sequenced: BTreeMap<MessageId, u64>,
    changed: u64,
}

#[derive(Default)]
pub struct Server {
    pub members: BTreeMap<ConversationId, Vec<AccountId>>,
    logs: BTreeMap<ConversationId, Log>,
    bus: VecDeque<Record>,
    late: Vec<Record>,
    changes: u64,
    marks: BTreeMap<(ConversationId, AccountId, bool), u64>,
    cursors: BTreeMap<(ConversationId, DeviceId), u64>,
    sessions: BTreeMap<DeviceId, Session>,
    pub fault: Option<SendFault>,
    pub now_us: u64,
}

struct Session {
    account: AccountId,
    /// Conversations in which a send failed, and which: nothing else is taken until that one comes again.
    failed: BTreeMap<ConversationId, Bytes>,
}

/// Frames and the devices that get them.
pub type Frames = Vec<(DeviceId, ServerFrame)>;

fn push(event: impl Into<server_frame::Event>) -> ServerFrame {
    ServerFrame { request: 0, event: Some(event.into()) }
}

fn error(code: ErrorCode, retry_after_ms: u32) -> server_frame::Event {
    v1::Error { code: code.into(), message: "no".into(), retry_after_ms, ..Default::default() }.into()
}

impl Server {
    pub fn log(&self, conversation: ConversationId) -> Vec<Entry> {
        let entries = self.logs.get(&conversation).map_or(&[][..], |log| &log.entries);
        entries.iter().map(|entry| Entry::from_wire(entry.clone()).expect("made here")).collect()
    }

    /// How far a device says that it has stored.
    pub fn stored(&self, conversation: ConversationId, device: DeviceId) -> u64 {
        self.cursors.get(&(conversation, device)).copied().unwrap_or(0)
    }

    /// How far all others are, as a member sees it.
    pub fn others(&self, conversation: ConversationId, viewer: AccountId, read: bool) -> u64 {
        let others = self.members[&conversation].iter().filter(|member| **member != viewer);
        others.map(|member| self.mark(conversation, *member, read)).min().unwrap_or(0)
    }

    fn mark(&self, conversation: ConversationId, account: AccountId, read: bool) -> u64 {
        self.marks.get(&(conversation, account, read)).copied().unwrap_or(0)
    }

    pub fn close(&mut self, device: DeviceId) {
        self.sessions.remove(&device);
    }

    pub fn ping(&self, account: AccountId) -> ServerFrame {
        push(v1::Ping { inbox_version: self.version(account) })
    }

    fn version(&self, account: AccountId) -> u64 {
        self.inbox(account).fold(0, |sum, (_, log)| sum.wrapping_add(log.entries.len() as u64))
    }

    fn inbox(&self, account: AccountId) -> impl Iterator<Item = (ConversationId, &Log)> {
        let member = move |id: &ConversationId| self.members[id].contains(&account);
        self.logs.iter().map(|(id, log)| (*id, log)).filter(move |(id, _)| member(id))
    }

    /// Everything that was refused but stored gets onto the bus.
    pub fn land(&mut self) {
        self.bus.extend(self.late.drain(..));
    }

    /// Sequences the next record, and pushes its entry to whoever is connected.
    pub fn dispatch(&mut self) -> Option<Frames> {
        let Record { account, device, send, conversation } = self.bus.pop_front()?;
        let log = self.logs.entry(conversation).or_default();
        let message = MessageId::from_slice(&send.message_id).expect("a client's id");
        if send.resend && log.sequenced.contains_key(&message) {
            return Some(Vec::new());
        }
        let seq = log.entries.len() as u64 + 1;
        let entry = v1::Entry {
            conversation: conversation.to_bytes(),
            seq,
            prev_seq: seq - 1,
            message_id: send.message_id,
            sender: account.to_bytes(),
            sender_device: device.to_bytes(),
            time_us: self.now_us,
            body: send.content.into_option().map(v1::entry::Body::Content),
        };
        log.entries.push(entry.clone());
        log.sequenced.entry(message).or_insert(seq);
        self.changes += 1;
        log.changed = self.changes;
        Some(self.to_members(conversation, |_, _| Some(push(entry.clone()))))
    }

    fn to_members(
        &self,
        conversation: ConversationId,
        frame: impl Fn(DeviceId, AccountId) -> Option<ServerFrame>,
    ) -> Frames {
        let members = &self.members[&conversation];
        let connected = self.sessions.iter().filter(|(_, session)| members.contains(&session.account));
        connected.filter_map(|(device, session)| Some((*device, frame(*device, session.account)?))).collect()
    }

    /// Handles a frame of a device; the answer is the first of the frames.
    pub fn handle(&mut self, device: DeviceId, account: AccountId, frame: ClientFrame) -> Frames {
        use client_frame::Command;
        let conversation = |bytes: &[u8]| ConversationId::from_slice(bytes).expect("a client's id");
        let mut pushes = Vec::new();
        let answer: server_frame::Event = match frame.command.expect("a command") {
            Command::Hello(_) => {
                self.sessions.insert(device, Session { account, failed: BTreeMap::new() });
                let (account, device) = (account.to_bytes(), device.to_bytes());
                v1::Welcome { account, device, server_time_us: self.now_us, ..Default::default() }.into()
            }
            Command::Pong(_) | Command::Typing(_) | Command::SetActive(_) => v1::Done::default().into(),
            Command::Send(send) => self.send(device, account, send),
            Command::Changes(changes) => self.changes(account, &changes.cursor),
            Command::Fetch(fetch) => self.fetch(&fetch),
            Command::Received(m) => {
                let id = conversation(&m.conversation);
                let cursor = self.cursors.entry((id, device)).or_default();
                *cursor = m.seq.max(*cursor);
                pushes = self.move_mark(id, device, account, ReceiptKind::Received, m.seq);
                v1::Done::default().into()
            }
            Command::Read(m) => {
                pushes = self.move_mark(conversation(&m.conversation), device, account, ReceiptKind::Read, m.seq);
                v1::Done::default().into()
            }
            Command::ListReceipts(m) => {
                let id = conversation(&m.conversation);
                let (received_by_all_seq, read_by_all_seq) =
                    (self.others(id, account, false), self.others(id, account, true));
                v1::ReceiptList { received_by_all_seq, read_by_all_seq, ..Default::default() }.into()
            }
            Command::GetConversation(m) => self.describe(conversation(&m.conversation), account),
            Command::GetProfile(m) => v1::Profile { account: m.account, ..Default::default() }.into(),
            other => panic!("this client says nothing like {other:?}"),
        };
        let mut frames = vec![(device, ServerFrame { request: frame.request, event: Some(answer) })];
        frames.append(&mut pushes);
        frames
    }

    fn send(&mut self, device: DeviceId, account: AccountId, send: v1::Send) -> server_frame::Event {
        let conversation = match AccountId::from_slice(&send.direct_with) {
            Ok(peer) => ConversationId::direct(account, peer),
            Err(_) => ConversationId::from_slice(&send.conversation).expect("a client's id"),
        };
        let session = self.sessions.get_mut(&device).expect("it said hello");
        if session.failed.get(&conversation).is_some_and(|failed| *failed != send.message_id) {
            return error(ErrorCode::GoBack, 0);
        }
        session.failed.remove(&conversation);
        let accepted = v1::Accepted {
            conversation: conversation.to_bytes(),
            message_id: send.message_id.clone(),
            accepted_us: self.now_us,
        };
        let record = Record { account, device, send, conversation };
        match self.fault.take() {
            None => {
                self.bus.push_back(record);
                accepted.into()
            }
            Some(fault) => {
                session.failed.insert(conversation, record.send.message_id.clone());
                if fault == SendFault::LandsLate {
                    self.late.push(record);
                }
                error(ErrorCode::Unavailable, 500)
            }
        }
    }

    fn changes(&self, account: AccountId, cursor: &[u8]) -> server_frame::Event {
        let since = cursor.try_into().map_or(0, u64::from_be_bytes);
        let mut changed: Vec<_> = self.inbox(account).filter(|(_, log)| log.changed > since).collect();
        changed.sort_by_key(|(_, log)| log.changed);
        let more = changed.len() > ROWS;
        changed.truncate(ROWS);
        let cursor = changed.last().map_or(since, |(_, log)| log.changed);
        let row = |(id, log): &(ConversationId, &Log)| v1::InboxRow {
            conversation: id.to_bytes(),
            head_seq: log.entries.len() as u64,
            activity_us: log.changed,
            read_seq: self.mark(*id, account, true),
            ..Default::default()
        };
        v1::ChangePage {
            rows: changed.iter().map(row).collect(),
            cursor: cursor.to_be_bytes().to_vec().into(),
            more,
            inbox_version: if more { 0 } else { self.version(account) },
        }
        .into()
    }

    fn fetch(&self, fetch: &v1::Fetch) -> server_frame::Event {
        let id = ConversationId::from_slice(&fetch.conversation).expect("a client's id");
        let entries = self.logs.get(&id).map_or(&[][..], |log| &log.entries);
        let head_seq = entries.len() as u64;
        let page = PAGE.min(fetch.limit as usize);
        let (from, to) = if fetch.backward {
            let to = if fetch.from_seq == 0 { entries.len() } else { entries.len().min(fetch.from_seq as usize) };
            (to.saturating_sub(page), to)
        } else {
            let from = (fetch.from_seq as usize - 1).min(entries.len());
            (from, entries.len().min(from + page))
        };
        let more = if fetch.backward { from > 0 } else { to < entries.len() };
        v1::EntryPage { entries: entries[from..to].to_vec(), more, head_seq }.into()
    }

    fn move_mark(
        &mut self,
        id: ConversationId,
        device: DeviceId,
        account: AccountId,
        kind: ReceiptKind,
        seq: u64,
    ) -> Frames {
        let read = kind == ReceiptKind::Read;
        let mark = self.marks.entry((id, account, read)).or_default();
        if seq <= *mark {
            return Vec::new();
        }
        *mark = seq;
        let receipt = |account: &[u8], seq| v1::Receipt {
            conversation: id.to_bytes(),
            kind: kind.into(),
            seq,
            account: account.to_vec().into(),
        };
        self.to_members(id, |to, viewer| {
            if viewer == account {
                return (read && to != device).then(|| push(receipt(account.as_bytes(), seq)));
            }
            Some(push(receipt(&[], self.others(id, viewer, read))))
        })
    }

    fn describe(&self, id: ConversationId, viewer: AccountId) -> server_frame::Event {
        let members = &self.members[&id];
        let direct = members.len() == 2 && ConversationId::direct(members[0], members[1]) == id;
        let kind = if direct { v1::ConversationKind::Direct } else { v1::ConversationKind::Group };
        let peer = members.iter().find(|member| direct && **member != viewer);
        let profile = |account: &AccountId| v1::Profile { account: account.to_bytes(), ..Default::default() };
        v1::Conversation {
            conversation: id.to_bytes(),
            kind: kind.into(),
            role: v1::Role::Member.into(),
            head_seq: self.logs.get(&id).map_or(0, |log| log.entries.len() as u64),
            peer: peer.map(profile).into(),
            ..Default::default()
        }
        .into()
    }

    /// The log of a conversation without what is there a second time.
    pub fn shown(&self, id: ConversationId) -> Vec<(Seq, MessageId)> {
        let mut seen = BTreeSet::new();
        let entries = self.log(id).into_iter().map(|entry| (entry.seq, entry.message));
        entries.filter(|(_, message)| seen.insert(*message)).collect()
    }
}
