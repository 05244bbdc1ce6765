//! Who is connected, and who goes when there is no room.
//!
//! A connection is a stranger until a valid token was shown on it. Strangers have places of their own, few of them for one
//! address: where one is missing, the stranger that has been here longest makes room, one of the same address first. So
//! connections that say nothing, however many, never take the place of somebody who proved who it is; and who comes to do so
//! has a place for as long as a flood takes to turn all of them over.

use crate::config::Limits;
use crate::http::HttpMetrics;
use futures_util::task::AtomicWaker;
use hudhud_proto::AccountId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// No bound of what may still be sent.
const UNBOUNDED: usize = usize::MAX;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In all.
    pub all: usize,
    /// Of one address.
    pub per_address: usize,
    /// Of one account; more of it stay strangers.
    pub per_account: usize,
    /// Strangers.
    pub strangers: usize,
    /// Strangers of one address.
    pub strangers_per_address: usize,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            all: limits.connections_max,
            per_address: limits.connections_per_address_max,
            per_account: limits.connections_per_account_max,
            strangers: limits.unauthenticated_max,
            strangers_per_address: limits.unauthenticated_per_address_max,
        }
    }
}

/// The connections of a process.
#[derive(Debug)]
pub struct Crowd {
    bounds: Bounds,
    metrics: HttpMetrics,
    state: Mutex<State>,
}

/// A connection's place, until it is dropped or given to another.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    end: Arc<End>,
    /// Bytes that may still come until the other end has proved who it is.
    bytes_left: AtomicUsize,
    /// It sent more than that: for good.
    is_overspent: AtomicBool,
}

/// That a place was given away, and who wants to know of it.
#[derive(Debug, Default)]
struct End {
    is_given_away: AtomicBool,
    /// Whoever waits for that alone.
    told: Notify,
    /// The task of the WebSocket in the place: what ends it wakes it.
    socket: AtomicWaker,
}

/// Why a WebSocket has to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Its place is another connection's.
    GivenAway,
    /// A stranger sent more than it may.
    Overspent,
}

/// Numbers are those of [`Place`], and rise.
#[derive(Debug, Default)]
struct State {
    last_number: u64,
    inside: BTreeMap<u64, Inside>,
    strangers: BTreeSet<u64>,
    addresses: BTreeMap<IpAddr, Address>,
    accounts: BTreeMap<AccountId, usize>,
}

#[derive(Debug)]
struct Inside {
    /// Whose connection it is; none where many may share it, as behind a proxy.
    address: Option<IpAddr>,
    /// Who proved to be there.
    account: Option<AccountId>,
    end: Arc<End>,
}

#[derive(Debug, Default)]
struct Address {
    all: usize,
    strangers: BTreeSet<u64>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(bounds: Bounds, metrics: HttpMetrics) -> Arc<Self> {
        Arc::new(Self { bounds, metrics, state: Mutex::default() })
    }

    /// Takes a connection in as a stranger; `None` where everybody inside has proved who it is and there is no room.
    ///
    /// A connection without an address is one that a trusted proxy shares among its clients: it is nobody's, and no stranger.
    pub fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Arc<Place>> {
        let mut state = self.state.lock();
        if !self.make_room(&mut state, address) {
            return None;
        }
        state.last_number += 1;
        let (number, end) = (state.last_number, Arc::new(End::default()));
        let inside = Inside { address, account: None, end: end.clone() };
        state.inside.insert(number, inside);
        if let Some(address) = address {
            let address = state.addresses.entry(address).or_default();
            address.all += 1;
            address.strangers.insert(number);
            state.strangers.insert(number);
            self.metrics.tcp_unauthenticated.inc();
        }
        self.metrics.tcp_connections.inc();
        Some(Arc::new(Place {
            crowd: self.clone(),
            number,
            end,
            bytes_left: AtomicUsize::new(UNBOUNDED),
            is_overspent: AtomicBool::new(false),
        }))
    }

    /// Makes room for one more, and says whether there is any.
    fn make_room(&self, state: &mut State, address: Option<IpAddr>) -> bool {
        if let Some(address) = address.and_then(|address| state.addresses.get(&address)) {
            let is_full = address.all >= self.bounds.per_address;
            if is_full || address.strangers.len() >= self.bounds.strangers_per_address {
                match address.strangers.first().copied() {
                    Some(oldest) => self.give_away(state, oldest),
                    None if is_full => return false,
                    None => {}
                }
            }
        }
        let is_full = state.inside.len() >= self.bounds.all;
        if is_full || (address.is_some() && state.strangers.len() >= self.bounds.strangers) {
            match state.strangers.first().copied() {
                Some(oldest) => self.give_away(state, oldest),
                None if is_full => return false,
                None => {}
            }
        }
        true
    }

