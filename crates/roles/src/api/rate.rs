//! Rate limits: so many at once, then one each interval, per account, device, handle or address, and for everybody together.
//!
//! The generic cell rate algorithm (ITU-T I.371): a bucket is one number, the time at which it is full again. The governor
//! crate does the same with a keyed map that grows without a bound, which an attacker fills, and a clock of its own,
//! which a simulation can't hold: these lines are shorter than what would tame it.
//!
//! What can be abused is drawn from several buckets, and from all of them or from none: whoever is refused for its own sake
//! takes nothing from the others of its address, or from everybody. The decision about log-ins is
//! `docs/adr/0016-limits-of-log-ins.md`.
//!
//! The limits hold per process. A cluster of n api processes allows n times as much, which is still a limit.

use super::Caller;
use crate::metrics::Metrics;
use crate::services::Services;
use crate::settings::{Rate, Rates};
use hudhud_ports::Clock;
use hudhud_proto::v1::ErrorCode;
use hudhud_proto::{AccountId, ConversationId, DeviceId, Handle, ProtocolError};
use lru::LruCache;
use parking_lot::Mutex;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// Buckets held in memory. The one used least recently goes first, and with it what was taken from it: who wants to be
/// forgotten has to use so many others, each of which costs a connection or a password hash.
const BUCKETS_MAX: usize = 100_000;
/// Places held in memory at which people have logged in. The one used least recently goes first.
const PLACES_MAX: usize = 100_000;

/// What a bucket is for. Each is keyed by what can't be had for free in the thing that it protects.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Bucket {
    Command(AccountId, DeviceId),
    Send(AccountId, DeviceId),
    LookUp(Whose),
    LogInAt(Handle, IpAddr),
    LogIn(Handle),
    Password(AccountId),
    Account(Whose),
    Invite(Whose),
    GroupAdd(Whose),
    Report(Whose),
}

/// Whose bucket it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Whose {
    Account(AccountId),
    /// Of IPv6 the first 64 bits: see [`network`].
    Address(IpAddr),
    Everybody,
}

/// One of the buckets that a request draws from.
struct Draw {
    bucket: Bucket,
    rate: Rate,
    /// The name of the rate in the configuration, for the metrics.
    name: &'static str,
    /// What there are too many of, for people.
    what: &'static str,
}

/// A draw at the rate with this name.
macro_rules! draw {
    ($limiter:ident.$name:ident, $bucket:expr, $what:literal) => {
        Draw { bucket: $bucket, rate: $limiter.rates.$name, name: stringify!($name), what: $what }
    };
}

/// All rate limits of a process.
pub(crate) struct Limiter {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    rates: Rates,
    /// When each bucket is full again, in the clock's monotonic time. A bucket that is not here is full.
    full_at: Mutex<LruCache<Bucket, Duration>>,
    /// The same for conversations, of which anybody may use many: they push no other bucket out.
    conversations_full_at: Mutex<LruCache<ConversationId, Duration>>,
    buckets_max: usize,
    /// The handles with which somebody has logged in, and where: what strangers do elsewhere does not keep them out.
    places: Mutex<LruCache<(Handle, IpAddr), ()>>,
}

impl Limiter {
    /// The limits that the settings name; every bucket is full.
    pub(crate) fn new(services: &Services) -> Self {
        Self {
            clock: services.runtime.clock.clone(),
            metrics: services.metrics.clone(),
            rates: services.settings.rates.clone(),
            full_at: Mutex::new(LruCache::unbounded()),
            conversations_full_at: Mutex::new(LruCache::unbounded()),
            buckets_max: BUCKETS_MAX,
            places: Mutex::new(LruCache::unbounded()),
        }
    }

    /// One command of a device that is not a send.
    pub(crate) fn command(&self, caller: &Caller) -> Result<(), ProtocolError> {
        let bucket = Bucket::Command(caller.account, caller.device);
        self.take(1, [draw!(self.commands, bucket, "commands from this device")])
    }

