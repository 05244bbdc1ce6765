//! The server's answers, as fields of a line.

use super::describe::handles;
use crate::words;
use crate::world::World;
use hudhud_proto::ConversationId;
use hudhud_proto::v1::{self, server_frame};
use serde_json::{Value, json};

/// The fields of an answer; none where the answer is only that it is done.
pub fn answer(world: &World, answer: &server_frame::Event) -> Value {
    use server_frame::Event as Answer;
    match answer {
        Answer::Conversation(conversation) => {
            json!({ "conversation": id(&conversation.conversation), "title": conversation.title,
                "members": conversation.member_count })
        }
        Answer::ChangeAccepted(accepted) => {
            json!({ "conversation": id(&accepted.conversation), "message": id(&accepted.message_id),
                "not_added": handles(world, &accepted.not_added) })
        }
        Answer::Invite(invite) => json!({ "conversation": id(&invite.conversation), "code": invite.code,
            "expires": time(invite.expires_us) }),
        Answer::RegistrationInvite(invite) => json!({ "code": invite.code, "expires": time(invite.expires_us) }),
        Answer::MemberList(list) => {
            let member = |member: &v1::MemberInfo| {
                let role = member.role.as_known().map(words::role);
                json!({ "handle": member.profile.handle, "name": member.profile.display_name, "role": role })
            };
            json!({ "members": list.members.iter().map(member).collect::<Vec<_>>() })
        }
        Answer::DeviceList(list) => {
            let device = |device: &v1::Device| {
                json!({ "device": id(&device.device), "name": device.name, "since": time(device.created_us),
                    "connected": device.connected, "current": device.current })
            };
            json!({ "devices": list.devices.iter().map(device).collect::<Vec<_>>() })
        }
        Answer::TokenList(list) => {
            let token = |token: &v1::TokenInfo| {
                json!({ "token": id(&token.id), "device": id(&token.device), "label": token.label,
                    "since": time(token.created_us), "expires": time(token.expires_us), "current": token.current })
            };
            json!({ "tokens": list.tokens.iter().map(token).collect::<Vec<_>>() })
        }
        Answer::Privacy(privacy) => json!({ "last_seen": words::audience(&privacy.last_seen),
            "online": words::audience(&privacy.online), "groups": words::audience(&privacy.groups),
            "read_receipts": words::switch(&privacy.read_receipts) }),
        Answer::BlockList(list) => {
            json!({ "blocked": list.accounts.iter().map(|profile| &profile.handle).collect::<Vec<_>>() })
        }
        Answer::ContactList(list) => {
            json!({ "contacts": list.contacts.iter().map(|contact| &contact.profile.handle).collect::<Vec<_>>() })
        }
        Answer::Profile(profile) => json!({ "handle": profile.handle, "name": profile.display_name }),
        _ => json!({}),
    }
}

/// An id of any kind: they are written alike.
fn id(bytes: &[u8]) -> Option<String> {
    ConversationId::from_slice(bytes).ok().map(|id| id.to_string())
}

/// A moment; null for never.
fn time(time_us: u64) -> Option<String> {
    (time_us > 0).then(|| words::rfc3339(time_us))
}
