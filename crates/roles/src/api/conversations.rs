//! What a member sees of a conversation, and how it keeps it in its own inbox.

use super::{Api, Caller, errors, profiles, send};
use crate::conversation::Conversation as State;
use crate::session::{Post, Recipient};
use crate::tables::{self, InboxPart};
use futures_util::future::try_join_all;
use hudhud_ports::Payload;
use hudhud_proto::limits::PAGE_MEMBERS_MAX;
use hudhud_proto::v1::{
    Conversation, ConversationKind, GetConversation, ListMembers, MemberInfo, MemberList, OpenDirect, Preferences,
    PreferencesChanged, PreferencesRow, Role, ServerFrame, SetPreferences, open_direct::With, server_frame::Event,
};
use hudhud_proto::{AccountId, ConversationId, Message, ProtocolError};

pub(super) async fn open_direct(api: &Api, caller: &Caller, open: OpenDirect) -> Result<Conversation, ProtocolError> {
    let (peer, looked_up) = match open.with {
        Some(With::Account(account)) => (AccountId::from_slice(&account)?, false),
        Some(With::Handle(handle)) => {
            let profile = profiles::look_up(api, caller, hudhud_proto::v1::LookUp { handle }).await?;
            (AccountId::from_slice(&profile.account)?, true)
        }
        None => return Err(ProtocolError::invalid("give an account or a handle")),
    };
    let id = ConversationId::direct(caller.account, peer);
    let view = api.memberships.fresh(id).await?;
    if view.head.is_some() {
        return describe(api, caller, &view).await;
    }
    match looked_up {
        // The look-up was drawn and has told that the account is there and does not hide from the caller.
        true => send::not_blocked_by(api, caller, peer).await?,
        false => send::meet_peer(api, caller, peer).await?,
    }
    Ok(Conversation {
        conversation: id.to_bytes(),
        kind: ConversationKind::Direct.into(),
        member_count: if peer == caller.account { 1 } else { 2 },
        role: Role::Member.into(),
        peer: profiles::load(api, peer).await?.into(),
        ..Default::default()
    })
}

pub(super) async fn get(api: &Api, caller: &Caller, get: GetConversation) -> Result<Conversation, ProtocolError> {
    let view = api.memberships.current(caller, ConversationId::from_slice(&get.conversation)?).await?;
    describe(api, caller, &view).await
}

async fn describe(api: &Api, caller: &Caller, view: &State) -> Result<Conversation, ProtocolError> {
    let head = view.head.clone().unwrap_or_default();
    let row = view.members.get(&caller.account).cloned().unwrap_or_default();
    let peer = match view.peer(caller.account) {
        Some(peer) => profiles::load(api, peer).await?.into(),
        None => Default::default(),
    };
    // Who has left sees the group as it was called then as little as what was written since.
    let head_seq = row.visible.last().map_or(0, |span| if span.to == 0 { head.seq } else { span.to });
    Ok(Conversation {
        conversation: view.id.to_bytes(),
        kind: head.kind,
        title: head.title,
        head_seq,
        member_count: view.present().count() as u32,
        role: row.role,
        announce_only: head.announce_only,
        peer,
        visible: row.visible,
        created_us: head.created_us,
        closed: head.closed,
    })
}

pub(super) async fn list_members(api: &Api, caller: &Caller, list: ListMembers) -> Result<MemberList, ProtocolError> {
    let view = api.memberships.fresh(ConversationId::from_slice(&list.conversation)?).await?;
    if view.role(caller.account).is_none() {
        return Err(errors::not_found("conversation"));
    }
    let after =
        match list.cursor.as_ref() {
            [] => None,
            cursor => Some(AccountId::from_slice(cursor).map_err(|_| {
                ProtocolError::invalid("the cursor is not one of this server's: start with an empty one")
            })?),
        };
    let mut rest = view.present().filter(|(account, _)| after.is_none_or(|after| *account > after));
    let page: Vec<_> = rest.by_ref().take(PAGE_MEMBERS_MAX).collect();
    let next = page.last().filter(|_| rest.next().is_some()).map(|(account, _)| account.to_bytes());
    let members = try_join_all(page.into_iter().map(|(account, role)| async move {
        let profile = profiles::load(api, account).await?;
        Ok::<_, ProtocolError>(MemberInfo { profile: profile.into(), role: role.into() })
    }));
    Ok(MemberList { members: members.await?, next_cursor: next.unwrap_or_default() })
}

pub(super) async fn set_preferences(api: &Api, caller: &Caller, set: SetPreferences) -> Result<(), ProtocolError> {
    let conversation = ConversationId::from_slice(&set.conversation)?;
    let preferences: Preferences =
        set.preferences.into_option().ok_or_else(|| ProtocolError::invalid("preferences are missing"))?;
    api.memberships.current(caller, conversation).await?;
    let now = api.services.now_us();
    let row = PreferencesRow { preferences: preferences.clone().into(), changed_us: now };
    let key = tables::inbox(caller.account, conversation, InboxPart::Preferences);
    let write = api.services.write_directory_durably(vec![tables::put(key, &row, now)]);
    write.await.map_err(errors::from_port)?;
    let changed = PreferencesChanged { conversation: conversation.to_bytes(), preferences: preferences.into() };
    let frame = ServerFrame { event: Some(Event::PreferencesChanged(changed)), ..Default::default() };
    let to = vec![Recipient::OtherDevices(caller.account, caller.device)];
    api.sessions.deliver(vec![Post { payload: Payload::Frame(frame.encode_to_bytes()), to }]).await;
    Ok(())
}
