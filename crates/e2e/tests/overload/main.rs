//! What a server stands: floods, people who do not read, a disk that fails, a stop under load. Real processes on loopback.

mod drain;
mod floods;
mod slow_readers;
mod sync_error;

use tokio::sync::Mutex;

/// One at a time: they measure, and each fills the machine by itself.
static TURN: Mutex<()> = Mutex::const_new(());
