//! The rows' decoder, for fuzzing: bytes of a disk that did not keep what was written.

use super::row::Cell;

/// Reads bytes as a row.
///
/// # Panics
/// Where what was read is not what it would be written as.
pub fn decode(bytes: &[u8]) {
    read(bytes);
    // Almost no bytes have the right checksum by chance: a row of them has.
    let (version, expires_us) = (bytes.len() as u64, bytes.first().map(|byte| u64::from(*byte) + 1));
    read(&Cell { version, expires_us, value: Some(bytes::Bytes::copy_from_slice(bytes)) }.encode());
}

fn read(stored: &[u8]) {
    let Ok(cell) = Cell::decode(stored) else { return };
    assert_eq!(Cell::decode(&cell.encode()).expect("it was just written"), cell);
}
