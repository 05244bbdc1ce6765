//! What one hostile connection says: frames that can't be read or come in the wrong order, and at last one that no server may
//! let pass.

use hudhud_fuzz::Mutations;
use hudhud_proto::Encoding;
use hudhud_proto::limits::FRAME_BYTES_MAX;
use hudhud_proto::v1::client_frame::Command;

/// Messages of one connection, the last one included.
pub const FRAMES_PER_CONNECTION: usize = 40;
/// Frames that can't be read before the last one: one more, and the server closes the connection.
const UNREADABLE_MAX: usize = 15;
/// A message that is longer than this is made another one: a million of them have to be sent.
const MESSAGE_BYTES_MAX: usize = 2 * 1_024;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const PING: u8 = 0x9;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// All that is sent after the handshake.
pub struct Conversation {
    /// Of the frames, by subprotocol.
    pub encoding: Encoding,
    pub bytes: Vec<u8>,
    /// How it ends, for people.
    pub end: &'static str,
    /// With which code the server closes it.
    pub close_code: u16,
}

impl Conversation {
    /// The one of this number: the same each time.
    pub fn new(corpus: &[Vec<u8>], seed: u64) -> Self {
        let mut mutations = Mutations::new(corpus, seed);
        let encoding = *mutations.one_of(&Encoding::ALL);
        let mut bytes = Vec::with_capacity(8 * 1_024);
        let mut unreadable = 0;
        let mut messages = 0;
        while messages < FRAMES_PER_CONNECTION - 1 {
            let message = mutations.input();
            let is_text = encoding == Encoding::Json;
            if message.len() > MESSAGE_BYTES_MAX || is_text && std::str::from_utf8(&message).is_err() {
                continue;
            }
            match encoding.decode_client(&message).map(|frame| frame.command) {
                Err(_) if unreadable == UNREADABLE_MAX => continue,
                Err(_) => unreadable += 1,
                // Refused greetings count as unreadable; and accounts are not what this is about.
                Ok(Some(Command::Hello(_) | Command::Register(_) | Command::LogIn(_) | Command::LogInJwt(_))) => {
                    continue;
                }
                // Nobody said hello, so any other is in the wrong order.
                Ok(_) => {}
            }
            put_message(&mut bytes, &mut mutations, kind(encoding), &message);
            messages += 1;
        }
        let Ending { name, close_code, put } = mutations.one_of(ENDINGS);
        put(&mut bytes, encoding);
        Self { encoding, bytes, end: name, close_code: *close_code }
    }
}

fn kind(encoding: Encoding) -> u8 {
    if encoding == Encoding::Json { TEXT } else { BINARY }
}

/// A message whole or in fragments, with pings between these, as RFC 6455 §5.4 allows.
fn put_message(bytes: &mut Vec<u8>, mutations: &mut Mutations<'_>, kind: u8, message: &[u8]) {
    if mutations.below(8) != 0 {
        return put(bytes, FINAL | kind, message);
    }
    let cut = mutations.below(message.len() + 1);
    put(bytes, kind, &message[..cut]);
    put(bytes, FINAL | PING, b"between");
    put(bytes, CONTINUATION, b"");
    put(bytes, FINAL | CONTINUATION, &message[cut..]);
}

/// One masked frame (RFC 6455 §5.2).
fn put(bytes: &mut Vec<u8>, head: u8, payload: &[u8]) {
    bytes.push(head);
    match payload.len() {
        length @ 0..=125 => bytes.push(MASKED | length as u8),
        length @ 126..=0xffff => {
            bytes.push(MASKED | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(MASKED | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A frame after which the connection is over.
struct Ending {
    name: &'static str,
    close_code: u16,
    put: fn(&mut Vec<u8>, Encoding),
}

const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED: u16 = 1003;
const INVALID: u16 = 1007;
const POLICY: u16 = 1008;
const TOO_BIG: u16 = 1009;

const ENDINGS: &[Ending] = &[
    Ending {
        name: "a frame that is not masked",
        close_code: PROTOCOL_ERROR,
        put: |bytes, encoding| bytes.extend([FINAL | kind(encoding), 2, b'{', b'}']),
    },
    Ending {
        name: "a data frame of a kind that is not there",
        close_code: PROTOCOL_ERROR,
        put: |bytes, _| put(bytes, FINAL | 0x3, b"{}"),
    },
    Ending {
        name: "a control frame of a kind that is not there",
        close_code: PROTOCOL_ERROR,
        put: |bytes, _| put(bytes, FINAL | 0xb, b""),
    },
    Ending {
        name: "a bit that no extension gave a meaning",
        close_code: PROTOCOL_ERROR,
        put: |bytes, encoding| put(bytes, FINAL | 0x40 | kind(encoding), b"{}"),
    },
    Ending { name: "a ping in fragments", close_code: PROTOCOL_ERROR, put: |bytes, _| put(bytes, PING, b"half") },
    Ending {
        name: "a ping that is too long",
        close_code: PROTOCOL_ERROR,
        put: |bytes, _| put(bytes, FINAL | PING, &[0; 126]),
    },
    Ending {
        name: "a continuation of nothing",
        close_code: PROTOCOL_ERROR,
        put: |bytes, _| put(bytes, FINAL | CONTINUATION, b"{}"),
    },
    Ending {
        name: "a message within another one",
        close_code: PROTOCOL_ERROR,
        put: |bytes, encoding| {
            put(bytes, kind(encoding), b"{");
            put(bytes, FINAL | kind(encoding), b"{}");
        },
    },
    Ending {
        name: "text that is no UTF-8",
        close_code: INVALID,
        put: |bytes, _| put(bytes, FINAL | TEXT, b"{\"request\":\"\xed\xa0\x80\"}"),
    },
    Ending {
        name: "a message of the other kind",
        close_code: UNSUPPORTED,
        put: |bytes, encoding| put(bytes, FINAL | kind(encoding) ^ (TEXT | BINARY), b"{}"),
    },
    Ending {
        name: "a frame that says it has 2^63 - 1 bytes",
        close_code: TOO_BIG,
        put: |bytes, encoding| {
            bytes.extend([FINAL | kind(encoding), MASKED | 127]);
            bytes.extend((u64::MAX >> 1).to_be_bytes());
            bytes.extend([0; 4]);
        },
    },
    Ending {
        name: "a frame of a byte too many",
        close_code: TOO_BIG,
        put: |bytes, encoding| {
            bytes.extend([FINAL | kind(encoding), MASKED | 127]);
            bytes.extend((FRAME_BYTES_MAX as u64 + 1).to_be_bytes());
            bytes.extend([0; 4]);
        },
    },
    Ending {
        name: "fragments that are more together than a stranger may send",
        close_code: POLICY,
        put: |bytes, encoding| {
            put(bytes, kind(encoding), b"{");
            bytes.extend([CONTINUATION, MASKED | 127]);
            bytes.extend((FRAME_BYTES_MAX as u64).to_be_bytes());
            bytes.extend([0; 4]);
            bytes.resize(bytes.len() + FRAME_BYTES_MAX, b' ');
        },
    },
];
