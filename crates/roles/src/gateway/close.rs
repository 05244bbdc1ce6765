//! Why a gateway closes a connection. Clients act on the code; `docs/protocol.md` lists them.

/// A close frame's code (RFC 6455 §7.4) and reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Close {
    /// Below 4000 as the RFC has them, from 4000 on our own.
    pub code: u16,
    /// For people.
    pub reason: &'static str,
}

/// The server stops. Connect again after the delay that `GoingAway` told.
pub const GOING_AWAY: Close = Close { code: 1001, reason: "the server stops, connect again" };
/// Too many frames that could not be read. A bug of the client.
pub const MALFORMED: Close = Close { code: 1007, reason: "too many frames that can't be read" };
/// The client broke a rule that its answers named. Connect again with another behaviour.
pub const POLICY: Close = Close { code: 1008, reason: "too many refused requests" };
/// The gateway can't serve now. Connect again with back-off.
pub const TRY_AGAIN: Close = Close { code: 1013, reason: "the server can't serve now, try again later" };
/// The token was revoked or expired. Log in again; don't connect with this token.
pub const REVOKED: Close = Close { code: 4001, reason: "the token is not valid any more, log in again" };
/// The device connected again elsewhere. Don't connect again by yourself: two clients of one device would take turns.
pub const REPLACED: Close = Close { code: 4002, reason: "the device connected again" };
/// No `Hello` in time. Connect again and say who you are.
pub const HELLO_TIMEOUT: Close = Close { code: 4003, reason: "say hello sooner" };
/// Nothing was heard for two ping intervals, or nothing read. Connect again.
pub const IDLE: Close = Close { code: 4004, reason: "nothing was heard for two ping intervals" };

/// Operators suspended the account. The token is not forgotten; asking again now is answered the same.
pub const SUSPENDED: Close = Close { code: 4005, reason: "the account is suspended, ask the server's operators" };

/// Every close that a gateway does.
pub const ALL: [Close; 9] =
    [GOING_AWAY, MALFORMED, POLICY, TRY_AGAIN, REVOKED, REPLACED, HELLO_TIMEOUT, IDLE, SUSPENDED];
