//! The mapping is a hint: what it forgets, gets wrong or can't reach costs time, never a delivery to the wrong place.

use super::liar::Liar;
use super::*;
use crate::api::testing::{BEGIN_US, services};
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::memory::{self, ManualClock};
use hudhud_ports::{Cache, Delivery, ErrorKind, Gateways, Target};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::yield_now;

/// Gateways that hold exactly these connections, and write down what reaches them.
#[derive(Default)]
struct FakeGateways {
    connected: Mutex<BTreeSet<(GatewayRef, Target)>>,
    /// Gateways that never answer.
    hanging: Mutex<BTreeSet<Arc<str>>>,
    delivered: Mutex<Vec<(Target, Payload)>>,
}

#[async_trait]
impl Gateways for FakeGateways {
    async fn push(&self, gateway: &GatewayRef, batch: Vec<Delivery>) -> Result<Vec<Target>> {
        if self.hanging.lock().contains(&gateway.name) {
            std::future::pending::<()>().await;
        }
        let mut absent = BTreeSet::new();
        for Delivery { payload, targets } in batch {
            for target in targets {
                match self.connected.lock().contains(&(gateway.clone(), target)) {
                    true => self.delivered.lock().push((target, payload.clone())),
                    false => _ = absent.insert(target),
                }
            }
        }
        Ok(absent.into_iter().collect())
    }
}

struct World {
    services: Services,
    gateways: Arc<FakeGateways>,
    sessions: Sessions,
    clock: Arc<ManualClock>,
}

fn world(cache: impl FnOnce(&Services, Arc<ManualClock>) -> Arc<dyn Cache>) -> World {
    let gateways = Arc::new(FakeGateways::default());
    let (runtime, clock) = memory::runtime(BEGIN_US, 5);
    let store = Arc::new(memory::Store::new(clock.clone()));
    let mut services =
        Services { runtime, gateways: gateways.clone(), directory: store.clone(), messages: store, ..services() };
    services.cache = cache(&services, clock.clone());
    let sessions = Sessions::new(&services);
    World { services, gateways, sessions, clock }
}

fn honest(bytes_max: usize) -> World {
    world(|_, clock| Arc::new(memory::Cache::new(clock, bytes_max)))
}

fn account(n: u8) -> AccountId {
    AccountId::new([n; 16])
}

fn frame(text: &'static str) -> Payload {
    Payload::Frame(Bytes::from_static(text.as_bytes()))
}

fn to_account(n: u8, text: &'static str) -> Vec<Post> {
    vec![Post { payload: frame(text), to: vec![Recipient::Account(account(n))] }]
}

/// Turns of the scheduler in which everything that can happen without time passing has happened.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

impl World {
    async fn gateway(&self, name: &str, incarnation: u64) -> (GatewayRef, Lease) {
        let gateway = GatewayRef { name: name.into(), incarnation };
        let lease = Lease::new(&self.services, gateway.clone(), "");
        lease.take().await.expect("taken");
        (gateway, lease)
    }

    /// Registers a device at a gateway, and has the gateway hold its connection.
    async fn connect(&self, owner: u8, device: u8, gateway: &GatewayRef, connection: u64) -> Session {
        let session = Session {
            account: account(owner),
            device: DeviceId::new([device; 16]),
            gateway: gateway.clone(),
            connection: ConnectionId(connection),
            token: TokenId::new([device; 16]),
            active: false,
            number: 0,
            connected_us: self.services.now_us(),
            since_us: self.services.now_us(),
        };
        self.gateways.connected.lock().insert((gateway.clone(), target(&session)));
        yes(self.sessions.register(session).await)
    }

    fn drop_connection(&self, session: &Session) {
        self.gateways.connected.lock().remove(&(session.gateway.clone(), target(session)));
    }

    async fn of(&self, owner: u8) -> Vec<Session> {
        self.sessions.of_accounts(&[account(owner)]).await.expect("looked up")
    }

    async fn rows(&self, owner: u8) -> Vec<Session> {
        live(self.sessions.read(account(owner)).await.expect("read"))
    }

    fn delivered(&self) -> Vec<(u64, Payload)> {
        std::mem::take(&mut *self.gateways.delivered.lock()).into_iter().map(|(t, p)| (t.connection.0, p)).collect()
    }
}

/// The session, of a connection that was not replaced.
fn yes(registered: Result<Registered>) -> Session {
    match registered.expect("memory engines do not fail") {
        Registered::Yes(session) => session,
        Registered::Replaced(by) => panic!("replaced by {by:?}"),
    }
}

