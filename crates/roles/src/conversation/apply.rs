//! Sequencing: from a submission to an entry.

use super::record::Submission;
use super::{Conversation, contains, policy};
use crate::tables;
use hudhud_ports::Write;
use hudhud_proto::limits::{EPOCH_SEQ_JUMP, GROUP_MEMBERS_MAX, MEMBER_SPANS_MAX};
use hudhud_proto::v1::{
    ConversationKind, Entry, ErrorCode, Event, HeadRow, MemberRow, Role, SequencedRow, Span, Switch, entry,
    event::What, submit,
};
use hudhud_proto::{AccountId, ConversationId, MessageId, Position, ProtocolError, Seq};

/// How far the clocks of two apis may be apart, in microseconds. Too much costs a look-up per device that begins to write in a
/// conversation that was busy within this time; too little shows a message twice.
pub const CLOCK_SKEW_US_MAX: u64 = 600 * 1_000_000;

/// What was decided of a message id. It is decided once: who was refused, and asks again under the same id when it could be
/// allowed, would overtake what its device has sent since.
#[derive(Clone, PartialEq, Debug)]
pub struct Known {
    /// Its seq, or why it gets none.
    pub decision: Result<Seq, ProtocolError>,
    /// Of the record that it was decided at.
    pub position: Position,
    /// Of its body.
    pub body_hash: [u8; 16],
}

impl Known {
    /// As it is stored.
    pub fn to_row(&self) -> SequencedRow {
        let seq = self.decision.as_ref().map_or(0, |seq| seq.0);
        let refused = self.decision.as_ref().err().map(ProtocolError::to_wire);
        SequencedRow {
            seq,
            position: self.position.as_u64(),
            body_hash: self.body_hash.to_vec().into(),
            refused: refused.into(),
        }
    }

    /// As it was stored; a hash of another length matches no body.
    pub fn from_row(row: &SequencedRow) -> Self {
        let body_hash = row.body_hash.as_ref().try_into().unwrap_or_default();
        let decision = match row.refused.as_option() {
            Some(error) => {
                let code = error.code.as_known().unwrap_or(ErrorCode::Forbidden);
                Err(ProtocolError::new(code, error.message.clone()))
            }
            None => Ok(Seq(row.seq)),
        };
        Self { decision, position: Position::from_u64(row.position), body_hash }
    }

    /// The write that keeps it.
    fn write(&self, conversation: ConversationId, message: MessageId) -> Write {
        tables::put(tables::sequenced(conversation, message), &self.to_row(), self.position.as_u64())
    }
}

/// A new entry and what must be written of it, in the order of the fields.
#[derive(Clone, PartialEq, Debug)]
pub struct Sequenced {
    /// The entry.
    pub entry: Entry,
    /// The timeline row, and that the message id has its seq now.
    pub timeline: Vec<Write>,
    /// The head and the members that changed: one atomic write of one partition.
    pub head: Vec<Write>,
    /// What `accepted` knows of the id from now on.
    pub known: Known,
}

/// What became of a submission.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// It is an entry now.
    Sequenced(Box<Sequenced>),
    /// This very record made this entry before a crash: what follows the entry is done again.
    Again(Seq),
    /// An earlier record made this entry: the sender is told of it.
    Duplicate(Seq),
    /// It can't be an entry: the sender is told why. That is written down, unless it was before.
    Refused(ProtocolError, Option<Box<(Known, Write)>>),
    /// It was decided before, and nothing is left to do.
    Settled,
}

impl Conversation {
    /// Whether [`apply`](Self::apply) must be told what is known of the message id: the record may be a repetition. It is one
    /// if it says so, if the head is past it (a replay), or if it is an append that was given up and landed late: then an entry
    /// is here that was accepted later, as far as the clocks of two apis agree, and `last`, the greatest message id that the
    /// device has in this log (`None`: not known), is not below its own.
    pub fn needs_known(&self, submission: &Submission, position: Position, last: Option<MessageId>) -> bool {
        let late = || {
            let time_us = self.head.as_ref().map_or(0, |head| head.time_us.saturating_add(CLOCK_SKEW_US_MAX));
            submission.accepted_us <= time_us && last.is_none_or(|last| submission.message <= last)
        };
        submission.resend || position <= self.head_position() || late()
    }

    /// Applies a submission. `known` is what `accepted` holds of its id, where [`needs_known`](Self::needs_known).
    pub fn apply(&mut self, submission: &Submission, position: Position, known: Option<Known>) -> Outcome {
        let known = known.filter(|known| !self.is_lost(known, position));
        // At a position that the head has not reached, the record's own decision was written and the head was not: what follows
        // comes to the same again.
        let replayed = position <= self.head_position();
        match known {
            Some(known) if known.position == position && replayed => match known.decision {
                Ok(seq) => return Outcome::Again(seq),
                Err(error) => return Outcome::Refused(error, None),
            },
            Some(known) if known.position != position => {
                return match known.decision {
                    _ if replayed && known.position > position => Outcome::Settled,
                    _ if known.body_hash != submission.body_hash() => Outcome::Refused(other_body(), None),
                    Ok(seq) => Outcome::Duplicate(seq),
                    Err(error) => Outcome::Refused(error, None),
                };
            }
            None if replayed => return Outcome::Settled,
            _ => {}
        }
        match self.next(submission, position) {
            Ok(sequenced) => Outcome::Sequenced(Box::new(sequenced)),
            Err(error) => {
                let known = Known { decision: Err(error.clone()), position, body_hash: submission.body_hash() };
                let write = known.write(self.id, submission.message);
                Outcome::Refused(error, Some(Box::new((known, write))))
            }
        }
    }

