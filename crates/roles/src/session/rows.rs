//! Sessions as the store and the cache hold them.

use super::Session;
use bytes::Bytes;
use hudhud_ports::GatewayRef;
use hudhud_proto::{AccountId, ConnectionId, DeviceId, Message, TokenId, v1};

/// Where the cache holds the sessions of an account.
pub(super) fn cache_key(account: AccountId) -> [u8; 17] {
    let mut key = [b's'; 17];
    key[1..].copy_from_slice(account.as_bytes());
    key
}

/// The value of a session's row.
pub(super) fn to_row(session: &Session) -> v1::SessionRow {
    v1::SessionRow {
        gateway: session.gateway.name.to_string(),
        incarnation: session.gateway.incarnation,
        connection: session.connection.0,
        token: session.token.to_bytes(),
        active: session.active,
        connected_us: session.connected_us,
        number: session.number,
        has_ended: false,
    }
}

/// The value of its row once it has ended.
pub(super) fn to_ended(session: &Session) -> v1::SessionRow {
    v1::SessionRow { has_ended: true, ..to_row(session) }
}

/// The session in a row; `None` where the row makes no sense.
pub(super) fn from_row(account: AccountId, device: &[u8], row: &v1::SessionRow, version: u64) -> Option<Session> {
    Some(Session {
        account,
        device: DeviceId::from_slice(device).ok()?,
        gateway: GatewayRef { name: row.gateway.as_str().into(), incarnation: row.incarnation },
        connection: ConnectionId(row.connection),
        token: TokenId::from_slice(&row.token).ok()?,
        active: row.active,
        number: row.number,
        connected_us: row.connected_us,
        since_us: version,
    })
}

/// The cache entry of an account's sessions.
pub(super) fn to_entry(sessions: &[Session]) -> Bytes {
    let cached = |session: &Session| v1::CachedSession {
        device: session.device.to_bytes(),
        session: to_row(session).into(),
        version: session.since_us,
    };
    v1::SessionSet { sessions: sessions.iter().map(cached).collect() }.encode_to_bytes()
}

/// The sessions in a cache entry; `None` where any of it makes no sense or where it is empty.
pub(super) fn from_entry(account: AccountId, entry: &[u8]) -> Option<Vec<Session>> {
    let set = v1::SessionSet::decode_from_slice(entry).ok()?;
    let session =
        |cached: &v1::CachedSession| from_row(account, &cached.device, cached.session.as_option()?, cached.version);
    let sessions: Vec<Session> = set.sessions.iter().map(session).collect::<Option<_>>()?;
    (!sessions.is_empty()).then_some(sessions)
}
