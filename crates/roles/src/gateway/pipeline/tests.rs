//! The order of sends, with an api that fails as it likes.

use super::*;
use proptest::prelude::*;

const CHATS: u8 = 3;

fn chat(n: u8) -> ConversationId {
    ConversationId::new([n; 16])
}

fn id(n: u8) -> MessageId {
    MessageId::new([n; 16])
}

fn send(n: u8) -> Send {
    Send { message_id: id(n).to_bytes(), ..Default::default() }
}

fn number(send: &Send) -> u8 {
    send.message_id[0]
}

fn unavailable() -> ProtocolError {
    ProtocolError::retry(ErrorCode::Unavailable, "later", 5)
}

fn forbidden() -> ProtocolError {
    ProtocolError::new(ErrorCode::Forbidden, "never")
}

/// Offers messages 1 to n of one conversation as requests of the same numbers.
fn offered(n: u8) -> Pipeline {
    let mut pipeline = Pipeline::default();
    for n in 1..=n {
        pipeline.offer(n.into(), chat(0), id(n), send(n)).expect("nothing failed yet");
    }
    pipeline
}

fn codes(answers: &[Answer]) -> Vec<(u64, Option<ErrorCode>)> {
    answers.iter().map(|(request, answer)| (*request, answer.as_ref().err().map(|error| error.code))).collect()
}

fn batch(pipeline: &mut Pipeline) -> Vec<u8> {
    pipeline.next_batch().map_or(Vec::new(), |(_, sends)| sends.iter().map(number).collect())
}

#[test]
fn what_comes_while_a_batch_is_in_flight_goes_together_after_it() {
    let mut pipeline = offered(1);
    assert_eq!(batch(&mut pipeline), [1]);
    for n in 2..=4 {
        pipeline.offer(n.into(), chat(0), id(n), send(n)).expect("nothing failed");
    }
    pipeline.offer(9, chat(1), id(9), send(9)).expect("nothing failed");
    assert_eq!(batch(&mut pipeline), [9], "another conversation does not wait");
    assert!(batch(&mut pipeline).is_empty());
    pipeline.finish(chat(0), vec![Ok(Accepted::default())]);
    assert_eq!(batch(&mut pipeline), [2, 3, 4]);
    assert_eq!(pipeline.unanswered(), 4);
}

#[test]
fn a_batch_is_bounded() {
    let mut pipeline = offered(200);
    assert_eq!(batch(&mut pipeline).len(), SEND_BATCH_MAX);
    pipeline.finish(chat(0), vec![Ok(Accepted::default()); SEND_BATCH_MAX]);
    assert_eq!(batch(&mut pipeline).first(), Some(&(SEND_BATCH_MAX as u8 + 1)));
}

#[test]
fn a_failure_sends_everything_behind_it_back() {
    let mut pipeline = offered(3);
    assert_eq!(batch(&mut pipeline), [1, 2, 3]);
    pipeline.offer(4, chat(0), id(4), send(4)).expect("nothing failed yet");
    let answers = pipeline.finish(chat(0), vec![Ok(Accepted::default()), Err(unavailable()), Err(unavailable())]);
    let expected =
        [(1, None), (2, Some(ErrorCode::Unavailable)), (3, Some(ErrorCode::GoBack)), (4, Some(ErrorCode::GoBack))];
    assert_eq!(codes(&answers), expected);
    assert_eq!((pipeline.unanswered(), pipeline.stopped()), (0, 1));

    let refused = pipeline.offer(5, chat(0), id(5), send(5)).expect_err("2 has not come again");
    assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::GoBack, 5));
    pipeline.offer(6, chat(0), id(2), send(2)).expect("the one that failed");
    pipeline.offer(7, chat(0), id(3), send(3)).expect("the lane goes again");
    assert_eq!(batch(&mut pipeline), [2, 3]);
    assert_eq!(pipeline.stopped(), 0);
}

#[test]
fn a_message_refused_for_good_holds_nobody_up() {
    let mut pipeline = offered(3);
    batch(&mut pipeline);
    let answers = pipeline.finish(chat(0), vec![Err(forbidden()), Ok(Accepted::default()), Err(forbidden())]);
    assert_eq!(codes(&answers), [(1, Some(ErrorCode::Forbidden)), (2, None), (3, Some(ErrorCode::Forbidden))]);
    assert_eq!(pipeline.stopped(), 0);
    assert!(pipeline.lanes.is_empty(), "a lane with nothing to remember is forgotten");
}

#[test]
fn an_api_that_forgets_an_answer_stops_the_lane() {
    let mut pipeline = offered(2);
    batch(&mut pipeline);
    let answers = pipeline.finish(chat(0), Vec::new());
    assert_eq!(codes(&answers), [(1, Some(ErrorCode::Internal)), (2, Some(ErrorCode::GoBack))]);
}

#[test]
fn every_code_either_stops_or_does_not() {
    let check = |code, expected| assert_eq!(stops(&ProtocolError::new(code, "")), expected, "{code:?}");
    for code in
        [ErrorCode::RateLimited, ErrorCode::Unavailable, ErrorCode::GoBack, ErrorCode::Internal, ErrorCode::Full]
    {
        check(code, true);
    }
    for code in [
        ErrorCode::Invalid,
        ErrorCode::Unauthenticated,
        ErrorCode::Forbidden,
        ErrorCode::NotFound,
        ErrorCode::Conflict,
        ErrorCode::Limit,
        ErrorCode::RecipientUnavailable,
        ErrorCode::BlockedByYou,
    ] {
        check(code, false);
    }
}

