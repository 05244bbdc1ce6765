//! Changes of groups. Each is asked of the log like a message, with an id that makes repeating it harmless; the entry that
//! follows is the change.

use super::{Api, Caller, privacy, profiles, send};
use crate::conversation::record::Submission;
use crate::conversation::{Conversation, policy};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hudhud_proto::limits::{GROUP_MEMBERS_MAX, TITLE_BYTES_MAX};
use hudhud_proto::v1::{
    AddMembers, ChangeAccepted, CreateGroup, Created, ErrorCode, Event, LeaveGroup, MemberLeft, MemberRemoved,
    MembersAdded, RemoveMember, RoleChanged, SetRole, Submit, Switch, UpdateGroup, Updated, event::What, submit,
};
use hudhud_proto::{AccountId, ConversationId, EnumValue, MessageId, Position, ProtocolError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Look-ups of consent under way at once, when many members are added.
const CONSENTS_AT_ONCE: usize = 16;

pub(super) async fn create(api: &Api, caller: &Caller, create: CreateGroup) -> Result<ChangeAccepted, ProtocolError> {
    let message = send::verify_message_id(api, &create.message_id)?;
    verify_title(&create.title)?;
    let asked = accounts(&create.members, caller)?;
    let id = ConversationId::group(caller.account, message);
    // There already where this is a repetition.
    let view = api.memberships.fresh(id).await?;
    let (members, not_added) = consenting(api, caller, &view, asked).await?;
    let what = What::Created(Created {
        title: create.title,
        members: members.iter().map(|member| member.to_bytes()).collect(),
        announce_only: switch(create.announce_only)? == Switch::On,
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
    let announce_only = switch(update.announce_only)?;
    if update.title.is_empty() && announce_only == Switch::Unspecified {
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
    let view = check(api, caller, conversation, event(&asked)).await?;
    let (members, not_added) = consenting(api, caller, &view, asked).await?;
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
    let what = What::MemberRemoved(MemberRemoved { member: remove.member, ..Default::default() });
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

/// The conversation, if the change is allowed in it now.
async fn check(api: &Api, caller: &Caller, id: ConversationId, what: What) -> Result<Arc<Conversation>, ProtocolError> {
    let view = api.memberships.fresh(id).await?;
    if view.head.is_none() {
        return Err(super::errors::not_found("conversation"));
    }
    policy::check(&view, caller.account, &submit::Body::Event(Event { what: Some(what) }))?;
    Ok(view)
}

/// Changes are rare: each is looked up as if it were a repetition, so that a client may repeat it without saying so.
pub(super) async fn submit(
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

/// Who lets itself be added by the caller, and who does not. Absent, hidden and blocking accounts are in the same list, and
/// cost the same.
///
/// Those whom the caller does not know are drawn from a rate first: being added tells that an account is there, and
/// adding strangers is what spam is made of. Who is a member is known, so that a repetition draws nothing.
async fn consenting(
    api: &Api,
    caller: &Caller,
    view: &Conversation,
    asked: BTreeSet<AccountId>,
) -> Result<(BTreeSet<AccountId>, BTreeSet<AccountId>), ProtocolError> {
    let outside: Vec<AccountId> = asked.iter().copied().filter(|account| view.role(*account).is_none()).collect();
    let known: Vec<bool> = stream::iter(outside)
        .map(|account| profiles::knows(api, caller.account, account))
        .buffered(CONSENTS_AT_ONCE)
        .try_collect()
        .await?;
    let strangers = known.iter().filter(|known| !**known).count();
    api.limiter.group_adds(caller, u32::try_from(strangers).expect("a group has few members"))?;
    let answers: Vec<(AccountId, bool)> = stream::iter(asked)
        .map(|account| async move {
            Ok::<_, ProtocolError>((account, privacy::may_add_to_groups(api, account, caller.account).await?))
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

/// A switch as this version knows it: what it does not know must not get into a log.
fn switch(asked: EnumValue<Switch>) -> Result<Switch, ProtocolError> {
    asked.as_known().ok_or_else(|| ProtocolError::invalid("announce_only is on or off"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;
    use hudhud_proto::v1::ErrorCode;

    /// Numbers of a switch that a later version may have are refused, and not written into a log.
    #[tokio::test]
    async fn a_switch_that_is_not_known_is_refused() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let announce_only = EnumValue::Unknown(7);
        let message_id = fixture.message_id().to_bytes();
        let created = CreateGroup {
            message_id: message_id.clone(),
            title: "Hoopoes".into(),
            announce_only,
            ..Default::default()
        };
        let changed = UpdateGroup { message_id, title: "Hoopoes".into(), announce_only, ..Default::default() };
        let refused = [
            create(&fixture.api, &alice, created).await.map(drop),
            update(&fixture.api, &alice, changed).await.map(drop),
        ];
        for refusal in refused {
            let error = refusal.expect_err("nobody knows what 7 means");
            assert!(error.code == ErrorCode::Invalid && error.message.contains("announce_only"), "{error}");
        }
    }
}
