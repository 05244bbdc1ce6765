//! How long to wait after a failure: exponential, with full jitter.

use std::time::Duration;

/// Chance, handed in: fills the slice with random bytes.
pub(crate) type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// Waits that double with each failure, spread evenly between almost nothing and the whole, so that the clients of a server
/// that restarts do not come back all at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// No wait is shorter: a server that refuses at once is not asked in a tight loop.
    const LEAST: Duration = Duration::from_millis(50);

    pub(crate) fn new(base: Duration, most: Duration) -> Self {
        Self { base, most, failures: 0 }
    }

    /// Forgets the failures.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// One more failure: the wait until the next attempt.
    pub(crate) fn next(&mut self, entropy: &mut Entropy) -> Duration {
        let whole = self.base.saturating_mul(1 << self.failures.min(16)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        let mut bytes = [0; 4];
        entropy(&mut bytes);
        whole.mul_f64(f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)).max(Self::LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chance: u8, expected_ms: &[u64]) {
        let mut entropy: Entropy = Box::new(move |bytes| bytes.fill(chance));
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(3));
        let waits: Vec<_> = expected_ms.iter().map(|_| backoff.next(&mut entropy).as_millis() as u64).collect();
        assert_eq!(waits, expected_ms);
    }

    #[test]
    fn waits_double_up_to_the_most_and_are_never_nothing() {
        check(0xff, &[500, 1_000, 2_000, 3_000, 3_000]);
        check(0x00, &[50, 50, 50]);
    }
}
