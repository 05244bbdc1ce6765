//! The messages of [`hudhud_proto::v1`] as gRPC carries them.

use hudhud_proto::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encodes one type of message and decodes another.
pub(super) struct Codec<E, D>(PhantomData<fn(E) -> D>);

/// Protobuf, one way.
pub(super) struct Protobuf<T>(PhantomData<fn() -> T>);

impl<E, D> Default for Codec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Message + 'static, D: Message + 'static> tonic::codec::Codec for Codec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Protobuf<E>;
    type Decoder = Protobuf<D>;

    fn encoder(&mut self) -> Self::Encoder {
        Protobuf(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        Protobuf(PhantomData)
    }
}

impl<T: Message + 'static> Encoder for Protobuf<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(to);
        Ok(())
    }
}

impl<T: Message + 'static> Decoder for Protobuf<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        let decoded = T::decode(from).map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Some(decoded))
    }
}
