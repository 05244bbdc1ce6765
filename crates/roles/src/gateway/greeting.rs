//! From `Hello` to `Welcome`: the token is verified, the session registered, and only then is the device told to read
//! its inbox.

use super::registry::{Connection, Identity};
use super::{Gateway, close};
use crate::api::{Caller, from_port, replaced};
use crate::session::{Registered, Session};
use crate::tables;
use hudhud_proto::ProtocolError;
use hudhud_proto::limits::{
    FRAME_BYTES_MAX, GROUP_MEMBERS_MAX, NAME_BYTES_MAX, PAGE_ENTRIES_MAX, PAYLOAD_BYTES_MAX, SENDS_IN_FLIGHT_MAX,
};
use hudhud_proto::v1::{self, ErrorCode};
use std::net::IpAddr;
use std::sync::Arc;

/// A connection that has a session.
pub(super) struct Greeted {
    pub(super) caller: Caller,
    pub(super) session: Session,
    pub(super) token: String,
    pub(super) welcome: v1::Welcome,
}

/// Verifies who it is, takes the place of the device's older connection and registers the session: what is sequenced
/// from then on finds the connection, and what was sequenced before is in the inbox that the device reads next.
///
/// A token that is not valid, or a hello that comes after one of a later connection, leaves the connection as it was; any
/// failure after that closes it.
pub(super) async fn greet(
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    hello: v1::Hello,
    address: IpAddr,
) -> Result<Greeted, ProtocolError> {
    if hello.client.len() > NAME_BYTES_MAX {
        return Err(ProtocolError::invalid(format!("a client's name has at most {NAME_BYTES_MAX} bytes")));
    }
    // Sessions of a gateway without a lease count as dead: others would clean this one up at once. So it is after a pause of
    // the whole process, until the lease is renewed.
    if !gateway.lease.is_held() {
        connection.outbox.close(close::TRY_AGAIN);
        return Err(ProtocolError::retry(ErrorCode::Unavailable, "the server can't serve now: connect again", 1_000));
    }
    let services = &gateway.services;
    let mut caller = gateway.api.authenticate(&hello.token, address).await?;
    let number = hello.connection_number;
    let identity = Identity { account: caller.account, device: caller.device, token: caller.token, number };
    // Deliveries find the connection before its session can be looked up; pushes wait in the outbox for the welcome.
    if let Some(before) = gateway.registry.identify(connection.id, identity).map_err(replaced)? {
        services.metrics.replaced.inc();
        before.outbox.close(close::REPLACED);
        // Its sends come before those of this connection, or not at all.
        services.runtime.timeout(services.settings.call_timeout, before.sends_over()).await;
    }
    let session = Session {
        account: caller.account,
        device: caller.device,
        gateway: gateway.reference.clone(),
        connection: connection.id,
        token: caller.token,
        active: hello.active,
        number,
        connected_us: services.now_us(),
        since_us: services.now_us(),
    };
    let registered = async {
        let row = services.directory.get(tables::account(caller.account)).await.map_err(from_port)?;
        let row: v1::AccountRow = row.map(|row| tables::read(&row)).transpose().map_err(from_port)?.unwrap_or_default();
        let session = match gateway.sessions.register(session).await.map_err(from_port)? {
            Registered::Yes(session) => session,
            Registered::Replaced(by) => return Err(replaced(by.number)),
        };
        match gateway.api.authenticate(&hello.token, address).await {
            Ok(_) => Ok((session, row.handle)),
            // Revoked since it was verified, by somebody who did not find the session yet.
            Err(error) => {
                if let Err(error) = gateway.sessions.unregister(&session).await {
                    tracing::debug!(%error, "a session was not unregistered; it is found to be stale later");
                }
                Err(error)
            }
        }
    };
    let (session, handle) = registered.await.inspect_err(|error| {
        // Pushes may wait in the outbox: the connection must never become somebody else's.
        connection.outbox.close(match error.code {
            ErrorCode::Unauthenticated => close::REVOKED,
            ErrorCode::Suspended => close::SUSPENDED,
            ErrorCode::Conflict => close::REPLACED,
            _ => close::TRY_AGAIN,
        });
    })?;
    let (account, device, client) = (caller.account, caller.device, &hello.client);
    tracing::debug!(%account, %device, connection = connection.id.0, client, "connected");
    caller.session = Some(session.clone());
    let welcome = v1::Welcome {
        account: caller.account.to_bytes(),
        device: caller.device.to_bytes(),
        handle,
        server_time_us: services.now_us(),
        ping_interval_ms: u32::try_from(services.settings.ping_interval.as_millis()).unwrap_or(u32::MAX),
        limits: limits().into(),
    };
    Ok(Greeted { caller, session, token: hello.token, welcome })
}

fn limits() -> v1::Limits {
    let number = |limit: usize| u32::try_from(limit).expect("limits are small");
    v1::Limits {
        frame_bytes_max: number(FRAME_BYTES_MAX),
        payload_bytes_max: number(PAYLOAD_BYTES_MAX),
        page_entries_max: PAGE_ENTRIES_MAX,
        sends_in_flight_max: number(SENDS_IN_FLIGHT_MAX),
        group_members_max: number(GROUP_MEMBERS_MAX),
    }
}
