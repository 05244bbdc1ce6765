//! Who may do what in a conversation: asked by an api to refuse early, and by the dispatcher to decide.

use super::Conversation;
use hudhud_proto::limits::GROUP_MEMBERS_MAX;
use hudhud_proto::v1::{ConversationKind, ErrorCode, Event, Role, event::What, submit};
use hudhud_proto::{AccountId, ProtocolError};

/// Whether an account may add this to a conversation that has entries.
pub fn check(conversation: &Conversation, actor: AccountId, body: &submit::Body) -> Result<(), ProtocolError> {
    if actor == AccountId::OPERATORS {
        return check_operators(conversation, body);
    }
    // A stranger is told no more than that there is nothing here for it. Joining is what strangers do.
    let joins = matches!(body, submit::Body::Event(Event { what: Some(What::MemberJoined(_)) }));
    let role = match conversation.role(actor) {
        Some(role) => role,
        None if joins && conversation.is_closed() => return Err(closed()),
        None if joins => return check_room(conversation, 1),
        None => return Err(ProtocolError::new(ErrorCode::NotFound, "there is no such conversation")),
    };
    let leaves = matches!(body, submit::Body::Event(Event { what: Some(What::MemberLeft(_)) }));
    if conversation.is_closed() && !leaves {
        return Err(closed());
    }
    match body {
        submit::Body::Content(_) => {
            let announce_only = conversation.head.as_ref().is_some_and(|head| head.announce_only);
            match announce_only && !is_admin(role) {
                true => Err(forbidden("only admins send in this group")),
                false => Ok(()),
            }
        }
        submit::Body::Event(_) if conversation.kind() != ConversationKind::Group => {
            Err(forbidden("a direct chat has no members to change and no title"))
        }
        submit::Body::Event(event) => match &event.what {
            Some(what) => check_event(conversation, actor, role, what),
            None => Err(ProtocolError::invalid("the event is empty")),
        },
    }
}

fn check_event(conversation: &Conversation, actor: AccountId, role: Role, what: &What) -> Result<(), ProtocolError> {
    match what {
        What::Created(_) => Err(ProtocolError::new(ErrorCode::Conflict, "the group is there already")),
        What::MemberJoined(_) => Err(ProtocolError::new(ErrorCode::Conflict, "you are a member already")),
        What::MemberLeft(_) => Ok(()),
        _ if !is_admin(role) => Err(forbidden("only admins change a group")),
        What::MembersAdded(added) => {
            let new = added.members.iter().filter(|member| is_absent(conversation, member)).count();
            match new {
                0 => Err(ProtocolError::new(ErrorCode::Conflict, "they are members already")),
                new => check_room(conversation, new),
            }
        }
        What::MemberRemoved(removed) => match member_role(conversation, &removed.member)? {
            Role::Owner => Err(forbidden("the owner can only leave")),
            _ => Ok(()),
        },
        What::RoleChanged(changed) => {
            let target = AccountId::from_slice(&changed.member)?;
            let current = member_role(conversation, &changed.member)?;
            match changed.role.as_known() {
                None | Some(Role::Unspecified) => {
                    Err(ProtocolError::invalid("the role must be member, admin or owner"))
                }
                Some(_) if current == Role::Owner => Err(forbidden("the owner hands the group over first")),
                Some(Role::Owner) if role != Role::Owner => Err(forbidden("only the owner hands the group over")),
                Some(_) if target == actor && role == Role::Owner => {
                    Err(forbidden("the owner hands the group over first"))
                }
                Some(_) => Ok(()),
            }
        }
        What::Updated(_) => Ok(()),
        What::Closed(_) => Err(forbidden("only the operators of the server close a conversation")),
    }
}

/// What the operators of the server do, who are no member.
fn check_operators(conversation: &Conversation, body: &submit::Body) -> Result<(), ProtocolError> {
    match body {
        submit::Body::Event(Event { what: Some(What::Closed(_)) }) if conversation.is_closed() => {
            Err(ProtocolError::new(ErrorCode::Conflict, "it is closed already"))
        }
        submit::Body::Event(Event { what: Some(What::Closed(_)) }) => Ok(()),
        submit::Body::Event(Event { what: Some(What::MemberRemoved(removed)) }) => match conversation.kind() {
            ConversationKind::Group => member_role(conversation, &removed.member).map(|_| ()),
            _ => Err(forbidden("nobody is removed from a direct chat: close it, or suspend the account")),
        },
        _ => Err(forbidden("the operators of the server close conversations and remove members, and write nothing")),
    }
}

/// Whether the role administers.
pub fn is_admin(role: Role) -> bool {
    matches!(role, Role::Admin | Role::Owner)
}

/// Whether these bytes name an account that is not a present member.
pub(super) fn is_absent(conversation: &Conversation, member: &[u8]) -> bool {
    AccountId::from_slice(member).is_ok_and(|account| conversation.role(account).is_none())
}

fn member_role(conversation: &Conversation, member: &[u8]) -> Result<Role, ProtocolError> {
    conversation
        .role(AccountId::from_slice(member)?)
        .ok_or_else(|| ProtocolError::new(ErrorCode::NotFound, "there is no such member"))
}

fn check_room(conversation: &Conversation, more: usize) -> Result<(), ProtocolError> {
    match conversation.present().count() + more > GROUP_MEMBERS_MAX {
        true => Err(ProtocolError::new(ErrorCode::Limit, format!("a group has at most {GROUP_MEMBERS_MAX} members"))),
        false => Ok(()),
    }
}

fn closed() -> ProtocolError {
    forbidden("the operators of this server closed this conversation: nobody writes here any more")
}

fn forbidden(why: &str) -> ProtocolError {
    ProtocolError::new(ErrorCode::Forbidden, why)
}
