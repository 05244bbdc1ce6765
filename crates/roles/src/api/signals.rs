//! Signals that are never stored: typing, and asking for presences.

use super::{Api, Caller, errors};
use crate::presence::{self, push};
use crate::session::{Post, Recipient, Session};
use hudhud_ports::Payload;
use hudhud_proto::limits::WATCHED_MAX;
use hudhud_proto::v1::server_frame::Event;
use hudhud_proto::v1::{ConversationKind, ErrorCode, PresenceList, Typing, TypingNotice, WatchPresence};
use hudhud_proto::{AccountId, ConversationId, ProtocolError};

/// Members of a group above which nobody is told who types: it would be noise, and a push to everybody per key stroke.
const TYPING_MEMBERS_MAX: usize = 256;

/// Tells the other members that the caller types. In a group with more than [`TYPING_MEMBERS_MAX`] members, and in a direct
/// chat where either blocks the other, nobody is told; the answer is the same.
pub(super) async fn typing(api: &Api, caller: &Caller, typing: Typing) -> Result<(), ProtocolError> {
    let conversation = ConversationId::from_slice(&typing.conversation)?;
    let view = api.memberships.view(caller, conversation).await?;
    let others: Vec<AccountId> = view.present().map(|(id, _)| id).filter(|id| *id != caller.account).collect();
    if others.is_empty() || others.len() >= TYPING_MEMBERS_MAX {
        return Ok(());
    }
    if let (ConversationKind::Direct, [peer]) = (view.kind(), others.as_slice()) {
        let services = &api.services;
        let caller_blocks = presence::blocks(services, caller.account, *peer).await.map_err(errors::from_port)?;
        if caller_blocks || presence::blocks(services, *peer, caller.account).await.map_err(errors::from_port)? {
            return Ok(());
        }
    }
    let notice = TypingNotice {
        conversation: conversation.to_bytes(),
        account: caller.account.to_bytes(),
        typing: typing.typing,
    };
    let to = others.into_iter().map(Recipient::Account).collect();
    api.sessions.deliver(vec![Post { payload: Payload::Frame(push(Event::TypingNotice(notice))), to }]).await;
    Ok(())
}

/// Answers with presences, and over a connection makes these the accounts that it watches.
pub(super) async fn watch_presence(
    api: &Api,
    caller: &Caller,
    watch: WatchPresence,
) -> Result<PresenceList, ProtocolError> {
    if watch.accounts.len() > WATCHED_MAX {
        let message = format!("watch at most {WATCHED_MAX} accounts, those of the chats that are open");
        return Err(ProtocolError::new(ErrorCode::Limit, message));
    }
    let mut accounts = watch.accounts.iter().map(|id| AccountId::from_slice(id)).collect::<Result<Vec<_>, _>>()?;
    accounts.sort_unstable();
    accounts.dedup();
    let presences = match &caller.session {
        Some(session) => api.presence.watch(session, &accounts).await,
        None => api.presence.of(caller.account, &accounts).await,
    };
    Ok(PresenceList { accounts: presences.map_err(errors::from_port)? })
}

impl Api {
    /// Registers whether a person looks at the caller's device, which must be connected, and tells who watches. Answers with the
    /// session as it is registered now. Called by the gateway, which owns the session.
    pub(crate) async fn set_active(&self, caller: &Caller, active: bool) -> Result<Session, ProtocolError> {
        self.services.metrics.command("setActive");
        self.limiter.command(caller)?;
        let Some(session) = caller.session.clone() else {
            return Err(ProtocolError::invalid("this command is about a WebSocket connection: send it over one"));
        };
        if session.active == active {
            return Ok(session);
        }
        let since_us = self.services.now_us();
        let session =
            self.sessions.register(Session { active, since_us, ..session }).await.map_err(errors::from_port)?;
        if active {
            self.presence.seen(session.account).await;
            self.presence.changed(session.account).await;
        } else {
            self.presence.left(session.account).await;
        }
        Ok(session)
    }
}
