//! Gateways of the same process.

use crate::{Delivery, GatewayInbox, GatewayRef, Result, Target};
use async_trait::async_trait;
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A [`crate::Gateways`] that reaches the gateways of its own process, by a call.
#[derive(Default)]
pub struct Local {
    inboxes: RwLock<BTreeMap<GatewayRef, Arc<dyn GatewayInbox>>>,
}

impl Local {
    /// Knows no gateway yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this inbox gets what is pushed to this incarnation of a gateway.
    pub fn register(&self, gateway: GatewayRef, inbox: Arc<dyn GatewayInbox>) {
        self.inboxes.write().insert(gateway, inbox);
    }

    /// Whether this incarnation of a gateway is of this process.
    pub fn has(&self, gateway: &GatewayRef) -> bool {
        self.inboxes.read().contains_key(gateway)
    }

    /// From now on none of its targets is there.
    pub fn unregister(&self, gateway: &GatewayRef) {
        self.inboxes.write().remove(gateway);
    }
}

#[async_trait]
impl crate::Gateways for Local {
    async fn push(&self, gateway: &GatewayRef, batch: Vec<Delivery>) -> Result<Vec<Target>> {
        let inbox = self.inboxes.read().get(gateway).cloned();
        let absent: BTreeSet<Target> = match inbox {
            Some(inbox) => inbox.deliver(batch).into_iter().collect(),
            None => batch.into_iter().flat_map(|delivery| delivery.targets).collect(),
        };
        Ok(absent.into_iter().collect())
    }
}
