//! What a connection looks up about itself before each ping.

use super::Gateway;
use super::close::{self, Close};
use crate::session::{Registered, Session};
use hudhud_proto::v1::ErrorCode;
use std::net::IpAddr;

/// What a connection looked up about itself before a ping.
pub(super) struct Check {
    /// Why it must close.
    pub(super) close: Option<Close>,
    /// Its session as it is registered now, if that could be read.
    pub(super) session: Option<Session>,
    /// See `Ping`, if that could be read.
    pub(super) inbox_version: Option<u64>,
}

/// Looks up what a ping carries, and on the way whether the connection may stay: its token may have run out, its device
/// may have connected to another gateway. What can't be read now is left to the next ping.
pub(super) async fn check(gateway: &Gateway, session: Session, token: &str, address: IpAddr) -> Check {
    let closed = |close| Check { close: Some(close), session: None, inbox_version: None };
    match gateway.api.authenticate(token, address).await {
        Err(error) if error.code == ErrorCode::Unauthenticated => {
            gateway.services.metrics.revoked.inc();
            return closed(close::REVOKED);
        }
        Err(error) if error.code == ErrorCode::Suspended => return closed(close::SUSPENDED),
        Err(error) => tracing::debug!(%error, "a token was not verified again"),
        Ok(_) => {}
    }
    let account = session.account;
    if session.active {
        gateway.presence.seen(account).await;
    }
    let session = match gateway.sessions.confirm(&session).await {
        Ok(Registered::Yes(session)) => Some(session),
        Ok(Registered::Replaced(_)) => {
            gateway.services.metrics.replaced.inc();
            return closed(close::REPLACED);
        }
        Err(error) => {
            tracing::debug!(%error, "a session was not confirmed");
            None
        }
    };
    Check { close: None, session, inbox_version: gateway.api.inbox_version(account).await.ok() }
}
