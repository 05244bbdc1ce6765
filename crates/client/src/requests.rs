//! The unanswered requests of one connection.

use crate::limits::ANSWER_TIMEOUT;
use crate::people::Question;
use hudhud_proto::v1::{ClientFrame, ReceiptKind, client_frame::Command};
use hudhud_proto::{ConversationId, MessageId, Seq};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a request was for: decides what its answer means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A person registers or logs in.
    Authenticate { tag: u64 },
    /// Opening the session.
    Hello,
    /// The inbox since the cursor.
    Changes,
    /// What is behind a conversation's cursor.
    Fetch { conversation: ConversationId, start: FetchStart },
    /// Older entries that a person wants to see.
    History { conversation: ConversationId, before: Seq, limit: usize },
    /// A message of the outbox, which has a timeout of its own.
    Send { conversation: ConversationId, message: MessageId },
    /// A receipt.
    Receipt { conversation: ConversationId, kind: ReceiptKind, seq: Seq },
    /// About a conversation or a person.
    Question(Question),
    /// A person's command.
    Person { tag: u64 },
    /// A person logs out.
    LogOut { tag: u64 },
    /// Presences.
    Watch,
    /// Whatever the answer is, nothing depends on it.
    Nothing,
}

/// Where a fetch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FetchStart {
    /// At the newest entry, backward: nothing is held yet.
    Head,
    /// Behind the cursor.
    Cursor,
}

#[derive(Debug, Default)]
pub(crate) struct Requests {
    last: u64,
    /// All have the same time to live, so the first is due first.
    open: BTreeMap<u64, (Purpose, Duration)>,
}

impl Requests {
    /// Opens a request and gives back its frame.
    pub(crate) fn open(&mut self, purpose: Purpose, command: Command, now: Duration) -> ClientFrame {
        self.last += 1;
        self.open.insert(self.last, (purpose, now + ANSWER_TIMEOUT));
        ClientFrame { request: self.last, command: Some(command) }
    }

    /// What the answer with this number is for; none if nobody waits for it (any more).
    pub(crate) fn close(&mut self, request: u64) -> Option<Purpose> {
        self.open.remove(&request).map(|(purpose, _)| purpose)
    }

    /// All that are open, as nobody will answer them; numbers go on, so that nothing late is mistaken.
    pub(crate) fn abandon(&mut self) -> Vec<Purpose> {
        std::mem::take(&mut self.open).into_values().map(|(purpose, _)| purpose).collect()
    }

    /// The next request that has waited too long.
    pub(crate) fn expire(&mut self, now: Duration) -> Option<Purpose> {
        let first = self.open.first_entry()?;
        (first.get().1 <= now).then(|| first.remove().0)
    }

    /// When the first has waited too long.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.open.first_key_value().map(|(_, (_, due))| *due)
    }

    /// The open requests that a person waits for.
    pub(crate) fn of_people(&self) -> usize {
        let by_person = |(purpose, _): &&(Purpose, Duration)| {
            matches!(purpose, Purpose::Person { .. } | Purpose::History { .. } | Purpose::Authenticate { .. })
        };
        self.open.values().filter(by_person).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudhud_proto::v1;

    #[test]
    fn an_answer_is_taken_once_and_a_late_one_never() {
        let mut requests = Requests::default();
        let ping = || Command::Ping(v1::Ping::default());
        let first = requests.open(Purpose::Hello, ping(), Duration::ZERO).request;
        let second = requests.open(Purpose::Changes, ping(), Duration::from_secs(1)).request;
        assert_eq!(requests.close(first), Some(Purpose::Hello));
        assert_eq!(requests.close(first), None);
        assert_eq!(requests.due(), Some(Duration::from_secs(1) + ANSWER_TIMEOUT));
        assert_eq!(requests.expire(ANSWER_TIMEOUT), None);
        assert_eq!(requests.expire(ANSWER_TIMEOUT + Duration::from_secs(1)), Some(Purpose::Changes));
        assert_eq!(requests.close(second), None);
    }
}
