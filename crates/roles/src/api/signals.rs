//! Signals that are never stored: typing, and asking for presences.

use super::{Api, Caller, errors};
use crate::presence::{self, push};
use crate::session::{Post, Recipient, Registered, Session};
use hudhud_ports::Payload;
use hudhud_proto::limits::WATCHED_MAX;
use hudhud_proto::v1::server_frame::Event;
use hudhud_proto::v1::{ConversationKind, ErrorCode, PresenceList, Typing, TypingNotice, WatchPresence};
use hudhud_proto::{AccountId, ConversationId, ProtocolError};

/// Members of a group above which nobody is told who types: it would be noise, and a push to everybody per key stroke.
const TYPING_MEMBERS_MAX: usize = 256;

/// Tells the other members that the caller types. In a group with more than [`TYPING_MEMBERS_MAX`] members, and in a
/// direct chat where either blocks the other, nobody is told; the answer is the same.
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
    /// Registers whether a person looks at the caller's device, which must be connected, and tells who watches. Answers
    /// with the session as it is registered now. Called by the gateway, which owns the session.
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
        let changed = Session { active, since_us, ..session };
        let session = match self.sessions.register_again(changed).await.map_err(errors::from_port)? {
            Registered::Yes(session) => session,
            Registered::Replaced(by) => return Err(errors::replaced(by.number)),
        };
        if active {
            self.presence.seen(session.account).await;
            self.presence.changed(session.account).await;
        } else {
            self.presence.left(session.account).await;
        }
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Who;
    use crate::api::testing::Fixture;
    use hudhud_proto::v1::{Block, HeadRow, MemberRow, Role, ServerFrame, Span, client_frame::Command};
    use hudhud_proto::{Message, v1};

    /// A conversation of these accounts, as the dispatcher would have stored it.
    async fn conversation(fixture: &Fixture, kind: ConversationKind, members: &[AccountId]) -> ConversationId {
        let id = match members {
            [one, other] if kind == ConversationKind::Direct => ConversationId::direct(*one, *other),
            _ => ConversationId::new([7; 16]),
        };
        let head = HeadRow { kind: kind.into(), seq: 1, position: 1, ..Default::default() };
        let row = MemberRow { role: Role::Member.into(), visible: vec![Span { from: 1, to: 0 }] };
        let mut writes = vec![crate::tables::put(crate::tables::head(id), &head, 1)];
        writes.extend(members.iter().map(|member| crate::tables::put(crate::tables::member(id, *member), &row, 1)));
        fixture.services.messages.write(writes).await.expect("written");
        id
    }

    async fn types(fixture: &Fixture, caller: &Caller, id: ConversationId) -> Result<(), ProtocolError> {
        typing(&fixture.api, caller, Typing { conversation: id.to_bytes(), typing: true }).await
    }

    fn told(fixture: &Fixture, caller: &Caller) -> Vec<TypingNotice> {
        let notice = |payload| match payload {
            Payload::Frame(frame) => match ServerFrame::decode_from_slice(&frame).expect("a frame").event {
                Some(Event::TypingNotice(notice)) => notice,
                other => panic!("{other:?}"),
            },
            Payload::Revoked(_) | Payload::Suspended => panic!("nobody was shut out"),
        };
        fixture.delivered_to(caller).into_iter().map(notice).collect()
    }

    #[tokio::test]
    async fn typing_is_told_to_the_other_members_alone() {
        let fixture = Fixture::new().await;
        let alice = fixture.connect(&fixture.account("alice").await).await;
        let bob = fixture.connect(&fixture.account("bob").await).await;
        let carol = fixture.connect(&fixture.account("carol").await).await;
        let id = conversation(&fixture, ConversationKind::Direct, &[alice.account, bob.account]).await;
        types(&fixture, &alice, id).await.expect("a member");
        let notice = TypingNotice { conversation: id.to_bytes(), account: alice.account.to_bytes(), typing: true };
        assert_eq!(told(&fixture, &bob), [notice]);
        assert_eq!((told(&fixture, &alice), told(&fixture, &carol)), (vec![], vec![]));
        let refused = types(&fixture, &carol, id).await.map_err(|error| error.code);
        assert_eq!(refused, Err(ErrorCode::NotFound));

        let block = Command::Block(Block { account: alice.account.to_bytes() });
        fixture.api.handle(&Who::Account(bob.clone()), block).await.expect("blocked");
        types(&fixture, &alice, id).await.expect("nothing tells that she is blocked");
        types(&fixture, &bob, id).await.expect("nor him");
        assert_eq!((told(&fixture, &bob).len(), told(&fixture, &alice).len()), (1, 0));
    }

    #[tokio::test]
    async fn nobody_is_told_who_types_in_a_big_group() {
        let fixture = Fixture::new().await;
        let alice = fixture.connect(&fixture.account("alice").await).await;
        let bob = fixture.connect(&fixture.account("bob").await).await;
        let mut members = vec![alice.account, bob.account];
        members.extend((0..TYPING_MEMBERS_MAX - 2).map(|n| AccountId::new([n as u8; 16])));
        let id = conversation(&fixture, ConversationKind::Group, &members).await;
        types(&fixture, &alice, id).await.expect("a member");
        assert_eq!(told(&fixture, &bob).len(), 1, "{TYPING_MEMBERS_MAX} members are not too many");
        members.push(AccountId::new([0xfe; 16]));
        conversation(&fixture, ConversationKind::Group, &members).await;
        fixture.clock.advance(std::time::Duration::from_secs(60));
        types(&fixture, &alice, id).await.expect("a member");
        assert_eq!(told(&fixture, &bob).len(), 1, "one more is");
    }

    #[tokio::test]
    async fn a_list_of_watched_accounts_is_bounded_and_needs_no_connection() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let watch = |n: usize| WatchPresence { accounts: vec![alice.account.to_bytes(); n] };
        let answer = watch_presence(&fixture.api, &alice, watch(2)).await.expect("few");
        let expected = v1::Presence { account: alice.account.to_bytes(), ..Default::default() };
        assert_eq!(answer.accounts, [expected], "each once");
        let refused = watch_presence(&fixture.api, &alice, watch(WATCHED_MAX + 1)).await.map_err(|error| error.code);
        assert_eq!(refused.map(|list| list.accounts.len()), Err(ErrorCode::Limit));
    }
}
