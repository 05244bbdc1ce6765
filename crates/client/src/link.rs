//! The connection: when to open one, when to give one up.

use crate::Command;
use crate::backoff::{Backoff, Entropy};
use crate::limits::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, RECONNECT_MAX, SILENCE_MAX};
use hudhud_proto::v1::client_frame;
use std::time::Duration;

/// Where the connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// There is none, and none is wanted.
    Stopped,
    /// There is none until then.
    Waiting { until: Duration },
    /// One is being made, for so long at most.
    Connecting { until: Duration },
    /// It is open, without an account.
    Anonymous,
    /// `Hello` is under way, for so long at most.
    Greeting { until: Duration },
    /// The session is open.
    Online,
}

/// What the passing of time asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Open a connection.
    Connect,
    /// Nothing was heard for too long: close it, and start over.
    GiveUp,
}

/// Somebody who registers or logs in: the first thing to say on a connection.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) tag: u64,
    pub(crate) command: client_frame::Command,
}

#[derive(Debug)]
pub(crate) struct Link {
    phase: Phase,
    backoff: Backoff,
    heard: Duration,
    silence_max: Duration,
    /// From a server that closes: when to come back.
    come_back: Option<Duration>,
    pub(crate) credentials: Option<Credentials>,
    /// Whether a person looks at this device.
    pub(crate) active: bool,
}

impl Link {
    pub(crate) fn new(active: bool) -> Self {
        Self {
            phase: Phase::Stopped,
            backoff: Backoff::new(Duration::from_millis(500), RECONNECT_MAX),
            heard: Duration::ZERO,
            silence_max: SILENCE_MAX,
            come_back: None,
            credentials: None,
            active,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn is_online(&self) -> bool {
        self.phase == Phase::Online
    }

    /// Whether there is a connection.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Anonymous | Phase::Greeting { .. } | Phase::Online)
    }

    /// Whether there is a connection, or one is being made.
    pub(crate) fn is_up(&self) -> bool {
        !matches!(self.phase, Phase::Stopped | Phase::Waiting { .. })
    }

    /// A connection is wanted now.
    pub(crate) fn want(&mut self, now: Duration) {
        if !self.is_up() {
            self.phase = Phase::Waiting { until: now };
        }
    }

    /// None is wanted any more. True if there was one to close.
    pub(crate) fn stop(&mut self) -> bool {
        let up = self.is_up();
        self.phase = Phase::Stopped;
        self.come_back = None;
        up
    }

    /// A connection is open.
    pub(crate) fn connected(&mut self, now: Duration) {
        self.phase = Phase::Anonymous;
        self.heard = now;
        self.silence_max = SILENCE_MAX;
        self.come_back = None;
    }

    /// `Hello` was said.
    pub(crate) fn greeted(&mut self, now: Duration) {
        self.phase = Phase::Greeting { until: now + ANSWER_TIMEOUT };
    }

    /// The session is open; the server pings this often.
    pub(crate) fn welcomed(&mut self, ping_interval: Duration) {
        self.phase = Phase::Online;
        self.backoff.reset();
        if !ping_interval.is_zero() {
            self.silence_max = ping_interval * 2;
        }
    }

    /// A frame came.
    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    /// The server closes soon and wants this client back after the delay.
    pub(crate) fn going_away(&mut self, delay: Duration, now: Duration) {
        self.come_back = Some(now + delay);
    }

    /// The connection is gone, or could not be made. `wanted`: there is somebody to connect for. `told`: the server said how
    /// long to stay away.
    pub(crate) fn lost(&mut self, now: Duration, wanted: bool, told: Option<Duration>, entropy: &mut Entropy) {
        let wait = self.backoff.next(entropy);
        let until = match (self.come_back.take(), told) {
            // The server gave each of its clients another delay already.
            (Some(at), _) => at.max(now),
            (None, Some(told)) => now + told.max(wait),
            (None, None) => now + wait,
        };
        self.phase = if wanted { Phase::Waiting { until } } else { Phase::Stopped };
    }

    /// What is due. A connection that is to be opened counts as under way from here on.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<Due> {
        if self.due()? > now {
            return None;
        }
        match self.phase {
            Phase::Waiting { .. } => {
                self.phase = Phase::Connecting { until: now + CONNECT_TIMEOUT };
                Some(Due::Connect)
            }
            _ => Some(Due::GiveUp),
        }
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self.phase {
            Phase::Stopped | Phase::Anonymous => None,
            Phase::Waiting { until } | Phase::Connecting { until } | Phase::Greeting { until } => Some(until),
            Phase::Online => Some(self.heard + self.silence_max),
        }
    }

    /// How many attempts have failed since the last session.
    pub(crate) fn failures(&self) -> u32 {
        self.backoff.failures()
    }
}

impl Credentials {
    pub(crate) fn of(command: &Command) -> Option<Self> {
        match command {
            Command::Authenticate { tag, command } => Some(Self { tag: *tag, command: command.clone() }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entropy() -> Entropy {
        Box::new(|bytes| bytes.fill(0xff))
    }

    fn online() -> Link {
        let mut link = Link::new(false);
        link.want(Duration::ZERO);
        assert_eq!(link.take_due(Duration::ZERO), Some(Due::Connect));
        link.connected(Duration::ZERO);
        link.greeted(Duration::ZERO);
        link.welcomed(Duration::from_secs(30));
        link
    }

    #[test]
    fn attempts_wait_longer_and_longer_until_one_is_welcomed() {
        let mut link = Link::new(false);
        link.want(Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(link.take_due(now), Some(Due::Connect));
            link.lost(now, true, None, &mut entropy());
            let until = link.due().expect("it waits");
            waits.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        link.take_due(now);
        link.connected(now);
        assert_eq!(link.failures(), 8, "a socket alone is no success");
        link.welcomed(Duration::from_secs(30));
        assert_eq!(link.failures(), 0);
    }

    #[test]
    fn silence_for_two_pings_ends_a_session() {
        let mut link = online();
        link.heard(Duration::from_secs(10));
        assert_eq!(link.take_due(Duration::from_secs(69)), None);
        assert_eq!(link.take_due(Duration::from_secs(70)), Some(Due::GiveUp));
    }

    #[test]
    fn a_server_that_goes_away_says_when_to_come_back() {
        let mut link = online();
        link.going_away(Duration::from_secs(7), Duration::from_secs(1));
        link.lost(Duration::from_secs(2), true, None, &mut entropy());
        assert_eq!(link.due(), Some(Duration::from_secs(8)));
    }

    #[test]
    fn nobody_to_connect_for_means_no_connection() {
        let mut link = online();
        link.lost(Duration::from_secs(2), false, None, &mut entropy());
        assert_eq!((link.phase(), link.due()), (Phase::Stopped, None));
    }
}
