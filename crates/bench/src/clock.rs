//! One clock for all processes of a measurement: monotonic, in nanoseconds (clock_gettime(2), CLOCK_MONOTONIC). A message
//! carries when it was meant to leave, so whoever receives it knows how long it took.

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a payload that say when it was meant to leave.
pub const STAMP_BYTES: usize = 8;

/// Now, since an arbitrary moment.
pub fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("a monotonic clock does not go below zero");
    Duration::new(seconds, u32::try_from(now.tv_nsec).expect("less than a second"))
}

/// The same moment for the timers of the runtime.
pub fn instant(at: Duration) -> Instant {
    Instant::now() + at.saturating_sub(now())
}

/// A payload that says when it was meant to leave.
pub fn stamped(at: Duration, bytes: usize) -> Bytes {
    let mut payload = vec![b'.'; bytes.max(STAMP_BYTES)];
    let nanos = u64::try_from(at.as_nanos()).expect("584 years of uptime");
    payload[..STAMP_BYTES].copy_from_slice(&nanos.to_le_bytes());
    payload.into()
}

/// When a payload was meant to leave.
pub fn stamp(payload: &[u8]) -> Option<Duration> {
    let bytes = payload.get(..STAMP_BYTES)?.try_into().ok()?;
    Some(Duration::from_nanos(u64::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_tells_when_it_was_meant_to_leave() {
        let at = now();
        let payload = stamped(at, 200);
        assert_eq!((payload.len(), stamp(&payload)), (200, Some(at)));
        assert_eq!(stamp(b"short"), None);
    }
}
