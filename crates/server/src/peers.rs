//! The other processes of a cluster: how what is for their gateways gets there, and how what is for ours comes in.

use crate::config::Config;
use crate::exit::Failure;
use async_trait::async_trait;
use futures_util::stream;
use hudhud_engines::{Addresses, serve_gateway};
use hudhud_ports::memory::Local;
use hudhud_ports::{Clock, Delivery, GatewayInbox, GatewayRef, Gateways, Result, Store, Target};
use hudhud_roles::session;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long to wait after a connection could not be taken in.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What gateways said of themselves when they took their leases.
struct Leases {
    directory: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Addresses for Leases {
    async fn of(&self, gateway: &GatewayRef) -> Result<Option<String>> {
        session::address(&*self.directory, gateway, self.clock.now_us()).await
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
pub fn gateways(
    config: &Config,
    local: &Arc<Local>,
    directory: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Gateways>, Failure> {
    match &config.peers.secret {
        None => Ok(local.clone()),
        Some(secret) => {
            let leases = Leases { directory: directory.clone(), clock: clock.clone() };
            let remote = hudhud_engines::open_gateways(Arc::new(leases), secret)?;
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

    /// Serves a gateway until `stop`.
    pub fn serve(
        self,
        gateway: GatewayRef,
        inbox: Arc<dyn GatewayInbox>,
        stop: CancellationToken,
        tasks: &TaskTracker,
    ) {
        tasks.spawn(async move {
            let stopped = stop.cancelled_owned();
            let connections =
                stream::unfold(self.listener, |listener| async move { Some((accept(&listener).await, listener)) });
            if let Err(error) = serve_gateway(connections, gateway, inbox, &self.secret, stopped).await {
                tracing::error!(%error, "other processes do not reach this gateway any more");
            }
        });
    }
}

/// The next connection. One that can't be taken in (no files left) is waited for, so that this never fails.
async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                if let Err(error) = connection.set_nodelay(true) {
                    tracing::debug!(%error, "another process's connection has gone already");
                    continue;
                }
                return Ok(connection);
            }
            Err(error) => {
                tracing::warn!(%error, "another process can't be let in");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
