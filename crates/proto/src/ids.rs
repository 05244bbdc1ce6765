//! Identifiers. Each is its own type, so that an account is never taken for a conversation.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;

/// Bytes or text that are not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be {expected}")]
pub struct IdError {
    kind: &'static str,
    expected: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id made of these 16 bytes.
            pub const fn new(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Reads the id from a field of a message.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
                let expected = IdError { kind: $kind, expected: "16 bytes" };
                Ok(Self(bytes.try_into().map_err(|_| expected)?))
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The id as a field of a message.
            pub fn to_bytes(self) -> Bytes {
                Bytes::copy_from_slice(&self.0)
            }
        }

        /// URL-safe base64 without padding (RFC 4648 §5), as protobuf's JSON mapping also accepts it.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", $kind)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let expected = IdError { kind: $kind, expected: "22 characters of URL-safe base64" };
                let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| expected.clone())?;
                Ok(Self(bytes.try_into().map_err(|_| expected)?))
            }
        }
    };
}

id!(
    /// A person or a bot.
    AccountId,
    "account"
);
id!(
    /// One log-in of an account on one machine.
    DeviceId,
    "device"
);
id!(
    /// A log: a direct chat or a group.
    ConversationId,
    "conversation"
);
id!(
    /// UUIDv7 made by the sending device; makes a repeated send harmless. Never used for order.
    MessageId,
    "message id"
);
id!(
    /// Names an access token without being it.
    TokenId,
    "token id"
);

impl ConversationId {
    /// The direct chat of two accounts: a hash of both ids, whichever comes first. It needs no look-up, and
    /// it spreads the chats of one account over all shards.
    pub fn direct(one: AccountId, other: AccountId) -> Self {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        let mut hasher = blake3::Hasher::new_derive_key("hudhud v1 direct conversation id");
        hasher.update(low.as_bytes());
        hasher.update(high.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }

    /// The group that a creation with this message id makes: creating twice makes one group.
    pub fn group(creator: AccountId, message: MessageId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("hudhud v1 group conversation id");
        hasher.update(creator.as_bytes());
        hasher.update(message.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }
}

impl AccountId {
    /// No account: the operators of the server, as the sender of what they do in a conversation.
    pub const OPERATORS: Self = Self::new([0; 16]);

    /// The account of a subject of somebody's own backend: the same (issuer, subject) is the same account.
    pub fn of_subject(issuer: &str, subject: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("hudhud v1 account id of a subject");
        hasher.update(&(issuer.len() as u64).to_be_bytes());
        hasher.update(issuer.as_bytes());
        hasher.update(subject.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }
}

impl MessageId {
    /// A UUIDv7 (RFC 9562 §5.7) of this time and these random bytes.
    pub fn v7(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(*uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid().as_bytes())
    }

    /// Its time, in milliseconds since the Unix epoch, if it is a UUIDv7.
    pub fn unix_ms(&self) -> Option<u64> {
        let uuid = uuid::Uuid::from_bytes(self.0);
        let (seconds, nanos) = match uuid.get_version_num() {
            7 => uuid.get_timestamp()?.to_unix(),
            _ => return None,
        };
        Some(seconds * 1_000 + u64::from(nanos) / 1_000_000)
    }
}

/// One socket of a gateway's incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u64);

/// An account's public name: 3 to 32 of `a-z 0-9 . _`, no dot first or last. Upper case is folded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle(String);

impl Handle {
    /// The handle in its one spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Handle {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let folded = text.strip_prefix('@').unwrap_or(text).to_ascii_lowercase();
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_');
        let valid = (3..=32).contains(&folded.len())
            && folded.bytes().all(allowed)
            && !folded.starts_with('.')
            && !folded.ends_with('.');
        if valid {
            Ok(Self(folded))
        } else {
            Err(IdError { kind: "handle", expected: "3 to 32 of a-z, 0-9, '.' and '_', with no '.' at either end" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct_chat_has_one_id_from_both_sides() {
        let (a, b) = (AccountId::new([1; 16]), AccountId::new([2; 16]));
        assert_eq!(ConversationId::direct(a, b), ConversationId::direct(b, a));
        assert_ne!(ConversationId::direct(a, b), ConversationId::direct(a, a));
        // Stored everywhere, so it must never change.
        assert_eq!(ConversationId::direct(a, b).to_string(), "i1YbD5_LK5G37dt2Of66cg");
    }

    #[test]
    fn ids_are_the_same_after_text() {
        let id = MessageId::v7(1_700_000_000_123, [7; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.unix_ms(), Some(1_700_000_000_123));
        assert_eq!(MessageId::new([0; 16]).unix_ms(), None);
        assert!("short".parse::<AccountId>().is_err());
    }

    #[test]
    fn handles_have_one_spelling() {
        assert_eq!("@Alice".parse::<Handle>().map(|h| h.to_string()), Ok("alice".into()));
        for bad in ["", "al", ".alice", "alice.", "al ice", "älice", &"a".repeat(33)] {
            assert!(bad.parse::<Handle>().is_err(), "{bad:?} passed");
        }
    }
}
