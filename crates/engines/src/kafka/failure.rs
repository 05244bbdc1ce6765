//! What the client says, as errors of a port.

use super::ENGINE;
use hudhud_ports::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// A request that changes nothing, or was not sent.
pub(super) fn of_request(op: &'static str, error: KafkaError) -> Error {
    let kind = match error.rdkafka_error_code() {
        Some(code) => of_code(code),
        None => match error {
            KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_) => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        },
    };
    Error::new(kind, ENGINE, op).because(error)
}

/// What an operator has to mend, or the caller.
pub(super) fn of_code(code: Code) -> ErrorKind {
    match code {
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::InvalidConfig
        | Code::InvalidArgument
        | Code::InvalidReplicationFactor
        | Code::InvalidPartitions
        | Code::PolicyViolation
        | Code::UnsupportedVersion => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}

/// An append that was not taken into the queue.
pub(super) fn of_enqueue(error: KafkaError) -> Error {
    let (kind, cause) = match error.rdkafka_error_code() {
        Some(Code::QueueFull) => {
            (ErrorKind::Full, "records are appended faster than Kafka takes them, or no broker takes any".to_owned())
        }
        Some(Code::MessageSizeTooLarge) => (ErrorKind::Invalid, error.to_string()),
        _ => (ErrorKind::Unavailable, error.to_string()),
    };
    Error::new(kind, ENGINE, "append").because(cause)
}

/// An append that was in the queue, and failed: but for a few cases it may be there, or come later, as an earlier try may have
/// reached a broker whose answer was lost.
pub(super) fn of_delivery(code: Code) -> Error {
    let kind = match code {
        // Never sent.
        Code::PurgeQueue => ErrorKind::Unavailable,
        // No broker takes it, whichever try it was.
        Code::MessageSizeTooLarge | Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            ErrorKind::Invalid
        }
        _ => ErrorKind::Timeout,
    };
    Error::new(kind, ENGINE, "append").because(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kind says whether an append may be there: a wrong "no" would have it twice, a wrong "yes" only costs a look.
    #[test]
    fn an_append_that_may_be_there_is_a_timeout() {
        let enqueue = |code| of_enqueue(KafkaError::MessageProduction(code)).kind();
        assert_eq!(enqueue(Code::QueueFull), ErrorKind::Full);
        assert_eq!(enqueue(Code::UnknownTopic), ErrorKind::Unavailable);
        for (code, kind) in [
            (Code::MessageTimedOut, ErrorKind::Timeout),
            (Code::NotEnoughReplicasAfterAppend, ErrorKind::Timeout),
            (Code::NotEnoughReplicas, ErrorKind::Timeout),
            (Code::PurgeInflight, ErrorKind::Timeout),
            (Code::PurgeQueue, ErrorKind::Unavailable),
            (Code::MessageSizeTooLarge, ErrorKind::Invalid),
        ] {
            assert_eq!(of_delivery(code).kind(), kind, "{code:?}");
        }
    }
}
