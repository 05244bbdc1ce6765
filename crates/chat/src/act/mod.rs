//! What a person or a script wants done, with people by their handles, and how it becomes commands of the client.

mod desk;
mod pages;

pub use desk::{Desk, Finished, Outcome};

use hudhud_proto::{ConversationId, DeviceId, Handle, MessageId, Seq, v1};

/// Where something is to happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a conversation.
    Conversation(ConversationId),
    /// In the direct chat with somebody.
    Direct(Handle),
}

/// Something to do. The server says what is allowed; nothing is checked here that it checks.
#[derive(Clone, PartialEq, Debug)]
pub enum Act {
    /// Send a text. Works without a connection where the place is known.
    Send { place: Place, text: String },
    /// Have seen everything up to here.
    Read { place: Place, seq: Seq },
    /// Type, or stop.
    Typing { place: Place, typing: bool },
    /// Show older entries.
    History { place: Place, before: Option<Seq>, limit: usize },
    /// Open the direct chat with somebody.
    Open(Handle),
    /// Make a group.
    CreateGroup { title: String, members: Vec<Handle>, announce: v1::Switch },
    /// Change its title.
    Rename { group: ConversationId, title: String },
    /// Change who may send.
    Announce { group: ConversationId, announce: v1::Switch },
    /// Add people.
    Add { group: ConversationId, members: Vec<Handle> },
    /// Remove somebody.
    Remove { group: ConversationId, member: Handle },
    /// Go.
    Leave { group: ConversationId },
    /// Change what somebody may.
    Role { group: ConversationId, member: Handle, role: v1::Role },
    /// Make a code with which others join.
    Invite { group: ConversationId },
    /// Join a group by its code.
    Join { code: String },
    /// Tell who is in it.
    Members { conversation: ConversationId },
    /// Mute it for oneself until then (microseconds since the Unix epoch; 0: not at all; `u64::MAX`: for good).
    Mute { conversation: ConversationId, until_us: u64 },
    /// Take nothing more from somebody.
    Block(Handle),
    /// Take something again.
    Unblock(Handle),
    /// Tell who is blocked.
    Blocks,
    /// Tell the server's operators of somebody, or of a conversation.
    Report {
        who: Option<Handle>,
        conversation: Option<ConversationId>,
        seqs: Vec<u64>,
        category: v1::ReportCategory,
        text: String,
    },
    /// Make somebody a contact: privacy settings can be about those.
    Contact(Handle),
    /// Not a contact any more.
    RemoveContact(Handle),
    /// Tell who they are.
    Contacts,
    /// Tell one's own privacy settings.
    Privacy,
    /// Change those that are specified.
    SetPrivacy(v1::Privacy),
    /// Change the name that others see.
    Name(String),
    /// Tell one's own devices.
    Devices,
    /// Log one of them out.
    RemoveDevice(DeviceId),
    /// Tell one's own access tokens.
    Tokens,
    /// Invite somebody to the server.
    InviteToServer,
    /// Send refused messages of a conversation again: one, or all.
    Retry { conversation: ConversationId, message: Option<MessageId> },
    /// Forget refused messages of a conversation: one, or all.
    Discard { conversation: ConversationId, message: Option<MessageId> },
    /// Watch these people's presence, and nobody else's.
    Watch(Vec<Handle>),
    /// Whether a person looks at this device.
    Active(bool),
    /// Close the connection and stay without.
    Offline,
    /// Connect.
    Online,
    /// Revoke this device's token and forget everything here.
    LogOut,
}

impl Act {
    /// The people whose accounts must be known first.
    fn handles(&self) -> Vec<Handle> {
        match self {
            Self::Send { place: Place::Direct(handle), .. }
            | Self::Read { place: Place::Direct(handle), .. }
            | Self::Typing { place: Place::Direct(handle), .. }
            | Self::History { place: Place::Direct(handle), .. }
            | Self::Open(handle)
            | Self::Remove { member: handle, .. }
            | Self::Role { member: handle, .. }
            | Self::Report { who: Some(handle), .. }
            | Self::Block(handle)
            | Self::Unblock(handle)
            | Self::Contact(handle)
            | Self::RemoveContact(handle) => vec![handle.clone()],
            Self::CreateGroup { members, .. } | Self::Add { members, .. } | Self::Watch(members) => members.clone(),
            _ => Vec::new(),
        }
    }
}