    /// So many messages of a device.
    pub(crate) fn sends(&self, caller: &Caller, n: u32) -> Result<(), ProtocolError> {
        let bucket = Bucket::Send(caller.account, caller.device);
        self.take(n, [draw!(self.sends, bucket, "messages from this device")])
    }

    /// So many messages into a conversation, whoever sends them: each is written and pushed once for every member.
    pub(crate) fn conversation(&self, conversation: ConversationId, n: u32) -> Result<(), ProtocolError> {
        let now = self.clock.monotonic();
        let mut full_at = self.conversations_full_at.lock();
        let before = full_at.get(&conversation).copied().unwrap_or(now);
        let after = admit(before, now, self.rates.sends_per_conversation, n)
            .map_err(|wait| self.refused("sends_per_conversation", "messages in this conversation", wait))?;
        keep(&mut full_at, conversation, after, self.buckets_max);
        Ok(())
    }

    /// One question of an account whether another one exists.
    pub(crate) fn look_up(&self, caller: &Caller) -> Result<(), ProtocolError> {
        let [account, address, everybody] = whose(caller).map(Bucket::LookUp);
        let draws = [
            draw!(self.look_ups, account, "look-ups"),
            draw!(self.look_ups_per_address, address, "look-ups from here"),
            draw!(self.look_ups_in_all, everybody, "look-ups by everybody"),
        ];
        self.take(1, draws)
    }

    /// One guess at the password of a handle, whether there is such a handle or not.
    pub(crate) fn log_in(&self, handle: &Handle, address: IpAddr) -> Result<(), ProtocolError> {
        let network = network(address);
        let at = Bucket::LogInAt(handle.clone(), network);
        let here = [draw!(self.log_ins_per_handle, at, "log-ins with this handle"), self.accounts_here(network)];
        if self.places.lock().get(&(handle.clone(), network)).is_some() {
            return self.take(1, here);
        }
        let handle = Bucket::LogIn(handle.clone());
        let everywhere =
            [draw!(self.log_ins_per_handle_in_all, handle, "log-ins with this handle"), self.accounts_everywhere()];
        self.take(1, here.into_iter().chain(everywhere))
    }

    /// Somebody has just proved here that the handle is its own.
    pub(crate) fn logged_in(&self, handle: &Handle, address: IpAddr) {
        keep(&mut self.places.lock(), (handle.clone(), network(address)), (), PLACES_MAX);
    }

    /// One guess of who has a token at the password of that account. A bucket of its own: neither do strangers at the door
    /// keep an owner from changing it, nor is guessing cheaper here than there.
    pub(crate) fn password(&self, account: AccountId) -> Result<(), ProtocolError> {
        self.take(1, [draw!(self.log_ins_per_handle, Bucket::Password(account), "guesses at this password")])
    }

    /// One log-in from an address that is no guess.
    pub(crate) fn address(&self, address: IpAddr) -> Result<(), ProtocolError> {
        self.take(1, [self.accounts_here(network(address))])
    }

    /// One registration from an address.
    pub(crate) fn registration(&self, address: IpAddr) -> Result<(), ProtocolError> {
        self.take(1, [self.accounts_here(network(address)), self.accounts_everywhere()])
    }

    fn accounts_here(&self, network: IpAddr) -> Draw {
        let bucket = Bucket::Account(Whose::Address(network));
        draw!(self.accounts_per_address, bucket, "registrations and log-ins from here")
    }

    fn accounts_everywhere(&self) -> Draw {
        let bucket = Bucket::Account(Whose::Everybody);
        draw!(self.accounts_in_all, bucket, "registrations and log-ins by everybody")
    }

    /// One invite made, looked at or followed by an account.
    pub(crate) fn invite(&self, caller: &Caller) -> Result<(), ProtocolError> {
        let [account, address, everybody] = whose(caller).map(Bucket::Invite);
        let draws = [
            draw!(self.invites, account, "invites"),
            draw!(self.invites_per_address, address, "invites from here"),
            draw!(self.invites_in_all, everybody, "invites by everybody"),
        ];
        self.take(1, draws)
    }

