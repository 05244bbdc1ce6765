//! Connections: they say who they are, give commands, and get what is pushed to them.
//!
//! A gateway holds no state that a restart loses. It keeps a lease in the directory ([`crate::session::Lease`]); while
//! it has none it serves nobody. Each connection is one task (`connection`) around a transport, an outbox (`outbox`)
//! and the order of its sends ([`pipeline`]); the registry (`registry`) is how deliveries find it.
//!
//! What waits in memory for all of them is bounded together, by a [`Budget`].
//!
//! The server calls [`Gateway::serve`] per socket; dispatchers and apis reach [`GatewayInbox::deliver`] through the
//! port [`hudhud_ports::Gateways`]. No sockets in here, see [`Transport`].

mod budget;
mod check;
pub mod close;
mod commands;
mod connection;
mod greeting;
mod outbox;
pub mod pipeline;
mod registry;
mod request_id;
mod transport;
mod upkeep;

#[cfg(test)]
mod tests;

pub use budget::{Budget, Charge};
pub use transport::{Closed, Transport};

use crate::api::Api;
use crate::presence::Presence;
use crate::services::Services;
use crate::session::{Lease, Sessions};
use bytes::Bytes;
use close::Close;
use hudhud_ports::{Delivery, GatewayInbox, GatewayRef, Payload, Result, Target};
use hudhud_proto::v1::server_frame::Event;
use hudhud_proto::{Encoding, v1};
use outbox::Pushed;
use registry::{Admission, Registry};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection that is to close may take to finish what it began and to be answered.
const CLOSE_GRACE: Duration = Duration::from_millis(500);
/// How long the other end may take to answer a close.
const CLOSE_HANDSHAKE_MAX: Duration = Duration::from_secs(2);
/// How long a draining gateway waits beyond the last delay that it told.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// One gateway.
pub struct Gateway {
    services: Services,
    api: Arc<Api>,
    sessions: Arc<Sessions>,
    presence: Arc<Presence>,
    reference: GatewayRef,
    lease: Lease,
    registry: Registry,
    budget: Arc<Budget>,
}

impl Gateway {
    /// A gateway with a name of its own in the cluster, at an address where other processes reach its inbox (empty
    /// where there are none). It serves nobody until [`Self::start`].
    pub fn new(
        services: Services,
        api: Arc<Api>,
        sessions: Arc<Sessions>,
        presence: Arc<Presence>,
        name: &str,
        address: &str,
    ) -> Arc<Self> {
        let incarnation = u64::from_be_bytes(services.runtime.random());
        let reference = GatewayRef { name: name.into(), incarnation };
        let lease = Lease::new(&services, reference.clone(), address);
        let registry = Registry::new();
        let budget = Budget::of(&services);
        Arc::new(Self { services, api, sessions, presence, reference, lease, registry, budget })
    }

    /// The memory that everything shares which waits for a client. Whoever serves other requests beside this gateway's
    /// connections takes theirs from it as well.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Its name and which run of it this is: what pushes must name to reach it.
    pub fn reference(&self) -> &GatewayRef {
        &self.reference
    }

    /// Whether it takes connections in: not while it has no lease, and never again once another process took its name.
    pub fn is_open(&self) -> bool {
        self.registry.admission() == Admission::Open
    }

    /// Takes the lease, takes connections in from then on, and keeps both up beside the caller.
    pub async fn start(self: &Arc<Self>) -> Result<()> {
        self.lease.take().await?;
        self.registry.set_admission(Admission::Open);
        self.services.runtime.tasks.spawn(Box::pin(upkeep::run(Arc::downgrade(self))));
        Ok(())
    }

    /// Serves one connection to its end.
    pub async fn serve(self: Arc<Self>, mut transport: Box<dyn Transport>, encoding: Encoding, address: IpAddr) {
        match self.registry.insert(encoding, self.services.settings.outbox_frames_max, &self.budget) {
            Ok(connection) => {
                self.services.metrics.connections.inc();
                connection::run(&self, connection, transport, address).await;
                self.services.metrics.connections.dec();
            }
            Err(Close { code, reason }) => transport.close(code, reason).await,
        }
    }

