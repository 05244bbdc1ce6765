//! Where the processes of a cluster are.

use async_trait::async_trait;
use hudhud_ports::{GatewayRef, Result};

/// Where gateways are.
#[async_trait]
pub trait Addresses: Send + Sync + 'static {
    /// `host:port` where this run of a gateway takes what other processes push; none where it is over.
    async fn of(&self, gateway: &GatewayRef) -> Result<Option<String>>;
}