/// A device as it must behave: it sends in order, and after a failure it goes back to the message that failed.
struct Device {
    /// Per conversation: its messages that are not settled, oldest first.
    unsettled: Vec<VecDeque<u8>>,
    /// Per conversation: how many of them were sent.
    sent: Vec<usize>,
    requests: BTreeMap<u64, (u8, u8)>,
    last_request: u64,
}

impl Device {
    fn settle(&mut self, to: u8, message: u8) {
        let queue = &mut self.unsettled[usize::from(to)];
        if let Some(index) = queue.iter().position(|queued| *queued == message) {
            queue.remove(index);
            let sent = &mut self.sent[usize::from(to)];
            *sent -= usize::from(index < *sent);
        }
    }

    fn take(&mut self, (request, answer): Answer) {
        let Some((to, message)) = self.requests.remove(&request) else { panic!("{request} was not asked") };
        match answer {
            Ok(_) => self.settle(to, message),
            Err(error) if error.code == ErrorCode::GoBack => {}
            Err(error) if stops(&error) => {
                let index = self.unsettled[usize::from(to)].iter().position(|queued| *queued == message);
                let sent = &mut self.sent[usize::from(to)];
                *sent = (*sent).min(index.unwrap_or(usize::MAX));
            }
            Err(_) => self.settle(to, message),
        }
    }
}

proptest! {
    /// Whatever fails, and however deep the pipeline: what is accepted of a conversation is accepted in the order in
    /// which it was sent, nothing behind a failed message is accepted before that one came again, and in the end all
    /// are settled.
    #[test]
    fn accepted_order_is_send_order(
        script in prop::collection::vec((0..4_u8, 0..CHATS, 0..8_usize, any::<bool>()), 0..300),
        counts in prop::collection::vec(0..60_u8, usize::from(CHATS)),
    ) {
        let mut device = Device {
            unsettled: counts.iter().map(|count| (0..*count).collect()).collect(),
            sent: vec![0; usize::from(CHATS)],
            requests: BTreeMap::new(),
            last_request: 0,
        };
        let mut pipeline = Pipeline::default();
        let mut in_flight: BTreeMap<ConversationId, Vec<u8>> = BTreeMap::new();
        let mut accepted: BTreeMap<ConversationId, Vec<u8>> = BTreeMap::new();
        let mut refused: BTreeMap<ConversationId, Vec<u8>> = BTreeMap::new();
        let healthy = std::iter::repeat_with(|| [(0, 99), (1, 99), (2, 99)]).take(400).flatten();
        let healthy = healthy.enumerate().map(|(n, (step, fail_at))| (step, (n / 3 % 3) as u8, fail_at, false));
        let script = script.into_iter().chain(healthy);
        for (step, to, fail_at, for_good) in script {
            match step {
                // The device sends its next message.
                0 => {
                    let next = device.sent[usize::from(to)];
                    if let Some(message) = device.unsettled[usize::from(to)].get(next).copied() {
                        device.sent[usize::from(to)] += 1;
                        device.last_request += 1;
                        device.requests.insert(device.last_request, (to, message));
                        if let Err(error) = pipeline.offer(device.last_request, chat(to), id(message), send(message)) {
                            device.take((device.last_request, Err(error)));
                        }
                    }
                }
                // The api gets a batch.
                1 => {
                    if let Some((conversation, sends)) = pipeline.next_batch() {
                        let before = in_flight.insert(conversation, sends.iter().map(number).collect());
                        prop_assert!(before.is_none(), "one batch of a conversation at a time");
                    }
                }
                // The api answers one: a message fails for good and the others pass, or it and all behind it fail for
                // now.
                _ => {
                    if let Some((conversation, batch)) = in_flight.pop_first() {
                        let results = batch.iter().enumerate().map(|(index, message)| {
                            if index == fail_at && for_good {
                                refused.entry(conversation).or_default().push(*message);
                                Err(forbidden())
                            } else if index >= fail_at && !for_good {
                                Err(unavailable())
                            } else {
                                accepted.entry(conversation).or_default().push(*message);
                                Ok(Accepted::default())
                            }
                        });
                        for answer in pipeline.finish(conversation, results.collect()) {
                            device.take(answer);
                        }
                    }
                }
            }
        }
        for (index, count) in counts.iter().enumerate() {
            let conversation = chat(index as u8);
            let passed = accepted.remove(&conversation).unwrap_or_default();
            prop_assert!(passed.is_sorted_by(|one, next| one < next), "out of order or twice: {passed:?}");
            prop_assert_eq!(passed.len() + refused.get(&conversation).map_or(0, Vec::len), usize::from(*count));
        }
        prop_assert_eq!((pipeline.unanswered(), pipeline.unanswered_bytes(), pipeline.stopped()), (0, 0, 0));
        prop_assert!(pipeline.lanes.is_empty());
    }
}