    /// Whether an id was decided in a log that is lost, with a seq that the head never reached or does not know any more.
    pub fn is_lost(&self, known: &Known, position: Position) -> bool {
        let Ok(seq) = known.decision else { return false };
        let beyond_head = seq > self.head_seq() && known.position.epoch() < position.epoch();
        beyond_head || self.head.as_ref().is_some_and(|head| head.lost.iter().any(|span| contains(span, seq)))
    }

    /// How many epochs have begun since the last entry: what was behind it is lost. A conversation without entries may have
    /// lost all that it had, from the first epoch on.
    pub fn epochs_since(&self, position: Position) -> u16 {
        position.epoch().saturating_sub(self.head_position().epoch().max(1))
    }

    fn next(&mut self, submission: &Submission, position: Position) -> Result<Sequenced, ProtocolError> {
        let prev = self.head_seq();
        // A whole jump for each epoch: one that gave numbers out may have been lost since, entries and all.
        let seq = match self.epochs_since(position) {
            0 => Seq(prev.0 + 1),
            epochs => Seq(prev.0 + u64::from(epochs) * EPOCH_SEQ_JUMP),
        };
        let body = match &self.head {
            Some(_) => {
                policy::check(self, submission.account, &submission.body)?;
                self.normalise(submission)
            }
            None => self.begin(submission)?,
        };
        let changed = self.change(submission.account, &body, seq);
        let head = self.head.as_mut().expect("begin made it or it was there");
        if seq.0 > prev.0 + 1 {
            head.lost.push(Span { from: prev.0 + 1, to: seq.0 - 1 });
        }
        head.seq = seq.0;
        head.position = position.as_u64();
        head.time_us = head.time_us.max(submission.accepted_us);

        let entry = Entry {
            conversation: self.id.to_bytes(),
            seq: seq.0,
            prev_seq: prev.0,
            message_id: submission.message.to_bytes(),
            sender: submission.account.to_bytes(),
            sender_device: submission.device.to_bytes(),
            time_us: submission.accepted_us,
            body: Some(body),
        };
        let known = Known { decision: Ok(seq), position, body_hash: submission.body_hash() };
        let version = position.as_u64();
        let timeline = vec![
            tables::put(tables::timeline(self.id, seq), &entry, version),
            known.write(self.id, submission.message),
        ];
        let mut writes = vec![tables::put(tables::head(self.id), head, version)];
        writes.extend(changed.into_iter().filter_map(|account| {
            Some(tables::put(tables::member(self.id, account), self.members.get(&account)?, version))
        }));
        Ok(Sequenced { entry, timeline, head: writes, known })
    }

    /// The first entry of a conversation, which decides its kind. Only on success is there a head.
    fn begin(&mut self, submission: &Submission) -> Result<entry::Body, ProtocolError> {
        let absent = || ProtocolError::new(ErrorCode::NotFound, "there is no such conversation");
        let (kind, title, announce_only, body) = match (&submission.body, submission.direct) {
            (submit::Body::Content(content), Some((one, other))) => {
                let ours = one == submission.account || other == submission.account;
                if !ours || ConversationId::direct(one, other) != self.id {
                    return Err(absent());
                }
                for account in [one, other] {
                    self.members.insert(account, new_member(Role::Member, Seq(1)));
                }
                (ConversationKind::Direct, String::new(), false, entry::Body::Content(content.clone()))
            }
            (submit::Body::Event(Event { what: Some(What::Created(created)) }), None) => {
                if ConversationId::group(submission.account, submission.message) != self.id {
                    return Err(absent());
                }
                let mut created = created.clone();
                let mut members = std::collections::BTreeSet::new();
                for member in &created.members {
                    members.insert(AccountId::from_slice(member)?);
                }
                members.remove(&submission.account);
                if members.len() >= GROUP_MEMBERS_MAX {
                    return Err(ProtocolError::new(ErrorCode::Limit, "too many members for one group"));
                }
                created.members = members.iter().map(|member| member.to_bytes()).collect();
                for member in members {
                    self.members.insert(member, new_member(Role::Member, Seq(1)));
                }
                self.members.insert(submission.account, new_member(Role::Owner, Seq(1)));
                let (title, announce_only) = (created.title.clone(), created.announce_only);
                let event = Event { what: Some(What::Created(created)) };
                (ConversationKind::Group, title, announce_only, entry::Body::Event(event))
            }
            _ => return Err(absent()),
        };
        self.head = Some(HeadRow {
            kind: kind.into(),
            title,
            announce_only,
            created_us: submission.accepted_us,
            ..Default::default()
        });
        Ok(body)
    }

