//! Whether this process wants requests: what `GET /readyz` answers and balancers act on.

use std::sync::atomic::{AtomicU8, Ordering};

/// A process's way from start to stop. It only goes forward.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

const STARTING: u8 = 0;
const READY: u8 = 1;
const FAILED: u8 = 2;
const DRAINING: u8 = 3;

impl Readiness {
    /// Engines are open, the dispatcher runs.
    pub fn ready(&self) {
        self.0.fetch_max(READY, Ordering::Relaxed);
    }

    /// The dispatcher ended without being asked to.
    pub fn failed(&self) {
        self.0.fetch_max(FAILED, Ordering::Relaxed);
    }

    /// The process stops: no new requests.
    pub fn draining(&self) {
        self.0.fetch_max(DRAINING, Ordering::Relaxed);
    }

    /// Why no requests are wanted; none when they are.
    pub fn refusal(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Relaxed) {
            READY => None,
            STARTING => Some("the server is starting"),
            FAILED => Some("the dispatcher does not run"),
            _ => Some("the server is stopping"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that drains never becomes ready again.
    #[test]
    fn readiness_only_goes_forward() {
        let readiness = Readiness::default();
        assert_eq!(readiness.refusal(), Some("the server is starting"));
        readiness.ready();
        assert_eq!(readiness.refusal(), None);
        readiness.draining();
        readiness.ready();
        assert_eq!(readiness.refusal(), Some("the server is stopping"));
    }
}
