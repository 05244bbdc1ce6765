//! Signals that are never stored: who types, whose presence is watched.

use crate::limits::{TYPING_INTERVAL, WATCH_INTERVAL};
use crate::moment::earlier;
use hudhud_proto::limits::{TYPING_MS, WATCHED_MAX};
use hudhud_proto::{AccountId, ConversationId};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// Where this person types, and when that was last told.
    typing: BTreeMap<ConversationId, Duration>,
    /// Who types, and until when.
    typists: BTreeMap<(ConversationId, AccountId), Duration>,
    watched: Vec<AccountId>,
    watch_due: Option<Duration>,
}

impl Signals {
    /// This person types, or stopped. Whether to tell: at most once per [`TYPING_INTERVAL`], and the end only after a start.
    pub(crate) fn type_in(&mut self, conversation: ConversationId, typing: bool, now: Duration) -> bool {
        if !typing {
            return self.typing.remove(&conversation).is_some();
        }
        let told = self.typing.get(&conversation);
        let tell = told.is_none_or(|told| now >= *told + TYPING_INTERVAL);
        if tell {
            self.typing.insert(conversation, now);
        }
        tell
    }

    /// This person sent something: that ends the typing without a word.
    pub(crate) fn sent(&mut self, conversation: ConversationId) {
        self.typing.remove(&conversation);
    }

    /// Somebody types, or stopped. True if that is news.
    pub(crate) fn types(
        &mut self,
        conversation: ConversationId,
        account: AccountId,
        typing: bool,
        now: Duration,
    ) -> bool {
        if typing {
            self.typists.insert((conversation, account), now + Duration::from_millis(TYPING_MS)).is_none()
        } else {
            self.typists.remove(&(conversation, account)).is_some()
        }
    }

    /// The next one who was not heard of for too long.
    pub(crate) fn expire(&mut self, now: Duration) -> Option<(ConversationId, AccountId)> {
        let key = *self.typists.iter().find(|(_, until)| **until <= now)?.0;
        self.typists.remove(&key);
        Some(key)
    }

    /// Everybody who typed, as the connection is gone.
    pub(crate) fn disconnected(&mut self) -> Vec<(ConversationId, AccountId)> {
        self.typing.clear();
        self.watch_due = None;
        std::mem::take(&mut self.typists).into_keys().collect()
    }

    /// Watches these accounts, the first [`WATCHED_MAX`] of them, from now on.
    pub(crate) fn watch(&mut self, accounts: Vec<AccountId>, now: Duration) {
        let none_before = self.watched.is_empty();
        self.watched = accounts;
        self.watched.truncate(WATCHED_MAX);
        if !(none_before && self.watched.is_empty()) {
            self.watch_due = Some(now);
        }
    }

    /// A session is open: it watches nobody yet.
    pub(crate) fn connected(&mut self, now: Duration) {
        self.watch_due = (!self.watched.is_empty()).then_some(now);
    }

    /// The accounts to watch, if it is time to say so (again).
    pub(crate) fn take_watch(&mut self, now: Duration) -> Option<&[AccountId]> {
        self.watch_due.filter(|due| *due <= now)?;
        self.watch_due = (!self.watched.is_empty()).then_some(now + WATCH_INTERVAL);
        Some(&self.watched)
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Duration> {
        earlier(self.watch_due, self.typists.values().min().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: ConversationId = ConversationId::new([1; 16]);
    const BOB: AccountId = AccountId::new([2; 16]);

    #[test]
    fn typing_is_told_rarely_and_its_end_once() {
        let mut signals = Signals::default();
        let mut check = |typing, s, told| {
            assert_eq!(signals.type_in(CHAT, typing, Duration::from_secs(s)), told, "at {s} s");
        };
        check(false, 0, false);
        check(true, 0, true);
        check(true, 4, false);
        check(true, 5, true);
        check(false, 6, true);
        check(false, 7, false);
    }

    #[test]
    fn whoever_types_is_forgotten_after_ten_seconds() {
        let mut signals = Signals::default();
        assert!(signals.types(CHAT, BOB, true, Duration::ZERO));
        assert!(!signals.types(CHAT, BOB, true, Duration::from_secs(5)), "no news");
        assert_eq!(signals.expire(Duration::from_secs(14)), None);
        assert_eq!(signals.expire(Duration::from_secs(15)), Some((CHAT, BOB)));
        assert_eq!(signals.due(), None);
    }

    #[test]
    fn a_watch_is_repeated_while_there_is_one() {
        let mut signals = Signals::default();
        signals.watch(Vec::new(), Duration::ZERO);
        assert_eq!(signals.due(), None);
        signals.watch(vec![BOB], Duration::ZERO);
        assert_eq!(signals.take_watch(Duration::ZERO), Some(&[BOB][..]));
        assert_eq!(signals.take_watch(Duration::from_secs(59)), None);
        assert_eq!(signals.take_watch(Duration::from_secs(60)), Some(&[BOB][..]));
        signals.watch(Vec::new(), Duration::from_secs(61));
        assert_eq!(signals.take_watch(Duration::from_secs(61)), Some(&[][..]), "an empty list ends it");
        assert_eq!(signals.due(), None);
    }
}
