//! What happened, as lines of text: hashed, so that two runs can be compared, and kept, so that a failure can be read.

use hudhud_proto::{AccountId, ConversationId, DeviceId, MessageId};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Lines that are kept; older ones are only in the hash.
const LINES_MAX: usize = 400_000;

/// The rolling hash of everything that happened, and its last lines.
pub struct Trace {
    hasher: blake3::Hasher,
    lines: VecDeque<(Duration, Box<str>)>,
    /// Print each line as it happens.
    loud: bool,
    scratch: String,
}

impl Trace {
    /// Nothing has happened yet.
    pub fn new(loud: bool) -> Self {
        Self { hasher: blake3::Hasher::new(), lines: VecDeque::new(), loud, scratch: String::new() }
    }

    /// Something happened.
    pub fn note(&mut self, at: Duration, what: fmt::Arguments<'_>) {
        self.scratch.clear();
        self.scratch.write_fmt(what).expect("a String takes everything");
        self.hasher.update(&at.as_nanos().to_be_bytes());
        self.hasher.update(self.scratch.as_bytes());
        if self.loud {
            print_line(at, &self.scratch);
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back((at, self.scratch.as_str().into()));
    }

    /// The hash of everything so far. Two runs with the same hash were the same.
    pub fn hash(&self) -> blake3::Hash {
        self.hasher.finalize()
    }

    /// The lines that are kept, and when each was.
    pub fn lines(&self) -> impl Iterator<Item = (Duration, &str)> {
        self.lines.iter().map(|(at, line)| (*at, &**line))
    }
}

#[allow(clippy::print_stdout, reason = "this is what --trace is for")]
fn print_line(at: Duration, line: &str) {
    println!("{:>9.3}  {line}", at.as_secs_f64());
}

/// Short names for ids, in the order in which they were met: what a person can compare.
#[derive(Default)]
pub struct Names {
    accounts: BTreeMap<AccountId, String>,
    devices: BTreeMap<DeviceId, String>,
    conversations: BTreeMap<ConversationId, usize>,
    messages: BTreeMap<MessageId, usize>,
}

impl Names {
    /// From now on this account is called so.
    pub fn call_account(&mut self, account: AccountId, name: &str) {
        self.accounts.insert(account, name.to_owned());
    }

    /// From now on this device is called so.
    pub fn call_device(&mut self, device: DeviceId, name: &str) {
        self.devices.insert(device, name.to_owned());
    }

    /// An account's name.
    pub fn account(&self, account: AccountId) -> String {
        self.accounts.get(&account).cloned().unwrap_or_else(|| format!("{account:?}"))
    }

    /// A device's name.
    pub fn device(&self, device: DeviceId) -> String {
        self.devices.get(&device).cloned().unwrap_or_else(|| format!("{device:?}"))
    }

    /// A conversation's name: `C1`, `C2`, …
    pub fn conversation(&mut self, conversation: ConversationId) -> String {
        let next = self.conversations.len() + 1;
        format!("C{}", self.conversations.entry(conversation).or_insert(next))
    }

    /// A message's name: `M1`, `M2`, …
    pub fn message(&mut self, message: MessageId) -> String {
        let next = self.messages.len() + 1;
        format!("M{}", self.messages.entry(message).or_insert(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_apart_what_happened_and_when() {
        let hash = |at, what| {
            let mut trace = Trace::new(false);
            trace.note(Duration::from_millis(at), format_args!("{what}"));
            trace.hash()
        };
        assert_eq!(hash(1, "a"), hash(1, "a"));
        assert_ne!(hash(1, "a"), hash(2, "a"));
        assert_ne!(hash(1, "a"), hash(1, "b"));
    }
}
