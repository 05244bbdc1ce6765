//! Rate limits: so many at once, then one each interval, per account, device, handle or address.
//!
//! The generic cell rate algorithm (ITU-T I.371): a bucket is one number, the time at which it is full again. The governor
//! crate does the same with a keyed map that grows without a bound, which an attacker fills, and a clock of its own,
//! which a simulation can't hold: these lines are shorter than what would tame it.
//!
//! The limits hold per process. A cluster of n api processes allows n times as much, which is still a limit.

use super::Caller;
use crate::services::Services;
use crate::settings::{Rate, Rates};
use hudhud_ports::Clock;
use hudhud_proto::v1::ErrorCode;
use hudhud_proto::{AccountId, DeviceId, Handle, ProtocolError};
use lru::LruCache;
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// Buckets held in memory. The one used least recently goes first, and with it what was taken from it: who wants to be
/// forgotten has to use so many others, each of which costs a connection or a password hash.
const BUCKETS_MAX: usize = 100_000;

/// What a bucket is for. Each is keyed by what can't be had for free in the thing that it protects.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Bucket {
    Command(AccountId, DeviceId),
    Send(AccountId, DeviceId),
    LookUp(AccountId),
    LogIn(Handle),
    Address(IpAddr),
    Invite(AccountId),
}

/// All rate limits of a process.
pub(crate) struct Limiter {
    clock: Arc<dyn Clock>,
    rates: Rates,
    /// When each bucket is full again, in the clock's monotonic time. A bucket that is not here is full.
    full_at: Mutex<LruCache<Bucket, Duration>>,
    buckets_max: usize,
}

impl Limiter {
    /// The limits that the settings name; every bucket is full.
    pub(crate) fn new(services: &Services) -> Self {
        Self {
            clock: services.runtime.clock.clone(),
            rates: services.settings.rates.clone(),
            full_at: Mutex::new(LruCache::unbounded()),
            buckets_max: BUCKETS_MAX,
        }
    }

    /// One command of a device that is not a send.
    pub(crate) fn command(&self, caller: &Caller) -> Result<(), ProtocolError> {
        self.take(Bucket::Command(caller.account, caller.device), self.rates.commands, 1, "commands from this device")
    }

    /// So many messages of a device.
    pub(crate) fn sends(&self, caller: &Caller, n: u32) -> Result<(), ProtocolError> {
        self.take(Bucket::Send(caller.account, caller.device), self.rates.sends, n, "messages from this device")
    }

    /// One question of an account whether another one exists.
    pub(crate) fn look_up(&self, account: AccountId) -> Result<(), ProtocolError> {
        self.take(Bucket::LookUp(account), self.rates.look_ups, 1, "look-ups")
    }

    /// One guess at the password of a handle, whether there is such a handle or not.
    pub(crate) fn log_in(&self, handle: &Handle) -> Result<(), ProtocolError> {
        self.take(Bucket::LogIn(handle.clone()), self.rates.log_ins_per_handle, 1, "log-ins with this handle")
    }

