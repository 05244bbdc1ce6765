//! What an api knows of conversations: enough to refuse early. The dispatcher decides.

use super::{Caller, errors};
use crate::conversation::{Conversation, ROWS_MAX};
use crate::presence;
use crate::services::Services;
use crate::tables;
use hudhud_ports::{Scan, Store};
use hudhud_proto::v1::ConversationKind;
use hudhud_proto::{AccountId, ConversationId, ProtocolError};
use lru::LruCache;
use parking_lot::Mutex;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// Conversations held in memory.
const VIEWS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// How long a view is used without being read again. A refusal is always checked against the database first.
const VIEW_TTL: Duration = Duration::from_secs(5);

/// Recent states of conversations.
pub(crate) struct Memberships {
    services: Services,
    views: Mutex<LruCache<ConversationId, (Duration, Arc<Conversation>)>>,
}

impl Memberships {
    pub(crate) fn new(services: &Services) -> Self {
        Self { services: services.clone(), views: Mutex::new(LruCache::new(VIEWS_MAX)) }
    }

    /// A conversation of which the caller is a member, as it was some seconds ago at most.
    pub(crate) async fn view(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<Arc<Conversation>, ProtocolError> {
        if let Some(view) = self.recent(conversation)
            && view.role(caller.account).is_some()
        {
            return Ok(view);
        }
        let view = self.fresh(conversation).await?;
        match view.role(caller.account) {
            Some(_) => Ok(view),
            None => Err(errors::not_found("conversation")),
        }
    }

    /// A conversation of which the caller is or was a member, as it is now.
    pub(crate) async fn current(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<Arc<Conversation>, ProtocolError> {
        let view = self.fresh(conversation).await?;
        match view.members.contains_key(&caller.account) {
            true => Ok(view),
            false => Err(errors::not_found("conversation")),
        }
    }

    /// A conversation as it is now; without a head if it has no entry.
    pub(crate) async fn fresh(&self, conversation: ConversationId) -> Result<Arc<Conversation>, ProtocolError> {
        let view = load(self.services.messages.as_ref(), conversation).await.map_err(errors::from_port)?;
        let view = Arc::new(view);
        if view.head.is_some() {
            self.remember(view.clone());
        }
        Ok(view)
    }

    /// A conversation as far as it has come since it was viewed. One row of a direct chat, whose members never change.
    pub(crate) async fn advanced(&self, view: &Conversation) -> Result<Arc<Conversation>, ProtocolError> {
        if view.kind() != ConversationKind::Direct {
            return self.fresh(view.id).await;
        }
        let head = self.services.messages.get(tables::head(view.id)).await.map_err(errors::from_port)?;
        let head = head.map(|row| tables::read(&row)).transpose().map_err(errors::from_port)?;
        let view = Arc::new(Conversation { id: view.id, head, members: view.members.clone() });
        if view.head.is_some() {
            self.remember(view.clone());
        }
        Ok(view)
    }

    /// Uses this state until the real one is there: what was just accepted is about to be.
    pub(crate) fn remember(&self, view: Arc<Conversation>) {
        let now = self.services.runtime.clock.monotonic();
        self.views.lock().put(view.id, (now, view));
    }

    fn recent(&self, conversation: ConversationId) -> Option<Arc<Conversation>> {
        let now = self.services.runtime.clock.monotonic();
        let mut views = self.views.lock();
        let (read, view) = views.get(&conversation)?;
        (now.saturating_sub(*read) < VIEW_TTL).then(|| view.clone())
    }
}

/// Reads a conversation: one partition.
pub(crate) async fn load(store: &dyn Store, id: ConversationId) -> hudhud_ports::Result<Conversation> {
    let rows = store.scan(Scan::all(tables::CONVERSATION, id.to_bytes(), ROWS_MAX)).await?;
    Conversation::from_rows(id, &rows)
}

/// Whether an account blocks another one.
pub(crate) async fn blocks(services: &Services, owner: AccountId, other: AccountId) -> Result<bool, ProtocolError> {
    presence::blocks(services, owner, other).await.map_err(errors::from_port)
}
