//! What keeps data safe beside the server itself: backups of a server that runs, restoring them, and looking whether all of it is
//! as it should be.
//!
//! - `backup`: from a moment of the engines to a folder of volumes, paced so that people do not notice.
//! - `volume`: the files of a backup. `manifest`: what they hold, under checksums.
//! - `restore`: from a backup to a data folder; `replay` has the dispatcher apply what was accepted and not yet applied.
//! - `conversations`: a checksum for each conversation, which a backup and what was made of it must share.
//! - `verify`: reads everything, and says what is wrong with it.
//!
//! How a command reaches the server that has the folder open is in `crate::admin::socket`.
//!
//! Only embedded engines are kept here: databases and buses of a cluster have backups of their own.

mod backup;
mod conversations;
mod manifest;
mod replay;
mod restore;
mod rows;
mod verify;
mod volume;

pub use backup::{BYTES_PER_S, Backup, back_up};
pub use restore::{Compare, Restored, restore};
pub use verify::{Verdict, verify};

use crate::Failure;
use std::path::Path;

/// Why there is no backup of a cluster.
pub const NOT_EMBEDDED: &str = "only embedded engines are backed up here: use the backups of the cluster's databases";

/// What a file could not do.
fn of_file(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    |source| Failure::File { path: path.to_owned(), source }
}

/// Runs what reads and writes files on a thread of its own.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
