//! Finding sessions: the cache first, then the database, then whether their gateways still live.

use super::{Known, Session, Sessions, live, rows};
use crate::tables;
use futures_util::poll;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hudhud_ports::{GatewayRef, Result, Scan};
use hudhud_proto::{AccountId, limits, v1};
use std::sync::atomic::Ordering;
use std::task::Poll;

/// Accounts that one look-up reads at the same time.
const READS_MAX: usize = 32;
/// Session rows of one account that are read: one for each device, and some of devices that were removed a moment ago.
const ROWS_MAX: usize = 2 * limits::DEVICES_MAX;

/// What a look-up believes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// The cache, and the database where it holds nothing.
    CacheFirst,
    /// The database alone, and the cache learns what it says.
    Database,
}

/// Whether a gateway holds its lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Alive,
    Dead,
}

fn sessions_of(found: &Found) -> impl Iterator<Item = &Session> {
    found.iter().filter_map(|(_, sessions)| sessions.as_ref().ok()).flatten()
}

/// What a look-up found of each account, in the order of accounts.
pub(super) type Found = Vec<(AccountId, Result<Vec<Session>>)>;

impl Sessions {
    /// The live sessions of these accounts, by account and device. Costs one read of the cache per account where it
    /// holds the account, else one of the database.
    pub async fn of_accounts(&self, accounts: &[AccountId]) -> Result<Vec<Session>> {
        self.collect(accounts, Source::CacheFirst).await
    }

    /// As [`Self::of_accounts`], past the cache: for what must not be decided by a hint.
    pub async fn of_accounts_in_database(&self, accounts: &[AccountId]) -> Result<Vec<Session>> {
        self.collect(accounts, Source::Database).await
    }

    async fn collect(&self, accounts: &[AccountId], source: Source) -> Result<Vec<Session>> {
        let mut accounts = accounts.to_vec();
        accounts.sort_unstable();
        accounts.dedup();
        let mut sessions = Vec::with_capacity(accounts.len());
        for (_, found) in self.look_up(accounts, source).await {
            sessions.append(&mut found?);
        }
        Ok(sessions)
    }

    /// The live sessions of each account, every account in the answer. `accounts` are in order, each once.
    pub(super) async fn look_up(&self, accounts: Vec<AccountId>, source: Source) -> Found {
        let mut found = Found::with_capacity(accounts.len());
        let mut waiting = FuturesUnordered::new();
        for account in accounts {
            if waiting.len() >= READS_MAX {
                found.extend(waiting.next().await);
            }
            let mut read = Box::pin(async move { (account, self.of_account(account, source).await) });
            // A cache of this process answers at once: nothing is to be scheduled then.
            match poll!(read.as_mut()) {
                Poll::Ready(answer) => found.push(answer),
                Poll::Pending => waiting.push(read),
            }
        }
        if !waiting.is_empty() {
            found.extend(waiting.collect::<Vec<_>>().await);
            found.sort_unstable_by_key(|(account, _)| *account);
        }
        self.leave_out_dead(&mut found).await;
        found
    }

    async fn of_account(&self, account: AccountId, source: Source) -> Result<Vec<Session>> {
        let metrics = &self.services.metrics;
        if source == Source::CacheFirst {
            if let Some(sessions) = self.cache_get(account).await {
                metrics.session_cache_hits.inc();
                return Ok(sessions);
            }
            metrics.session_cache_misses.inc();
        }
        let stripe = self.stripe(account);
        let generation = stripe.generation.load(Ordering::Relaxed);
        let sessions = live(self.read(account).await?);
        // A registration that runs now writes a better entry: neither wait for it nor overwrite it with older rows.
        if let Ok(_guard) = stripe.lock.try_lock()
            && stripe.generation.load(Ordering::Relaxed) == generation
        {
            self.cache_put(account, &sessions).await;
        }
        Ok(sessions)
    }

    /// Takes out the sessions of gateways that are gone, and has their rows marked as ended.
    async fn leave_out_dead(&self, found: &mut Found) {
        // There are few, and most sessions are on the same as the one before.
        let mut gateways: Vec<(GatewayRef, Life)> = Vec::new();
        for session in sessions_of(found) {
            if gateways.iter().any(|(gateway, _)| *gateway == session.gateway) {
                continue;
            }
            let life = match self.leases.is_alive(&self.services, &session.gateway).await {
                true => Life::Alive,
                false => Life::Dead,
            };
            gateways.push((session.gateway.clone(), life));
        }
        gateways.retain(|(_, life)| *life == Life::Dead);
        if gateways.is_empty() {
            return;
        }
        let is_dead = |session: &mut Session| gateways.iter().any(|(gateway, _)| *gateway == session.gateway);
        let mut dead = Vec::new();
        for (_, sessions) in found {
            if let Ok(sessions) = sessions {
                dead.extend(sessions.extract_if(.., is_dead));
            }
        }
        self.remove_later(dead);
    }

    /// What the database knows of an account's devices.
    pub(super) async fn read(&self, account: AccountId) -> Result<Vec<Known>> {
        let scan = Scan::all(tables::SESSIONS, account.to_bytes(), ROWS_MAX);
        let known = |row: &hudhud_ports::Row| {
            let value: v1::SessionRow = tables::read(row).ok()?;
            let session = rows::from_row(account, &row.sort, &value, row.version);
            if session.is_none() {
                tracing::error!(%account, "a session row makes no sense; it is left out");
            }
            Some(Known { session: session?, has_ended: value.has_ended })
        };
        Ok(self.services.directory.scan(scan).await?.iter().filter_map(known).collect())
    }

    /// What the cache believes of an account, if anything.
    pub(super) async fn cache_get(&self, account: AccountId) -> Option<Vec<Session>> {
        match self.services.cache.get(&rows::cache_key(account)).await {
            Ok(entry) => rows::from_entry(account, &entry?),
            Err(error) => {
                tracing::debug!(%account, %error, "the cache failed; the database knows");
                None
            }
        }
    }

    /// Tells the cache. An empty set is forgotten instead: somebody may register with another process at any time.
    pub(super) async fn cache_put(&self, account: AccountId, sessions: &[Session]) {
        let key = rows::cache_key(account);
        let ttl = self.services.settings.session_cache_ttl;
        let told = match sessions {
            [] => self.services.cache.remove(&key).await,
            sessions => self.services.cache.put(&key, rows::to_entry(sessions), ttl).await,
        };
        if let Err(error) = told {
            tracing::debug!(%account, %error, "the cache could not be told");
        }
    }
}
