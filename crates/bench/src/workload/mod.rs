//! The workloads. Each starts from accounts without a past and gives one row of figures.

pub mod backlog;
pub mod group;
pub mod growth;
pub mod idle;
pub mod pairs;
pub mod restart;
pub mod slow;
pub mod storm;

use bytes::Bytes;
use hudhud_proto::v1;
use uuid::Uuid;

/// A message with a payload that is the device's own business.
fn message(payload: Bytes) -> v1::Send {
    let content = v1::Content { content_type: "application/octet-stream".to_owned(), payload, ..Default::default() };
    v1::Send {
        message_id: Bytes::copy_from_slice(Uuid::now_v7().as_bytes()),
        content: content.into(),
        ..Default::default()
    }
}

/// Parts of a whole that differ by one at most, the larger first; no more of them than the whole is.
fn share(whole: usize, parts: usize) -> Vec<usize> {
    let parts = parts.clamp(1, whole.max(1));
    (0..parts).map(|n| whole / parts + usize::from(n < whole % parts)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_alike_and_add_up() {
        assert_eq!(share(10, 3), [4, 3, 3]);
        assert_eq!(share(2, 5), [1, 1]);
        assert_eq!(share(7, 1), [7]);
    }
}
