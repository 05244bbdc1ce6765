//! Buckets empty and fill as they should, and those of one do not empty those of another.

use super::*;
use hudhud_ports::memory::ManualClock;

const RATE: Rate = Rate { burst: 3, interval: Duration::from_millis(500) };

fn limiter(buckets_max: usize) -> (Limiter, Arc<ManualClock>) {
    with(buckets_max, Rates { look_ups: RATE, accounts_per_address: RATE, invites: RATE, ..Rates::default() })
}

fn with(buckets_max: usize, rates: Rates) -> (Limiter, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(0));
    let limiter = Limiter {
        clock: clock.clone(),
        metrics: Arc::new(Metrics::new().0),
        rates,
        full_at: Mutex::new(LruCache::unbounded()),
        conversations_full_at: Mutex::new(LruCache::unbounded()),
        buckets_max,
        places: Mutex::new(LruCache::unbounded()),
    };
    (limiter, clock)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Somebody at an address of the network 192.0.2.0/24.
fn caller(account: u8, host: u8) -> Caller {
    Caller {
        account: AccountId::new([account; 16]),
        device: DeviceId::new([account; 16]),
        token: hudhud_proto::TokenId::new([account; 16]),
        address: IpAddr::from([192, 0, 2, host]),
        session: None,
    }
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
        limiter.look_up(&caller(1, 1)).expect("within the burst");
    }
    assert_eq!(wait_ms(limiter.look_up(&caller(1, 1))), 500);
    limiter.look_up(&caller(2, 1)).expect("each account has its own");
    clock.advance(Duration::from_micros(499_100));
    assert_eq!(wait_ms(limiter.look_up(&caller(1, 1))), 1, "0.9 ms are left: rounded up, never down");
    clock.advance(Duration::from_micros(900));
    limiter.look_up(&caller(1, 1)).expect("after exactly the wait that was told");
    assert_eq!(wait_ms(limiter.look_up(&caller(1, 1))), 500);
}

#[test]
fn a_bucket_refills_to_its_burst_and_no_further() {
    let (limiter, clock) = limiter(10);
    limiter.look_up(&caller(1, 1)).expect("the first");
    clock.advance(Duration::from_secs(3_600));
    for _ in 0..3 {
        limiter.look_up(&caller(1, 1)).expect("within the burst");
    }
    assert_eq!(wait_ms(limiter.look_up(&caller(1, 1))), 500);
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
    let rates = Rates { sends: RATE, ..Rates::default() };
    let (limiter, _) = with(2, rates);
    limiter.sends(&caller(1, 1), 3).expect("within the burst");
    limiter.sends(&caller(2, 1), 1).expect("another");
    wait_ms(limiter.sends(&caller(1, 1), 1));
    limiter.sends(&caller(3, 1), 1).expect("pushes account 2 out: account 1 was used after it");
    wait_ms(limiter.sends(&caller(1, 1), 1));
    assert_eq!(limiter.full_at.lock().len(), 2);
}

/// Each kind of question is limited per account, per address and for everybody, and who is refused by one of the three
/// takes nothing from the other two.
#[test]
fn what_can_be_abused_is_limited_in_three_ways() {
    type Ask = fn(&Limiter, &Caller) -> Result<(), ProtocolError>;
    type RatesOf = fn(&mut Rates) -> [&mut Rate; 3];
    let asks: [(Ask, RatesOf); 3] = [
        (Limiter::look_up, |r| [&mut r.look_ups, &mut r.look_ups_per_address, &mut r.look_ups_in_all]),
        (Limiter::invite, |r| [&mut r.invites, &mut r.invites_per_address, &mut r.invites_in_all]),
        (
            |limiter, caller| limiter.group_adds(caller, 1),
            |r| [&mut r.group_adds, &mut r.group_adds_per_address, &mut r.group_adds_in_all],
        ),
    ];
    for (ask, rates_of) in asks {
        let mut rates = Rates::default();
        for (rate, burst) in rates_of(&mut rates).into_iter().zip([2, 3, 5]) {
            *rate = Rate { burst, ..RATE };
        }
        let (limiter, _) = with(100, rates);
        for n in 0..4 {
            assert_eq!(ask(&limiter, &caller(1, 1)).is_ok(), n < 2, "an account has two");
        }
        ask(&limiter, &caller(2, 1)).expect("the third of this address");
        wait_ms(ask(&limiter, &caller(3, 1)));
        ask(&limiter, &caller(3, 2)).expect("the fourth of all: who was refused took nothing");
        ask(&limiter, &caller(4, 3)).expect("the fifth of all");
        wait_ms(ask(&limiter, &caller(5, 4)));
    }
}