fn target(session: &Session) -> Target {
    Target { account: session.account, device: session.device, connection: session.connection }
}

#[tokio::test]
async fn a_registration_is_found_in_the_cache_and_without_it() {
    let world = honest(1 << 20);
    let (gateway, _) = world.gateway("a", 1).await;
    let first = world.connect(1, 1, &gateway, 1).await;
    let second = world.connect(1, 2, &gateway, 2).await;
    assert_eq!(world.of(1).await, [first.clone(), second.clone()]);
    let metrics = &world.services.metrics;
    assert_eq!((metrics.session_cache_hits.get(), metrics.session_cache_misses.get()), (1, 0), "written through");

    world.services.cache.remove(&rows::cache_key(account(1))).await.expect("removed");
    assert_eq!(world.of(1).await, [first.clone(), second.clone()]);
    assert_eq!(world.of(1).await.len(), 2);
    assert_eq!((metrics.session_cache_hits.get(), metrics.session_cache_misses.get()), (2, 1), "and filled again");

    world.sessions.unregister(&first).await.expect("unregistered");
    assert_eq!(world.of(1).await, [second]);
    assert_eq!(metrics.session_cache_misses.get(), 1, "written through");
}

#[tokio::test]
async fn nobody_is_connected_is_never_cached() {
    let world = honest(1 << 20);
    let (gateway, _) = world.gateway("a", 1).await;
    assert_eq!(world.of(1).await, []);
    let elsewhere = Sessions::new(&Services { cache: honest(1 << 20).services.cache, ..world.services.clone() });
    let session = Session { since_us: 1, ..world.connect(2, 2, &gateway, 2).await };
    let session = yes(elsewhere.register(Session { account: account(1), ..session }).await);
    assert_eq!(world.of(1).await, [session], "another process with another cache registered it");
    world.services.cache.put(&rows::cache_key(account(1)), Bytes::new(), Duration::MAX).await.expect("put");
    assert_eq!(world.of(1).await.len(), 1, "an empty entry is no entry");
}

