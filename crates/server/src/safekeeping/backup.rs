//! From a moment of the engines to a folder.

use super::conversations::Sums;
use super::manifest::{FORMAT, Manifest};
use super::volume::{self, Pace, Writer};
use super::{of_file, rows};
use crate::{Failure, folder};
use hudhud_engines::{Embedded, Moment};
use hudhud_ports::Database;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// How fast a backup is written unless one says otherwise, in bytes a second.
pub const BYTES_PER_S: u64 = 32 * 1024 * 1024;

/// A backup that is whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// Where.
    pub folder: PathBuf,
    /// Rows of both databases.
    pub rows: u64,
    /// Records that were accepted and not yet applied.
    pub records: u64,
    /// Conversations.
    pub conversations: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Writes everything that was acknowledged before the call into a folder, which must not be there. It is there as a whole, with
/// the moment's state, or not at all. Blocks; the engines go on.
pub fn back_up(engines: &Embedded, to: &Path, bytes_per_s: u64, stop: CancellationToken) -> Result<Backup, Failure> {
    let started = Instant::now();
    if to.exists() {
        return Err(Failure::Refused(format!("{} is there already: choose another folder", to.display())));
    }
    let unfinished = unfinished(to)?;
    let written = write(engines, &unfinished, Pace::new(bytes_per_s, stop)).and_then(|manifest| {
        // A name without a manifest behind it is never seen, and a manifest is written last.
        let parent = unfinished.parent().expect("it was made in a folder");
        std::fs::rename(&unfinished, to).and_then(|()| File::open(parent)?.sync_all()).map_err(of_file(to))?;
        Ok(manifest)
    });
    match written {
        Ok(manifest) => {
            let items = |name: &str| manifest.entry(name).map(|entry| entry.items);
            Ok(Backup {
                folder: to.to_owned(),
                rows: items(volume::MESSAGES)? + items(volume::DIRECTORY)?,
                records: items(volume::TAIL)?,
                conversations: items(volume::CONVERSATIONS)?,
                bytes: manifest.volumes.iter().map(|entry| entry.bytes).sum(),
                took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            })
        }
        Err(failure) => {
            if let Err(error) = std::fs::remove_dir_all(&unfinished) {
                tracing::warn!(%error, folder = %unfinished.display(), "what was written of a backup can be deleted");
            }
            Err(failure)
        }
    }
}

/// A folder beside the one that is wanted, for what is not whole yet. Only its owner may look into it.
pub fn unfinished(wanted: &Path) -> Result<PathBuf, Failure> {
    let wanted = std::path::absolute(wanted).map_err(of_file(wanted))?;
    let (Some(parent), Some(name)) = (wanted.parent(), wanted.file_name()) else {
        return Err(Failure::Refused(format!("{} can't be made: choose another folder", wanted.display())));
    };
    std::fs::create_dir_all(parent).map_err(of_file(parent))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let path = parent.join(format!(".{}.unfinished-{}-{now:x}", name.display(), std::process::id()));
    DirBuilder::new().mode(folder::MODE).create(&path).map_err(of_file(&path))?;
    Ok(path)
}

fn write(engines: &Embedded, folder: &Path, mut pace: Pace) -> Result<Manifest, Failure> {
    let now_us = hudhud_engines::runtime().clock.now_us();
    let Moment { messages, directory, tail, shards } = engines.freeze()?;
    let mut volumes = Vec::new();

    // First what is in the way: it holds segments of the log that could go.
    let mut volume = Writer::create(folder, volume::TAIL, &mut pace)?;
    for record in tail.records() {
        let (shard, position, bytes) = record?;
        volume.add(&rows::encode_record(shard, position, &bytes))?;
    }
    volumes.push(volume.finish()?);
    for (name, view, database) in
        [(volume::MESSAGES, &messages, Database::Messages), (volume::DIRECTORY, &directory, Database::Directory)]
    {
        let mut volume = Writer::create(folder, name, &mut pace)?;
        for row in view.rows(database) {
            volume.add(&rows::encode_row(&row?))?;
        }
        volumes.push(volume.finish()?);
    }
    let mut volume = Writer::create(folder, volume::CONVERSATIONS, &mut pace)?;
    for conversation in Sums::of(&messages) {
        let (id, sum) = conversation?;
        volume.add(&[&id.as_bytes()[..], &sum].concat())?;
    }
    volumes.push(volume.finish()?);

    let manifest = Manifest {
        format: FORMAT,
        made_by: env!("CARGO_PKG_VERSION").into(),
        made_us: now_us,
        shards,
        epoch: tail.epoch,
        next: tail.next,
        committed: tail.committed.clone(),
        volumes,
    };
    manifest.write(folder)?;
    Ok(manifest)
}
