//! The one error of all ports.

use std::fmt;

/// What a port's method answers with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was; the kind decides what the caller does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The engine can't be reached or can't serve now. Nothing was done. Retryable.
    Unavailable,
    /// No answer in time: it may have been done, or be done later. Retryable, as every write is idempotent.
    Timeout,
    /// No room (disk, quota, backlog). Nothing was done. Retryable after a while.
    Full,
    /// This process no longer owns what it wrote to (a shard, a lease). Not retryable.
    Fenced,
    /// Stored bytes fail their checksum or do not decode. Not retryable.
    Corrupt,
    /// The caller broke the contract (a key too long, a shard that is not there). A bug; not retryable.
    Invalid,
    /// The engine can no longer keep its promises (an fsync failed): the process must stop.
    Fatal,
}

/// A failure of an engine.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    engine: &'static str,
    op: &'static str,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure without a cause beneath it.
    pub fn new(kind: ErrorKind, engine: &'static str, op: &'static str) -> Self {
        Self { kind, engine, op, source: None }
    }

    /// With what caused it.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller acts on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Full)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::Unavailable => "is unavailable",
            ErrorKind::Timeout => "did not answer in time",
            ErrorKind::Full => "has no room",
            ErrorKind::Fenced => "says that another process took over",
            ErrorKind::Corrupt => "holds corrupt data",
            ErrorKind::Invalid => "was called with something invalid",
            ErrorKind::Fatal => "can't keep its promises any more",
        };
        write!(f, "{} {what} ({})", self.engine, self.op)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}
