//! Leases: what bounds how long a gateway that is gone is believed to be there.

use crate::services::Services;
use crate::tables;
use hudhud_ports::{Error, ErrorKind, GatewayRef, Result, Store};
use hudhud_proto::v1;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A gateway's own lease. While it is held, sessions of this incarnation are live.
pub struct Lease {
    services: Services,
    gateway: GatewayRef,
    address: String,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Of the row that was written last.
    version: u64,
    /// In monotonic time.
    held_until: Duration,
    /// Another incarnation holds it, or it was given back: for good.
    over: bool,
}

impl Lease {
    /// A lease that is not held yet.
    pub fn new(services: &Services, gateway: GatewayRef, address: &str) -> Self {
        Self { services: services.clone(), gateway, address: address.to_owned(), state: Mutex::default() }
    }

    /// Takes the lease, whoever had it: a gateway that starts is the one that is meant by its name.
    pub async fn take(&self) -> Result<()> {
        let row = self.services.directory.get(tables::lease(&self.gateway.name)).await?;
        self.write(row.map_or(0, |row| row.version)).await
    }

    /// Holds the lease for another `settings.lease`. `Fenced` when another incarnation took it: this gateway is to
    /// close.
    pub async fn renew(&self) -> Result<()> {
        let fenced = || Error::new(ErrorKind::Fenced, "lease", "renew");
        if self.state.lock().over {
            return Err(fenced());
        }
        let row = self.services.directory.get(tables::lease(&self.gateway.name)).await?;
        if let Some(row) = &row
            && tables::read::<v1::LeaseRow>(row)?.incarnation != self.gateway.incarnation
        {
            self.state.lock().over = true;
            return Err(fenced());
        }
        self.write(row.map_or(0, |row| row.version)).await
    }

    /// Gives the lease back: from now on nobody looks for this incarnation's sessions.
    pub async fn release(&self) -> Result<()> {
        let version = {
            let mut state = self.state.lock();
            state.over = true;
            state.version
        };
        self.put(self.services.now_us(), version).await.map(|_| ())
    }

    /// Until when it is held, in monotonic time; zero before it was taken and after it was given back or taken away.
    pub fn held_until(&self) -> Duration {
        let state = self.state.lock();
        if state.over { Duration::ZERO } else { state.held_until }
    }

    /// Whether it is held now.
    pub fn is_held(&self) -> bool {
        self.services.runtime.clock.monotonic() < self.held_until()
    }

    async fn write(&self, found_version: u64) -> Result<()> {
        // Counted from before the write: who reads the row counts from later.
        let start = self.services.runtime.clock.monotonic();
        let lease = self.services.settings.lease;
        let above = self.state.lock().version.max(found_version);
        let expires_us = self.services.now_us().saturating_add(u64::try_from(lease.as_micros()).unwrap_or(u64::MAX));
        let version = self.put(expires_us, above).await?;
        let mut state = self.state.lock();
        state.version = state.version.max(version);
        state.held_until = state.held_until.max(start + lease);
        Ok(())
    }

    /// Writes the row with a version above this one, and returns it. The row is never deleted: a deletion would hide
    /// its version from the next incarnation.
    async fn put(&self, expires_us: u64, above: u64) -> Result<u64> {
        let version = self.services.now_us().max(above.saturating_add(1));
        let row = v1::LeaseRow { incarnation: self.gateway.incarnation, expires_us, address: self.address.clone() };
        let write = tables::put(tables::lease(&self.gateway.name), &row, version);
        self.services.directory.write(vec![write]).await?;
        Ok(version)
    }
}

/// Where a run of a gateway takes what other processes push, as its lease says; none where the lease is over, or another run's.
///
/// # Errors
/// Where the lease can't be read, or the gateway said no address.
pub async fn address(directory: &dyn Store, gateway: &GatewayRef, now_us: u64) -> Result<Option<String>> {
    let row = directory.get(tables::lease(&gateway.name)).await?;
    let lease = row.as_ref().map(tables::read::<v1::LeaseRow>).transpose()?;
    match lease.filter(|lease| lease.incarnation == gateway.incarnation && now_us < lease.expires_us) {
        None => Ok(None),
        Some(lease) if lease.address.is_empty() => {
            let why = format!("gateway {} says no address for other processes: give it peers.listen", gateway.name);
            Err(Error::new(ErrorKind::Unavailable, "lease", "address").because(why))
        }
        Some(lease) => Ok(Some(lease.address)),
    }
}

/// The leases of all gateways as this process read them. Each is believed until it ends.
#[derive(Default)]
pub(super) struct Leases {
    known: Mutex<BTreeMap<Arc<str>, v1::LeaseRow>>,
}

impl Leases {
    /// Whether this incarnation holds its lease, as far as this process knows; read again only where it seems not to. A
    /// failed read is no sign of death.
    pub(super) async fn is_alive(&self, services: &Services, gateway: &GatewayRef) -> bool {
        let holds =
            |lease: &v1::LeaseRow| lease.incarnation == gateway.incarnation && services.now_us() < lease.expires_us;
        if self.known.lock().get(&gateway.name).is_some_and(holds) {
            return true;
        }
        let read = services.directory.get(tables::lease(&gateway.name)).await;
        match read.and_then(|row| row.as_ref().map(tables::read::<v1::LeaseRow>).transpose()) {
            Ok(Some(lease)) => {
                let alive = holds(&lease);
                self.known.lock().insert(gateway.name.clone(), lease);
                alive
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(gateway = %gateway.name, %error, "can't read a lease; taken as held");
                true
            }
        }
    }
}
