//! The memory that connections share for what waits: frames to be written, requests to be answered.
//!
//! One bound for all of them, and a share for each that shrinks as the memory fills: a queue may hold a fixed part of what
//! is free (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998). Whoever reads
//! slowly runs into its share, while who reads as fast as others write needs next to nothing, and always finds that much.
//! A quarter is for answers, which can't be dropped: pages are what a lagging client then asks for.

use crate::services::Services;
use hudhud_proto::ProtocolError;
use hudhud_proto::command::CommandInfo;
use hudhud_proto::v1::ErrorCode;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A connection's share of what is free is one part in so many.
const SHARE: usize = 64;
/// One part in so many is for answers. Where less than that is free, whoever reads nothing is closed early.
const FOR_ANSWERS: usize = 4;
/// Where less than one part in so many is free, no command that answers with much is begun.
const RESERVE: usize = 8;
/// When to try again then, in milliseconds.
const RETRY_MS: u32 = 1_000;

/// The memory of all connections of a process.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    used: AtomicUsize,
    gauge: Gauge,
}

impl Budget {
    /// That of a process, none of it used.
    pub fn of(services: &Services) -> Arc<Self> {
        Self::new(services.settings.buffer_bytes_max, services.metrics.buffer_bytes.clone())
    }

    /// Of so many bytes, none of them used. The gauge shows what is.
    pub(super) fn new(bytes_max: usize, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self { bytes_max, used: AtomicUsize::new(0), gauge })
    }

    /// A part of it, empty yet.
    pub fn charge(self: &Arc<Self>) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }

    /// How much one connection may hold now.
    pub fn share(&self) -> usize {
        self.free().saturating_sub(self.bytes_max / FOR_ANSWERS) / SHARE
    }

    /// Whether a command may begin now: one that answers with a page or a list needs a reserve. Who may not is answered
    /// [`Self::deferred`].
    pub fn admits(&self, command: &CommandInfo) -> bool {
        let answers_much = command.answer.ends_with("Page") || command.answer.ends_with("List");
        !answers_much || self.free() >= self.bytes_max / RESERVE
    }

    /// Too much waits in memory for clients that do not read it.
    pub fn deferred() -> ProtocolError {
        ProtocolError::retry(ErrorCode::Unavailable, "the server has too much in hand, try again", RETRY_MS)
    }

    /// Whether others need what somebody holds who does not read.
    pub(super) fn is_tight(&self) -> bool {
        self.free() < self.bytes_max / FOR_ANSWERS
    }

    fn free(&self) -> usize {
        self.bytes_max.saturating_sub(self.used.load(Ordering::Relaxed))
    }
}

/// What one connection or request holds of the budget, until it is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// What is held, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds so many bytes from now on, whether there is room or not: who can refuse asks for the share first.
    pub fn set(&mut self, bytes: usize) {
        let (before, gauge) = (std::mem::replace(&mut self.bytes, bytes), &self.budget.gauge);
        match bytes.checked_sub(before) {
            Some(more) => {
                self.budget.used.fetch_add(more, Ordering::Relaxed);
                gauge.inc_by(more as i64);
            }
            None => {
                self.budget.used.fetch_sub(before - bytes, Ordering::Relaxed);
                gauge.dec_by((before - bytes) as i64);
            }
        }
    }

    /// Whether so many bytes more are within the share of one connection.
    pub fn has_room(&self, more: usize) -> bool {
        self.bytes + more <= self.budget.share()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudhud_proto::command;

    const MAX: usize = 64 * 1_024;

    /// Fills a charge byte by byte until it has no room.
    fn fill(charge: &mut Charge) {
        while charge.has_room(1) {
            charge.set(charge.bytes() + 1);
        }
    }

    #[test]
    fn hoarders_never_fill_it_and_who_comes_later_has_as_much_as_each_of_them() {
        let budget = Budget::new(MAX, Gauge::default());
        let mut hoarders: Vec<Charge> = (0..200).map(|_| budget.charge()).collect();
        // Whoever came first gives back what is over its share as others come.
        for _ in 0..50 {
            for charge in &mut hoarders {
                charge.set(charge.bytes().min(budget.share()));
                fill(charge);
            }
        }
        let held = hoarders.iter().map(Charge::bytes).max().expect("some");
        assert!(budget.used.load(Ordering::Relaxed) < MAX * 3 / 4 && !budget.is_tight());
        let mut newcomer = budget.charge();
        fill(&mut newcomer);
        assert!(newcomer.bytes() * 10 >= held * 9 && held > 0, "{} of {held}", newcomer.bytes());
    }

    #[test]
    fn what_is_dropped_is_free_again() {
        let gauge = Gauge::default();
        let budget = Budget::new(MAX, gauge.clone());
        let share = budget.share();
        let mut charge = budget.charge();
        charge.set(MAX - 1);
        assert_eq!((budget.share(), gauge.get()), (0, MAX as i64 - 1));
        let admits = |name| budget.admits(command::find(name).expect("a command"));
        assert!(
            budget.is_tight() && !admits("fetch") && !admits("listMembers") && admits("send") && admits("received")
        );
        charge.set(MAX / 2);
        assert!(!budget.is_tight() && admits("fetch"));
        drop(charge);
        assert_eq!((budget.share(), gauge.get()), (share, 0));
    }
}
