//! What is wrong with a configuration, and where.

use super::layers::Origin;
use std::path::PathBuf;

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key or a value that is not possible.
    #[error("{}{message}", origin.as_ref().map(|origin| format!("{origin}: ")).unwrap_or_default())]
    Invalid {
        /// Where it was chosen, if that is known.
        origin: Option<Origin>,
        /// What is wrong, and what would be right.
        message: String,
    },
}

impl ConfigError {
    /// At a place.
    pub(super) fn at(origin: Origin, message: String) -> Self {
        Self::Invalid { origin: Some(origin), message }
    }
}
