//! Time as the machines get it, and the server's clock as this device knows it.

use std::time::Duration;

/// The time at which an input is handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moment {
    /// Since some fixed moment of this process. Never goes back; all waiting is measured in it.
    pub monotonic: Duration,
    /// The computer's clock, microseconds since the Unix epoch, UTC. May be wrong and may jump.
    pub wall_us: u64,
}

/// What the server's clock shows, reckoned from the last time it was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerClock {
    /// Server minus wall, from an earlier run: better than nothing until the first Welcome.
    offset_us: i64,
    seen: Option<(Duration, u64)>,
}

impl ServerClock {
    pub(crate) fn new(offset_us: i64) -> Self {
        Self { offset_us, seen: None }
    }

    /// The server's clock shows this now. The time on the way is neglected.
    pub(crate) fn seen(&mut self, server_us: u64, now: Moment) {
        self.offset_us = i64::try_from(i128::from(server_us) - i128::from(now.wall_us)).unwrap_or(0);
        self.seen = Some((now.monotonic, server_us));
    }

    /// Microseconds since the Unix epoch. Once a server was seen in this run, jumps of the wall clock do not matter.
    pub(crate) fn now_us(&self, now: Moment) -> u64 {
        match self.seen {
            Some((at, server_us)) => server_us.saturating_add(micros(now.monotonic.saturating_sub(at))),
            None => now.wall_us.saturating_add_signed(self.offset_us),
        }
    }

    pub(crate) fn offset_us(&self) -> i64 {
        self.offset_us
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The earlier of two moments that may never come.
pub(crate) fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_clock_outlives_jumps_of_the_wall() {
        let mut clock = ServerClock::new(0);
        clock.seen(5_000_000, Moment { monotonic: Duration::from_secs(1), wall_us: 4_000_000 });
        let later = Moment { monotonic: Duration::from_secs(3), wall_us: 99_000_000 };
        assert_eq!(clock.now_us(later), 7_000_000);
        let next_run = ServerClock::new(clock.offset_us());
        assert_eq!(next_run.now_us(Moment { wall_us: 10_000_000, ..Moment::default() }), 11_000_000);
    }
}
