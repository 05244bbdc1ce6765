//! Bodies, and what they hold of the memory that all clients share.

use super::problem::Problem;
use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hudhud_proto::limits::FRAME_BYTES_MAX;
use hudhud_proto::v1::ErrorCode;
use hudhud_roles::gateway::{Budget, Charge};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// An answer is handed over in pieces of so many bytes, as the client takes them.
const PIECE_BYTES: usize = 16 * 1_024;

/// Reads a whole body, if it is small enough and there is memory for it. Only what has come counts.
pub(super) async fn collect(mut body: Body, charge: &mut Charge) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broke_off = |_| Problem::of_http(StatusCode::BAD_REQUEST, ErrorCode::Invalid, "the body broke off");
        let Ok(data) = frame.map_err(broke_off)?.into_data() else { continue };
        if whole.len() + data.len() > FRAME_BYTES_MAX {
            let detail = format!("a body has at most {FRAME_BYTES_MAX} bytes");
            return Err(Problem::of_http(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::Limit, detail));
        }
        if !charge.has_room(data.len()) {
            return Err(Budget::deferred().into());
        }
        whole.extend_from_slice(&data);
        charge.set(whole.len());
    }
    Ok(whole.freeze())
}

/// An answer, which counts until it is written but for its last piece.
pub(super) struct Held {
    data: Bytes,
    _charge: Charge,
}

impl Held {
    pub(super) fn new(data: Bytes, charge: Charge) -> Self {
        Self { data, _charge: charge }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    /// The next piece: asked for when there is room for it in what is about to be written.
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.data.len().min(PIECE_BYTES);
        let piece = (length > 0).then(|| self.data.split_to(length));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.len() as u64)
    }
}
