//! The way from a dispatcher to the gateways that hold the sockets.

use crate::Result;
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_proto::{AccountId, ConnectionId, DeviceId, TokenId};
use std::sync::Arc;

/// One run of one gateway. A gateway that restarts has another incarnation, and the sessions of the old one are dead.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct GatewayRef {
    /// The gateway's name, unique in the cluster.
    pub name: Arc<str>,
    /// Which run of it.
    pub incarnation: u64,
}

/// One connection that is believed to be there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Target {
    /// Whose connection it is believed to be: the gateway checks it.
    pub account: AccountId,
    /// Of which device.
    pub device: DeviceId,
    /// The connection.
    pub connection: ConnectionId,
}

/// What is delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// A `ServerFrame` in protobuf, encoded once for all its receivers.
    Frame(Bytes),
    /// The token was revoked: close the connections that were opened with it.
    Revoked(TokenId),
    /// The account was suspended: close its connections.
    Suspended,
}

/// One payload for the connections of one gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// What.
    pub payload: Payload,
    /// To whom.
    pub targets: Vec<Target>,
}

/// The way to all gateways.
///
/// **Order.** The deliveries of one call reach a connection in their order; calls that do not overlap, in the order of the
/// calls. Nothing is promised beyond: pushes may be lost, and then repeated or fetched by the device.
/// **Speed.** Never waits for a connection: one that does not read fast enough is marked lagging and pulls.
#[async_trait]
pub trait Gateways: Send + Sync + 'static {
    /// Delivers a batch and returns the targets that are not connected there, each once. A gateway or incarnation that is
    /// not there (any more) answers with all targets. An error means that nothing is known.
    async fn push(&self, gateway: &GatewayRef, batch: Vec<Delivery>) -> Result<Vec<Target>>;
}

/// A gateway's own end: what [`Gateways::push`] calls over there.
pub trait GatewayInbox: Send + Sync + 'static {
    /// Hands a batch to the connections and returns the targets that are not here. Never waits.
    fn deliver(&self, batch: Vec<Delivery>) -> Vec<Target>;
}
