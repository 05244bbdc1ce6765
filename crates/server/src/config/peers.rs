//! The other processes of a cluster.

use super::{Config, Role};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How processes of one cluster reach each other.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peers {
    /// What they know each other by.
    pub secret: Option<String>,
    /// Where this process takes what others push to its connections. Port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// `host:port`, as others are told of it; none for where it listens.
    pub address: Option<String>,
}

/// Without the secret.
impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { secret: _, listen, address } = self;
        f.debug_struct("Peers").field("listen", listen).field("address", address).finish_non_exhaustive()
    }
}

/// Whether an engine is in the process that opens it. Without a URL it is.
fn is_in_process(url: Option<&str>) -> bool {
    url.is_none_or(|url| ["embedded:", "memory:"].iter().any(|scheme| url.starts_with(scheme)))
}

impl Config {
    /// Whether other processes may be there: they take from the same bus.
    pub fn has_peers(&self) -> bool {
        !is_in_process(self.engines.bus.as_deref())
    }

    /// Refuses roles that would be alone, and processes that would not reach each other. Names the key to blame.
    pub(super) fn agree_on_peers(&self) -> Result<(), (String, String)> {
        let refuse = |key: &str, message: &str| Err((key.to_owned(), message.to_owned()));
        let engines = &self.engines;
        let urls = [("messages", &engines.messages), ("directory", &engines.directory), ("bus", &engines.bus)];
        let own = urls.iter().find(|(_, url)| is_in_process(url.as_deref()));
        if let (Some((name, _)), true) = (own, self.roles.len() < Role::ALL.len()) {
            let message = format!(
                "roles leaves some out, and engines.{name} is in this process, where no other can reach it: leave out roles, or \
                 choose engines that processes share (docs/cluster.md)"
            );
            return Err(("roles".to_owned(), message));
        }
        let peers = &self.peers;
        if !self.has_peers() {
            let chosen = match peers {
                Peers { secret: Some(_), .. } => "peers.secret",
                Peers { listen: Some(_), .. } => "peers.listen",
                Peers { address: Some(_), .. } => "peers.address",
                Peers { .. } => return Ok(()),
            };
            return refuse(chosen, "peers is for other processes, and there are none on a bus in this one");
        }
        if let Some((name, _)) = own {
            let message =
                format!("engines.{name} is in this process, and the bus is not: other processes would not see it");
            return Err(("engines.bus".to_owned(), message));
        }
        if peers.secret.is_none() {
            return refuse(
                "engines.bus",
                "processes share this bus, and must know each other: give all of them the same peers.secret",
            );
        }
        match (peers.listen, &peers.address) {
            (None, _) if self.has(Role::Gateway) => {
                refuse("engines.bus", "processes share this bus, and must reach this gateway: choose peers.listen")
            }
            (None, Some(_)) => refuse("peers.address", "peers.address says where peers.listen is, and there is none"),
            (Some(listen), None) if listen.ip().is_unspecified() => refuse(
                "peers.listen",
                "peers.listen is every address of this machine: say which one others reach with peers.address",
            ),
            _ => Ok(()),
        }
    }
}
