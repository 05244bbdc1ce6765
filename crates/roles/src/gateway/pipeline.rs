//! Go-back-N: what keeps the messages of a device in order although it does not wait for answers.
//!
//! Each conversation has a lane. One batch of a lane is with the api at a time; what comes meanwhile waits and goes
//! together as the next batch. When a message fails in a way that repeating it may mend ([`stops`]), its lane stops:
//! whatever is behind it is answered `GO_BACK`, and so is everything that still comes, until the device repeats the
//! message that failed. A message that is refused for good holds nobody up: the device will not repeat it.
//!
//! A state machine without I/O.

use hudhud_proto::limits::SEND_BATCH_MAX;
use hudhud_proto::v1::{Accepted, ErrorCode, Send};
use hudhud_proto::{ConversationId, MessageId, ProtocolError};
use std::collections::{BTreeMap, VecDeque};

/// The sends of one connection.
#[derive(Default)]
pub struct Pipeline {
    lanes: BTreeMap<ConversationId, Lane>,
    /// The lanes that have something waiting and nothing in flight, longest-waiting first. Each once.
    ready: VecDeque<ConversationId>,
    unanswered: usize,
    unanswered_bytes: usize,
    stopped: usize,
}

#[derive(Default)]
struct Lane {
    in_flight: Vec<Pending>,
    waiting: VecDeque<(Pending, Send)>,
    stopped: Option<Stopped>,
}

#[derive(Clone, Copy)]
struct Pending {
    request: u64,
    message: MessageId,
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Stopped {
    at: MessageId,
    retry_after_ms: u32,
}

/// The answer to one send: its request and what goes back.
pub type Answer = (u64, Result<Accepted, ProtocolError>);

/// Whether a message that failed so may be accepted when it is repeated: then nothing behind it may be accepted before.
pub fn stops(error: &ProtocolError) -> bool {
    error.retry_after_ms > 0
        || matches!(
            error.code,
            ErrorCode::Unspecified
                | ErrorCode::RateLimited
                | ErrorCode::Unavailable
                | ErrorCode::GoBack
                | ErrorCode::Internal
                | ErrorCode::Full
        )
}

impl Pipeline {
    /// Takes a send in. Refuses it with `GO_BACK` while its lane is stopped at another message.
    pub fn offer(
        &mut self,
        request: u64,
        conversation: ConversationId,
        message: MessageId,
        send: Send,
    ) -> Result<(), ProtocolError> {
        let lane = self.lanes.entry(conversation).or_default();
        match lane.stopped {
            Some(stopped) if stopped.at != message => return Err(go_back(stopped.retry_after_ms)),
            Some(_) => {
                lane.stopped = None;
                self.stopped -= 1;
            }
            None => {}
        }
        let bytes = send.content.as_option().map_or(0, |content| content.payload.len());
        if lane.waiting.is_empty() && lane.in_flight.is_empty() {
            self.ready.push_back(conversation);
        }
        lane.waiting.push_back((Pending { request, message, bytes }, send));
        self.unanswered += 1;
        self.unanswered_bytes += bytes;
        Ok(())
    }

    /// The next batch to be sent, if any: messages of one conversation, in their order. [`Self::finish`] takes its
    /// answers.
    pub fn next_batch(&mut self) -> Option<(ConversationId, Vec<Send>)> {
        let conversation = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&conversation).expect("a ready lane is there");
        let count = lane.waiting.len().min(SEND_BATCH_MAX);
        let (pending, sends) = lane.waiting.drain(..count).unzip();
        lane.in_flight = pending;
        Some((conversation, sends))
    }

    /// Takes the answers to the batch that a conversation has in flight, one per message in order, and returns what is
    /// answered now.
    pub fn finish(
        &mut self,
        conversation: ConversationId,
        results: Vec<Result<Accepted, ProtocolError>>,
    ) -> Vec<Answer> {
        let lane = self.lanes.get_mut(&conversation).expect("a lane in flight is there");
        let in_flight = std::mem::take(&mut lane.in_flight);
        let mut results = results.into_iter();
        let mut answers = Vec::with_capacity(in_flight.len());
        for pending in in_flight {
            self.unanswered -= 1;
            self.unanswered_bytes -= pending.bytes;
            let result = results.next().unwrap_or_else(|| Err(unanswered()));
            let answer = match (result, lane.stopped) {
                (Ok(accepted), _) => Ok(accepted),
                (Err(_), Some(stopped)) => Err(go_back(stopped.retry_after_ms)),
                (Err(error), None) => {
                    if stops(&error) {
                        lane.stopped = Some(Stopped { at: pending.message, retry_after_ms: error.retry_after_ms });
                        self.stopped += 1;
                    }
                    Err(error)
                }
            };
            answers.push((pending.request, answer));
        }
        if let Some(stopped) = lane.stopped {
            for (pending, _) in lane.waiting.drain(..) {
                self.unanswered -= 1;
                self.unanswered_bytes -= pending.bytes;
                answers.push((pending.request, Err(go_back(stopped.retry_after_ms))));
            }
        } else if lane.waiting.is_empty() {
            self.lanes.remove(&conversation);
        } else {
            self.ready.push_back(conversation);
        }
        answers
    }

    /// Sends that have no answer yet.
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Bytes of payload among them.
    pub fn unanswered_bytes(&self) -> usize {
        self.unanswered_bytes
    }

    /// Conversations that wait for a message to be repeated. Each costs memory until it is.
    pub fn stopped(&self) -> usize {
        self.stopped
    }
}

fn go_back(retry_after_ms: u32) -> ProtocolError {
    let message = "an earlier message of this conversation failed: send that one again, then this one";
    ProtocolError::retry(ErrorCode::GoBack, message, retry_after_ms)
}

fn unanswered() -> ProtocolError {
    ProtocolError::new(ErrorCode::Internal, "the server gave no answer to this message; its log says why")
}

#[cfg(test)]
mod tests;
