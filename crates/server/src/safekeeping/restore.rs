//! From a backup to a data folder.

use super::backup::unfinished;
use super::conversations::{self, Sums};
use super::manifest::{Entry, Manifest};
use super::volume::{self, Items};
use super::{blocking, of_file, replay, rows};
use crate::Failure;
use hudhud_engines::fjall::{Store, StoreOptions};
use hudhud_engines::{check_format, log};
use hudhud_ports::{Database, Store as _};
use hudhud_proto::ConversationId;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// In a backup: which epochs were begun from it.
const RESTORES: &str = "restores";
/// Rows that are stored together.
const ROWS_TOGETHER: usize = 1_000;
/// How often, and how many times, one looks whether everybody let go of the store.
const RELEASE_POLL: Duration = Duration::from_millis(5);
const RELEASE_POLLS_MAX: u32 = 400;

/// What is held against the backup once its rows are in the new store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compare {
    /// Nothing: the files' checksums were right.
    Nothing,
    /// The checksum of every conversation.
    Conversations,
}

/// What was made of a backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// Rows of both databases.
    pub rows: u64,
    /// Conversations, and how many of them were held against the backup.
    pub conversations: u64,
    /// Of these, those whose checksum was compared; none unless it was asked for.
    pub compared: u64,
    /// Records that were accepted and not yet applied, and are now.
    pub replayed: u64,
    /// The epoch that the bus begins.
    pub epoch: u16,
}

/// Makes a data folder, which must not be there or be empty, of a backup. It is there as a whole or not at all.
///
/// Every file's checksum is looked at first. Where it is asked for, each conversation's checksum in the new store is then
/// held against the one that the backup has of it. The bus begins an epoch that no future of this backup has had: the one named, or the
/// first above those that the backup remembers.
pub async fn restore(backup: &Path, data: &Path, compare: Compare, epoch: Option<u16>) -> Result<Restored, Failure> {
    let is_taken = data.exists() && data.read_dir().map_err(of_file(data))?.next().is_some();
    if is_taken {
        let why =
            format!("{} is there already and is not overwritten: move it away, or choose another", data.display());
        return Err(Failure::Refused(why));
    }
    let manifest = blocking({
        let backup = backup.to_owned();
        move || checked(&backup)
    })
    .await?;
    let epoch = next_epoch(backup, &manifest, epoch)?;
    let unfinished = unfinished(data)?;
    let outcome = fill(backup, &unfinished, &manifest, compare, epoch).await.and_then(|restored| {
        let parent = unfinished.parent().expect("it was made in a folder");
        // An empty folder gives way.
        let moved = std::fs::rename(&unfinished, data).and_then(|()| File::open(parent)?.sync_all());
        moved.map(|()| restored).map_err(of_file(data))
    });
    match &outcome {
        Ok(restored) => remember(backup, restored.epoch),
        Err(_) => {
            if let Err(error) = std::fs::remove_dir_all(&unfinished) {
                tracing::warn!(%error, folder = %unfinished.display(), "what was restored so far can be deleted");
            }
        }
    }
    outcome
}

/// The manifest of a backup of which every file is as it was written.
pub fn checked(backup: &Path) -> Result<Manifest, Failure> {
    let manifest = Manifest::read(backup)?;
    for name in volume::ALL {
        volume::check(backup, manifest.entry(name)?)?;
    }
    Ok(manifest)
}

/// The epochs that were begun from this backup are in a file beside its volumes, a line each.
fn next_epoch(backup: &Path, manifest: &Manifest, wanted: Option<u16>) -> Result<u16, Failure> {
    let lines = std::fs::read_to_string(backup.join(RESTORES)).unwrap_or_default();
    let begun = lines.lines().filter_map(|line| line.strip_prefix("epoch ")?.parse::<u16>().ok());
    let highest = begun.chain([manifest.epoch]).max().unwrap_or(manifest.epoch);
    match wanted.or(highest.checked_add(1)) {
        Some(epoch) if epoch > manifest.epoch => Ok(epoch),
        _ => Err(Failure::Refused(format!(
            "the epoch must be above {}, that of the backup, and at most 65535",
            manifest.epoch
        ))),
    }
}

