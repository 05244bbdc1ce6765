//! What the driver says, as errors of a port.

use super::ENGINE;
use hudhud_ports::{Error, ErrorKind};
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

/// Whether a request that failed may have changed something.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    None,
    Possible,
}

/// What became of a request.
pub(super) fn of_request(op: &'static str, effect: Effect, error: ExecutionError) -> Error {
    let kind = match &error {
        ExecutionError::BadQuery(_) => ErrorKind::Invalid,
        ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => ErrorKind::Unavailable,
        ExecutionError::RequestTimeout(_) => ErrorKind::Timeout,
        ExecutionError::LastAttemptError(error) => of_attempt(effect, error),
        _ => unclear(effect),
    };
    Error::new(kind, ENGINE, op).because(error)
}

fn of_attempt(effect: Effect, error: &RequestAttemptError) -> ErrorKind {
    match error {
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => {
            ErrorKind::Invalid
        }
        RequestAttemptError::UnableToAllocStreamId => ErrorKind::Unavailable,
        RequestAttemptError::DbError(error, _) => match error {
            DbError::SyntaxError
            | DbError::Invalid
            | DbError::AlreadyExists { .. }
            | DbError::AuthenticationError
            | DbError::Unauthorized
            | DbError::ConfigError => ErrorKind::Invalid,
            DbError::Unavailable { .. }
            | DbError::Overloaded
            | DbError::IsBootstrapping
            | DbError::RateLimitReached { .. } => ErrorKind::Unavailable,
            DbError::ReadTimeout { .. } | DbError::WriteTimeout { .. } => ErrorKind::Timeout,
            // Failures of replicas, of the coordinator: a replica may have done it.
            _ => unclear(effect),
        },
        // A connection that broke, an answer that was not understood.
        _ => unclear(effect),
    }
}

fn unclear(effect: Effect) -> ErrorKind {
    match effect {
        Effect::None => ErrorKind::Unavailable,
        Effect::Possible => ErrorKind::Timeout,
    }
}

/// An answer that is not of the shape that was asked for.
pub(super) fn of_answer(op: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupt, ENGINE, op).because(error)
}
