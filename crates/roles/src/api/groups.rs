//! Changes of groups. Each is asked of the log like a message, with an id that makes repeating it harmless; the entry that
//! follows is the change.

use super::{Api, Caller, membership, privacy, send};
use crate::conversation::record::Submission;
use crate::conversation::{Conversation, policy};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hudhud_proto::limits::{GROUP_MEMBERS_MAX, TITLE_BYTES_MAX};
use hudhud_proto::v1::{
    AddMembers, ChangeAccepted, CreateGroup, Created, ErrorCode, Event, LeaveGroup, MemberLeft, MemberRemoved,
    MembersAdded, RemoveMember, RoleChanged, SetRole, Submit, Switch, UpdateGroup, Updated, event::What, submit,
};
use hudhud_proto::{AccountId, ConversationId, MessageId, Position, ProtocolError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Look-ups of consent under way at once, when many members are added.
const CONSENTS_AT_ONCE: usize = 16;

pub(super) async fn create(api: &Api, caller: &Caller, create: CreateGroup) -> Result<ChangeAccepted, ProtocolError> {
    let message = send::verify_message_id(api, &create.message_id)?;
    verify_title(&create.title)?;
    let asked = accounts(&create.members, caller)?;
    let (members, not_added) = consenting(api, caller, asked).await?;
    let id = ConversationId::group(caller.account, message);
    let what = What::Created(Created {
        title: create.title,
        members: members.iter().map(|member| member.to_bytes()).collect(),
        announce_only: create.announce_only.as_known() == Some(Switch::On),
    });
    let accepted_us = submit(api, caller, id, message, what.clone()).await?;
    // The creator writes to its group at once: until the dispatcher has made it, it is what it will be.
    let mut expected = Conversation::new(id);
    let submission = Submission {
        account: caller.account,
        device: caller.device,
        accepted_us,
        message,
        resend: false,
        direct: None,
        body: submit::Body::Event(Event { what: Some(what) }),
    };
    expected.apply(&submission, Position::new(1, 0), None);
    api.memberships.remember(Arc::new(expected));
    Ok(ChangeAccepted { conversation: id.to_bytes(), message_id: message.to_bytes(), not_added: to_bytes(&not_added) })
}

pub(super) async fn update(api: &Api, caller: &Caller, update: UpdateGroup) -> Result<ChangeAccepted, ProtocolError> {
    let unchanged =
        update.title.is_empty() && update.announce_only.as_known().unwrap_or_default() == Switch::Unspecified;
    if unchanged {
        return Err(ProtocolError::invalid("nothing to change: give a title or announce_only"));
    }
    if !update.title.is_empty() {
        verify_title(&update.title)?;
    }
    let what = What::Updated(Updated { title: update.title, announce_only: update.announce_only });
    change(api, caller, &update.conversation, &update.message_id, what).await
}

pub(super) async fn add_members(api: &Api, caller: &Caller, add: AddMembers) -> Result<ChangeAccepted, ProtocolError> {
    let asked = accounts(&add.members, caller)?;
    // Checked before anybody's consent is looked up: what somebody allows is no stranger's business.
    let event = |members: &BTreeSet<AccountId>| What::MembersAdded(MembersAdded { members: to_bytes(members) });
    let conversation = ConversationId::from_slice(&add.conversation)?;
    check(api, caller, conversation, event(&asked)).await?;
    let (members, not_added) = consenting(api, caller, asked).await?;
    if members.is_empty() {
        return Err(ProtocolError::new(
            ErrorCode::RecipientUnavailable,
            "none of them can be added by you: send them an invite",
        ));
    }
    let accepted = change(api, caller, &add.conversation, &add.message_id, event(&members)).await?;
    Ok(ChangeAccepted { not_added: to_bytes(&not_added), ..accepted })
}

pub(super) async fn remove_member(
    api: &Api,
    caller: &Caller,
    remove: RemoveMember,
) -> Result<ChangeAccepted, ProtocolError> {
    let what = What::MemberRemoved(MemberRemoved { member: remove.member });
    change(api, caller, &remove.conversation, &remove.message_id, what).await
}

pub(super) async fn leave(api: &Api, caller: &Caller, leave: LeaveGroup) -> Result<ChangeAccepted, ProtocolError> {
    let what = What::MemberLeft(MemberLeft::default());
    change(api, caller, &leave.conversation, &leave.message_id, what).await
}

pub(super) async fn set_role(api: &Api, caller: &Caller, set: SetRole) -> Result<ChangeAccepted, ProtocolError> {
    let what = What::RoleChanged(RoleChanged { member: set.member, role: set.role });
    change(api, caller, &set.conversation, &set.message_id, what).await
}

/// Asks the log for a change that is allowed now.
pub(super) async fn change(
    api: &Api,
    caller: &Caller,
    conversation: &[u8],
    message: &[u8],
    what: What,
) -> Result<ChangeAccepted, ProtocolError> {
    let message = send::verify_message_id(api, message)?;
    let conversation = ConversationId::from_slice(conversation)?;
    check(api, caller, conversation, what.clone()).await?;
    submit(api, caller, conversation, message, what).await?;
    Ok(ChangeAccepted { conversation: conversation.to_bytes(), message_id: message.to_bytes(), not_added: Vec::new() })
}

async fn check(api: &Api, caller: &Caller, id: ConversationId, what: What) -> Result<(), ProtocolError> {
    let view = api.memberships.fresh(id).await?;
    if view.head.is_none() {
        return Err(super::errors::not_found("conversation"));
    }
    policy::check(&view, caller.account, &submit::Body::Event(Event { what: Some(what) }))
}

/// Changes are rare: each is looked up as if it were a repetition, so that a client may repeat it without saying so.
async fn submit(
    api: &Api,
    caller: &Caller,
    conversation: ConversationId,
    message: MessageId,
    what: What,
) -> Result<u64, ProtocolError> {
    let submit = Submit {
        message_id: message.to_bytes(),
        resend: true,
        body: Some(submit::Body::Event(Event { what: Some(what) })),
        ..Default::default()
    };
    let times = send::submit(api, caller, conversation, vec![submit]).await?;
    Ok(times.first().copied().expect("one time per submission"))
}

/// Who lets itself be added by the caller, and who does not. Absent, hidden and blocking accounts are in the same list.
async fn consenting(
    api: &Api,
    caller: &Caller,
    asked: BTreeSet<AccountId>,
) -> Result<(BTreeSet<AccountId>, BTreeSet<AccountId>), ProtocolError> {
    let answers: Vec<(AccountId, bool)> = stream::iter(asked)
        .map(|account| async move {
            let blocked = membership::blocks(&api.services, account, caller.account).await?;
            Ok::<_, ProtocolError>((
                account,
                !blocked && privacy::may_add_to_groups(api, account, caller.account).await?,
            ))
        })
        .buffered(CONSENTS_AT_ONCE)
        .try_collect()
        .await?;
    let (yes, no): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, consents)| *consents);
    let ids = |list: Vec<(AccountId, bool)>| list.into_iter().map(|(account, _)| account).collect();
    Ok((ids(yes), ids(no)))
}

fn accounts(members: &[Bytes], caller: &Caller) -> Result<BTreeSet<AccountId>, ProtocolError> {
    if members.len() >= GROUP_MEMBERS_MAX {
        return Err(ProtocolError::new(ErrorCode::Limit, format!("a group has at most {GROUP_MEMBERS_MAX} members")));
    }
    let mut accounts = BTreeSet::new();
    for member in members {
        accounts.insert(AccountId::from_slice(member)?);
    }
    accounts.remove(&caller.account);
    Ok(accounts)
}

fn to_bytes(accounts: &BTreeSet<AccountId>) -> Vec<Bytes> {
    accounts.iter().map(|account| account.to_bytes()).collect()
}

fn verify_title(title: &str) -> Result<(), ProtocolError> {
    let valid = (1..=TITLE_BYTES_MAX).contains(&title.len()) && !title.chars().any(char::is_control);
    match valid {
        true => Ok(()),
        false => {
            Err(ProtocolError::invalid(format!("a title has 1 to {TITLE_BYTES_MAX} bytes and no control characters")))
        }
    }
}
