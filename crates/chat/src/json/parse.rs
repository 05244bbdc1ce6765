//! Lines of scripts, and what they want.

use crate::act::{Act, Place};
use crate::cli::device_name;
use crate::commands::{audience_named, category_named, role_named};
use crate::words;
use hudhud_proto::v1::{self, client_frame};
use hudhud_proto::{ConversationId, Handle, Seq};
use serde::Deserialize;
use serde_json::Value;
use std::str::FromStr;

/// Entries of an answer to `history` that does not say how many.
const HISTORY_ENTRIES: usize = 50;

/// What a line wants.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// Something for the client.
    Act(Act),
    /// To be somebody.
    Authenticate(client_frame::Command),
    /// Something that is known here.
    Local(Local),
}

/// What is known without asking.
#[derive(Debug, PartialEq, Eq)]
pub enum Local {
    /// Tell the conversations.
    Conversations,
    /// Tell what was not sent, or has no entry yet.
    Outbox,
    /// End.
    Quit,
}

/// The lines, without `id`.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Register {
        handle: String,
        password: String,
        invite: Option<String>,
        name: Option<String>,
        device: Option<String>,
    },
    Login {
        handle: String,
        password: String,
        device: Option<String>,
    },
    Logout {},
    Send {
        to: Option<String>,
        conversation: Option<String>,
        text: String,
    },
    Open {
        to: String,
    },
    CreateGroup {
        title: String,
        #[serde(default)]
        members: Vec<String>,
        announce: Option<bool>,
    },
    Rename {
        conversation: String,
        title: String,
    },
    Announce {
        conversation: String,
        on: bool,
    },
    Add {
        conversation: String,
        members: Vec<String>,
    },
    Remove {
        conversation: String,
        member: String,
    },
    Leave {
        conversation: String,
    },
    Role {
        conversation: String,
        member: String,
        role: String,
    },
    Invite {
        conversation: String,
    },
    Join {
        code: String,
    },
    Members {
        conversation: String,
    },
    Mute {
        conversation: String,
        on: bool,
    },
    Read {
        to: Option<String>,
        conversation: Option<String>,
        seq: Option<u64>,
    },
    Typing {
        to: Option<String>,
        conversation: Option<String>,
        #[serde(default = "yes")]
        typing: bool,
    },
    History {
        to: Option<String>,
        conversation: Option<String>,
        before: Option<u64>,
        limit: Option<usize>,
    },
    Conversations {},
    Outbox {},
    Retry {
        conversation: String,
        message: Option<String>,
    },
    Discard {
        conversation: String,
        message: Option<String>,
    },
    Block {
        handle: String,
    },
    Unblock {
        handle: String,
    },
    Blocks {},
    Report {
        handle: Option<String>,
        conversation: Option<String>,
        #[serde(default)]
        seqs: Vec<u64>,
        category: String,
        #[serde(default)]
        text: String,
    },
    Contact {
        handle: String,
    },
    RemoveContact {
        handle: String,
    },
    Contacts {},
    Privacy {
        last_seen: Option<String>,
        online: Option<String>,
        groups: Option<String>,
        read_receipts: Option<bool>,
    },
    Name {
        name: String,
    },
    Devices {},
    RemoveDevice {
        device: String,
    },
    Tokens {},
    InviteToServer {},
    Watch {
        handles: Vec<String>,
    },
    Active {
        active: bool,
    },
    Offline {},
    Online {},
    Quit {},
}

fn yes() -> bool {
    true
}

/// What a line wants, the name of that, and the `id` for its answer; or what is wrong with it, with the `id` too.
pub type Parsed = Result<(Request, String, Option<Value>), (String, Option<Value>)>;

/// Reads a line.
pub fn parse(line: &[u8]) -> Parsed {
    let mut line: Value = serde_json::from_slice(line).map_err(|error| (format!("no JSON: {error}"), None))?;
    let Value::Object(fields) = &mut line else {
        return Err(("a line is an object, such as {\"do\":\"send\",\"to\":\"@bob\",\"text\":\"hi\"}".into(), None));
    };
    let id = fields.remove("id");
    let does = fields.get("do").and_then(Value::as_str).unwrap_or_default().to_owned();
    let line = serde_json::from_value(line).map_err(|error: serde_json::Error| (error.to_string(), id.clone()))?;
    match request(line) {
        Ok(request) => Ok((request, does, id)),
        Err(message) => Err((message, id)),
    }
}

