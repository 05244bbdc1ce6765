//! The one table from error codes to HTTP statuses, and errors as the code makes them.

use crate::v1::{Error, ErrorCode};

/// The HTTP status (RFC 9110) that answers with this code.
pub const fn http_status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::Invalid => 400,
        ErrorCode::Unauthenticated => 401,
        ErrorCode::Forbidden | ErrorCode::RegistrationClosed | ErrorCode::BlockedByYou | ErrorCode::Suspended => 403,
        ErrorCode::NotFound | ErrorCode::RecipientUnavailable => 404,
        ErrorCode::Conflict | ErrorCode::GoBack => 409,
        ErrorCode::Limit => 422,
        ErrorCode::RateLimited => 429,
        ErrorCode::Unspecified | ErrorCode::Internal => 500,
        ErrorCode::Unavailable => 503,
        ErrorCode::Full => 507,
    }
}

/// An error as a role makes it and a client gets it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ProtocolError {
    /// What programs look at.
    pub code: ErrorCode,
    /// What people read: what is wrong and what to do.
    pub message: String,
    /// When to try again, in milliseconds; 0: not as it is.
    pub retry_after_ms: u32,
    /// Of a hello that is refused: the number of the device's later connection; 0 of everything else.
    pub connection_number: u64,
}

impl ProtocolError {
    /// An error that repeating does not mend.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::retry(code, message, 0)
    }

    /// An error that may be gone after a while.
    pub fn retry(code: ErrorCode, message: impl Into<String>, retry_after_ms: u32) -> Self {
        Self { code, message: message.into(), retry_after_ms, connection_number: 0 }
    }

    /// Input that breaks a rule, which the message names.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }

    /// As a message.
    pub fn to_wire(&self) -> Error {
        Error {
            code: self.code.into(),
            message: self.message.clone(),
            retry_after_ms: self.retry_after_ms,
            connection_number: self.connection_number,
        }
    }
}

impl From<crate::IdError> for ProtocolError {
    fn from(error: crate::IdError) -> Self {
        Self::invalid(error.to_string())
    }
}
