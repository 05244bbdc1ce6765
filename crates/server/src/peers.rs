//! The other processes of a cluster: how what is for their gateways gets there, and how what is for ours comes in.

use crate::config::Config;
use crate::exit::Failure;
use async_trait::async_trait;
use hudhud_engines::{Addresses, serve_gateway};
use hudhud_ports::memory::Local;
use hudhud_ports::{Delivery, GatewayInbox, GatewayRef, Gateways, Result, Store, Target};
use hudhud_roles::session;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What gateways said of themselves when they took their leases.
struct Leases(Arc<dyn Store>);

#[async_trait]
impl Addresses for Leases {
    async fn of(&self, gateway: &GatewayRef) -> Result<Option<String>> {
        session::address(&*self.0, gateway).await
    }
}

/// This process's own gateway by a call, those of others over the network.
struct Routes {
    local: Arc<Local>,
    remote: Arc<dyn Gateways>,
}

#[async_trait]
impl Gateways for Routes {
    async fn push(&self, gateway: &GatewayRef, batch: Vec<Delivery>) -> Result<Vec<Target>> {
        match self.local.has(gateway) {
            true => self.local.push(gateway, batch).await,
            false => self.remote.push(gateway, batch).await,
        }
    }
}

/// The way to all gateways. Where a gateway is stands in the directory.
pub fn gateways(config: &Config, local: &Arc<Local>, directory: &Arc<dyn Store>) -> Result<Arc<dyn Gateways>, Failure> {
    match &config.peers.secret {
        None => Ok(local.clone()),
        Some(secret) => {
            let remote = hudhud_engines::open_gateways(Arc::new(Leases(directory.clone())), secret)?;
            Ok(Arc::new(Routes { local: local.clone(), remote }))
        }
    }
}

/// Where others push to.
pub struct Inbox {
    listener: TcpListener,
    secret: String,
    /// What others are told of where it is.
    pub address: String,
}

impl Inbox {
    /// Of this address, which is bound already.
    pub fn new(config: &Config, secret: String, listener: TcpListener, bound: SocketAddr) -> Self {
        let address = config.peers.address.clone().unwrap_or_else(|| bound.to_string());
        Self { listener, secret, address }
    }

    /// Serves a gateway until `stop`. A listener that fails is reported; then others reach this gateway no more, and its
    /// devices find out by ping.
    pub fn serve(
        self,
        gateway: GatewayRef,
        inbox: Arc<dyn GatewayInbox>,
        stop: CancellationToken,
        tasks: &TaskTracker,
    ) {
        tasks.spawn(async move {
            let stopped = stop.cancelled_owned();
            if let Err(error) = serve_gateway(self.listener, gateway, inbox, &self.secret, stopped).await {
                tracing::error!(%error, "other processes do not reach this gateway any more");
            }
        });
    }
}