fn request(line: Line) -> Result<Request, String> {
    let act = match line {
        Line::Register { handle, password, invite, name, device } => {
            let (invite, display_name) = (invite.unwrap_or_default(), name.unwrap_or_default());
            let device_name = device.unwrap_or_else(device_name);
            let register =
                v1::Register { handle: user(&handle)?.to_string(), password, invite, device_name, display_name };
            return Ok(Request::Authenticate(register.into()));
        }
        Line::Login { handle, password, device } => {
            let device_name = device.unwrap_or_else(device_name);
            let log_in = v1::LogIn { handle: user(&handle)?.to_string(), password, device_name };
            return Ok(Request::Authenticate(log_in.into()));
        }
        Line::Conversations {} => return Ok(Request::Local(Local::Conversations)),
        Line::Outbox {} => return Ok(Request::Local(Local::Outbox)),
        Line::Quit {} => return Ok(Request::Local(Local::Quit)),
        Line::Logout {} => Act::LogOut,
        Line::Send { to, conversation, text } => Act::Send { place: place(to, conversation)?, text },
        Line::Open { to } => Act::Open(user(&to)?),
        Line::CreateGroup { title, members, announce } => Act::CreateGroup {
            title,
            members: users(&members)?,
            announce: announce.map_or(v1::Switch::Unspecified, switch),
        },
        Line::Rename { conversation, title } => Act::Rename { group: id(&conversation)?, title },
        Line::Announce { conversation, on } => Act::Announce { group: id(&conversation)?, announce: switch(on) },
        Line::Add { conversation, members } => Act::Add { group: id(&conversation)?, members: users(&members)? },
        Line::Remove { conversation, member } => Act::Remove { group: id(&conversation)?, member: user(&member)? },
        Line::Leave { conversation } => Act::Leave { group: id(&conversation)? },
        Line::Role { conversation, member, role } => {
            let role = role_named(&role).ok_or("role: owner, admin or member")?;
            Act::Role { group: id(&conversation)?, member: user(&member)?, role }
        }
        Line::Invite { conversation } => Act::Invite { group: id(&conversation)? },
        Line::Join { code } => Act::Join { code },
        Line::Report { handle, conversation, seqs, category, text } => Act::Report {
            who: handle.as_deref().map(user).transpose()?,
            conversation: conversation.as_deref().map(id).transpose()?,
            seqs,
            category: category_named(&category).ok_or("category: spam, abuse, illegal, impersonation or other")?,
            text,
        },
        Line::Members { conversation } => Act::Members { conversation: id(&conversation)? },
        Line::Mute { conversation, on } => {
            Act::Mute { conversation: id(&conversation)?, until_us: if on { u64::MAX } else { 0 } }
        }
        Line::Read { to, conversation, seq } => {
            Act::Read { place: place(to, conversation)?, seq: Seq(seq.unwrap_or(u64::MAX)) }
        }
        Line::Typing { to, conversation, typing } => Act::Typing { place: place(to, conversation)?, typing },
        Line::History { to, conversation, before, limit } => {
            let (before, limit) = (before.map(Seq), limit.unwrap_or(HISTORY_ENTRIES));
            Act::History { place: place(to, conversation)?, before, limit }
        }
        Line::Retry { conversation, message } => {
            Act::Retry { conversation: id(&conversation)?, message: message.as_deref().map(id).transpose()? }
        }
        Line::Discard { conversation, message } => {
            Act::Discard { conversation: id(&conversation)?, message: message.as_deref().map(id).transpose()? }
        }
        line => return of_oneself(line).map(Request::Act),
    };
    Ok(Request::Act(act))
}

fn of_oneself(line: Line) -> Result<Act, String> {
    Ok(match line {
        Line::Block { handle } => Act::Block(user(&handle)?),
        Line::Unblock { handle } => Act::Unblock(user(&handle)?),
        Line::Contact { handle } => Act::Contact(user(&handle)?),
        Line::RemoveContact { handle } => Act::RemoveContact(user(&handle)?),
        Line::Contacts {} => Act::Contacts,
        Line::Privacy { last_seen: None, online: None, groups: None, read_receipts: None } => Act::Privacy,
        Line::Privacy { last_seen, online, groups, read_receipts } => {
            let audience = |name: Option<String>| match name {
                None => Ok(v1::Audience::Unspecified),
                Some(name) => audience_named(&name).ok_or("everyone, contacts or nobody"),
            };
            Act::SetPrivacy(v1::Privacy {
                last_seen: audience(last_seen)?.into(),
                online: audience(online)?.into(),
                groups: audience(groups)?.into(),
                read_receipts: read_receipts.map_or(v1::Switch::Unspecified, switch).into(),
            })
        }
        Line::Name { name } => Act::Name(name),
        Line::Devices {} => Act::Devices,
        Line::RemoveDevice { device } => Act::RemoveDevice(id(&device)?),
        Line::Tokens {} => Act::Tokens,
        Line::InviteToServer {} => Act::InviteToServer,
        Line::Watch { handles } => Act::Watch(users(&handles)?),
        Line::Active { active } => Act::Active(active),
        Line::Offline {} => Act::Offline,
        Line::Online {} => Act::Online,
        _ => Act::Blocks,
    })
}

fn switch(on: bool) -> v1::Switch {
    if on { v1::Switch::On } else { v1::Switch::Off }
}

fn user(handle: &str) -> Result<Handle, String> {
    words::handle(handle)
}

fn users(handles: &[String]) -> Result<Vec<Handle>, String> {
    handles.iter().map(|handle| user(handle)).collect()
}

fn id<T: FromStr<Err = hudhud_proto::IdError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: hudhud_proto::IdError| error.to_string())
}

fn place(to: Option<String>, conversation: Option<String>) -> Result<Place, String> {
    match (to, conversation) {
        (Some(to), None) => user(&to).map(Place::Direct),
        (None, Some(conversation)) => id::<ConversationId>(&conversation).map(Place::Conversation),
        _ => Err("say where: either \"to\":\"@bob\" or \"conversation\":\"…\"".into()),
    }
}
