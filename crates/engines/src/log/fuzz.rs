//! The log's decoders, for fuzzing: bytes of a disk that did not keep what was written.

use super::commits::Commits;
use super::frame::{self, HEADER_BYTES};
use super::{meta, segment};

/// The checksums' beginning; any other does as well.
const SALT: u32 = 77;

/// Reads bytes as all that the log has on disk.
///
/// # Panics
/// Where what was read is not what it would be written as.
pub fn decode(bytes: &[u8]) {
    record(bytes);
    // Almost no bytes have the right checksum by chance, so one is made for them.
    let mut framed = Vec::with_capacity(HEADER_BYTES + bytes.len());
    let header = frame::Header { bytes: bytes.len() as u32, offset: u64::MAX, shard: 3, before_in_group: 0 };
    frame::encode(&mut framed, SALT, header, bytes);
    record(&framed);
    if let Some(commits) = Commits::decode(bytes) {
        assert_eq!(Commits::decode(&commits.encode()), Some(commits));
    }
    if let Some(header) = bytes.first_chunk() {
        segment::check_header(header);
    }
    meta::parse(bytes);
}

fn record(bytes: &[u8]) {
    let Some((header, record)) = frame::decode(bytes, SALT) else { return };
    let mut written = Vec::new();
    frame::encode(&mut written, SALT, header, record);
    assert_eq!(written, bytes[..header.frame_bytes()]);
    assert!(header.synced_before() <= header.offset);
}
