//! Message ids: UUIDv7 that climb, one device at a time.

use crate::backoff::Entropy;
use hudhud_proto::MessageId;

/// Makes the ids of one device's messages. Within a millisecond a counter of 12 bits stands where RFC 9562 §6.2 (method 1)
/// puts it, so that the ids sort as they were made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageIds {
    last_ms: u64,
    counter: u16,
}

impl MessageIds {
    const COUNTER_MAX: u16 = 0x0fff;
    /// How far ids may run ahead of the clock. Beyond it the clock was wrong before, and they follow the new one.
    const LEAD_MS_MAX: u64 = 5 * 60 * 1_000;

    /// Continues behind the last id of an earlier run.
    pub(crate) fn new(last_ms: u64) -> Self {
        Self { last_ms, counter: Self::COUNTER_MAX }
    }

    /// The millisecond of the last id: what the next run continues from.
    pub(crate) fn last_ms(&self) -> u64 {
        self.last_ms
    }

    /// The next id at this time.
    pub(crate) fn next(&mut self, now_ms: u64, entropy: &mut Entropy) -> MessageId {
        let ahead = self.last_ms.saturating_sub(now_ms);
        if now_ms > self.last_ms || ahead > Self::LEAD_MS_MAX {
            (self.last_ms, self.counter) = (now_ms, 0);
        } else if self.counter < Self::COUNTER_MAX {
            self.counter += 1;
        } else {
            (self.last_ms, self.counter) = (self.last_ms + 1, 0);
        }
        let mut random = [0; 10];
        entropy(&mut random);
        random[..2].copy_from_slice(&self.counter.to_be_bytes());
        MessageId::v7(self.last_ms, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entropy() -> Entropy {
        let mut n = 0_u8;
        Box::new(move |bytes| {
            n = n.wrapping_mul(73).wrapping_add(41);
            bytes.fill(n);
        })
    }

    #[test]
    fn ids_climb_even_where_the_clock_does_not() {
        let (mut ids, mut entropy) = (MessageIds::new(0), entropy());
        let clock = [1_000_000; 5_000].into_iter().chain([999_999, 1_000_005, 1_000_001]);
        let made: Vec<_> = clock.map(|ms| ids.next(ms, &mut entropy)).collect();
        assert!(made.is_sorted() && made.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(made.last().and_then(MessageId::unix_ms), Some(1_000_005));
    }

    #[test]
    fn a_new_run_goes_on_behind_the_old_one() {
        let (mut ids, mut entropy) = (MessageIds::new(0), entropy());
        let old = ids.next(5_000_000, &mut entropy);
        let new = MessageIds::new(ids.last_ms()).next(5_000_000, &mut entropy);
        assert!(new > old);
    }

    #[test]
    fn a_clock_that_was_far_ahead_is_forgotten() {
        let (mut ids, mut entropy) = (MessageIds::new(9_000_000_000), entropy());
        assert_eq!(ids.next(5_000_000, &mut entropy).unix_ms(), Some(5_000_000));
    }
}
