//! Who is refused now, and letting somebody go on. Of this process: each has buckets of its own.

pub use crate::api::rate::Refusal;

use super::PAGE_MAX;
use crate::api::{Api, errors};
use hudhud_proto::ProtocolError;

/// What refuses now, longest first.
pub fn refusals(api: &Api) -> Vec<Refusal> {
    api.limiter.refusals(PAGE_MAX)
}

/// Lets the one go on whom this refusal is about.
pub fn reset(api: &Api, id: &str) -> Result<(), ProtocolError> {
    match api.limiter.reset(id) {
        true => Ok(()),
        false => Err(errors::not_found("refusal: it may be over")),
    }
}
