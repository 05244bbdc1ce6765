//! All chance of a run: streams of numbers that follow from the seed.

use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::ops::Range;
use std::time::Duration;

/// One in so many million.
pub type PerMillion = u32;

/// A stream of random numbers.
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of a seed with this name. Streams with other names are independent, so that a change of the workload does not
    /// change what the servers draw.
    pub fn new(seed: u64, stream: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("hudhud sim 1 stream");
        hasher.update(&seed.to_be_bytes());
        hasher.update(stream.as_bytes());
        Self(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// A number below `end`, each as likely; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias of a remainder is far below what a run could notice.
        if end == 0 { 0 } else { self.0.next_u64() % end }
    }

    /// A number in the range, each as likely.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// An index below `len`.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Yes, so many times in a million.
    pub fn hits(&mut self, chance: PerMillion) -> bool {
        chance > 0 && self.below(1_000_000) < u64::from(chance)
    }

    /// A duration in whole milliseconds: what timers can tell apart.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.index(of.len()))
    }

    /// Some of them, in their order.
    pub fn some<T: Clone>(&mut self, of: &[T], chance: PerMillion) -> Vec<T> {
        of.iter().filter(|_| self.hits(chance)).cloned().collect()
    }

    /// Random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// A server's own randomness.
pub struct NodeRng(Mutex<Chance>);

impl NodeRng {
    /// Made from a stream.
    pub fn new(chance: Chance) -> Self {
        Self(Mutex::new(chance))
    }
}

impl hudhud_ports::Rng for NodeRng {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_follows_from_seed_and_name_and_never_changes() {
        let draw = |seed, name| Chance::new(seed, name).below(1_000_000);
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_eq!(Chance::new(1, "a").within(5..6), 5);
        assert!(!Chance::new(1, "a").hits(0) && Chance::new(1, "a").hits(1_000_000));
    }
}