#[tokio::test]
async fn a_newer_registration_survives_the_end_of_an_older_one() {
    let world = honest(1 << 20);
    let (gateway, _) = world.gateway("a", 1).await;
    let older = world.connect(1, 1, &gateway, 1).await;
    let newer = world.connect(1, 1, &gateway, 2).await;
    assert!(newer.since_us > older.since_us, "the clock stands still, versions do not");
    world.sessions.unregister(&older).await.expect("unregistered");
    assert_eq!(world.of(1).await, std::slice::from_ref(&newer));
    assert_eq!(world.sessions.confirm(&older).await.expect("read"), Registered::Replaced(newer.clone()));
    assert_eq!(yes(world.sessions.confirm(&newer).await), newer);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_hide_a_registration() {
    let world = honest(1 << 20);
    let (gateway, _) = world.gateway("a", 1).await;
    let session = world.connect(1, 1, &gateway, 1).await;
    let ahead_us = session.since_us + 3_600_000_000;
    for jump in 0..100 {
        let ahead = yes(world.sessions.register(Session { since_us: ahead_us, ..session.clone() }).await);
        world.sessions.unregister(&ahead).await.expect("unregistered");
        assert_eq!(world.of(1).await, []);
        let again = world.connect(1, 1, &gateway, 2 + jump).await;
        assert_eq!(again.since_us, ahead.since_us + 2, "what is behind what ended, and no further");
        assert_eq!(world.of(1).await, std::slice::from_ref(&again));
        world.sessions.unregister(&again).await.expect("unregistered");
    }
}

/// A gateway that took another's lease for over deletes live rows; a connection that is dead, and not known to be, may then
/// register again. The live one stays, and gets its row back.
#[tokio::test]
async fn an_older_connection_that_registers_again_does_not_replace_the_later_one() {
    let world = honest(1 << 20);
    let ((first, _), (second, _)) = (world.gateway("a", 1).await, world.gateway("b", 2).await);
    let dead = world.connect(1, 1, &first, 1).await;
    let live = world.connect(1, 1, &second, 2).await;
    world.sessions.unregister(&live).await.expect("somebody took it for dead");
    assert_eq!(world.of(1).await, []);
    let ended = Session { since_us: live.since_us + 1, ..live.clone() };
    assert_eq!(world.sessions.confirm(&dead).await.expect("read"), Registered::Replaced(ended));
    let live = yes(world.sessions.confirm(&live).await);
    assert_eq!(world.of(1).await, std::slice::from_ref(&live));
    assert_eq!(world.sessions.confirm(&dead).await.expect("read"), Registered::Replaced(live.clone()));
    let live = yes(world.sessions.register_again(Session { active: true, ..live }).await);
    assert_eq!(yes(world.sessions.confirm(&live).await), live);
}

/// A gateway stood still with a hello that it had read, while the device connected elsewhere.
#[tokio::test]
async fn a_hello_of_an_earlier_number_takes_no_later_connections_place() {
    let world = honest(1 << 20);
    let ((first, _), (second, _)) = (world.gateway("a", 1).await, world.gateway("b", 2).await);
    let template = world.connect(1, 1, &first, 1).await;
    world.sessions.unregister(&template).await.expect("unregistered");
    let numbered = |number, gateway: &GatewayRef, connection| Session {
        number,
        gateway: gateway.clone(),
        connection: ConnectionId(connection),
        ..template.clone()
    };
    let live = yes(world.sessions.register(numbered(8, &second, 2)).await);
    for stale in [7, 8] {
        let refused = world.sessions.register(numbered(stale, &first, 3)).await.expect("read");
        assert_eq!(refused, Registered::Replaced(live.clone()), "{stale} is not above 8");
    }
    assert_eq!(world.of(1).await, std::slice::from_ref(&live));

    // Whatever somebody took the live one for meanwhile.
    world.sessions.unregister(&live).await.expect("unregistered");
    let ended = Session { since_us: live.since_us + 1, ..live.clone() };
    assert_eq!(world.sessions.register(numbered(7, &first, 3)).await.expect("read"), Registered::Replaced(ended));
    let live = yes(world.sessions.confirm(&live).await);
    assert_eq!(world.of(1).await, std::slice::from_ref(&live));

    // A client that does not count is the latest, whoever it is; the count goes on where it was.
    let uncounted = yes(world.sessions.register(numbered(0, &first, 4)).await);
    assert_eq!((uncounted.number, world.of(1).await), (8, vec![uncounted.clone()]));
    assert_eq!(world.sessions.confirm(&live).await.expect("read"), Registered::Replaced(uncounted));
    assert_eq!(yes(world.sessions.register(numbered(9, &first, 5)).await).number, 9);
}

#[tokio::test]
async fn a_lost_row_is_registered_again_by_its_connection() {
    let world = honest(1 << 20);
    let (gateway, _) = world.gateway("a", 1).await;
    let session = world.connect(1, 1, &gateway, 1).await;
    world.sessions.unregister(&session).await.expect("somebody took it for dead");
    let again = yes(world.sessions.confirm(&session).await);
    assert_eq!(world.of(1).await, [again]);
}

#[tokio::test]
async fn sessions_die_with_their_gateways_lease() {
    let world = honest(1 << 20);
    let (gateway, lease) = world.gateway("a", 1).await;
    let session = world.connect(1, 1, &gateway, 1).await;
    let length = world.services.settings.lease;
    world.clock.advance(length / 2);
    lease.renew().await.expect("renewed");
    world.clock.advance(length * 3 / 4);
    assert_eq!(world.of(1).await, [session], "the lease was renewed");
    world.clock.advance(length);
    assert!(!lease.is_held());
    assert_eq!(world.of(1).await, []);
    settle().await;
    assert_eq!(world.rows(1).await, [], "dead rows are deleted");
}

#[tokio::test]
async fn sessions_die_with_their_gateways_incarnation() {
    let world = honest(1 << 20);
    let (first_run, lease) = world.gateway("a", 1).await;
    world.connect(1, 1, &first_run, 1).await;
    let other = world.connect(2, 2, &first_run, 2).await;
    assert_eq!(world.of(2).await, [other]);
    let (second_run, _) = world.gateway("a", 2).await;
    let here = world.connect(2, 3, &second_run, 1).await;
    assert_eq!(world.of(1).await.len(), 1, "until another incarnation is seen, the lease is believed");
    assert!(world.of(2).await.contains(&here));
    assert_eq!((world.of(1).await, world.of(2).await), (vec![], vec![here.clone()]), "the old run's are left out");
    settle().await;
    assert_eq!((world.rows(1).await, world.rows(2).await), (vec![], vec![here]));
    assert_eq!(lease.renew().await.map_err(|error| error.kind()), Err(ErrorKind::Fenced));
    assert!(!lease.is_held());
}

#[tokio::test]
async fn a_lease_that_is_given_back_ends_at_once() {
    let world = honest(1 << 20);
    let (gateway, lease) = world.gateway("a", 1).await;
    world.connect(1, 1, &gateway, 1).await;
    lease.release().await.expect("given back");
    assert_eq!(world.of(1).await, []);
    let (_, lease) = world.gateway("a", 2).await;
    assert!(lease.is_held(), "the next run takes it");
}

#[tokio::test]
async fn posts_reach_whom_they_name_in_their_order() {
    let world = honest(1 << 20);
    let (a, _) = world.gateway("a", 1).await;
    let (b, _) = world.gateway("b", 1).await;
    let phone = world.connect(1, 1, &a, 1).await;
    world.connect(1, 2, &b, 2).await;
    world.connect(2, 3, &a, 3).await;
    let whole = Recipient::Account;
    let posts = vec![
        Post { payload: frame("one"), to: vec![whole(account(1)), whole(account(1)), whole(account(3))] },
        Post { payload: frame("two"), to: vec![Recipient::Device(account(1), phone.device), whole(account(2))] },
        Post { payload: frame("three"), to: vec![Recipient::OtherDevices(account(1), phone.device)] },
        Post { payload: frame("four"), to: vec![Recipient::OtherDevices(account(2), DeviceId::new([3; 16]))] },
    ];
    assert_eq!(world.sessions.deliver(posts).await, [account(3)]);
    let delivered = world.delivered();
    let to = |connection| delivered.iter().filter(move |(to, _)| *to == connection).map(|(_, payload)| payload.clone());
    assert_eq!(to(1).collect::<Vec<_>>(), [frame("one"), frame("two")]);
    assert_eq!(to(2).collect::<Vec<_>>(), [frame("one"), frame("three")]);
    assert_eq!(to(3).collect::<Vec<_>>(), [frame("two")]);
}

#[tokio::test]
async fn a_stale_entry_costs_one_more_look_up() {
    let world = honest(1 << 20);
    let (a, _) = world.gateway("a", 1).await;
    let (b, _) = world.gateway("b", 1).await;
    let stale = world.connect(1, 1, &a, 7).await;
    world.connect(1, 2, &a, 8).await;
    world.drop_connection(&stale);
    // Another process registers the device at another gateway, on a connection with the same number; this one's cache
    // is not told.
    let elsewhere = Sessions::new(&Services { cache: honest(1 << 20).services.cache, ..world.services.clone() });
    let moved = Session { gateway: b.clone(), ..stale.clone() };
    world.gateways.connected.lock().insert((b, target(&moved)));
    yes(elsewhere.register(moved).await);

    assert_eq!(world.sessions.deliver(to_account(1, "hello")).await, []);
    let mut delivered: Vec<u64> = world.delivered().into_iter().map(|(connection, _)| connection).collect();
    delivered.sort_unstable();
    assert_eq!(delivered, [7, 8], "each device once, the moved one too");
    assert_eq!(world.services.metrics.session_cache_stale_hits.get(), 1);
    settle().await;
    assert_eq!(world.rows(1).await.len(), 2, "the newer row is not deleted");
    assert_eq!(world.sessions.deliver(to_account(1, "again")).await, []);
    assert_eq!(world.services.metrics.session_cache_stale_hits.get(), 1, "the cache knows better now");
}

#[tokio::test]
async fn a_connection_that_is_gone_is_reported_and_its_row_deleted() {
    let world = honest(1 << 20);
    let (a, _) = world.gateway("a", 1).await;
    let session = world.connect(1, 1, &a, 1).await;
    world.drop_connection(&session);
    assert_eq!(world.sessions.deliver(to_account(1, "hello")).await, [account(1)]);
    settle().await;
    assert_eq!(world.rows(1).await, []);
    assert_eq!(world.services.metrics.session_rows_removed.get(), 1);
}

#[tokio::test]
async fn a_gateway_that_hangs_delays_no_other_for_longer_than_a_call() {
    let world = honest(1 << 20);
    let (a, _) = world.gateway("a", 1).await;
    let (b, _) = world.gateway("b", 1).await;
    world.connect(1, 1, &a, 1).await;
    world.connect(2, 2, &b, 2).await;
    world.gateways.hanging.lock().insert("a".into());
    let sessions = world.sessions.clone();
    let posts = vec![Post { payload: frame("x"), to: [1, 2].map(|n| Recipient::Account(account(n))).to_vec() }];
    let delivery = tokio::spawn(async move { sessions.deliver(posts).await });
    settle().await;
    assert_eq!(world.delivered().len(), 1, "the other gateway has its push already");
    world.clock.advance(world.services.settings.call_timeout);
    assert_eq!(delivery.await.expect("ended"), [account(1)]);
    assert_eq!(world.rows(1).await.len(), 1, "nothing is known of it, so nothing is deleted");
}

#[tokio::test]
async fn who_is_shut_out_is_looked_up_past_the_cache() {
    let world = honest(1 << 20);
    let (a, _) = world.gateway("a", 1).await;
    let session = world.connect(1, 1, &a, 1).await;
    let before = world.services.cache.get(&rows::cache_key(account(1))).await.expect("get").expect("cached");
    world.connect(1, 2, &a, 2).await;
    world.services.cache.put(&rows::cache_key(account(1)), before, Duration::MAX).await.expect("put");
    let revoked = Payload::Revoked(session.token);
    let posts = vec![Post { payload: revoked.clone(), to: vec![Recipient::Account(account(1))] }];
    world.sessions.deliver(posts).await;
    assert_eq!(world.delivered(), [(1, revoked.clone()), (2, revoked)]);
}

#[tokio::test]
async fn a_cache_of_one_percent_finds_everybody() {
    let world = honest(300);
    let (a, _) = world.gateway("a", 1).await;
    for n in 1..=200 {
        world.connect(n, n, &a, n.into()).await;
    }
    for n in 1..=200 {
        assert_eq!(world.sessions.deliver(to_account(n, "hello")).await, []);
    }
    assert_eq!(world.delivered().len(), 200);
    world.sessions.sample_cache().await;
    let metrics = &world.services.metrics;
    assert!(metrics.session_cache_evictions.get() > 190, "{}", metrics.session_cache_evictions.get());
    assert!(metrics.session_cache_entries.get() <= 2);
}

#[tokio::test]
async fn a_cache_that_lies_misleads_nobody_for_longer_than_a_ping() {
    let world =
        world(|services, clock| Arc::new(Liar::new(services.runtime.clone(), memory::Cache::new(clock, 1 << 20))));
    let (a, _) = world.gateway("a", 1).await;
    let (b, _) = world.gateway("b", 1).await;
    let mut live = BTreeMap::new();
    let mut connections = 0;
    for _ in 0..400 {
        let [step, owner, at] = world.services.runtime.random();
        let owner = owner % 5 + 1;
        match step % 4 {
            0 => {
                connections += 1;
                let gateway = if at % 2 == 0 { &a } else { &b };
                let device = owner * 10 + at % 3;
                let session = world.connect(owner, device, gateway, connections).await;
                if let Some(before) = live.insert(device, session) {
                    world.drop_connection(&before);
                }
            }
            1 => {
                if let Some(session) = live.remove(&(owner * 10 + at % 3)) {
                    world.drop_connection(&session);
                    world.sessions.unregister(&session).await.expect("unregistered");
                }
            }
            2 => {
                let untaken = world.sessions.deliver(to_account(owner, "hello")).await;
                let taken: BTreeSet<u64> = world.delivered().into_iter().map(|(connection, _)| connection).collect();
                let theirs = live.values().filter(|session| session.account == account(owner));
                let theirs: BTreeSet<u64> = theirs.map(|session| session.connection.0).collect();
                assert!(taken.is_subset(&theirs), "delivered to {taken:?}, connected were {theirs:?}");
                assert_eq!(untaken.is_empty(), !taken.is_empty());
            }
            _ => {
                // A ping: whatever the cache says, a live connection is neither closed nor left unregistered.
                for session in live.values_mut() {
                    match world.sessions.confirm(session).await.expect("read") {
                        Registered::Yes(confirmed) => *session = confirmed,
                        Registered::Replaced(_) => panic!("{session:?} is the device's only connection"),
                    }
                }
            }
        }
        settle().await;
        world.clock.advance(Duration::from_millis(1));
    }
    for session in live.values() {
        let in_database = world.sessions.of_accounts_in_database(&[session.account]).await.expect("read");
        assert!(in_database.contains(session), "{session:?} was lost");
    }
}

#[tokio::test]
async fn a_look_up_that_races_with_a_registration_does_not_hide_it() {
    let world = honest(1 << 20);
    let (a, _) = world.gateway("a", 1).await;
    world.connect(1, 1, &a, 1).await;
    world.services.cache.remove(&rows::cache_key(account(1))).await.expect("removed");
    let stripe = world.sessions.stripe(account(1));
    let guard = stripe.lock.lock().await;
    assert_eq!(world.of(1).await.len(), 1, "a look-up does not wait for a registration");
    assert_eq!(
        world.services.cache.get(&rows::cache_key(account(1))).await.expect("get"),
        None,
        "nor overwrites its entry"
    );
    drop(guard);
}
