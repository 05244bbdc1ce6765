//! What operators do: with accounts, devices, conversations, invites, limits, reports, and with the tokens that let them.
//!
//! Each function is one request of the server's admin API, which has asked by then who it is and what its token is for
//! ([`tokens::authenticate`], [`Scope`]). Nothing in here shows what people write, but for what a reporter chose to show.
//! What operators do in a conversation is an entry of its log, so that everybody agrees on it.

pub mod accounts;
pub mod conversations;
mod deletion;
pub mod invites;
pub mod limits;
pub mod reports;
mod roster;
mod scope;
#[cfg(test)]
mod tests;
pub mod tokens;

pub use deletion::delete;
pub use roster::{Old, index, is_indexed};
pub use scope::Scope;

use super::Caller;
use hudhud_proto::limits::REASON_BYTES_MAX;
use hudhud_proto::{AccountId, DeviceId, ProtocolError, TokenId};
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr};

/// Items of one page, at most.
pub const PAGE_MAX: usize = 200;
/// Items of a page unless it is asked for more.
pub const PAGE_DEFAULT: usize = 50;

/// One page of a list.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// In a fixed order.
    pub items: Vec<T>,
    /// For the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Which page.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// From the page before; none: the first one.
    pub cursor: Option<String>,
    /// At most so many items.
    pub limit: Option<usize>,
}

impl Ask {
    /// How many items, within what may be asked.
    fn limit(&self) -> Result<usize, ProtocolError> {
        match self.limit.unwrap_or(PAGE_DEFAULT) {
            limit @ 1..=PAGE_MAX => Ok(limit),
            _ => Err(ProtocolError::invalid(format!("limit is 1 to {PAGE_MAX}"))),
        }
    }

    /// The cursor, as what it stands for.
    fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, ProtocolError> {
        let foreign = |_| ProtocolError::invalid("the cursor is not one of this list's: start without one");
        self.cursor.as_deref().map(|cursor| cursor.parse().map_err(foreign)).transpose()
    }
}

/// The page of items, one of which was read beyond its end if there are more.
fn page<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(cursor);
    Page { items, next_cursor }
}

/// An account that something is done for without it, such as leaving its groups.
fn on_behalf_of(account: AccountId) -> Caller {
    let nothing = [0; 16];
    let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Caller { account, device: DeviceId::new(nothing), token: TokenId::new(nothing), address, session: None }
}

/// Why operators do something, in their words.
fn reason(text: &str) -> Result<String, ProtocolError> {
    match text.len() <= REASON_BYTES_MAX && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(ProtocolError::invalid(format!(
            "a reason has at most {REASON_BYTES_MAX} bytes and no control characters"
        ))),
    }
}
