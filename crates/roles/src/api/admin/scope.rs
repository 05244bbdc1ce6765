//! What an admin token is for.

use hudhud_proto::ProtocolError;
use std::fmt;
use std::str::FromStr;

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident $text:literal $read:ident;)*) => {
        /// What a token is for. Whoever may write something may read it as well.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Scope { $($(#[$doc])* $name),* }

        impl Scope {
            /// Every scope.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As requests and configuration spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Whether a token with this scope may do what needs that one.
            pub fn covers(self, needed: Self) -> bool {
                self == needed || match self { $(Self::$name => needed == Self::$read),* }
            }
        }
    };
}

scopes! {
    /// Find and list accounts, their devices and which conversations they are in.
    AccountsRead "accounts:read" AccountsRead;
    /// Suspend, delete, reset passwords, log devices out.
    AccountsWrite "accounts:write" AccountsRead;
    /// See who is in a conversation, never what is written.
    ConversationsRead "conversations:read" ConversationsRead;
    /// Close, remove members.
    ConversationsWrite "conversations:write" ConversationsRead;
    /// List invites to the server.
    InvitesRead "invites:read" InvitesRead;
    /// Make and revoke them.
    InvitesWrite "invites:write" InvitesRead;
    /// See the limits, and who is refused now.
    LimitsRead "limits:read" LimitsRead;
    /// Let somebody who is refused go on.
    LimitsWrite "limits:write" LimitsRead;
    /// Read what people reported.
    ReportsRead "reports:read" ReportsRead;
    /// Resolve it.
    ReportsWrite "reports:write" ReportsRead;
    /// List admin tokens.
    TokensRead "tokens:read" TokensRead;
    /// Make tokens with scopes of one's own, and revoke tokens.
    TokensWrite "tokens:write" TokensRead;
}

impl fmt::Display for Scope {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        Self::ALL.iter().copied().find(|scope| scope.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|scope| scope.name()).collect();
            ProtocolError::invalid(format!("there is no scope {text:?}: choose of {}", names.join(", ")))
        })
    }
}
