//! Invite links of groups.

use super::{Api, Caller, errors, groups};
use crate::conversation::{Conversation, policy};
use crate::tables;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hudhud_ports::Scan;
use hudhud_proto::limits::{INVITE_VALID_S_DEFAULT, INVITE_VALID_S_MAX, INVITES_MAX};
use hudhud_proto::v1::{
    ChangeAccepted, CreateInvite, ErrorCode, Invite, InviteList, InvitePreview, InviteRow, JoinByInvite, ListInvites,
    MemberJoined, PreviewInvite, RevokeInvite, event::What,
};
use hudhud_proto::{ConversationId, ProtocolError};
use std::sync::Arc;

pub(super) async fn create(api: &Api, caller: &Caller, create: CreateInvite) -> Result<Invite, ProtocolError> {
    let conversation = administered(api, caller, &create.conversation).await?;
    if open_invites(api, conversation).await?.len() >= INVITES_MAX {
        return Err(ProtocolError::new(
            ErrorCode::Limit,
            format!("a group has at most {INVITES_MAX} open invites: revoke one first"),
        ));
    }
    let valid_s = match create.valid_s {
        0 => INVITE_VALID_S_DEFAULT,
        seconds if seconds <= INVITE_VALID_S_MAX => seconds,
        _ => return Err(ProtocolError::invalid(format!("an invite is valid for at most {INVITE_VALID_S_MAX} s"))),
    };
    // 128 random bits: nobody guesses it.
    let code = URL_SAFE_NO_PAD.encode(api.services.runtime.random::<16>());
    let now = api.services.now_us();
    let row = InviteRow {
        conversation: conversation.to_bytes(),
        created_by: caller.account.to_bytes(),
        expires_us: now + valid_s * 1_000_000,
    };
    let writes = vec![
        tables::put(tables::invite(&code), &row, now),
        tables::put(tables::conversation_invite(conversation, &code), &row, now),
    ];
    api.services.write_directory_durably(writes).await.map_err(errors::from_port)?;
    Ok(to_wire(code, row))
}

pub(super) async fn list(api: &Api, caller: &Caller, list: ListInvites) -> Result<InviteList, ProtocolError> {
    let conversation = administered(api, caller, &list.conversation).await?;
    Ok(InviteList { invites: open_invites(api, conversation).await? })
}

pub(super) async fn revoke(api: &Api, caller: &Caller, revoke: RevokeInvite) -> Result<(), ProtocolError> {
    let conversation = administered(api, caller, &revoke.conversation).await?;
    let key = tables::conversation_invite(conversation, &revoke.code);
    let row = api.services.directory.get(key.clone()).await.map_err(errors::from_port)?;
    let row = row.ok_or_else(|| errors::not_found("invite"))?;
    let version = api.services.now_us().max(row.version + 1);
    let writes = vec![tables::delete(tables::invite(&revoke.code), version), tables::delete(key, version)];
    api.services.write_directory_durably(writes).await.map_err(errors::from_port)
}

pub(super) async fn preview(
    api: &Api,
    caller: &Caller,
    preview: PreviewInvite,
) -> Result<InvitePreview, ProtocolError> {
    let view = invited(api, caller, &preview.code).await?;
    let title = view.head.as_ref().map(|head| head.title.clone()).unwrap_or_default();
    Ok(InvitePreview { title, member_count: view.present().count() as u32 })
}

pub(super) async fn join(api: &Api, caller: &Caller, join: JoinByInvite) -> Result<ChangeAccepted, ProtocolError> {
    let view = invited(api, caller, &join.code).await?;
    let what = What::MemberJoined(MemberJoined::default());
    groups::change(api, caller, view.id.as_bytes(), &join.message_id, what).await
}

/// The group that a valid code is for. Guessing is rate-limited, and a wrong code answers like an expired one.
async fn invited(api: &Api, caller: &Caller, code: &str) -> Result<Arc<Conversation>, ProtocolError> {
    api.limiter.invite(caller)?;
    let absent = || errors::not_found("invite, or it has expired");
    if code.is_empty() || code.len() > 64 {
        return Err(absent());
    }
    let row = api.services.directory.get(tables::invite(code)).await.map_err(errors::from_port)?.ok_or_else(absent)?;
    let invite: InviteRow = tables::read(&row).map_err(errors::from_port)?;
    if invite.expires_us <= api.services.now_us() {
        return Err(absent());
    }
    let view = api.memberships.fresh(ConversationId::from_slice(&invite.conversation)?).await?;
    match view.head {
        Some(_) => Ok(view),
        None => Err(absent()),
    }
}

/// A group that the caller administers.
async fn administered(api: &Api, caller: &Caller, conversation: &[u8]) -> Result<ConversationId, ProtocolError> {
    let view = api.memberships.fresh(ConversationId::from_slice(conversation)?).await?;
    match view.role(caller.account) {
        None => Err(errors::not_found("conversation")),
        Some(_) if view.peer(caller.account).is_some() => Err(errors::forbidden("a direct chat has no invites")),
        Some(role) if !policy::is_admin(role) => Err(errors::forbidden("only admins deal with invites")),
        Some(_) => Ok(view.id),
    }
}

async fn open_invites(api: &Api, conversation: ConversationId) -> Result<Vec<Invite>, ProtocolError> {
    let scan = Scan::all(tables::CONVERSATION_INVITES, conversation.to_bytes(), 4 * INVITES_MAX);
    let rows = api.services.directory.scan(scan).await.map_err(errors::from_port)?;
    let now = api.services.now_us();
    let mut invites = Vec::new();
    for row in rows {
        let invite: InviteRow = tables::read(&row).map_err(errors::from_port)?;
        if invite.expires_us > now {
            invites.push(to_wire(String::from_utf8_lossy(&row.sort).into_owned(), invite));
        }
    }
    Ok(invites)
}

fn to_wire(code: String, row: InviteRow) -> Invite {
    Invite { conversation: row.conversation, code, expires_us: row.expires_us, created_by: row.created_by }
}
