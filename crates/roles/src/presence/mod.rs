//! Online and last seen: told only to those who look, within what the person allows.
//!
//! An account is online while a person looks at one of its connected devices. Who has a chat open watches the other
//! one: a watch lives in the cache for two minutes unless it is repeated, so nothing is stored and nothing needs to be
//! cleaned up. A lost watch or push is mended by the next repetition, which answers with the presence as it is.

mod visibility;
mod watchers;

#[cfg(test)]
mod tests;

pub use visibility::{Visible, allows, blocks, privacy_of, visible};

use crate::services::Services;
use crate::session::{Post, Recipient, Session, Sessions};
use crate::tables;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use hudhud_ports::{Payload, Result};
use hudhud_proto::v1::server_frame::Event;
use hudhud_proto::{AccountId, DeviceId, Message, v1};
use lru::LruCache;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use watchers::Watchers;

/// How often an account's last seen is written while it is online.
const LAST_SEEN_INTERVAL: Duration = Duration::from_secs(60);
/// Accounts of which this process remembers when it wrote their last seen. Forgetting costs a write.
const LAST_SEEN_KEPT_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
/// Accounts whose presence is read, or watchers whose rights are checked, at the same time.
const READS_MAX: usize = 16;

/// Who is online, and who wants to know.
pub struct Presence {
    services: Services,
    sessions: Arc<Sessions>,
    watchers: Watchers,
    /// When this process wrote an account's last seen, in monotonic time.
    last_seen_written: Mutex<LruCache<AccountId, Duration>>,
}

impl Presence {
    /// The presences of a process.
    pub fn new(services: &Services, sessions: Arc<Sessions>) -> Self {
        Self {
            services: services.clone(),
            sessions,
            watchers: Watchers::new(services),
            last_seen_written: Mutex::new(LruCache::new(LAST_SEEN_KEPT_MAX)),
        }
    }

    /// What a viewer may see of these accounts now, in their order.
    pub async fn of(&self, viewer: AccountId, accounts: &[AccountId]) -> Result<Vec<v1::Presence>> {
        // Collected: a lazy iterator over a borrow hides from the compiler that this future can move between threads.
        let reads: Vec<_> = accounts.iter().map(|account| self.of_one(viewer, *account)).collect();
        stream::iter(reads).buffered(READS_MAX).try_collect().await
    }

    /// Makes these the accounts that a connection watches, instead of those before, for
    /// [`hudhud_proto::limits::WATCH_MS`], and answers as [`Self::of`]. Registered before the presences are read: no
    /// change falls between the two.
    pub async fn watch(&self, viewer: &Session, accounts: &[AccountId]) -> Result<Vec<v1::Presence>> {
        self.watchers.replace((viewer.account, viewer.device), accounts).await;
        self.of(viewer.account, accounts).await
    }

    /// Ends the watches of a connection that closed. Best effort.
    pub async fn unwatch(&self, viewer: &Session) {
        self.watchers.replace((viewer.account, viewer.device), &[]).await;
    }

    /// Tells the watchers of an account what it is now. Called when a connection of it came, went or changed. Best
    /// effort: a watcher who is not told asks again within a minute.
    pub async fn changed(&self, account: AccountId) {
        if let Err(error) = self.tell(account).await {
            tracing::debug!(%account, %error, "watchers were not told of a change");
        }
    }

    /// Notes that an account is online now. Writes at most once a minute.
    pub async fn seen(&self, account: AccountId) {
        let now = self.services.runtime.clock.monotonic();
        let written = self.last_seen_written.lock().get(&account).copied();
        if written.is_none_or(|written| now.saturating_sub(written) >= LAST_SEEN_INTERVAL) {
            self.write_last_seen(account, now).await;
        }
    }

    /// Notes that a person just stopped looking at a device, and tells the watchers.
    pub async fn left(&self, account: AccountId) {
        self.write_last_seen(account, self.services.runtime.clock.monotonic()).await;
        self.changed(account).await;
    }

    async fn of_one(&self, viewer: AccountId, account: AccountId) -> Result<v1::Presence> {
        let privacy = privacy_of(&self.services, account).await?;
        let visible = visible(&self.services, &privacy, account, viewer).await?;
        let online = visible.online && is_online(&self.sessions.of_accounts(&[account]).await?);
        let last_seen_us = if visible.last_seen { self.last_seen(account).await? } else { 0 };
        Ok(v1::Presence { account: account.to_bytes(), online, last_seen_us })
    }

    async fn tell(&self, account: AccountId) -> Result<()> {
        let watchers = self.watchers.of(account).await?;
        if watchers.is_empty() {
            return Ok(());
        }
        let online = is_online(&self.sessions.of_accounts_in_database(&[account]).await?);
        let last_seen_us = self.last_seen(account).await?;
        let privacy = privacy_of(&self.services, account).await?;
        let viewers: BTreeSet<AccountId> = watchers.iter().map(|(viewer, _)| *viewer).collect();
        let rights = viewers.into_iter().map(|viewer| {
            let privacy = &privacy;
            async move { Ok((viewer, visible(&self.services, privacy, account, viewer).await?)) }
        });
        let rights: BTreeMap<AccountId, Visible> =
            stream::iter(rights).buffer_unordered(READS_MAX).try_collect().await?;
        let mut posts: BTreeMap<Bytes, Vec<Recipient>> = BTreeMap::new();
        for (viewer, device) in watchers {
            let visible = rights[&viewer];
            // A frame says that something changed, whatever is in it: none for those who must not know.
            if !visible.online && (online || !visible.last_seen) {
                continue;
            }
            let presence = v1::Presence {
                account: account.to_bytes(),
                online: visible.online && online,
                last_seen_us: if visible.last_seen { last_seen_us } else { 0 },
            };
            posts.entry(push(Event::Presence(presence))).or_default().push(Recipient::Device(viewer, device));
        }
        let posts = posts.into_iter().map(|(frame, to)| Post { payload: Payload::Frame(frame), to }).collect();
        self.sessions.deliver(posts).await;
        Ok(())
    }

    async fn last_seen(&self, account: AccountId) -> Result<u64> {
        let row = self.services.directory.get(tables::last_seen(account)).await?;
        Ok(row.map(|row| tables::read::<v1::LastSeenRow>(&row)).transpose()?.map_or(0, |row| row.time_us))
    }

    async fn write_last_seen(&self, account: AccountId, now: Duration) {
        let time_us = self.services.now_us();
        let row = v1::LastSeenRow { time_us };
        let write = tables::put(tables::last_seen(account), &row, time_us);
        // Before the write, so that two connections of an account do not both write.
        self.last_seen_written.lock().put(account, now);
        if let Err(error) = self.services.directory.write(vec![write]).await {
            tracing::debug!(%account, %error, "last seen was not written");
        }
    }
}

/// A viewer's connection.
type Viewer = (AccountId, DeviceId);

fn is_online(sessions: &[Session]) -> bool {
    sessions.iter().any(|session| session.active)
}

/// A frame that answers no request.
pub(crate) fn push(event: Event) -> Bytes {
    v1::ServerFrame { request: 0, event: Some(event) }.encode_to_bytes()
}