/// A stranger who guesses uses up its own tries; many strangers together use up those of the unknown places; and whoever
/// has logged in from where it is gets in all the same.
#[test]
fn strangers_lock_nobody_out() {
    let rates = Rates {
        log_ins_per_handle: Rate { burst: 2, ..RATE },
        log_ins_per_handle_in_all: Rate { burst: 4, ..RATE },
        ..Rates::default()
    };
    let (limiter, _) = with(100, rates);
    let alice: Handle = "alice".parse().expect("a handle");
    let (home, cafe) = (address("198.51.100.1"), address("198.51.100.2"));
    for _ in 0..2 {
        limiter.log_in(&alice, address("192.0.2.1")).expect("a stranger's guess");
    }
    wait_ms(limiter.log_in(&alice, address("192.0.2.1")));
    limiter.log_in(&alice, home).expect("one stranger is not in the way");
    limiter.logged_in(&alice, home);
    limiter.log_in(&alice, address("192.0.2.2")).expect("another stranger, the fourth try");
    wait_ms(limiter.log_in(&alice, address("192.0.2.3")));
    wait_ms(limiter.log_in(&alice, cafe));
    limiter.log_in(&alice, home).expect("many strangers are not in the way of who was here before");
    wait_ms(limiter.log_in(&alice, home));
    limiter.password(AccountId::new([1; 16])).expect("nor in the way of who has a token");
    let bobby: Handle = "bobby".parse().expect("a handle");
    limiter.log_in(&bobby, address("192.0.2.1")).expect("each handle has its own");
}

/// From unknown places everybody together has so many tries; where somebody has logged in there are more.
#[test]
fn log_ins_are_limited_for_everybody_together() {
    let (limiter, _) = with(100, Rates { accounts_in_all: RATE, ..Rates::default() });
    let handle = |n: u8| format!("person{n}").parse::<Handle>().expect("a handle");
    limiter.logged_in(&handle(0), address("198.51.100.1"));
    for n in 1..4 {
        limiter.log_in(&handle(n), IpAddr::from([192, 0, 2, n])).expect("within the burst");
    }
    wait_ms(limiter.log_in(&handle(4), address("192.0.2.4")));
    wait_ms(limiter.registration(address("192.0.2.5")));
    limiter.log_in(&handle(0), address("198.51.100.1")).expect("who was here before");
}

/// An operator sees which limit refuses, by the name under which it is changed.
#[test]
fn a_refusal_is_counted_by_the_name_of_its_rate() {
    let (limiter, _) = limiter(10);
    for _ in 0..5 {
        // Two of them are refused.
        _ = limiter.look_up(&caller(1, 1));
    }
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register("rate_limited", "", limiter.metrics.rate_limited.clone());
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string takes everything");
    assert!(text.contains("rate_limited_total{rate=\"look_ups\"} 2"), "{text}");
}

#[test]
fn a_conversation_has_a_rate_of_its_own_and_pushes_nobody_out() {
    let (limiter, _) = with(2, Rates { sends_per_conversation: RATE, look_ups: RATE, ..Rates::default() });
    let conversation = |n: u8| ConversationId::new([n; 16]);
    limiter.invite(&caller(1, 1)).expect("within the burst");
    let others = limiter.full_at.lock().len();
    limiter.conversation(conversation(1), 3).expect("within the burst");
    assert_eq!(wait_ms(limiter.conversation(conversation(1), 1)), 500);
    for n in 2..9 {
        limiter.conversation(conversation(n), 1).expect("each has its own");
    }
    assert_eq!(limiter.conversations_full_at.lock().len(), 2);
    assert_eq!(limiter.full_at.lock().len(), others);
}
