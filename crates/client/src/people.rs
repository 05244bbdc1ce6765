//! Who is who, and the questions that a client asks by itself: about people, conversations and receipts.

use crate::limits::QUESTIONS_MAX;
use hudhud_proto::{AccountId, ConversationId, IdError, v1};
use std::collections::BTreeSet;
use std::time::Duration;

/// Somebody's names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// Whose.
    pub account: AccountId,
    /// The unique one.
    pub handle: String,
    /// The one that the person chose to show. Untrusted: it may hold control characters.
    pub display_name: String,
}

impl Person {
    /// The person in a frame.
    pub fn from_wire(profile: &v1::Profile) -> Result<Self, IdError> {
        Ok(Self {
            account: AccountId::from_slice(&profile.account)?,
            handle: profile.handle.clone(),
            display_name: profile.display_name.clone(),
        })
    }
}

/// What a client asks by itself. The order is the urgency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Question {
    /// What a conversation is.
    Conversation(ConversationId),
    /// How far the others have received and read: pushes of that are lost while there is no connection.
    Receipts(ConversationId),
    /// Somebody's names, known through this conversation.
    Person(AccountId, Option<ConversationId>),
}

/// The questions that wait and the ones that are asked, few at a time.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    wanted: BTreeSet<Question>,
    asked: BTreeSet<Question>,
    /// People whom the server does not tell about: not asked again on this connection.
    unknown: BTreeSet<AccountId>,
    paused_until: Option<Duration>,
}

impl Questions {
    /// Asks when there is room. A question about a conversation that is under way is asked again after its answer, which may
    /// be too old; names are not that urgent.
    pub(crate) fn want(&mut self, question: Question) {
        let needless = |account| self.unknown.contains(&account) || self.asked.contains(&question);
        if !matches!(question, Question::Person(account, _) if needless(account)) {
            self.wanted.insert(question);
        }
    }

    /// The next one to ask now.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Question> {
        if self.paused_until.is_some_and(|until| until > now) || self.asked.len() >= QUESTIONS_MAX {
            return None;
        }
        self.paused_until = None;
        let next = *self.wanted.iter().find(|question| !self.asked.contains(question))?;
        self.wanted.remove(&next);
        self.asked.insert(next);
        Some(next)
    }

    /// It was answered.
    pub(crate) fn answered(&mut self, question: Question) {
        self.asked.remove(&question);
    }

    /// It has no answer; asking again on this connection is useless.
    pub(crate) fn unanswerable(&mut self, question: Question) {
        self.asked.remove(&question);
        if let Question::Person(account, _) = question {
            self.unknown.insert(account);
            self.wanted.remove(&question);
        }
    }

    /// It failed for now: all questions wait until then.
    pub(crate) fn postpone(&mut self, question: Question, until: Duration) {
        self.asked.remove(&question);
        self.wanted.insert(question);
        self.paused_until = Some(until);
    }

    /// The connection is gone; what was asked is still wanted.
    pub(crate) fn disconnected(&mut self) {
        self.wanted.append(&mut self.asked);
        self.unknown.clear();
        self.paused_until = None;
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.paused_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_questions_at_a_time_and_each_once() {
        let mut questions = Questions::default();
        let person = |n| Question::Person(AccountId::new([n; 16]), None);
        (0..6).chain(0..6).for_each(|n| questions.want(person(n)));
        let asked: Vec<_> = std::iter::from_fn(|| questions.next(Duration::ZERO)).collect();
        assert_eq!(asked.len(), QUESTIONS_MAX);
        questions.want(person(0));
        questions.answered(person(0));
        questions.unanswerable(person(1));
        questions.want(person(1));
        assert_eq!(questions.next(Duration::ZERO), Some(person(4)));
        questions.postpone(person(4), Duration::from_secs(5));
        assert_eq!(questions.next(Duration::from_secs(4)), None);
        assert_eq!(questions.next(Duration::from_secs(5)), Some(person(4)));
    }

    #[test]
    fn a_conversation_that_changes_while_it_is_asked_about_is_asked_about_again() {
        let mut questions = Questions::default();
        let conversation = Question::Conversation(ConversationId::new([1; 16]));
        questions.want(conversation);
        assert_eq!(questions.next(Duration::ZERO), Some(conversation));
        questions.want(conversation);
        assert_eq!(questions.next(Duration::ZERO), None);
        questions.answered(conversation);
        assert_eq!(questions.next(Duration::ZERO), Some(conversation));
    }
}
