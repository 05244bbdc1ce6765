//! Who is connected where: the mapping of accounts to gateways, and delivery along it.
//!
//! The mapping is a row per device in the directory ([`crate::tables::SESSIONS`]) and, written with it, an entry per
//! account in the cache. It is a hint; the log is the truth: a stale entry costs a retry, never a message.
//!
//! What makes that so: "nobody is connected" is never cached, a gateway names the connections that it does not have, a
//! gateway's lease bounds how long a dead one is believed, and every ping lets a connection see to its own row
//! ([`Sessions::confirm`]).

mod deliver;
mod lease;
#[cfg(test)]
pub(crate) mod liar;
mod look_up;
mod rows;
#[cfg(test)]
mod tests;

pub use lease::Lease;

use crate::services::Services;
use crate::tables;
use hudhud_ports::{GatewayRef, Payload, Result, Write};
use hudhud_proto::{AccountId, ConnectionId, DeviceId, TokenId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, Semaphore};

/// Locks over which accounts are spread. Two accounts that share one only wait for each other's registrations.
const STRIPES: usize = 64;
/// Clean-ups that run beside deliveries. A look-up beyond leaves the dead rows to the next one.
const CLEAN_UPS_MAX: usize = 32;
/// How often a registration is tried with a later version, each time four times as far ahead of the clock, from a
/// microsecond to two years: a deletion with a later version than the clock's hides it, as after a clock was set back,
/// and does not show itself.
const VERSIONS_TRIED_MAX: u32 = 24;

/// One live connection of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Whose.
    pub account: AccountId,
    /// Of which device.
    pub device: DeviceId,
    /// Where.
    pub gateway: GatewayRef,
    /// On which socket.
    pub connection: ConnectionId,
    /// Opened with this token.
    pub token: TokenId,
    /// Whether a person looks at the device.
    pub active: bool,
    /// When the device said hello on it, in microseconds since the Unix epoch; later than that of every connection of the
    /// device that was registered before.
    pub connected_us: u64,
    /// When it was registered or changed last, in microseconds since the Unix epoch: the version of its row.
    pub since_us: u64,
}

/// Who gets a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recipient {
    /// All devices of an account.
    Account(AccountId),
    /// One device.
    Device(AccountId, DeviceId),
    /// All devices of an account but one.
    OtherDevices(AccountId, DeviceId),
}

/// A payload and who gets it.
#[derive(Clone, Debug)]
pub struct Post {
    /// What.
    pub payload: Payload,
    /// Who.
    pub to: Vec<Recipient>,
}

/// Whether a device says hello on a connection that is registered, or did before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Greeting {
    New,
    Before,
}

/// What [`Sessions::confirm`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Confirmed {
    /// The session is registered; its version may have changed.
    Registered(Session),
    /// The same device said hello on another connection later.
    Replaced,
}

/// The mapping. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    services: Services,
    stripes: Arc<[Stripe]>,
    leases: Arc<lease::Leases>,
    clean_ups: Arc<Semaphore>,
}

/// What orders this process's writes of a cache entry.
#[derive(Default)]
struct Stripe {
    /// Held while rows and their entry are written together.
    lock: Mutex<()>,
    /// Raised after each change of rows: an entry made of older rows is not put.
    generation: AtomicU64,
}

impl Sessions {
    /// The mapping of a process.
    pub fn new(services: &Services) -> Self {
        Self {
            services: services.clone(),
            stripes: std::iter::repeat_with(Stripe::default).take(STRIPES).collect(),
            leases: Arc::default(),
            clean_ups: Arc::new(Semaphore::new(CLEAN_UPS_MAX)),
        }
    }

    /// Registers a connection on which a device said hello: its row, and with it the entry of its account in the cache.
    /// Once this returns, everything posted to the account finds the connection. Returns the session with the version
    /// that it got, which is above that of whatever the device had before, and as the latest of the device's.
    ///
    /// After an error the row may be there, now or later.
    pub async fn register(&self, session: Session) -> Result<Session> {
        self.put(session, Greeting::New).await
    }

    /// As [`Self::register`], for a connection that was registered before: a change of it, or what became of its row.
    pub async fn register_again(&self, session: Session) -> Result<Session> {
        self.put(session, Greeting::Before).await
    }