fn remember(backup: &Path, epoch: u16) {
    let append = || {
        let mut file = File::options().create(true).append(true).open(backup.join(RESTORES))?;
        writeln!(file, "epoch {epoch}")?;
        file.sync_all()
    };
    if let Err(error) = append() {
        tracing::warn!(
            %error, epoch,
            "the backup can't remember that this epoch was begun from it: name a higher one with --epoch when you restore it again"
        );
    }
}

async fn fill(
    backup: &Path,
    folder: &Path,
    manifest: &Manifest,
    compare: Compare,
    epoch: u16,
) -> Result<Restored, Failure> {
    check_format(folder)?;
    let path = folder.join("store");
    let clock = hudhud_engines::runtime().clock;
    let store = Arc::new(blocking(move || Store::open(&path, StoreOptions::default(), clock)).await?);
    let mut imported = 0;
    for (name, database) in [(volume::MESSAGES, Database::Messages), (volume::DIRECTORY, Database::Directory)] {
        imported += import(backup, manifest.entry(name)?, database, &store).await?;
    }
    store.flush().await?;
    let conversations = manifest.entry(volume::CONVERSATIONS)?.items;
    let compared = match compare {
        Compare::Conversations => {
            let (backup, store) = (backup.to_owned(), store.clone());
            blocking(move || compare_conversations(&backup, &store)).await?
        }
        Compare::Nothing => 0,
    };
    let replayed = replay::replay(backup, manifest.shards, store.clone()).await?;
    store.close().await?;
    // Tasks of the dispatcher let go of the store a moment later.
    let released = Arc::downgrade(&store);
    drop(store);
    for _ in 0..RELEASE_POLLS_MAX {
        if released.strong_count() == 0 {
            break;
        }
        tokio::time::sleep(RELEASE_POLL).await;
    }
    log::Bus::found(&folder.join("bus"), manifest.shards, epoch - 1)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(of_file(folder))?;
    Ok(Restored { rows: imported, conversations, compared, replayed, epoch })
}

async fn import(backup: &Path, entry: &Entry, database: Database, store: &Store) -> Result<u64, Failure> {
    let mut items = Items::open(backup, &entry.name)?;
    let mut count = 0;
    loop {
        let mut batch = Vec::new();
        while batch.len() < ROWS_TOGETHER
            && let Some(item) = items.next()
        {
            batch.push(rows::decode_row(database, item?).ok_or_else(|| items.damaged())?);
        }
        if batch.is_empty() {
            break;
        }
        count += batch.len() as u64;
        store.import(batch).await?;
    }
    match count == entry.items {
        true => Ok(count),
        false => Err(items.damaged()),
    }
}

/// Holds the checksum of every conversation against the backup's. Returns how many there are.
fn compare_conversations(backup: &Path, store: &Store) -> Result<u64, Failure> {
    let view = store.freeze()?;
    let mut found = Sums::of(&view);
    let mut items = Items::open(backup, volume::CONVERSATIONS)?;
    let (mut count, mut different) = (0, Vec::new());
    loop {
        let wanted = items.next().transpose()?;
        let found = found.next().transpose()?;
        if wanted.is_none() && found.is_none() {
            break;
        }
        count += 1;
        let found = found.map(|(id, sum)| [&id.as_bytes()[..], &sum].concat());
        if wanted != found {
            different.push(wanted.or(found).unwrap_or_default());
        }
    }
    let Some(first) = different.first() else { return Ok(count) };
    let id = first
        .get(..16)
        .filter(|_| first.len() == conversations::ITEM_BYTES)
        .and_then(|id| ConversationId::from_slice(id).ok());
    Err(Failure::Damaged(format!(
        "{} of {count} conversations are not what the backup's checksums say, the first of them {}: nothing was restored; check \
         disk and memory of this machine, and use another backup",
        different.len(),
        id.map_or_else(|| "unknown".to_owned(), |id| id.to_string())
    )))
}