    fn give_away(&self, state: &mut State, number: u64) {
        if let Some(inside) = self.remove(state, number) {
            self.metrics.tcp_displaced.inc();
            inside.end.give_away();
        }
    }

    fn remove(&self, state: &mut State, number: u64) -> Option<Inside> {
        let inside = state.inside.remove(&number)?;
        if state.strangers.remove(&number) {
            self.metrics.tcp_unauthenticated.dec();
        }
        if let Some(address) = inside.address
            && let Some(of_address) = state.addresses.get_mut(&address)
        {
            of_address.all -= 1;
            of_address.strangers.remove(&number);
            if of_address.all == 0 {
                state.addresses.remove(&address);
            }
        }
        if let Some(account) = inside.account
            && let Some(count) = state.accounts.get_mut(&account)
        {
            *count -= 1;
            if *count == 0 {
                state.accounts.remove(&account);
            }
        }
        Some(inside)
    }

    fn prove(&self, number: u64, account: AccountId) {
        let mut state = self.state.lock();
        if !state.strangers.contains(&number) {
            return;
        }
        let count = state.accounts.entry(account).or_default();
        if *count >= self.bounds.per_account {
            return;
        }
        *count += 1;
        state.strangers.remove(&number);
        self.metrics.tcp_unauthenticated.dec();
        let inside = state.inside.get_mut(&number).expect("every stranger is inside");
        inside.account = Some(account);
        if let Some(address) = inside.address
            && let Some(of_address) = state.addresses.get_mut(&address)
        {
            of_address.strangers.remove(&number);
        }
    }
}

impl End {
    fn give_away(&self) {
        self.is_given_away.store(true, Ordering::Release);
        self.told.notify_waiters();
        self.socket.wake();
    }
}

impl Place {
    /// The other end has shown a valid token of this account: from now on the place is its own, unless the account has as many
    /// as it may.
    pub fn prove(&self, account: AccountId) {
        self.bytes_left.store(UNBOUNDED, Ordering::Relaxed);
        self.crowd.prove(self.number, account);
    }

    /// Waits until the place was given to another connection: this one has to end.
    pub async fn given_away(&self) {
        // From here on nobody is told without being heard.
        let told = self.end.told.notified();
        if !self.is_given_away() {
            told.await;
        }
    }

    /// Whether it was given to another connection.
    pub fn is_given_away(&self) -> bool {
        self.end.is_given_away.load(Ordering::Acquire)
    }

    /// Why the WebSocket in this place has to end; its task is woken once it has to. One task at a time asks.
    pub fn poll_ending(&self, context: &mut Context<'_>) -> Poll<Ending> {
        self.end.socket.register(context.waker());
        if self.is_given_away() {
            return Poll::Ready(Ending::GivenAway);
        }
        match self.is_overspent.load(Ordering::Relaxed) {
            true => Poll::Ready(Ending::Overspent),
            false => Poll::Pending,
        }
    }

    /// From now on a stranger may send so many bytes and no more.
    pub fn bound(&self, bytes: usize) {
        if self.crowd.state.lock().strangers.contains(&self.number) {
            self.bytes_left.store(bytes, Ordering::Relaxed);
        }
    }