    async fn put(&self, mut session: Session, greeting: Greeting) -> Result<Session> {
        let stripe = self.stripe(session.account);
        let _guard = stripe.lock.lock().await;
        let mut found = self.read(session.account).await?;
        if greeting == Greeting::New
            && let Some(before) = found.iter().find(|found| found.device == session.device)
        {
            // The clocks of two gateways differ, and this is the later one all the same.
            session.connected_us = session.connected_us.max(before.connected_us.saturating_add(1));
        }
        for tried in 0..VERSIONS_TRIED_MAX {
            let before = found.iter().find(|found| found.device == session.device);
            let above = before.map_or(0, |before| before.since_us.saturating_add(1));
            let ahead_us = 4_u64.pow(tried) - 1;
            session.since_us = session.since_us.saturating_add(ahead_us).max(above);
            let row = rows::to_row(&session);
            let write = tables::put(tables::session(session.account, session.device), &row, session.since_us);
            self.services.directory.write(vec![write]).await?;
            stripe.generation.fetch_add(1, Ordering::Relaxed);
            found = self.read(session.account).await?;
            if found.contains(&session) {
                self.cache_put(session.account, &found).await;
                return Ok(session);
            }
        }
        Err(hudhud_ports::Error::new(hudhud_ports::ErrorKind::Unavailable, "sessions", "register")
            .because("the row was deleted with a version years ahead of this machine's clock"))
    }

    /// Ends a registration, unless the device has a newer one.
    pub async fn unregister(&self, session: &Session) -> Result<()> {
        self.remove(session.account, std::slice::from_ref(session)).await
    }

    /// Sees to it that a live connection is found: registers it again where its row was lost (a clean-up that took its
    /// gateway for dead, a write that another one overtook). It gives way only to a connection on which the device said
    /// hello later: the row of an earlier one may be newer, where that was registered again. One read of the cache where
    /// all is well.
    pub async fn confirm(&self, session: &Session) -> Result<Confirmed> {
        let is_mine = |found: &Session| found.gateway == session.gateway && found.connection == session.connection;
        if self.cache_get(session.account).await.is_some_and(|set| set.iter().any(is_mine)) {
            return Ok(Confirmed::Registered(session.clone()));
        }
        let registered = self.read(session.account).await?;
        match registered.iter().find(|found| found.device == session.device) {
            Some(found) if is_mine(found) => Ok(Confirmed::Registered(session.clone())),
            Some(found) if found.connected_us > session.connected_us => Ok(Confirmed::Replaced),
            _ => {
                let since_us = self.services.now_us().max(session.since_us + 1);
                Ok(Confirmed::Registered(self.register_again(Session { since_us, ..session.clone() }).await?))
            }
        }
    }

    /// Takes over what the cache says about itself.
    pub async fn sample_cache(&self) {
        match self.services.cache.stats().await {
            Ok(stats) => self.services.metrics.cache(stats),
            Err(error) => tracing::debug!(%error, "the cache does not tell its size"),
        }
    }

    /// Deletes these sessions of one account unless they changed, and writes the cache entry of what is left.
    async fn remove(&self, account: AccountId, sessions: &[Session]) -> Result<()> {
        let stripe = self.stripe(account);
        let _guard = stripe.lock.lock().await;
        let delete = |s: &Session| tables::delete(tables::session(account, s.device), s.since_us);
        let deletes: Vec<Write> = sessions.iter().map(delete).collect();
        let deleted = self.services.directory.write(deletes).await;
        stripe.generation.fetch_add(1, Ordering::Relaxed);
        // Whatever came of the deletion, the entry is not to be believed any more.
        let left = match &deleted {
            Ok(()) => self.read(account).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        self.cache_put(account, &left).await;
        deleted
    }

    /// Deletes dead sessions beside the caller, who does not wait. Best effort.
    fn remove_later(&self, dead: Vec<Session>) {
        if dead.is_empty() {
            return;
        }
        let Ok(permit) = self.clean_ups.clone().try_acquire_owned() else { return };
        let sessions = self.clone();
        self.services.runtime.tasks.spawn(Box::pin(async move {
            let _permit = permit;
            let mut by_account: BTreeMap<AccountId, Vec<Session>> = BTreeMap::new();
            for session in dead {
                by_account.entry(session.account).or_default().push(session);
            }
            for (account, dead) in by_account {
                match sessions.remove(account, &dead).await {
                    Ok(()) => _ = sessions.services.metrics.session_rows_removed.inc_by(dead.len() as u64),
                    Err(error) => tracing::debug!(%account, %error, "dead sessions stay for the next look-up"),
                }
            }
        }));
    }

    fn stripe(&self, account: AccountId) -> &Stripe {
        &self.stripes[usize::from(account.as_bytes()[15]) % STRIPES]
    }
}
