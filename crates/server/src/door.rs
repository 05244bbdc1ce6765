//! The door of a listener: who gets in, in which place, and what comes before HTTP: a proxy's word and TLS.

use crate::config::ProxyProtocol;
use crate::crowd::{Bounds, Crowd, Place};
use crate::http::network;
use crate::listen::{Connection, Listen, serve};
use crate::proxied;
use crate::stream::Stream;
use crate::tls::Opened;
use axum::Router;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Connections beyond the limit that are told so at the same time; the oldest of them makes room for the next.
const REFUSALS: Bounds = Bounds { all: 64, per_address: 64, per_account: 0, strangers: 64, strangers_per_address: 64 };
/// What all connections of a listener share.
pub struct Door {
    listen: Listen,
    /// The connections that there is no room for.
    refusals: Arc<Crowd>,
}

/// A connection that is being taken in.
pub struct Arrival {
    /// The other end, as far as is known.
    peer: SocketAddr,
    place: Arc<Place>,
    is_shared: bool,
    router: Router,
}

impl Door {
    /// The door of a listener.
    pub fn of(listen: Listen) -> Self {
        let refusals = Crowd::new(REFUSALS, listen.metrics.clone());
        Self { listen, refusals }
    }

    /// A place for a connection, and what is served there; none where not even a refusal can be said.
    pub fn admit(&self, peer: SocketAddr, is_shared: bool) -> Option<Arrival> {
        let address = (!is_shared).then(|| network(peer.ip()));
        if let Some(place) = self.listen.crowd.enter(address) {
            return Some(Arrival { peer, place, is_shared, router: self.listen.router.clone() });
        }
        self.listen.metrics.tcp_refused.inc();
        let place = self.refusals.enter(Some(network(peer.ip())))?;
        Some(Arrival { peer, place, is_shared: false, router: self.listen.refusing.clone() })
    }

    /// Opens a connection and serves it to its end.
    pub async fn take(self: Arc<Self>, stream: TcpStream, arrival: Arrival) {
        let (stream, arrival) = {
            let place = arrival.place.clone();
            // In a box, as it is large and over soon.
            let opening = Box::pin(self.open(stream, arrival));
            let opened = tokio::select! {
                biased;
                () = place.given_away() => None,
                () = self.listen.stop.cancelled() => None,
                opened = opening => opened,
            };
            let Some(opened) = opened else { return };
            opened
        };
        let Arrival { peer, place, is_shared, router } = arrival;
        let connection = Arc::new(Connection::new(place, is_shared));
        let listen = &self.listen;
        serve(stream, peer, connection, router, listen.builder(), listen.limits.clone(), listen.stop.clone()).await;
    }

    /// What comes before HTTP: a proxy's word and TLS, each with a limit of time.
    async fn open(&self, mut stream: TcpStream, mut arrival: Arrival) -> Option<(Stream, Arrival)> {
        let limit = Duration::from_millis(self.listen.limits.header_timeout_ms);
        if arrival.is_shared && self.listen.proxy_protocol == ProxyProtocol::On {
            let word = tokio::time::timeout(limit, proxied::read(&mut stream)).await;
            match word.map_err(io::Error::from).flatten() {
                // From now on it is that client's, with a place of its own.
                Ok(Some(client)) => arrival = self.admit(client, self.is_proxy(client.ip()))?,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(peer = %arrival.peer, %error, "a trusted proxy was not understood");
                    return None;
                }
            }
        }
        let Some(encryption) = &self.listen.encryption else { return Some((Stream::Plain(stream), arrival)) };
        let opened = tokio::time::timeout(limit, encryption.tls.open(stream)).await;
        match opened.map_err(io::Error::from).flatten() {
            Ok(Opened::Tls(stream)) => Some((Stream::Tls(stream), arrival)),
            Ok(Opened::Plain(stream)) => {
                Some((Stream::Plain(stream), Arrival { router: encryption.plain.clone(), ..arrival }))
            }
            Ok(Opened::Challenge) => None,
            Err(error) => {
                encryption.tls.failed();
                tracing::debug!(peer = %arrival.peer, %error, "a TLS handshake failed");
                None
            }
        }
    }

    /// Whether many clients come from there.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.listen.trusted_proxies.contains(address)
    }
}
