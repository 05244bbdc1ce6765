//! Engines and devices that break a promise, to prove that the checker notices. None of this is in what ships.

use crate::world::World;
use clap::ValueEnum;
use hudhud_client::Change;
use hudhud_ports::Write;
use hudhud_roles::tables;

/// A broken promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Mutant {
    /// The bus answers before its records are durable.
    BusAnswersEarly,
    /// The dispatcher's records are committed as soon as they are handed out.
    CommitsBeforeApplying,
    /// `Store::flush` returns without having done anything.
    FlushDoesNothing,
    /// Now and then a timeline row is not stored, although the write succeeds.
    LosesTimelineRows,
    /// Now and then an inbox row is not stored, although the write succeeds.
    LosesInboxRows,
    /// A device does not keep its outbox.
    DeviceForgetsOutbox,
    /// A device says "received" before it has stored what it received.
    DeviceStoresLate,
    /// Versions mean nothing: the last write wins.
    LastWriteWins,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Self; 8] = [
        Self::BusAnswersEarly,
        Self::CommitsBeforeApplying,
        Self::FlushDoesNothing,
        Self::LosesTimelineRows,
        Self::LosesInboxRows,
        Self::DeviceForgetsOutbox,
        Self::DeviceStoresLate,
        Self::LastWriteWins,
    ];

    /// The writes that a store with this mutant does of these.
    pub fn keep(self, world: &World, mut writes: Vec<Write>) -> Vec<Write> {
        let loses = |write: &Write| match self {
            Self::LosesTimelineRows => write.key.table == tables::TIMELINE,
            Self::LosesInboxRows => write.key.table == tables::INBOX,
            _ => false,
        };
        writes.retain(|write| !(loses(write) && world.draw(|chance| chance.hits(30_000))));
        if self == Self::LastWriteWins {
            // Sessions and leases compare the version that they find: with those, nobody could log in.
            let tables = [tables::CONVERSATION, tables::WATERMARKS, tables::CURSORS, tables::INBOX];
            for write in writes.iter_mut().filter(|write| tables.contains(&write.key.table)) {
                write.version = world.true_us();
            }
        }
        writes
    }

    /// The changes that a device with this mutant stores of these.
    pub fn keep_changes(self, changes: &[Change]) -> Vec<Change> {
        let forgotten = |change: &Change| self == Self::DeviceForgetsOutbox && matches!(change, Change::PutOutgoing(_));
        changes.iter().filter(|change| !forgotten(change)).cloned().collect()
    }
}