    /// So many bytes came. Returns whether that was within the bound; once it was not, nothing is any more.
    pub fn spend(&self, bytes: usize) -> bool {
        // One task reads a connection, so nothing comes between these.
        let left = self.bytes_left.load(Ordering::Relaxed);
        if left != UNBOUNDED {
            self.bytes_left.store(left.saturating_sub(bytes), Ordering::Relaxed);
            if bytes > left {
                self.is_overspent.store(true, Ordering::Relaxed);
                self.end.socket.wake();
            }
        }
        !self.is_overspent.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.remove(&mut self.crowd.state.lock(), self.number);
        self.crowd.metrics.tcp_connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    const BOUNDS: Bounds = Bounds { all: 6, per_address: 4, per_account: 2, strangers: 5, strangers_per_address: 2 };

    fn crowd(bounds: Bounds) -> Arc<Crowd> {
        Crowd::new(bounds, HttpMetrics::unregistered())
    }

    fn enter(crowd: &Arc<Crowd>, address: u8) -> Arc<Place> {
        crowd.enter(Some([192, 0, 2, address].into())).expect("there is room")
    }

    fn account(n: u8) -> AccountId {
        AccountId::new([n; 16])
    }

    fn is_overspent(place: &Place) -> bool {
        place.poll_ending(&mut Context::from_waker(Waker::noop())) == Poll::Ready(Ending::Overspent)
    }

    fn stays(places: &[&Arc<Place>]) -> Vec<bool> {
        places.iter().map(|place| !place.is_given_away()).collect()
    }

    #[test]
    fn an_address_that_fills_its_share_displaces_its_own_oldest_stranger() {
        let crowd = crowd(BOUNDS);
        let other = enter(&crowd, 1);
        let (first, second, third) = (enter(&crowd, 2), enter(&crowd, 2), enter(&crowd, 2));
        assert_eq!(stays(&[&other, &first, &second, &third]), [true, false, true, true]);
    }

    #[test]
    fn strangers_of_many_addresses_displace_the_oldest_and_never_who_proved_who_it_is() {
        let crowd = crowd(BOUNDS);
        let known = enter(&crowd, 1);
        known.prove(account(1));
        let strangers: Vec<_> = (2..=7).map(|address| enter(&crowd, address)).collect();
        assert_eq!(stays(&[&known, &strangers[0], &strangers[1], &strangers[5]]), [true, false, true, true]);
        assert_eq!(crowd.metrics.tcp_unauthenticated.get(), 5);
        assert_eq!(crowd.metrics.tcp_displaced.get(), 1);
    }

    #[test]
    fn where_all_have_proved_who_they_are_there_is_no_room_until_one_leaves() {
        let crowd = crowd(BOUNDS);
        let mut known = Vec::new();
        for n in 1..=6 {
            let place = enter(&crowd, n);
            place.prove(account(n));
            known.push(place);
        }
        assert!(crowd.enter(Some([192, 0, 2, 9].into())).is_none());
        known.pop();
        enter(&crowd, 9);
    }

    #[test]
    fn an_address_has_a_limit_of_connections_that_proved_who_they_are() {
        let crowd = crowd(BOUNDS);
        let known: Vec<_> = (1..=4)
            .map(|n| {
                let place = enter(&crowd, 1);
                place.prove(account(n));
                place
            })
            .collect();
        assert!(crowd.enter(Some([192, 0, 2, 1].into())).is_none());
        enter(&crowd, 2);
        drop(known);
        enter(&crowd, 1);
    }

    #[test]
    fn an_account_has_a_limit_of_places_of_its_own() {
        let crowd = crowd(BOUNDS);
        let places: Vec<_> = (1..=3).map(|address| enter(&crowd, address)).collect();
        for place in &places {
            place.prove(account(1));
            place.prove(account(1));
        }
        assert_eq!(crowd.metrics.tcp_unauthenticated.get(), 1, "the third stays a stranger");
        drop(places);
        let state = crowd.state.lock();
        assert!(state.inside.is_empty() && state.addresses.is_empty() && state.accounts.is_empty());
    }

    #[test]
    fn what_a_proxy_shares_is_nobodys_and_stays() {
        let crowd = crowd(BOUNDS);
        let shared = crowd.enter(None).expect("there is room");
        let strangers: Vec<_> = (0..8).map(|n| enter(&crowd, n)).collect();
        assert_eq!(stays(&[&shared, &strangers[0], &strangers[7]]), [true, false, true]);
    }

    #[test]
    fn a_stranger_sends_what_it_may_and_who_proved_who_it_is_what_it_wants() {
        let crowd = crowd(BOUNDS);
        let place = enter(&crowd, 1);
        assert!(place.spend(1_000), "no bound yet");
        place.bound(10);
        assert!(place.spend(6) && place.spend(4));
        place.prove(account(1));
        assert!(place.spend(1_000));
        place.bound(10);
        assert!(place.spend(1_000), "no stranger any more");
        let place = enter(&crowd, 2);
        place.bound(10);
        assert!(!place.spend(11) && is_overspent(&place));
        place.prove(account(2));
        assert!(!place.spend(1), "some of what it sent is gone");
    }
}
