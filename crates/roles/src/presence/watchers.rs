//! Who watches whom: one entry of the cache per watched account. Two watchers who register at the same moment may
//! overwrite each other; each repeats its watch.

use super::Viewer;
use crate::services::Services;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hudhud_ports::Result;
use hudhud_proto::limits::WATCH_MS;
use hudhud_proto::{AccountId, DeviceId, Message, v1};
use lru::LruCache;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Watchers of one account that are told of changes; those who watched first go first. The others see changes when they
/// repeat their watch.
const WATCHERS_MAX: usize = 256;
/// Connections of which this process remembers whom they watch, so that a new list ends the old one.
const LISTS_KEPT_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
/// Entries changed at the same time.
const WRITES_MAX: usize = 16;

pub(super) struct Watchers {
    services: Services,
    lists: Mutex<LruCache<Viewer, BTreeSet<AccountId>>>,
}

impl Watchers {
    pub(super) fn new(services: &Services) -> Self {
        Self { services: services.clone(), lists: Mutex::new(LruCache::new(LISTS_KEPT_MAX)) }
    }

    /// Makes these the accounts that a viewer watches. Best effort.
    pub(super) async fn replace(&self, viewer: Viewer, accounts: &[AccountId]) {
        let watched: BTreeSet<AccountId> = accounts.iter().copied().collect();
        let before = {
            let mut lists = self.lists.lock();
            match watched.is_empty() {
                true => lists.pop(&viewer),
                false => lists.put(viewer, watched.clone()),
            }
        };
        let ended = before.unwrap_or_default().into_iter().filter(|account| !watched.contains(account));
        let until_us = self.services.now_us() + WATCH_MS * 1_000;
        let changes = ended.map(|account| (account, None)).chain(accounts.iter().map(|a| (*a, Some(until_us))));
        let changes: Vec<_> = changes.map(|(account, until_us)| self.change(account, viewer, until_us)).collect();
        stream::iter(changes).for_each_concurrent(WRITES_MAX, |change| change).await;
    }

    /// Who watches an account now.
    pub(super) async fn of(&self, account: AccountId) -> Result<Vec<Viewer>> {
        let viewer = |watcher: v1::Watcher| {
            let account = AccountId::from_slice(&watcher.account).ok()?;
            Some((account, DeviceId::from_slice(&watcher.device).ok()?))
        };
        Ok(self.read(account).await?.into_iter().filter_map(viewer).collect())
    }

    /// The watches of an account that have not run out.
    async fn read(&self, account: AccountId) -> Result<Vec<v1::Watcher>> {
        let entry = self.services.cache.get(&key(account)).await?.unwrap_or_default();
        let mut watchers = v1::WatcherSet::decode_from_slice(&entry).unwrap_or_default().watchers;
        let now_us = self.services.now_us();
        watchers.retain(|watcher| watcher.until_us > now_us);
        Ok(watchers)
    }

    async fn change(&self, account: AccountId, viewer: Viewer, until_us: Option<u64>) {
        if let Err(error) = self.try_change(account, viewer, until_us).await {
            tracing::debug!(%account, %error, "a watch was not noted");
        }
    }

    async fn try_change(&self, account: AccountId, (viewer, device): Viewer, until_us: Option<u64>) -> Result<()> {
        let (viewer, device): (Bytes, Bytes) = (viewer.to_bytes(), device.to_bytes());
        let mut watchers = self.read(account).await?;
        watchers.retain(|watcher| watcher.account != viewer || watcher.device != device);
        if let Some(until_us) = until_us {
            watchers.push(v1::Watcher { account: viewer, device, until_us });
        }
        watchers.drain(..watchers.len().saturating_sub(WATCHERS_MAX));
        let key = key(account);
        if watchers.is_empty() {
            return self.services.cache.remove(&key).await;
        }
        let entry = v1::WatcherSet { watchers }.encode_to_bytes();
        self.services.cache.put(&key, entry, Duration::from_millis(WATCH_MS)).await
    }
}

/// Where the cache holds the watchers of an account.
fn key(account: AccountId) -> [u8; 17] {
    let mut key = [b'w'; 17];
    key[1..].copy_from_slice(account.as_bytes());
    key
}
