//! The connections of one gateway, and whose they are.

use super::budget::Budget;
use super::close::{Close, GOING_AWAY, TRY_AGAIN};
use super::outbox::Outbox;
use hudhud_ports::Target;
use hudhud_proto::{AccountId, ConnectionId, DeviceId, Encoding, TokenId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore};

/// Who a connection said that it is, and proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) account: AccountId,
    pub(super) device: DeviceId,
    pub(super) token: TokenId,
    /// See [`crate::session::Session::number`].
    pub(super) number: u64,
}

/// A connection, as others reach it.
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) encoding: Encoding,
    pub(super) outbox: Outbox,
    /// Closed once the last send of the connection has its outcome. It never has permits.
    sends_over: Semaphore,
}

impl Connection {
    /// Waits until none of the connection's sends can reach the bus any more.
    pub(super) async fn sends_over(&self) {
        // The one way for this to return is that the semaphore was closed.
        let _ = self.sends_over.acquire().await;
    }

    /// Says so.
    pub(super) fn set_sends_over(&self) {
        self.sends_over.close();
    }
}

/// All connections.
pub(super) struct Registry {
    state: Mutex<State>,
    emptied: Notify,
}

struct State {
    connections: BTreeMap<ConnectionId, (Arc<Connection>, Option<Identity>)>,
    devices: BTreeMap<(AccountId, DeviceId), ConnectionId>,
    last_id: u64,
    admission: Admission,
}

/// Whether connections are taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    /// They are.
    Open,
    /// Not now: the lease is not held.
    Paused,
    /// Not any more: the gateway drains.
    Over,
}

impl Registry {
    /// Nothing is connected, and nothing may be until [`Self::set_admission`] says so.
    pub(super) fn new() -> Self {
        let state =
            State { connections: BTreeMap::new(), devices: BTreeMap::new(), last_id: 0, admission: Admission::Paused };
        Self { state: Mutex::new(state), emptied: Notify::new() }
    }

    /// Whether connections are taken in.
    pub(super) fn admission(&self) -> Admission {
        self.state.lock().admission
    }

    /// Changes whether connections are taken in. What is over stays so.
    pub(super) fn set_admission(&self, admission: Admission) {
        let mut state = self.state.lock();
        if state.admission != Admission::Over {
            state.admission = admission;
        }
    }

    /// Takes a connection in, or says why not. Ids are never used twice.
    pub(super) fn insert(
        &self,
        encoding: Encoding,
        push_frames_max: usize,
        budget: &Arc<Budget>,
    ) -> Result<Arc<Connection>, Close> {
        let mut state = self.state.lock();
        match state.admission {
            Admission::Open => {}
            Admission::Paused => return Err(TRY_AGAIN),
            Admission::Over => return Err(GOING_AWAY),
        }
        state.last_id += 1;
        let id = ConnectionId(state.last_id);
        let outbox = Outbox::new(encoding, push_frames_max, budget);
        let connection = Arc::new(Connection { id, encoding, outbox, sends_over: Semaphore::new(0) });
        state.connections.insert(id, (connection.clone(), None));
        Ok(connection)
    }

    /// Notes whose connection it is, for good; deliveries reach it from now on. Returns the connection that the device
    /// had before; or, as an error, the number of the one that it has later, and nothing changed.
    pub(super) fn identify(&self, id: ConnectionId, identity: Identity) -> Result<Option<Arc<Connection>>, u64> {
        let mut state = self.state.lock();
        let State { connections, devices, .. } = &mut *state;
        let device = (identity.account, identity.device);
        let before = devices.get(&device).copied().filter(|before| *before != id);
        let number_before = before.and_then(|before| connections.get(&before)?.1).map_or(0, |before| before.number);
        if identity.number != 0 && identity.number <= number_before {
            return Err(number_before);
        }
        let Some((_, known)) = connections.get_mut(&id) else { return Ok(None) };
        *known = Some(Identity { number: identity.number.max(number_before), ..identity });
        devices.insert(device, id);
        Ok(before.and_then(|before| connections.get_mut(&before)).map(|(connection, known)| {
            *known = None;
            connection.clone()
        }))
    }

    /// Forgets a connection that ended.
    pub(super) fn remove(&self, id: ConnectionId) {
        let mut state = self.state.lock();
        if let Some((_, Some(identity))) = state.connections.remove(&id) {
            let device = (identity.account, identity.device);
            if state.devices.get(&device) == Some(&id) {
                state.devices.remove(&device);
            }
        }
        if state.connections.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// The connection that a delivery is for, if it is there and that device's.
    pub(super) fn find(&self, target: &Target) -> Option<(Arc<Connection>, Identity)> {
        let state = self.state.lock();
        let (connection, identity) = state.connections.get(&target.connection)?;
        let identity = (*identity)?;
        let matches = identity.account == target.account && identity.device == target.device;
        matches.then(|| (connection.clone(), identity))
    }

    /// All connections, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        self.state.lock().connections.values().map(|(connection, _)| connection.clone()).collect()
    }

    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.state.lock().connections.is_empty() {
                return;
            }
            emptied.await;
        }
    }
}