    /// The body as the entry holds it: what is no change is left out, and what only the state knows is filled in.
    fn normalise(&self, submission: &Submission) -> entry::Body {
        let mut event = match &submission.body {
            submit::Body::Content(content) => return entry::Body::Content(content.clone()),
            submit::Body::Event(event) => event.clone(),
        };
        match &mut event.what {
            Some(What::MembersAdded(added)) => {
                added.members.retain(|member| policy::is_absent(self, member));
                added.members.sort_unstable();
                added.members.dedup();
            }
            Some(What::MemberRemoved(removed)) => {
                let heir = AccountId::from_slice(&removed.member).ok().and_then(|member| self.heir(member));
                removed.new_owner = heir.map(AccountId::to_bytes).unwrap_or_default();
            }
            Some(What::MemberLeft(left)) => {
                left.new_owner = self.heir(submission.account).map(AccountId::to_bytes).unwrap_or_default();
            }
            _ => {}
        }
        entry::Body::Event(event)
    }

    /// Who owns the group after the owner left: the admin, else the member, who is there longest.
    fn heir(&self, leaver: AccountId) -> Option<AccountId> {
        if self.role(leaver) != Some(Role::Owner) {
            return None;
        }
        let since = |account: &AccountId| self.members[account].visible.last().map_or(0, |span| span.from);
        self.present()
            .filter(|(account, _)| *account != leaver)
            .min_by_key(|(account, role)| (*role != Role::Admin, since(account), *account))
            .map(|(account, _)| account)
    }

    /// Carries an allowed body out and returns the members whose rows changed.
    fn change(&mut self, actor: AccountId, body: &entry::Body, seq: Seq) -> Vec<AccountId> {
        let entry::Body::Event(Event { what: Some(what) }) = body else {
            // The first message of a direct chat makes its members.
            return if self.head_seq() == Seq::ZERO { self.members.keys().copied().collect() } else { Vec::new() };
        };
        let named = |bytes: &[u8]| AccountId::from_slice(bytes).expect("policy::check has read it");
        match what {
            What::Created(_) => self.members.keys().copied().collect(),
            What::MembersAdded(added) => {
                let accounts: Vec<_> = added.members.iter().map(|member| named(member)).collect();
                accounts.iter().for_each(|account| self.enter(*account, seq));
                accounts
            }
            What::MemberJoined(_) => {
                self.enter(actor, seq);
                vec![actor]
            }
            What::MemberRemoved(removed) => {
                let member = named(&removed.member);
                self.exit(member, seq);
                let heir = AccountId::from_slice(&removed.new_owner).ok();
                heir.into_iter().for_each(|heir| self.set_role(heir, Role::Owner));
                std::iter::once(member).chain(heir).collect()
            }
            What::MemberLeft(left) => {
                self.exit(actor, seq);
                let heir = AccountId::from_slice(&left.new_owner).ok();
                heir.into_iter().for_each(|heir| self.set_role(heir, Role::Owner));
                std::iter::once(actor).chain(heir).collect()
            }
            What::RoleChanged(changed) => {
                let member = named(&changed.member);
                let role = changed.role.as_known().expect("policy::check has read it");
                self.set_role(member, role);
                if role != Role::Owner {
                    return vec![member];
                }
                self.set_role(actor, Role::Admin);
                vec![member, actor]
            }
            What::Updated(updated) => {
                let head = self.head.as_mut().expect("only what has a head is changed");
                if !updated.title.is_empty() {
                    head.title.clone_from(&updated.title);
                }
                match updated.announce_only.as_known() {
                    Some(Switch::On) => head.announce_only = true,
                    Some(Switch::Off) => head.announce_only = false,
                    _ => {}
                }
                Vec::new()
            }
            What::Closed(_) => {
                self.head.as_mut().expect("only what has a head is closed").closed = true;
                Vec::new()
            }
        }
    }

    fn enter(&mut self, account: AccountId, seq: Seq) {
        let row = self.members.entry(account).or_default();
        row.role = Role::Member.into();
        row.visible.push(Span { from: seq.0, to: 0 });
        let beyond = row.visible.len().saturating_sub(MEMBER_SPANS_MAX);
        row.visible.drain(..beyond);
    }

    /// The one who goes sees the entry that says so, and nothing after it.
    fn exit(&mut self, account: AccountId, seq: Seq) {
        let row = self.members.entry(account).or_default();
        row.role = Role::Unspecified.into();
        if let Some(span) = row.visible.last_mut() {
            span.to = seq.0;
        }
    }

    fn set_role(&mut self, account: AccountId, role: Role) {
        if let Some(row) = self.members.get_mut(&account) {
            row.role = role.into();
        }
    }
}

fn other_body() -> ProtocolError {
    ProtocolError::new(ErrorCode::Conflict, "this message id was used with another body: send it under a new id")
}

fn new_member(role: Role, from: Seq) -> MemberRow {
    MemberRow { role: role.into(), visible: vec![Span { from: from.0, to: 0 }] }
}