    /// Ends serving: takes no connection in, tells each to connect again after a delay of its own between zero and
    /// `spread`, and returns once all are closed, which takes `spread` and some seconds at most. Then the lease is
    /// given back.
    pub async fn drain(&self, spread: Duration) {
        self.registry.set_admission(Admission::Over);
        for connection in self.registry.all() {
            let after = self.services.runtime.jitter(spread).as_millis();
            let reconnect_after_ms = u32::try_from(after).unwrap_or(u32::MAX);
            connection.outbox.push_event(Event::GoingAway(v1::GoingAway { reconnect_after_ms }));
        }
        let runtime = &self.services.runtime;
        if runtime.timeout(spread + DRAIN_GRACE, self.registry.emptied()).await.is_none() {
            self.close_all(close::GOING_AWAY);
            let limit = CLOSE_GRACE + CLOSE_HANDSHAKE_MAX + self.services.settings.call_timeout;
            if runtime.timeout(limit, self.registry.emptied()).await.is_none() {
                tracing::warn!("some connections did not end in time; their devices connect again");
            }
        }
        if let Err(error) = self.lease.release().await {
            tracing::warn!(%error, "the lease was not given back; it ends by itself");
        }
    }

    fn close_all(&self, why: Close) {
        for connection in self.registry.all() {
            connection.outbox.close(why);
        }
    }

    /// Hands one delivery to its target, and says whether that is here.
    fn hand_over(&self, payload: &Payload, json: &mut Option<Bytes>, target: &Target) -> bool {
        let metrics = &self.services.metrics;
        let Some((connection, identity)) = self.registry.find(target) else {
            return false;
        };
        let pushed = match (payload, connection.encoding) {
            // Flow 07: the frame is handed to the connection that its device is on; a device without one has it waiting
            // in its inbox.
            (Payload::Frame(frame), Encoding::Protobuf) => connection.outbox.push(frame.clone()),
            (Payload::Frame(frame), Encoding::Json) => {
                connection.outbox.push(json.get_or_insert_with(|| to_json(frame)).clone())
            }
            (Payload::Revoked(token), _) => {
                if *token == identity.token {
                    metrics.revoked.inc();
                    connection.outbox.close(close::REVOKED);
                }
                return true;
            }
            (Payload::Suspended, _) => {
                connection.outbox.close(close::SUSPENDED);
                return true;
            }
        };
        match pushed {
            Pushed::Queued => _ = metrics.pushes_delivered.inc(),
            Pushed::Dropped(frames) => _ = metrics.pushes_lagging.inc_by(frames as u64),
            Pushed::Closed => return false,
        }
        true
    }
}

impl GatewayInbox for Gateway {
    fn deliver(&self, batch: Vec<Delivery>) -> Vec<Target> {
        let mut absent = BTreeSet::new();
        for Delivery { payload, targets } in batch {
            let mut json = None;
            absent.extend(targets.into_iter().filter(|target| !self.hand_over(&payload, &mut json, target)));
        }
        self.services.metrics.pushes_absent.inc_by(absent.len() as u64);
        absent.into_iter().collect()
    }
}

/// The frame as JSON connections get it. Made once per delivery, however many they are.
fn to_json(frame: &Bytes) -> Bytes {
    match Encoding::Protobuf.decode_server(frame) {
        Ok(frame) => Encoding::Json.encode_server(&frame),
        Err(error) => {
            tracing::error!(%error, "a push is no frame; its receivers are sent to fetch instead");
            let lagging = Event::Lagging(v1::Lagging::default());
            Encoding::Json.encode_server(&v1::ServerFrame { request: 0, event: Some(lagging) })
        }
    }
}
