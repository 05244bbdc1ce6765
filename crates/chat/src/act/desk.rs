//! Where acts are carried out: finds the people in them, gives the commands, and knows whose answer an answer is.

use super::pages::{Page, Pages};
use super::{Act, Place};
use crate::world::World;
use hudhud_client::{Command, Content, Event, OutgoingState, Recipient};
use hudhud_proto::v1::{self, ErrorCode, client_frame, server_frame};
use hudhud_proto::{AccountId, ConversationId, Handle, MessageId, ProtocolError};
use std::collections::BTreeMap;

/// Acts that are not done yet, each with a ticket of whoever wants it.
#[derive(Debug)]
pub struct Desk<T> {
    jobs: BTreeMap<u64, Job<T>>,
    last_tag: u64,
}

#[derive(Debug)]
struct Job<T> {
    act: Act,
    ticket: T,
    found: BTreeMap<Handle, AccountId>,
    /// The one who is being looked up.
    asked: Option<Handle>,
    /// Pages of a list so far.
    pages: Pages,
}

/// An act that is done, or failed.
#[derive(Debug)]
pub struct Finished<T> {
    /// Whoever wanted it.
    pub ticket: T,
    /// What was wanted.
    pub act: Act,
    /// What came of it.
    pub result: Result<Outcome, ProtocolError>,
}

/// What came of an act.
#[derive(Debug)]
pub enum Outcome {
    /// A message is durable on this device.
    Composed(ConversationId, MessageId),
    /// The server's answer.
    Answer(Box<server_frame::Event>),
    /// Told to the client, which answers with events or not at all.
    Told,
}

/// What follows from an act.
enum Next {
    /// A command whose answer ends it.
    Ask(Command),
    /// Commands without an answer.
    Tell(Vec<Command>),
}

impl<T> Default for Desk<T> {
    fn default() -> Self {
        Self { jobs: BTreeMap::new(), last_tag: 0 }
    }
}

