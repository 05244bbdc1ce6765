//! What keeps a gateway's lease, and closes everything when it is lost: a stale gateway does no harm.

use super::registry::Admission;
use super::{Gateway, close};
use hudhud_ports::ErrorKind;
use std::sync::Weak;
use std::time::Duration;

/// Renews the lease three times as often as it ends, until the gateway is dropped or drained, or another one took its
/// name.
pub(super) async fn run(gateway: Weak<Gateway>) {
    loop {
        let Some(wait) = gateway.upgrade().map(|gateway| gateway.next_renewal()) else { return };
        let Some(clock) = gateway.upgrade().map(|gateway| gateway.services.runtime.clock.clone()) else { return };
        clock.sleep(wait).await;
        let Some(gateway) = gateway.upgrade() else { return };
        if !gateway.renew().await {
            return;
        }
    }
}

impl Gateway {
    /// After a third of the lease, and when it ends.
    fn next_renewal(&self) -> Duration {
        let third = self.services.settings.lease / 3;
        match self.held_for() {
            Duration::ZERO => third,
            left => third.min(left),
        }
    }

    /// Tries once to renew the lease. Returns false where there is nothing to be renewed any more.
    async fn renew(&self) -> bool {
        self.sessions.sample_cache().await;
        let limit = match self.held_for() {
            Duration::ZERO => self.services.settings.call_timeout,
            left => left.min(self.services.settings.call_timeout),
        };
        match self.services.runtime.timeout(limit, self.lease.renew()).await {
            Some(Ok(())) => {
                if self.registry.admission() == Admission::Paused {
                    tracing::info!(gateway = %self.reference.name, "the lease is held again");
                    self.registry.set_admission(Admission::Open);
                }
                return true;
            }
            Some(Err(error)) if error.kind() == ErrorKind::Fenced => {
                // After a drain the lease was given back by ourselves.
                if self.registry.admission() != Admission::Over {
                    let gateway = &self.reference.name;
                    tracing::error!(%gateway, "another process took this gateway's name: nobody is served any more");
                    self.lose_lease();
                }
                return false;
            }
            Some(Err(error)) => tracing::warn!(%error, "the lease was not renewed"),
            None => tracing::warn!("the lease was not renewed in time"),
        }
        self.services.metrics.lease_renewal_failures.inc();
        if !self.lease.is_held() && self.registry.admission() != Admission::Paused {
            tracing::error!("the lease ended: all connections are closed until it is held again");
            self.lose_lease();
        }
        true
    }

    fn held_for(&self) -> Duration {
        self.lease.held_until().saturating_sub(self.services.runtime.clock.monotonic())
    }

    fn lose_lease(&self) {
        self.services.metrics.leases_lost.inc();
        self.registry.set_admission(Admission::Paused);
        self.close_all(close::TRY_AGAIN);
    }
}
