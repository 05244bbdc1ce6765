//! Frames of a WebSocket, in both encodings.

use hudhud_proto::{Encoding, FrameError};

/// What clients send.
pub fn client(input: &[u8]) {
    for encoding in Encoding::ALL {
        let Ok(frame) = encoding.decode_client(input) else { continue };
        for encoding in Encoding::ALL {
            match encoding.decode_client(&encoding.encode_client(&frame)) {
                Ok(again) => assert_eq!(again, frame, "after {encoding:?}"),
                // JSON takes more bytes than protobuf, and base64 more than bytes.
                Err(FrameError::TooLong(_)) => {}
                Err(error) => panic!("{encoding:?} does not read what it wrote of {frame:?}: {error}"),
            }
        }
    }
}

/// What servers send.
pub fn server(input: &[u8]) {
    for encoding in Encoding::ALL {
        let Ok(frame) = encoding.decode_server(input) else { continue };
        for encoding in Encoding::ALL {
            let again = encoding.decode_server(&encoding.encode_server(&frame));
            assert_eq!(again.expect("it was just written"), frame, "after {encoding:?}");
        }
    }
}
