//! What goes back to a client when something went wrong.

use hudhud_ports::{Error, ErrorKind};
use hudhud_proto::ProtocolError;
use hudhud_proto::v1::ErrorCode;

/// How long a client waits until it repeats what an engine could not do, in milliseconds.
const ENGINE_RETRY_MS: u32 = 1_000;

/// No token, or not a valid one.
pub(crate) fn unauthenticated() -> ProtocolError {
    ProtocolError::new(ErrorCode::Unauthenticated, "log in first: there is no valid token with this request")
}

/// There is no such thing, or not for this caller.
pub(crate) fn not_found(what: &str) -> ProtocolError {
    ProtocolError::new(ErrorCode::NotFound, format!("there is no such {what}"))
}

/// The caller may not.
pub(crate) fn forbidden(why: &str) -> ProtocolError {
    ProtocolError::new(ErrorCode::Forbidden, why)
}

/// The device has a later connection than the one on which it asks.
pub(crate) fn replaced(number: u64) -> ProtocolError {
    let message = format!("the device has a later connection, its number {number}: connect again with a higher one");
    ProtocolError { connection_number: number, ..ProtocolError::new(ErrorCode::Conflict, message) }
}

/// A failure of an engine, as a client sees it: what it says of the engine stays in the log.
pub fn from_port(error: Error) -> ProtocolError {
    match error.kind() {
        // Every request fails then: the process says when that begins and when it ends.
        ErrorKind::Full => tracing::debug!(%error, "an engine failed a request"),
        _ => tracing::warn!(%error, "an engine failed a request"),
    }
    match error.kind() {
        ErrorKind::Full => ProtocolError::retry(
            ErrorCode::Full,
            "the server has no room now; nothing was stored, try again later",
            ENGINE_RETRY_MS * 5,
        ),
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Fenced => {
            ProtocolError::retry(ErrorCode::Unavailable, "the server could not do this now, try again", ENGINE_RETRY_MS)
        }
        _ => ProtocolError::new(ErrorCode::Internal, "something is wrong with the server; its log says what"),
    }
}
