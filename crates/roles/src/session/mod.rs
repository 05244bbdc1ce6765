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

pub use lease::{Lease, address};

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
/// How often a registration is written, each time with a later version: other processes may register the same device at
/// the same time.
const WRITES_MAX: usize = 8;

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
    /// Its number by the device's own count, which rises with each connection. Of a device that does not count: that of the
    /// connection that it had before.
    pub number: u64,
    /// When the device said hello on it, in microseconds since the Unix epoch; later than that of every connection of the
    /// device that was registered before.
    pub connected_us: u64,
    /// When it was registered or changed last, in microseconds since the Unix epoch, and even: the version of its row. Later
    /// than what the device had before, whatever clocks say.
    pub since_us: u64,
}

/// The row of a device: the session that it had last.
///
/// A session that ended stays, marked as such, with the odd version behind its own. A deleted row would hide its version,
/// and then a registration by a clock that was set back would not show.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Known {
    session: Session,
    has_ended: bool,
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

/// What became of a connection that is to be found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Registered {
    /// The session is registered, with the version that it has now.
    Yes(Session),
    /// Not, as the same device has this later connection.
    Replaced(Session),
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
    /// Once this returns, everything posted to the account finds the connection. Its version is above that of whatever
    /// the device had before. It is refused where the device has a connection of the same or a higher number: this hello
    /// was under way for longer than it took the device to connect again.
    ///
    /// After an error the row may be there, now or later.
    pub async fn register(&self, session: Session) -> Result<Registered> {
        self.put(session, Greeting::New).await
    }

    /// As [`Self::register`], for a connection that was registered before: a change of it, or what became of its row.
    pub async fn register_again(&self, session: Session) -> Result<Registered> {
        self.put(session, Greeting::Before).await
    }

    async fn put(&self, mut session: Session, greeting: Greeting) -> Result<Registered> {
        let stripe = self.stripe(session.account);
        let _guard = stripe.lock.lock().await;
        let mut known = self.read(session.account).await?;
        if greeting == Greeting::New
            && let Some(before) = of(&known, session.device)
        {
            if session.number == 0 {
                session.number = before.number;
            } else if session.number == before.number && !session.is_same_connection(before) {
                return Ok(Registered::Replaced(before.clone()));
            }
            // The clocks of two gateways differ, and this is the later one all the same.
            session.connected_us = session.connected_us.max(before.connected_us.saturating_add(1));
        }
        for _ in 0..WRITES_MAX {
            let before = of(&known, session.device);
            if let Some(before) = before
                && before.number > session.number
            {
                return Ok(Registered::Replaced(before.clone()));
            }
            let above = before.map_or(0, |before| before.since_us.saturating_add(1));
            session.since_us = session.since_us.max(above).saturating_add(1) & !1;
            let row = rows::to_row(&session);
            let write = tables::put(tables::session(session.account, session.device), &row, session.since_us);
            self.services.directory.write(vec![write]).await?;
            stripe.generation.fetch_add(1, Ordering::Relaxed);
            known = self.read(session.account).await?;
            if of(&known, session.device) == Some(&session) {
                self.cache_put(session.account, &live(known)).await;
                return Ok(Registered::Yes(session));
            }
        }
        Err(hudhud_ports::Error::new(hudhud_ports::ErrorKind::Unavailable, "sessions", "register")
            .because("the device registers elsewhere at the same time, again and again"))
    }

    /// Ends a registration, unless the device has a newer one.
    pub async fn unregister(&self, session: &Session) -> Result<()> {
        self.remove(session.account, std::slice::from_ref(session)).await
    }

    /// Sees to it that a live connection is found: registers it again where its row was lost (a clean-up that took its
    /// gateway for dead, a write that another one overtook). It gives way only to a connection on which the device said
    /// hello later: the row of an earlier one may be newer, where that was registered again. One read of the cache where
    /// all is well.
    pub async fn confirm(&self, session: &Session) -> Result<Registered> {
        let is_mine = |found: &Session| found.is_same_connection(session);
        if self.cache_get(session.account).await.is_some_and(|set| set.iter().any(is_mine)) {
            return Ok(Registered::Yes(session.clone()));
        }
        let known = self.read(session.account).await?;
        match known.into_iter().find(|known| known.session.device == session.device) {
            Some(known) if is_mine(&known.session) && !known.has_ended => Ok(Registered::Yes(session.clone())),
            Some(known) if known.session.is_later_than(session) => Ok(Registered::Replaced(known.session)),
            _ => {
                let since_us = self.services.now_us().max(session.since_us + 1);
                self.register_again(Session { since_us, ..session.clone() }).await
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

    /// Marks these sessions of one account as ended unless they changed, and writes the cache entry of what is left.
    async fn remove(&self, account: AccountId, sessions: &[Session]) -> Result<()> {
        let stripe = self.stripe(account);
        let _guard = stripe.lock.lock().await;
        let end = |s: &Session| {
            tables::put(tables::session(account, s.device), &rows::to_ended(s), s.since_us.saturating_add(1))
        };
        let ends: Vec<Write> = sessions.iter().map(end).collect();
        let ended = self.services.directory.write(ends).await;
        stripe.generation.fetch_add(1, Ordering::Relaxed);
        // Whatever came of the write, the entry is not to be believed any more.
        let left = match &ended {
            Ok(()) => self.read(account).await.map(live).unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        self.cache_put(account, &left).await;
        ended
    }

    /// Marks dead sessions as ended beside the caller, who does not wait. Best effort.
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

/// What a device had last.
fn of(known: &[Known], device: DeviceId) -> Option<&Session> {
    known.iter().map(|known| &known.session).find(|session| session.device == device)
}

/// Those that have not ended.
fn live(known: Vec<Known>) -> Vec<Session> {
    known.into_iter().filter(|known| !known.has_ended).map(|known| known.session).collect()
}

impl Session {
    fn is_same_connection(&self, other: &Self) -> bool {
        self.gateway == other.gateway && self.connection == other.connection
    }

    /// Whether the device said hello on this connection later, as it counts them itself; where it does not, as gateways
    /// read its hellos.
    fn is_later_than(&self, other: &Self) -> bool {
        (self.number, self.connected_us) > (other.number, other.connected_us)
    }
}
