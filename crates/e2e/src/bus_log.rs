//! The log of the embedded bus, read from outside while no server has it open, and damaged as disks and crashes do it.
//!
//! A segment begins with a header of 24 bytes; so does each record: CRC-32 (4), its length (4), its offset (8), its shard (4)
//! and how many of its group come before it (4). Behind the last there may be a seal, a header of a shard that no log has; the
//! next append takes its place. `hudhud_engines::log` has the whole story. The file `commits` says up to which offset records
//! were synced for certain: `HUDHUDC2`, the epoch (2), the number of shards (4), that offset (8).

use anyhow::{Context, Result};
use hudhud_sim::chance::Chance;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const HEADER_BYTES: usize = 24;
/// The shard of a seal.
const SEAL: u64 = u32::MAX as u64;
const NOTHING_LEFT: &str = "the rest of the file gone";
/// Of a tail that nobody was told of.
const NOISE_BYTES: Range<u64> = 1..4_000;

/// The log, as it was when it was read.
pub struct BusLog {
    segments: Vec<Segment>,
    /// Every record before this offset was synced.
    synced: u64,
}

struct Segment {
    path: PathBuf,
    bytes: Vec<u8>,
    records: Vec<Record>,
}

#[derive(Clone, Debug)]
struct Record {
    offset: u64,
    range: Range<usize>,
}

/// What was done to the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The name of the file.
    pub file: String,
    /// What.
    pub what: &'static str,
    /// Whether there are bytes that are no record.
    pub leaves_bytes: bool,
}

/// Up to which offset records of the log in this folder were synced for certain.
pub fn synced(folder: &Path) -> Result<u64> {
    let commits = std::fs::read(folder.join("commits")).context("no commits were written down")?;
    commits.get(14..22).map(number).context("a file of commits that is too short")
}

impl BusLog {
    /// Reads the log in this folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| format!("no log in {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                paths.push(path);
            }
        }
        // Twenty digits each, so names sort as offsets do.
        paths.sort();
        let segments = paths.into_iter().map(Segment::read).collect::<Result<Vec<_>>>()?;
        Ok(Self { segments, synced: synced(folder)? })
    }

    /// Leaves behind the last record what the loss of power in the middle of an append does.
    pub fn tear(&self, chance: &mut Chance) -> Result<Damage> {
        let segment = self.segments.last().context("no segment")?;
        let end = segment.end();
        let room = (segment.bytes.len() - end) as u64;
        let file = File::options().write(true).open(&segment.path)?;
        let what = match chance.below(3) {
            0 if room > 400 => {
                let mut record = vec![0; 150];
                chance.fill(&mut record);
                record[4..8].copy_from_slice(&300_u32.to_be_bytes());
                record[8..16].copy_from_slice(&(segment.last_offset() + 1).to_be_bytes());
                record[16..24].fill(0);
                file.write_all_at(&record, end as u64)?;
                "half a record"
            }
            1 if room > NOISE_BYTES.end => {
                let mut noise = vec![0; chance.within(NOISE_BYTES) as usize];
                chance.fill(&mut noise);
                file.write_all_at(&noise, end as u64)?;
                "noise"
            }
            _ => {
                file.set_len(end as u64)?;
                NOTHING_LEFT
            }
        };
        Ok(Damage { leaves_bytes: what != NOTHING_LEFT, ..segment.damage(what) })
    }

    /// Damages the last record of which is known that it was synced.
    pub fn damage(&self, chance: &mut Chance) -> Result<Damage> {
        let known = |segment: &Segment| segment.records.iter().rfind(|record| record.offset < self.synced).cloned();
        let found = self.segments.iter().rev().find_map(|segment| Some((segment, known(segment)?)));
        let (segment, record) = found.context("no record was synced for certain")?;
        let file = File::options().write(true).open(&segment.path)?;
        let what = match chance.below(3) {
            0 => {
                let at = record.range.start + chance.index(record.range.len());
                let bit = 1 << chance.below(8);
                file.write_all_at(&[segment.bytes[at] ^ bit], at as u64)?;
                "a bit flipped"
            }
            1 => {
                file.write_all_at(&vec![0; record.range.len()], record.range.start as u64)?;
                "a record zeroed"
            }
            _ => {
                file.set_len(record.range.start as u64)?;
                "the file cut off"
            }
        };
        Ok(segment.damage(what))
    }

    /// Puts every file back to what it was, as from a copy.
    pub fn restore(&self) -> Result<()> {
        for segment in &self.segments {
            std::fs::write(&segment.path, &segment.bytes)?;
        }
        Ok(())
    }
}

impl Segment {
    fn read(path: PathBuf) -> Result<Self> {
        let bytes = std::fs::read(&path)?;
        let mut offset = number(bytes.get(8..14).context("a segment without a header")?);
        let mut at = HEADER_BYTES;
        let mut records = Vec::new();
        while let Some(header) = bytes.get(at..at + HEADER_BYTES) {
            let end = at + HEADER_BYTES + number(&header[4..8]) as usize;
            if number(&header[8..16]) != offset || number(&header[16..20]) == SEAL || end > bytes.len() {
                break;
            }
            records.push(Record { offset, range: at..end });
            (offset, at) = (offset + 1, end);
        }
        Ok(Self { path, bytes, records })
    }

    fn end(&self) -> usize {
        self.records.last().map_or(HEADER_BYTES, |record| record.range.end)
    }

    fn last_offset(&self) -> u64 {
        self.records.last().map_or_else(|| number(&self.bytes[8..14]) - 1, |record| record.offset)
    }

    fn damage(&self, what: &'static str) -> Damage {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        Damage { file: name.unwrap_or_default(), what, leaves_bytes: true }
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