impl<T> Desk<T> {
    /// Whether nothing waits for an answer.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// A tag for a command that its caller follows up by itself.
    pub fn tag(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    /// Starts an act. What has no answer to wait for is finished at once.
    pub fn begin(&mut self, act: Act, ticket: T, world: &World, commands: &mut Vec<Command>) -> Option<Finished<T>> {
        let job = Job { act, ticket, found: BTreeMap::new(), asked: None, pages: Pages::default() };
        self.advance(job, world, commands)
    }

    /// Takes an event, which may end an act.
    pub fn take(&mut self, event: &Event, world: &World, commands: &mut Vec<Command>) -> Option<Finished<T>> {
        match event {
            Event::Composed { tag, conversation, message } => {
                let Job { act, ticket, .. } = self.jobs.remove(tag)?;
                Some(Finished { ticket, act, result: Ok(Outcome::Composed(*conversation, *message)) })
            }
            Event::Answer { tag, result } => {
                let job = self.jobs.remove(tag)?;
                self.answered(job, result.clone(), world, commands)
            }
            // Nothing else answers a wish to log out.
            Event::LoggedOut { .. } => {
                let tag = *self.jobs.iter().find(|(_, job)| job.act == Act::LogOut)?.0;
                let Job { act, ticket, .. } = self.jobs.remove(&tag)?;
                Some(Finished { ticket, act, result: Ok(Outcome::Told) })
            }
            _ => None,
        }
    }

    fn answered(
        &mut self,
        mut job: Job<T>,
        result: Result<server_frame::Event, ProtocolError>,
        world: &World,
        commands: &mut Vec<Command>,
    ) -> Option<Finished<T>> {
        use server_frame::Event as Answer;
        let failed = |job: Job<T>, error| Some(Finished { ticket: job.ticket, act: job.act, result: Err(error) });
        match (job.asked.take(), result) {
            (Some(handle), Ok(Answer::Profile(profile))) => match AccountId::from_slice(&profile.account) {
                Ok(account) => {
                    job.found.insert(handle, account);
                    self.advance(job, world, commands)
                }
                Err(error) => failed(job, error.into()),
            },
            (Some(handle), Err(error)) if error.code == ErrorCode::NotFound => {
                let error = ProtocolError::new(error.code, format!("there is nobody called @{handle} on this server"));
                failed(job, error)
            }
            (_, Err(error)) => failed(job, error),
            (_, Ok(answer)) => match job.pages.take(&job.act, answer) {
                Page::Last(answer) => {
                    Some(Finished { ticket: job.ticket, act: job.act, result: Ok(Outcome::Answer(Box::new(answer))) })
                }
                Page::More(command) => {
                    let tag = self.tag();
                    commands.push(Command::Request { tag, command });
                    self.jobs.insert(tag, job);
                    None
                }
            },
        }
    }

    fn advance(&mut self, mut job: Job<T>, world: &World, commands: &mut Vec<Command>) -> Option<Finished<T>> {
        for handle in job.act.handles() {
            if job.found.contains_key(&handle) {
                continue;
            }
            if let Some(account) = world.account_of(&handle) {
                job.found.insert(handle, account);
                continue;
            }
            let tag = self.tag();
            commands.push(request(tag, v1::LookUp { handle: handle.to_string() }));
            job.asked = Some(handle);
            self.jobs.insert(tag, job);
            return None;
        }
        let tag = self.tag();
        match next(&job.act, &job.found, tag, world) {
            Ok(Next::Ask(command)) => {
                commands.push(command);
                self.jobs.insert(tag, job);
                None
            }
            Ok(Next::Tell(mut told)) => {
                commands.append(&mut told);
                Some(Finished { ticket: job.ticket, act: job.act, result: Ok(Outcome::Told) })
            }
            Err(error) => Some(Finished { ticket: job.ticket, act: job.act, result: Err(error) }),
        }
    }
}

fn request(tag: u64, command: impl Into<client_frame::Command>) -> Command {
    Command::Request { tag, command: command.into() }
}

/// The command for an act whose people are found.
fn next(act: &Act, found: &BTreeMap<Handle, AccountId>, tag: u64, world: &World) -> Result<Next, ProtocolError> {
    let account = |handle: &Handle| found.get(handle).copied().expect("everybody was found before");
    let bytes = |handle: &Handle| account(handle).to_bytes();
    let all = |handles: &[Handle]| handles.iter().map(bytes).collect::<Vec<_>>();
    let place = |place: &Place| -> Result<ConversationId, ProtocolError> {
        let handle = match place {
            Place::Conversation(id) => return Ok(*id),
            Place::Direct(handle) => handle,
        };
        let me = world.me.as_ref().ok_or_else(|| ProtocolError::new(ErrorCode::Unauthenticated, "log in first"))?;
        Ok(ConversationId::direct(me.account, account(handle)))
    };
    // The client fills it in.
    let message_id = Default::default();
    let ask = |command: client_frame::Command| Ok(Next::Ask(request(tag, command)));
    match act {
        Act::Send { place, text } => {
            let to = match place {
                Place::Conversation(id) => Recipient::Conversation(*id),
                Place::Direct(handle) => Recipient::Account(account(handle)),
            };
            Ok(Next::Ask(Command::Send { tag, to, content: Content::text(text.as_str()) }))
        }
        Act::Read { place: at, seq } => Ok(Next::Tell(vec![Command::Read { conversation: place(at)?, seq: *seq }])),
        Act::Typing { place: at, typing } => {
            Ok(Next::Tell(vec![Command::Typing { conversation: place(at)?, typing: *typing }]))
        }
        Act::History { place: at, before, limit } => {
            let (conversation, before, limit) = (place(at)?, *before, *limit);
            Ok(Next::Tell(vec![Command::History { conversation, before, limit }]))
        }
        Act::Open(handle) => {
            let with = Some(v1::open_direct::With::Account(bytes(handle)));
            ask(v1::OpenDirect { with }.into())
        }
        Act::CreateGroup { title, members, announce } => {
            let (title, members, announce_only) = (title.clone(), all(members), (*announce).into());
            ask(v1::CreateGroup { message_id, title, members, announce_only }.into())
        }
        Act::Rename { group, title } => {
            let (conversation, title) = (group.to_bytes(), title.clone());
            ask(v1::UpdateGroup { conversation, message_id, title, ..v1::UpdateGroup::default() }.into())
        }
        Act::Announce { group, announce } => {
            let (conversation, announce_only) = (group.to_bytes(), (*announce).into());
            ask(v1::UpdateGroup { conversation, message_id, announce_only, ..v1::UpdateGroup::default() }.into())
        }
        Act::Add { group, members } => {
            ask(v1::AddMembers { conversation: group.to_bytes(), message_id, members: all(members) }.into())
        }
        Act::Remove { group, member } => {
            ask(v1::RemoveMember { conversation: group.to_bytes(), message_id, member: bytes(member) }.into())
        }
        Act::Leave { group } => ask(v1::LeaveGroup { conversation: group.to_bytes(), message_id }.into()),
        Act::Role { group, member, role } => {
            let (conversation, member, role) = (group.to_bytes(), bytes(member), (*role).into());
            ask(v1::SetRole { conversation, message_id, member, role }.into())
        }
        Act::Invite { group } => ask(v1::CreateInvite { conversation: group.to_bytes(), valid_s: 0 }.into()),
        Act::Join { code } => ask(v1::JoinByInvite { code: code.clone(), message_id }.into()),
        Act::Members { conversation } => {
            ask(v1::ListMembers { conversation: conversation.to_bytes(), cursor: Default::default() }.into())
        }
        Act::Mute { conversation, until_us } => {
            let known = world.conversations.get(conversation).map(|summary| &summary.row);
            let (pinned, archived) = known.map_or((false, false), |row| (row.pinned, row.archived));
            let preferences = v1::Preferences { muted_until_us: *until_us, pinned, archived }.into();
            ask(v1::SetPreferences { conversation: conversation.to_bytes(), preferences }.into())
        }
        Act::Block(handle) => ask(v1::Block { account: bytes(handle) }.into()),
        Act::Unblock(handle) => ask(v1::Unblock { account: bytes(handle) }.into()),
        Act::Report { who, conversation, seqs, category, text } => {
            let account = who.as_ref().map(bytes).unwrap_or_default();
            let conversation = conversation.map(ConversationId::to_bytes).unwrap_or_default();
            let (seqs, category, text) = (seqs.clone(), (*category).into(), text.clone());
            ask(v1::Report { account, conversation, seqs, category, text, contents: Vec::new() }.into())
        }
        Act::Blocks => ask(v1::ListBlocks::default().into()),
        Act::Contact(handle) => ask(v1::SetContact { account: bytes(handle), alias: String::new() }.into()),
        Act::RemoveContact(handle) => ask(v1::RemoveContact { account: bytes(handle) }.into()),
        Act::Contacts => ask(v1::ListContacts::default().into()),
        Act::Privacy => ask(v1::GetPrivacy::default().into()),
        Act::SetPrivacy(privacy) => ask(v1::SetPrivacy { privacy: privacy.clone().into() }.into()),
        Act::Name(name) => ask(v1::SetProfile { display_name: name.clone() }.into()),
        Act::Devices => ask(v1::ListDevices::default().into()),
        Act::RemoveDevice(device) => ask(v1::RemoveDevice { device: device.to_bytes() }.into()),
        Act::Tokens => ask(v1::ListTokens::default().into()),
        Act::InviteToServer => ask(v1::CreateRegistrationInvite::default().into()),
        Act::Retry { conversation, message } => {
            let refused = refused(world, *conversation, *message)?;
            let retry = |message| Command::Retry { conversation: *conversation, message };
            Ok(Next::Tell(refused.into_iter().map(retry).collect()))
        }
        Act::Discard { conversation, message } => {
            let refused = refused(world, *conversation, *message)?;
            let discard = |message| Command::Discard { conversation: *conversation, message };
            Ok(Next::Tell(refused.into_iter().map(discard).collect()))
        }
        Act::Watch(handles) => Ok(Next::Tell(vec![Command::Watch(handles.iter().map(account).collect())])),
        Act::Active(active) => Ok(Next::Tell(vec![Command::SetActive(*active)])),
        Act::Offline => Ok(Next::Tell(vec![Command::GoOffline])),
        Act::Online => Ok(Next::Tell(vec![Command::GoOnline])),
        Act::LogOut => Ok(Next::Ask(Command::LogOut { tag })),
    }
}

/// The refused messages of a conversation: this one, or all.
fn refused(
    world: &World,
    conversation: ConversationId,
    message: Option<MessageId>,
) -> Result<Vec<MessageId>, ProtocolError> {
    let is_refused = |state: &OutgoingState| matches!(state, OutgoingState::Refused { .. });
    let wanted = |id| message.is_none_or(|message| message == id);
    let outgoing = world.outgoing(conversation).into_iter();
    let refused: Vec<_> = outgoing.filter(|o| is_refused(&o.state) && wanted(o.message)).map(|o| o.message).collect();
    if refused.is_empty() {
        return Err(ProtocolError::new(ErrorCode::NotFound, "no message was refused here"));
    }
    Ok(refused)
}
