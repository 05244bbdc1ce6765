//! Conversations: who is in them, never what is written.

use super::{Ask, Page, on_behalf_of, page, reason};
use crate::api::{Api, errors, groups};
use crate::conversation::{Conversation as State, policy};
use hudhud_proto::v1::{Closed, ConversationKind, Event, MemberRemoved, Role, event::What, submit};
use hudhud_proto::{AccountId, ConversationId, MessageId, ProtocolError};
use serde::Serialize;
use std::sync::Arc;

/// A conversation as operators see it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// Its id.
    pub id: String,
    /// `direct` or `group`.
    pub kind: &'static str,
    /// Of a group.
    pub title: String,
    /// The last entry's number.
    pub head_seq: u64,
    /// When the first entry was made, in microseconds since the Unix epoch.
    pub created_us: u64,
    /// When the last one was, likewise.
    pub activity_us: u64,
    /// Who is in it now.
    pub members: usize,
    /// Whether only owner and admins write.
    pub announce_only: bool,
    /// Whether operators closed it.
    pub closed: bool,
}

/// Somebody who is in it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The account.
    pub account: String,
    /// `member`, `admin` or `owner`.
    pub role: &'static str,
}

/// What was asked of a log; the entry follows.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The conversation.
    pub conversation: String,
    /// The id that the entry will have.
    pub message_id: String,
}

/// One conversation.
pub async fn show(api: &Api, id: ConversationId) -> Result<Conversation, ProtocolError> {
    let view = existing(api, id).await?;
    let head = view.head.clone().unwrap_or_default();
    Ok(Conversation {
        id: id.to_string(),
        kind: kind(view.kind()),
        title: head.title,
        head_seq: head.seq,
        created_us: head.created_us,
        activity_us: head.time_us,
        members: view.present().count(),
        announce_only: head.announce_only,
        closed: head.closed,
    })
}

/// Who is in it, by their ids.
pub async fn members(api: &Api, id: ConversationId, ask: &Ask) -> Result<Page<Member>, ProtocolError> {
    let (limit, after) = (ask.limit()?, ask.after::<AccountId>()?);
    let view = existing(api, id).await?;
    let behind = view.present().filter(|(account, _)| after.is_none_or(|after| *account > after)).take(limit + 1);
    let items = behind.map(|(account, role)| Member { account: account.to_string(), role: role_name(role) }).collect();
    Ok(page(items, limit, |member: &Member| member.account.clone()))
}

/// Asks the log that nobody writes any more.
pub async fn close(api: &Api, id: ConversationId, why: &str) -> Result<Asked, ProtocolError> {
    change(api, id, What::Closed(Closed { reason: reason(why)? })).await
}

/// Asks the log that somebody is a member no more.
pub async fn remove_member(api: &Api, id: ConversationId, member: AccountId) -> Result<Asked, ProtocolError> {
    change(api, id, What::MemberRemoved(MemberRemoved { member: member.to_bytes(), ..Default::default() })).await
}

/// Asks for a change that is allowed now, as the operators.
async fn change(api: &Api, id: ConversationId, what: What) -> Result<Asked, ProtocolError> {
    let view = existing(api, id).await?;
    policy::check(&view, AccountId::OPERATORS, &submit::Body::Event(Event { what: Some(what.clone()) }))?;
    let message = MessageId::v7(api.services.now_us() / 1_000, api.services.runtime.random());
    groups::submit(api, &on_behalf_of(AccountId::OPERATORS), id, message, what).await?;
    Ok(Asked { conversation: id.to_string(), message_id: message.to_string() })
}

async fn existing(api: &Api, id: ConversationId) -> Result<Arc<State>, ProtocolError> {
    let view = api.memberships.fresh(id).await?;
    match view.head {
        Some(_) => Ok(view),
        None => Err(errors::not_found("conversation")),
    }
}

/// The kind as this API spells it.
pub(super) fn kind(kind: ConversationKind) -> &'static str {
    match kind {
        ConversationKind::Direct => "direct",
        ConversationKind::Group => "group",
        ConversationKind::Unspecified => "unknown",
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Member | Role::Unspecified => "member",
    }
}
