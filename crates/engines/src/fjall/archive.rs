//! The archives that fjall's tree consists of (the format of `sfa`, version 1), as far as it takes to find out whether one is
//! whole: fjall trusts a length in them before it looks at the checksum.
//!
//! Sections, a table of contents (`TOC!`, count u32, entries: position u64, length u64, length of the name u16, name) and a trailer
//! (`SFA!`, 1, 0, XXH3-128 of the table of contents, its position u64, its length u64). Numbers are little-endian.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

const TRAILER_BYTES: usize = 38;
const TRAILER: &[u8] = b"SFA!\x01\x00";
const TOC: &[u8] = b"TOC!";
/// Tables of contents have a dozen entries.
const TOC_BYTES_MAX: u64 = 64 * 1024;

/// A number of so many bytes at the beginning of these, and the rest.
pub(super) fn number(bytes: &[u8], count: usize) -> Option<(u128, &[u8])> {
    let (number, rest) = bytes.split_at_checked(count)?;
    Some((number.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte)), rest))
}

/// Whether an archive has a table of contents that is as it was written.
pub(super) fn has_contents(file: &File) -> io::Result<bool> {
    let bytes = file.metadata()?.len();
    let Some(end) = bytes.checked_sub(TRAILER_BYTES as u64) else { return Ok(false) };
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, end)?;
    let Some((checksum, at)) = parse_trailer(&trailer).filter(|(_, at)| *at <= end && end - at <= TOC_BYTES_MAX) else {
        return Ok(false);
    };
    let mut toc = vec![0; usize::try_from(end - at).map_err(io::Error::other)?];
    file.read_exact_at(&mut toc, at)?;
    Ok(toc.starts_with(TOC) && xxh3_128(&toc) == checksum)
}

fn parse_trailer(trailer: &[u8]) -> Option<(u128, u64)> {
    let (checksum, rest) = number(trailer.strip_prefix(TRAILER)?, 16)?;
    let (at, _) = number(rest, 8)?;
    Some((checksum, u64::try_from(at).ok()?))
}

/// Where the section of this name is in an archive whose bytes are known to be right.
pub(super) fn section(archive: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let trailer = archive.len().checked_sub(TRAILER_BYTES)?;
    let (_, at) = parse_trailer(&archive[trailer..])?;
    let toc = archive.get(usize::try_from(at).ok()?..trailer)?;
    let (count, mut rest) = number(toc.strip_prefix(TOC)?, 4)?;
    for _ in 0..count {
        let (position, behind) = number(rest, 8)?;
        let (length, behind) = number(behind, 8)?;
        let (name_bytes, behind) = number(behind, 2)?;
        let (found, behind) = behind.split_at_checked(usize::try_from(name_bytes).ok()?)?;
        rest = behind;
        if found == name {
            let start = usize::try_from(position).ok()?;
            let range = start..start.checked_add(usize::try_from(length).ok()?)?;
            return (range.end <= archive.len()).then_some(range);
        }
    }
    None
}

/// XXH3-128 of a whole file.
pub(super) fn checksum(mut file: &File) -> io::Result<u128> {
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.digest128()),
            bytes => hasher.update(&buffer[..bytes]),
        }
    }
}
