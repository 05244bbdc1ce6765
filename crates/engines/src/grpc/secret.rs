//! What processes of one cluster know each other by.

use std::fmt;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

/// A shorter secret could be guessed.
pub const SECRET_BYTES_MIN: usize = 32;

const HEADER: &str = "authorization";
const SCHEME: &str = "Bearer ";

/// A secret that every process of a cluster has.
#[derive(Clone)]
pub struct Secret(MetadataValue<Ascii>);

/// Never shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// None where the text is shorter than [`SECRET_BYTES_MIN`], or holds what a header can't carry: visible ASCII it is.
    pub fn new(text: &str) -> Option<Self> {
        if text.len() < SECRET_BYTES_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut value: MetadataValue<Ascii> = format!("{SCHEME}{text}").parse().ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    pub(super) fn put(&self, metadata: &mut MetadataMap) {
        metadata.insert(HEADER, self.0.clone());
    }

    /// Whether a call carries it. Takes alike long wherever they differ.
    pub(super) fn is_in(&self, metadata: &MetadataMap) -> bool {
        // Equality of hashes is compared in constant time.
        let hash = |value: &MetadataValue<Ascii>| blake3::hash(value.as_bytes());
        metadata.get(HEADER).is_some_and(|value| hash(value) == hash(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A secret that could be guessed is none, and the one that there is stays out of logs.
    #[test]
    fn secrets_are_long_and_not_shown() {
        let text = "k".repeat(SECRET_BYTES_MIN);
        let secret = Secret::new(&text).expect("long enough");
        assert_eq!(format!("{secret:?}"), "Secret");
        assert!(Secret::new(&text[1..]).is_none());
        assert!(Secret::new(&format!("{text}\n")).is_none());
        let mut metadata = MetadataMap::new();
        assert!(!secret.is_in(&metadata));
        secret.put(&mut metadata);
        assert!(secret.is_in(&metadata));
        assert!(!Secret::new(&"l".repeat(SECRET_BYTES_MIN)).expect("long enough").is_in(&metadata));
    }
}
