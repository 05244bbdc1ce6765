//! Catching up: which conversations are behind, and what to ask for next.
//!
//! `Changes` names the heads of the conversations that moved; each one whose head is past its cursor is fetched page by page,
//! a few at a time, the most recently active first. A push that does not fit its conversation's cursor makes that
//! conversation one that is behind.

use crate::limits::FETCHES_MAX;
use crate::moment::earlier;
use hudhud_proto::ConversationId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Where the asking for changes stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Changes {
    /// Everything known was asked for.
    #[default]
    Quiet,
    /// To be asked for, not before this time.
    Wanted(Duration),
    /// Under way; and whether more has happened since.
    Asked { again: bool },
}

#[derive(Debug, Default)]
pub(crate) struct Sync {
    changes: Changes,
    /// A complete list was asked for on this connection: once is enough to mend a version that differs.
    listed: bool,
    behind: BTreeSet<ConversationId>,
    fetching: BTreeSet<ConversationId>,
    postponed: BTreeMap<ConversationId, Duration>,
}

impl Sync {
    /// A session is open: everything is asked for.
    pub(crate) fn connected(&mut self, now: Duration) {
        *self = Self { changes: Changes::Wanted(now), ..Self::default() };
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        *self = Self::default();
    }

    /// Something was missed: ask for changes.
    pub(crate) fn want_changes(&mut self, at: Duration) {
        self.changes = match self.changes {
            Changes::Quiet => Changes::Wanted(at),
            Changes::Wanted(earlier) => Changes::Wanted(earlier.min(at)),
            Changes::Asked { .. } => Changes::Asked { again: true },
        };
    }

    /// Whether to ask for changes now. True once per time that it is wanted.
    pub(crate) fn take_changes(&mut self, now: Duration) -> bool {
        let ask = matches!(self.changes, Changes::Wanted(at) if at <= now);
        if ask {
            self.changes = Changes::Asked { again: false };
        }
        ask
    }

    /// A page of changes came. `more`: the next page is asked for.
    pub(crate) fn changes_answered(&mut self, more: bool, now: Duration) {
        let again = more || matches!(self.changes, Changes::Asked { again: true });
        self.changes = if again { Changes::Wanted(now) } else { Changes::Quiet };
    }

    /// Asking failed; it is repeated then.
    pub(crate) fn changes_failed(&mut self, at: Duration) {
        self.changes = Changes::Wanted(at);
    }

    /// The last page's version is not the sum of what is known: whether to list everything from the beginning.
    pub(crate) fn list_all(&mut self) -> bool {
        !std::mem::replace(&mut self.listed, true)
    }

    /// This conversation's log goes on behind its cursor.
    pub(crate) fn behind(&mut self, conversation: ConversationId) {
        self.behind.insert(conversation);
    }

    /// The next conversation to fetch now; `activity` says when something last happened in one.
    pub(crate) fn take_fetch(
        &mut self,
        now: Duration,
        activity: impl Fn(ConversationId) -> u64,
    ) -> Option<ConversationId> {
        while let Some((&conversation, _)) = self.postponed.iter().find(|(_, until)| **until <= now) {
            self.postponed.remove(&conversation);
            self.behind.insert(conversation);
        }
        if self.fetching.len() >= FETCHES_MAX {
            return None;
        }
        let ready = |id: &&ConversationId| !self.fetching.contains(id) && !self.postponed.contains_key(id);
        let next = *self.behind.iter().filter(ready).max_by_key(|id| activity(**id))?;
        self.behind.remove(&next);
        self.fetching.insert(next);
        Some(next)
    }

    /// A fetch was answered. If its conversation is still behind, the caller says so again.
    pub(crate) fn fetched(&mut self, conversation: ConversationId) {
        self.fetching.remove(&conversation);
    }

    /// A fetch failed; it is repeated then.
    pub(crate) fn fetch_failed(&mut self, conversation: ConversationId, until: Duration) {
        self.fetching.remove(&conversation);
        self.postponed.insert(conversation, until);
    }

    /// Everything that the server told of is here.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.changes == Changes::Quiet
            && self.behind.is_empty()
            && self.fetching.is_empty()
            && self.postponed.is_empty()
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Duration> {
        let changes = match self.changes {
            Changes::Wanted(at) => Some(at),
            Changes::Quiet | Changes::Asked { .. } => None,
        };
        earlier(changes, self.postponed.values().min().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ConversationId {
        ConversationId::new([n; 16])
    }

    #[test]
    fn the_most_recently_active_are_fetched_first_and_few_at_a_time() {
        let mut sync = Sync::default();
        (1..=6).for_each(|n| sync.behind(id(n)));
        let activity = |conversation: ConversationId| u64::from(conversation.as_bytes()[0]);
        let mut next = || sync.take_fetch(Duration::ZERO, activity);
        assert_eq!(
            [next(), next(), next(), next(), next()],
            [6, 5, 4, 3].map(id).map(Some).into_iter().chain([None]).collect::<Vec<_>>()[..]
        );
        sync.behind(id(6));
        sync.fetched(id(5));
        assert_eq!(sync.take_fetch(Duration::ZERO, activity), Some(id(2)), "6 is under way still");
        sync.fetch_failed(id(6), Duration::from_secs(9));
        assert_eq!(sync.take_fetch(Duration::ZERO, activity), Some(id(1)));
        sync.fetched(id(4));
        assert_eq!(sync.take_fetch(Duration::from_secs(8), activity), None);
        assert_eq!(sync.take_fetch(Duration::from_secs(9), activity), Some(id(6)));
    }

    #[test]
    fn changes_that_happen_while_asking_are_asked_for_again() {
        let mut sync = Sync::default();
        sync.connected(Duration::ZERO);
        assert!(sync.take_changes(Duration::ZERO) && !sync.take_changes(Duration::ZERO));
        sync.want_changes(Duration::ZERO);
        sync.changes_answered(false, Duration::ZERO);
        assert!(sync.take_changes(Duration::ZERO));
        assert!(!sync.is_caught_up());
        sync.changes_answered(false, Duration::ZERO);
        assert!(sync.is_caught_up());
        assert!(sync.list_all() && !sync.list_all());
    }
}
