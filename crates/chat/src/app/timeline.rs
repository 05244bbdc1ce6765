//! The entries of a conversation as far as the screen has them, and which of them it shows.

use hudhud_client::Entry;
use hudhud_proto::Seq;
use std::collections::BTreeMap;

/// A stretch of the log that reaches up to its end.
#[derive(Debug, Default)]
pub struct Timeline {
    entries: BTreeMap<Seq, Entry>,
    more: bool,
    waits: bool,
    /// Older ones exist but could not be had. Asking again makes sense when something has changed.
    gave_up: bool,
}

impl Timeline {
    /// The newest entries are asked for.
    pub fn loading() -> Self {
        Self { waits: true, ..Self::default() }
    }

    /// Takes a new entry.
    pub fn add(&mut self, entry: Entry) {
        // New to this device, it may be its first stretch of a long log.
        self.more |= self.entries.is_empty() && entry.prev > Seq::ZERO;
        self.entries.insert(entry.seq, entry);
    }

    /// Takes a page of older entries.
    pub fn add_older(&mut self, entries: &[Entry], more: bool) {
        (self.more, self.waits, self.gave_up) = (more, false, entries.is_empty());
        self.entries.extend(entries.iter().map(|entry| (entry.seq, entry.clone())));
    }

    /// What could not be had may be there now.
    pub fn try_again(&mut self) {
        self.gave_up = false;
    }

    /// The seq before which entries are to be asked for, if there are any. Counts as asked.
    pub fn want_older(&mut self) -> Option<Seq> {
        let oldest = *self.entries.keys().next()?;
        let wanted = self.more && !self.waits && !self.gave_up;
        self.waits |= wanted;
        wanted.then_some(oldest)
    }

    /// Whether older entries are on their way.
    pub fn is_loading(&self) -> bool {
        self.waits
    }

    /// The newest one's seq.
    pub fn newest(&self) -> Option<Seq> {
        self.entries.keys().next_back().copied()
    }

    /// The entries up to a seq, newest first.
    pub fn newest_first(&self, until: Seq) -> impl Iterator<Item = &Entry> {
        self.entries.range(..=until).rev().map(|(_, entry)| entry)
    }

    /// How many entries came behind a seq.
    pub fn count_after(&self, seq: Seq) -> usize {
        self.entries.range(Seq(seq.0.saturating_add(1))..).count()
    }
}

/// The part of the timeline that shows. While it is not the end, new entries do not move it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// Lines below the screen, up to `anchor`.
    pub scroll: usize,
    /// The newest entry when the end was left.
    pub anchor: Option<Seq>,
}

impl View {
    /// Whether the newest entry is on the screen.
    pub fn is_at_end(&self) -> bool {
        self.scroll == 0
    }

    /// Towards older entries.
    pub fn up(&mut self, lines: usize, newest: Option<Seq>) {
        if self.is_at_end() {
            self.anchor = newest;
        }
        self.scroll += lines;
    }

    /// There are no more lines than that above the screen.
    pub fn clamp(&mut self, scroll_max: usize) {
        self.scroll = self.scroll.min(scroll_max);
        self.down(0);
    }

    /// Towards newer ones.
    pub fn down(&mut self, lines: usize) {
        self.scroll = self.scroll.saturating_sub(lines);
        if self.is_at_end() {
            self.anchor = None;
        }
    }
}
