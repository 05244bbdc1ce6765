//! The commands of one connection: one runs at a time, the others wait in the order in which they came.

use hudhud_proto::v1::client_frame::Command;
use std::collections::VecDeque;

/// What a command costs beside the bytes of its frame, roughly.
const OVERHEAD_BYTES: usize = 256;

/// The queue, and what it and the command that runs hold in memory.
#[derive(Default)]
pub(super) struct Commands {
    waiting: VecDeque<(u64, Command, usize)>,
    /// What the command that runs costs.
    running: Option<usize>,
    bytes: usize,
}

impl Commands {
    /// A command came, in a frame of so many bytes.
    pub(super) fn push(&mut self, request: u64, command: Command, frame_bytes: usize) {
        let cost = frame_bytes + OVERHEAD_BYTES;
        self.bytes += cost;
        self.waiting.push_back((request, command, cost));
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What waits and what runs, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one runs: nothing else may begin.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Something of the server's own takes its turn.
    pub(super) fn begin_own(&mut self) {
        self.running = Some(0);
    }

    /// The next command, which runs from now on.
    pub(super) fn begin(&mut self) -> Option<(u64, Command)> {
        let (request, command, cost) = self.waiting.pop_front()?;
        self.running = Some(cost);
        Some((request, command))
    }

    /// What ran is over.
    pub(super) fn finished(&mut self) {
        self.bytes -= self.running.take().unwrap_or(0);
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = self.running.unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudhud_proto::v1::Ping;

    #[test]
    fn bytes_are_those_of_what_waits_and_what_runs() {
        let mut commands = Commands::default();
        for request in 1..=3 {
            commands.push(request, Command::Ping(Ping::default()), 100);
        }
        let one = 100 + OVERHEAD_BYTES;
        assert_eq!(commands.begin().map(|(request, _)| request), Some(1));
        assert_eq!((commands.len(), commands.bytes(), commands.is_running()), (2, 3 * one, true));
        commands.finished();
        assert_eq!((commands.bytes(), commands.is_running()), (2 * one, false));
        commands.begin();
        commands.clear();
        assert_eq!((commands.len(), commands.bytes()), (0, one));
        commands.finished();
        commands.begin_own();
        commands.finished();
        assert_eq!(commands.bytes(), 0);
    }
}
