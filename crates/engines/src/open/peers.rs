//! The way between processes, if this build has one.

use super::OpenError;
use crate::Addresses;
#[cfg(feature = "grpc")]
use crate::grpc;
use futures_util::Stream;
use hudhud_ports::{GatewayInbox, GatewayRef, Gateways};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// The way to gateways of other processes, which know this one by the same secret: 32 bytes of visible ASCII or more. Inside a
/// tokio runtime.
///
/// # Errors
/// Where the secret is none, or this build has no such way.
pub fn open_gateways(addresses: Arc<dyn Addresses>, secret: &str) -> Result<Arc<dyn Gateways>, OpenError> {
    #[cfg(feature = "grpc")]
    return Ok(Arc::new(grpc::Remote::new(addresses, peers_secret(secret)?)));
    #[cfg(not(feature = "grpc"))]
    {
        drop((addresses, secret));
        Err(no_peers())
    }
}

/// Serves what other processes push to a gateway, on connections as they come, until `stop`.
///
/// # Errors
/// As [`open_gateways`], and when the stream of connections fails.
pub async fn serve_gateway<C: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    connections: impl Stream<Item = io::Result<C>> + Send + 'static,
    gateway: GatewayRef,
    inbox: Arc<dyn GatewayInbox>,
    secret: &str,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), OpenError> {
    #[cfg(feature = "grpc")]
    return Ok(grpc::serve(connections, gateway, inbox, peers_secret(secret)?, stop).await?);
    #[cfg(not(feature = "grpc"))]
    {
        drop((connections, gateway, inbox, secret, stop));
        Err(no_peers())
    }
}

#[cfg(feature = "grpc")]
fn peers_secret(secret: &str) -> Result<grpc::Secret, OpenError> {
    let why = || format!("the secret needs {} bytes or more, of visible ASCII", grpc::SECRET_BYTES_MIN);
    grpc::Secret::new(secret).ok_or_else(|| OpenError::Peers(why()))
}

#[cfg(not(feature = "grpc"))]
fn no_peers() -> OpenError {
    OpenError::Peers("this build has no way between processes: build with `--features cluster`".to_owned())
}
