//! The workloads. Each starts from accounts without a past and gives one row of figures.

pub mod backlog;
pub mod group;
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
