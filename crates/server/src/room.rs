//! Whether an engine has room: said once when it has none any more, and once when it has again, however many are refused
//! meanwhile.

use hudhud_ports::{ErrorKind, Result};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// How long nobody may have been refused until there is room again: at the brink every other write may fit.
const CALM: Duration = Duration::from_secs(10);

/// What is known of one engine.
#[derive(Debug)]
pub struct Room {
    engine: &'static str,
    refusing: Mutex<Option<Refusing>>,
}

#[derive(Debug)]
struct Refusing {
    since: Instant,
    last: Instant,
    refused: u64,
}

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    Full,
    /// After so long, and so many writes that were refused.
    RoomAgain(Duration, u64),
}

impl Room {
    /// Of this engine, which has room as far as anybody knows.
    pub fn of(engine: &'static str) -> Self {
        Self { engine, refusing: Mutex::default() }
    }

    /// Looks at the outcome of a write.
    pub fn see<T>(&self, outcome: &Result<T>) {
        let engine = self.engine;
        match (self.turn(outcome, Instant::now()), outcome) {
            (Some(Turn::Full), Err(error)) => {
                tracing::warn!(engine, %error, "no room: writes are refused from now on, make room on the disk");
            }
            (Some(Turn::RoomAgain(lasted, refused)), _) => {
                tracing::warn!(engine, seconds = lasted.as_secs(), refused, "there is room again");
            }
            _ => {}
        }
    }

    fn turn<T>(&self, outcome: &Result<T>, now: Instant) -> Option<Turn> {
        let mut refusing = self.refusing.lock();
        match (outcome, &mut *refusing) {
            (Err(error), None) if error.kind() == ErrorKind::Full => {
                *refusing = Some(Refusing { since: now, last: now, refused: 1 });
                Some(Turn::Full)
            }
            (Err(error), Some(refusing)) if error.kind() == ErrorKind::Full => {
                refusing.last = now;
                refusing.refused += 1;
                None
            }
            (Ok(_), Some(was)) if now.saturating_duration_since(was.last) >= CALM => {
                let turn = Turn::RoomAgain(now.saturating_duration_since(was.since), was.refused);
                *refusing = None;
                Some(turn)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudhud_ports::Error;

    /// One word when it begins and one when it ends, and none for what flutters in between.
    #[test]
    fn it_is_said_when_it_begins_and_when_it_ends() {
        let room = Room::of("test");
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let full = || Err::<(), _>(Error::new(ErrorKind::Full, "test", "write"));
        let other = || Err::<(), _>(Error::new(ErrorKind::Timeout, "test", "write"));
        assert_eq!(room.turn(&Ok(()), start), None);
        assert_eq!(room.turn(&full(), start), Some(Turn::Full));
        for n in 0..1_000 {
            assert_eq!(room.turn(&full(), start + second * n), None);
            assert_eq!(room.turn(&Ok(()), start + second * n), None, "some writes fit");
        }
        let calm = start + second * 999 + CALM;
        assert_eq!(room.turn(&other(), calm), None, "nothing tells that there is room");
        assert_eq!(room.turn(&Ok(()), calm), Some(Turn::RoomAgain(second * 999 + CALM, 1_001)));
        assert_eq!(room.turn(&Ok(()), calm), None);
        assert_eq!(room.turn(&full(), calm), Some(Turn::Full));
    }
}
