//! The request id of a frame that could not be read, so that its sender learns which one it was.

use hudhud_proto::Encoding;
use serde::Deserialize;

/// The number of the request, where it can be made out; else 0.
pub(super) fn guess(encoding: Encoding, frame: &[u8]) -> u64 {
    match encoding {
        Encoding::Protobuf => of_protobuf(frame).unwrap_or(0),
        Encoding::Json => of_json(frame).unwrap_or(0),
    }
}

/// Encoders write fields in the order of their numbers: field 1, a varint, is first if it is there.
fn of_protobuf(frame: &[u8]) -> Option<u64> {
    let (0x08, varint) = frame.split_first().map(|(tag, rest)| (*tag, rest))? else { return None };
    let mut value = 0_u64;
    for (index, byte) in varint.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn of_json(frame: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Frame {
        request: serde_json::Value,
    }
    let frame: Frame = serde_json::from_slice(frame).ok()?;
    frame.request.as_u64().or_else(|| frame.request.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_broken_frame_is_found_where_it_can_be() {
        let check = |encoding, frame: &[u8], expected| assert_eq!(guess(encoding, frame), expected, "{frame:?}");
        check(Encoding::Protobuf, &[0x08, 0xac, 0x02, 0xff, 0xff], 300);
        check(Encoding::Protobuf, &[0x08, 0xff], 0);
        check(Encoding::Protobuf, &[0xff; 32], 0);
        check(Encoding::Protobuf, &[], 0);
        check(Encoding::Json, br#"{"request": 7, "sned": {}}"#, 7);
        check(Encoding::Json, br#"{"request": "7", "send": 5}"#, 7);
        check(Encoding::Json, b"hello", 0);
    }
}