    /// One registration or log-in from an address. Of IPv6 the first 64 bits count: a household has that many addresses.
    pub(crate) fn address(&self, address: IpAddr) -> Result<(), ProtocolError> {
        let network = match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 => v4,
        };
        self.take(Bucket::Address(network), self.rates.accounts_per_address, 1, "registrations and log-ins from here")
    }

    /// One invite made, looked at or followed by an account.
    pub(crate) fn invite(&self, account: AccountId) -> Result<(), ProtocolError> {
        self.take(Bucket::Invite(account), self.rates.invites, 1, "invites")
    }

    fn take(&self, bucket: Bucket, rate: Rate, n: u32, what: &str) -> Result<(), ProtocolError> {
        let now = self.clock.monotonic();
        let mut full_at = self.full_at.lock();
        let before = full_at.get(&bucket).copied().unwrap_or(now);
        match admit(before, now, rate, n) {
            Ok(after) => {
                full_at.put(bucket, after);
                if full_at.len() > self.buckets_max {
                    full_at.pop_lru();
                }
                Ok(())
            }
            Err(wait) => {
                let wait_ms = u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
                let message = format!("too many {what}: wait {:.1} s", wait.as_secs_f64());
                Err(ProtocolError::retry(ErrorCode::RateLimited, message, wait_ms))
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use hudhud_ports::memory::ManualClock;

    const RATE: Rate = Rate { burst: 3, interval: Duration::from_millis(500) };

    fn limiter(buckets_max: usize) -> (Limiter, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(0));
        let rates = Rates {
            sends: RATE,
            commands: RATE,
            look_ups: RATE,
            log_ins_per_handle: RATE,
            accounts_per_address: RATE,
            invites: RATE,
        };
        let full_at = Mutex::new(LruCache::unbounded());
        (Limiter { clock: clock.clone(), rates, full_at, buckets_max }, clock)
    }

    fn account(n: u8) -> AccountId {
        AccountId::new([n; 16])
    }

    fn wait_ms(outcome: Result<(), ProtocolError>) -> u32 {
        let error = outcome.expect_err("nothing is left");
        assert_eq!(error.code, ErrorCode::RateLimited);
        error.retry_after_ms
    }

    #[test]
    fn a_bucket_gives_its_burst_then_one_each_interval() {
        let (limiter, clock) = limiter(10);
        for _ in 0..3 {
            limiter.look_up(account(1)).expect("within the burst");
        }
        assert_eq!(wait_ms(limiter.look_up(account(1))), 500);
        limiter.look_up(account(2)).expect("each account has its own");
        clock.advance(Duration::from_micros(499_100));
        assert_eq!(wait_ms(limiter.look_up(account(1))), 1, "0.9 ms are left: rounded up, never down");
        clock.advance(Duration::from_micros(900));
        limiter.look_up(account(1)).expect("after exactly the wait that was told");
        assert_eq!(wait_ms(limiter.look_up(account(1))), 500);
    }

    #[test]
    fn a_bucket_refills_to_its_burst_and_no_further() {
        let (limiter, clock) = limiter(10);
        limiter.look_up(account(1)).expect("the first");
        clock.advance(Duration::from_secs(3_600));
        for _ in 0..3 {
            limiter.look_up(account(1)).expect("within the burst");
        }
        assert_eq!(wait_ms(limiter.look_up(account(1))), 500);
    }

    #[test]
    fn a_batch_counts_each_message_and_one_beyond_the_burst_is_paid_back() {
        let now = Duration::from_secs(100);
        assert_eq!(admit(now, now, RATE, 2), Ok(now + RATE.interval * 2));
        assert_eq!(admit(now + RATE.interval * 2, now, RATE, 2), Err(RATE.interval));
        assert_eq!(admit(now, now, RATE, 10), Ok(now + RATE.interval * 10), "a full bucket grants it");
        assert_eq!(admit(now + RATE.interval * 10, now, RATE, 1), Err(RATE.interval * 8));
        assert_eq!(admit(Duration::ZERO, now, Rate { burst: 0, ..RATE }, 1), Ok(now + RATE.interval));
    }

    #[test]
    fn an_ipv6_household_is_one_address() {
        let (limiter, _) = limiter(10);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for n in 0..3 {
            limiter.address(address(&format!("2001:db8:0:1::{n}"))).expect("within the burst");
        }
        wait_ms(limiter.address(address("2001:db8:0:1:ffff::9")));
        limiter.address(address("2001:db8:0:2::")).expect("the next household");
        for _ in 0..3 {
            limiter.address(address("192.0.2.1")).expect("within the burst");
        }
        wait_ms(limiter.address(address("::ffff:192.0.2.1")));
        limiter.address(address("192.0.2.2")).expect("the next address");
    }

    #[test]
    fn memory_is_bounded_and_the_least_recently_used_goes_first() {
        let (limiter, _) = limiter(2);
        for _ in 0..3 {
            limiter.invite(account(1)).expect("within the burst");
        }
        limiter.invite(account(2)).expect("another");
        wait_ms(limiter.invite(account(1)));
        limiter.invite(account(3)).expect("pushes account 2 out: account 1 was used after it");
        wait_ms(limiter.invite(account(1)));
        assert_eq!(limiter.full_at.lock().len(), 2);
    }
}
