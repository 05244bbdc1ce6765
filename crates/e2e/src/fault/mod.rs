//! What can happen to a server while people write. A fault strikes, is seen to have struck, and ends; then everything must go
//! on by itself.
//!
//! Each is a function of the [`World`] that returns when the fault has ended, and says how it went. It fails where the server
//! did not do what it should under this fault: end with that code and message, stay, or take no message.

mod damage;
mod fill;
mod limits;
mod network;
mod stop;
mod time;

use crate::clock::Clock;
use crate::disk::Disk;
use crate::fleet::Seen;
use crate::hudhud::POLL;
use crate::process::Server;
use crate::proxy::Proxy;
use anyhow::{Result, ensure};
use hudhud_sim::chance::Chance;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long it may take until a fault shows.
const SHOWS_MAX: Duration = Duration::from_secs(60);

/// What faults do something to, and what shows that they did.
pub struct World {
    /// The server.
    pub server: Server,
    /// Between clients and server.
    pub proxy: Proxy,
    /// Of the server.
    pub disk: Arc<Disk>,
    /// Of the server.
    pub clock: Arc<Clock>,
    /// Everything that clients have seen.
    pub seen: Arc<Seen>,
    /// All chance.
    pub chance: Chance,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal => $strike:path),* $(,)?) => {
        /// A kind of fault.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Fault { $($(#[$doc])* $fault),* }

        impl Fault {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$fault),*];

            /// What people call it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$fault => $name),* }
            }

            /// Has it happen, to its end. Says how.
            pub async fn strike(self, world: &mut World) -> Result<String> {
                match self { $(Self::$fault => Box::pin($strike(world)).await),* }
            }
        }
    };
}

faults! {
    /// `kill -9`, and a start.
    Kill = "kill -9" => stop::kill,
    /// Seconds in which the process does not run.
    Pause = "paused" => stop::pause,
    /// `SIGTERM`, and a start.
    Terminate = "SIGTERM" => stop::terminate,
    /// Less room on the disk than the server wants to go on; then there is some again.
    DiskLow = "disk low" => fill::low,
    /// No room at all; then there is some again.
    DiskFull = "disk full" => fill::full,
    /// Every write that makes a file grow fails.
    WritesFail = "writes fail" => fill::writes_fail,
    /// `kill -9` while something was appended that nobody was told of.
    TornTail = "torn tail" => damage::torn_tail,
    /// What was acknowledged is damaged; then it comes back from a copy.
    Damaged = "log damaged" => damage::damaged,
    /// Every connection is cut, several times.
    Cut = "cut" => network::cut,
    /// Everything takes long.
    Slow = "slow" => network::slow,
    /// Nothing gets through, and nobody is told.
    BlackHole = "black hole" => network::black_hole,
    /// Nothing gets to the server.
    HoleUp = "black hole up" => network::hole_up,
    /// Nothing comes from the server.
    HoleDown = "black hole down" => network::hole_down,
    /// The clock jumps ahead by minutes, and back.
    ClockAhead = "clock ahead" => time::ahead,
    /// The clock jumps back by minutes, and ahead.
    ClockBehind = "clock behind" => time::behind,
    /// More sockets than the process may have.
    NoFiles = "no files left" => limits::no_files,
    /// No more memory than the process has.
    NoMemory = "no memory left" => limits::no_memory,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The faults of so many rounds: each kind once, as far as there is room, then any; in any order.
pub fn draw(chance: &mut Chance, rounds: usize) -> Vec<Fault> {
    let mut drawn = shuffled(chance, Fault::ALL.to_vec());
    drawn.truncate(rounds);
    while drawn.len() < rounds {
        drawn.extend(chance.pick(Fault::ALL));
    }
    shuffled(chance, drawn)
}

fn shuffled(chance: &mut Chance, mut faults: Vec<Fault>) -> Vec<Fault> {
    for end in (1..faults.len()).rev() {
        faults.swap(end, chance.index(end + 1));
    }
    faults
}

impl World {
    /// Lets the fault last for so many milliseconds.
    async fn hold(&mut self, millis: std::ops::Range<u64>) -> Duration {
        let duration = self.chance.millis(millis);
        tokio::time::sleep(duration).await;
        duration
    }

    /// Waits until something shows, of which the words tell when it does not.
    async fn shows(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + SHOWS_MAX;
        while !is_so(self) {
            ensure!(Instant::now() < deadline, "{what}: not within {SHOWS_MAX:?}. The server: {}", self.server.said());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until no message has been accepted for so long, although people write.
    async fn nothing_is_accepted(&self, quiet: Duration) -> Result<()> {
        let deadline = Instant::now() + SHOWS_MAX;
        let (mut accepted, mut since) = (self.seen.accepted(), Instant::now());
        while since.elapsed() < quiet {
            ensure!(Instant::now() < deadline, "messages are accepted although nothing can be");
            tokio::time::sleep(POLL).await;
            let now = self.seen.accepted();
            if now != accepted {
                (accepted, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Waits until everybody's messages are accepted.
    async fn everybody_gets_through(&self) -> Result<()> {
        self.seen.mark();
        self.shows("everybody's messages are accepted", |world| world.seen.all_through()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn twenty_rounds_have_every_kind_of_fault_whatever_the_seed() {
        for seed in 0..100 {
            let drawn = draw(&mut Chance::new(seed, "faults"), 20);
            let kinds: BTreeSet<_> = drawn.iter().collect();
            assert_eq!((drawn.len(), kinds.len()), (20, Fault::ALL.len()));
        }
        assert_eq!(draw(&mut Chance::new(1, "faults"), 3).len(), 3);
    }
}
