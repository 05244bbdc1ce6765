//! From files to an index, after whatever happened.
//!
//! A crash or a power loss can leave the last group partly written: nobody was told that it is there, so it is cut off. All
//! records before the last group were synced, and those before a seal. If one of them is damaged, the log is not opened: going on would mean to lose
//! what was acknowledged without telling anybody.

use super::BusOptions;
use super::commits::Commits;
use super::frame::{self, HEADER_BYTES as FRAME_HEADER_BYTES, SEAL};
use super::index::Index;
use super::segment::{HEADER_BYTES, Segment, corrupt};
use super::unavailable;
use super::writer::Active;
use hudhud_ports::Result;
use hudhud_proto::Shard;
use std::path::Path;
use std::sync::Arc;

const ZEROS: &[u8] = &[0; 4_096];

/// A log that can be written and read.
pub(super) struct Recovered {
    pub(super) index: Index,
    pub(super) active: Active,
}

/// Reads every segment that is there: those in which everything was committed are not.
pub(super) fn recover(folder: &Path, epoch: u16, options: &BusOptions) -> Result<Recovered> {
    let failed = |error| unavailable("open", folder, error);
    let commits = Commits::load(folder, epoch, options.shards).map_err(failed)?;
    let mut index = Index::new(options, commits.committed);
    let paths = Segment::list(folder).map_err(failed)?;
    let mut segments = paths.into_iter().map(|path| Segment::open(path, epoch)).collect::<Result<Vec<_>>>()?;
    if segments.is_empty() {
        segments.push(Segment::create(folder, epoch, 1, options.segment_bytes).map_err(failed)?);
    }
    if let (Some(oldest), Some(first)) = (segments.first(), commits.first)
        && oldest.first > first
    {
        let cause = format!("the log begins here, but it must begin with record {first}: segments are missing");
        return Err(corrupt(&oldest.path, 0, &cause));
    }
    let mut segments = segments.into_iter().map(Arc::new).peekable();
    loop {
        let segment = segments.next().expect("there is one, and the last one returns");
        let end = read(&segment, segments.peek().map(|next| next.first), options, &mut index)?;
        if segments.peek().is_some() {
            continue;
        }
        let (at, next) = (end.at, index.next());
        // Before anything is cut off: what is damaged stays as it is, for whoever is to mend it.
        if next < commits.next {
            let cause = format!("the log ends before record {next}, but it had records up to {}", commits.next - 1);
            return Err(corrupt(&segment.path, at, &cause));
        }
        if end.is_torn {
            tracing::warn!(
                segment = %segment.path.display(),
                byte = at,
                record = next,
                "the last append was not finished: it is cut off, nobody was told that it is there"
            );
            segment.clear_from(at).map_err(failed)?;
        }
        return Ok(Recovered { index, active: Active { segment, at, next } });
    }
}

/// Where the records of a segment end.
struct End {
    /// The byte behind the last record.
    at: u64,
    /// Whether there is anything from there on.
    is_torn: bool,
}

/// Puts the records of a segment into the index, up to where the next one begins, or to the end of the log.
fn read(segment: &Arc<Segment>, until: Option<u64>, options: &BusOptions, index: &mut Index) -> Result<End> {
    let failed = |error| unavailable("open", &segment.path, error);
    let bytes = segment.read_all().map_err(failed)?;
    index.add_segment(segment.clone());
    let mut at = HEADER_BYTES as usize;
    let mut seal_bytes = 0;
    while until != Some(index.next()) {
        match frame::decode(&bytes[at..], segment.salt) {
            Some((header, _)) if header.offset == index.next() && header.shard == SEAL && until.is_none() => {
                seal_bytes = FRAME_HEADER_BYTES;
                break;
            }
            Some((header, _)) if header.offset == index.next() => {
                if header.shard >= options.shards {
                    let cause = format!("record {} is of shard {}, which is not there", header.offset, header.shard);
                    return Err(corrupt(&segment.path, at as u64, &cause));
                }
                index.push_recovered(Shard(header.shard), at as u64, header.bytes);
                at += header.frame_bytes();
            }
            _ if until.is_some() || was_synced(&bytes[at..], segment.salt, index.next()) => {
                let cause = format!("record {} is damaged, and what is behind it says that it was there", index.next());
                return Err(corrupt(&segment.path, at as u64, &cause));
            }
            _ => break,
        }
    }
    let tail = &bytes[at + seal_bytes..];
    let is_torn = until.is_none() && tail.chunks(ZEROS.len()).any(|chunk| chunk != &ZEROS[..chunk.len()]);
    Ok(End { at: at as u64, is_torn })
}

/// Whether the record at this offset was synced once, as a record of a later group or a seal is somewhere in these bytes.
fn was_synced(bytes: &[u8], salt: u32, offset: u64) -> bool {
    let mut at = 0;
    while at + FRAME_HEADER_BYTES <= bytes.len() {
        if bytes[at..].starts_with(ZEROS) {
            // A header that begins here is all zeros, which none is.
            at += ZEROS.len() - FRAME_HEADER_BYTES + 1;
            continue;
        }
        let stored = u64::from_be_bytes(bytes[at + 8..at + 16].try_into().expect("eight bytes"));
        // Looked at first, as a checksum at each byte would take long.
        if (offset..offset + (1 << 32)).contains(&stored)
            && let Some((header, _)) = frame::decode(&bytes[at..], salt)
            && header.synced_before() > offset
        {
            return true;
        }
        at += 1;
    }
    false
}