    /// So many people whom an account does not know and adds to a group.
    pub(crate) fn group_adds(&self, caller: &Caller, strangers: u32) -> Result<(), ProtocolError> {
        if strangers == 0 {
            return Ok(());
        }
        let [account, address, everybody] = whose(caller).map(Bucket::GroupAdd);
        let draws = [
            draw!(self.group_adds, account, "people whom you do not know (send them an invite)"),
            draw!(self.group_adds_per_address, address, "people added to groups from here"),
            draw!(self.group_adds_in_all, everybody, "people added to groups by everybody"),
        ];
        self.take(strangers, draws)
    }

    /// One report of an account to the operators.
    pub(crate) fn report(&self, caller: &Caller) -> Result<(), ProtocolError> {
        let [account, address, everybody] = whose(caller).map(Bucket::Report);
        let draws = [
            draw!(self.reports, account, "reports"),
            draw!(self.reports_per_address, address, "reports from here"),
            draw!(self.reports_in_all, everybody, "reports by everybody"),
        ];
        self.take(1, draws)
    }

    /// Counts a refusal and words it.
    fn refused(&self, name: &'static str, what: &str, wait: Duration) -> ProtocolError {
        self.metrics.rate_limited(name);
        let wait_ms = u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
        ProtocolError::retry(
            ErrorCode::RateLimited,
            format!("too many {what}: wait {:.1} s", wait.as_secs_f64()),
            wait_ms,
        )
    }

    /// Takes `n` from all of these, or from none.
    fn take(&self, n: u32, draws: impl IntoIterator<Item = Draw>) -> Result<(), ProtocolError> {
        let now = self.clock.monotonic();
        let mut full_at = self.full_at.lock();
        let mut granted = Vec::new();
        for draw in draws {
            let before = full_at.get(&draw.bucket).copied().unwrap_or(now);
            match admit(before, now, draw.rate, n) {
                Ok(after) => granted.push((draw.bucket, after)),
                Err(wait) => return Err(self.refused(draw.name, draw.what, wait)),
            }
        }
        for (bucket, after) in granted {
            keep(&mut full_at, bucket, after, self.buckets_max);
        }
        Ok(())
    }
}

/// Puts something into a map that grows with its use up to a bound: a map that is made with one takes all its memory at once.
fn keep<K: Hash + Eq, V>(map: &mut LruCache<K, V>, key: K, value: V, entries_max: usize) {
    map.put(key, value);
    if map.len() > entries_max {
        map.pop_lru();
    }
}

/// The three whose buckets a caller's request draws from.
fn whose(caller: &Caller) -> [Whose; 3] {
    [Whose::Account(caller.account), Whose::Address(network(caller.address)), Whose::Everybody]
}

/// What counts as one address. Of IPv6 the first 64 bits: a household has that many addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// Takes `n` from a bucket that is full again at `full_at`. Returns when it is full after that, or how long to wait until
/// the same would be granted. More than a whole bucket is granted from a full one and paid back by waiting longer:
/// otherwise a batch that is larger than the burst would never pass.
fn admit(full_at: Duration, now: Duration, rate: Rate, n: u32) -> Result<Duration, Duration> {
    let burst = rate.burst.max(1);
    let full_at = full_at.max(now);
    let full_after = full_at.saturating_add(rate.interval.saturating_mul(n.min(burst)));
    let latest = now.saturating_add(rate.interval.saturating_mul(burst));
    match full_after.saturating_sub(latest) {
        Duration::ZERO => Ok(full_at.saturating_add(rate.interval.saturating_mul(n))),
        wait => Err(wait),
    }
}

mod refusals;
#[cfg(test)]
mod tests;

pub use refusals::Refusal;
