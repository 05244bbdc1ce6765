//! What waits to be written to one connection: a bounded queue that never makes whoever pushes wait.

use super::budget::{Budget, Charge};
use super::close::Close;
use bytes::Bytes;
use hudhud_proto::v1::server_frame::Event;
use hudhud_proto::{Encoding, v1};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What pushes to a connection may hold however full the memory is: whoever reads as fast as others write needs no more, and
/// is not to lag because others read slowly. A part of what each connection may hold beside what all share.
const PUSH_BYTES_MIN: usize = 4 * 1_024;
/// Frames that are written with one flush.
const WRITE_FRAMES_MAX: usize = 64;
/// Bytes after which a flush takes no further frame.
const WRITE_BYTES_MAX: usize = 256 * 1024;
/// What a frame that waits costs beside its bytes, roughly.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// What became of a push.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pushed {
    /// It will be written.
    Queued,
    /// Dropped, with so many others that waited; the connection will be told that it lags.
    Dropped(usize),
    /// The connection is closing.
    Closed,
}

/// The queue. Written by deliveries and by the connection's task, emptied by that task alone.
pub(super) struct Outbox {
    encoding: Encoding,
    push_frames_max: usize,
    budget: Arc<Budget>,
    state: Mutex<State>,
}

struct State {
    /// Never dropped: there are at most as many as unanswered requests.
    answers: VecDeque<Bytes>,
    /// At most `push_frames_max`, and as many as the connection's share of the budget takes. A frame that waits for many
    /// connections counts in full for each.
    pushes: VecDeque<Bytes>,
    push_bytes: usize,
    /// Of what was taken and is not written yet.
    taken_bytes: usize,
    answer_bytes: usize,
    /// All of these.
    charge: Charge,
    /// Pushes wait for the answer to Hello.
    welcomed: bool,
    lagging: bool,
    close: Option<Close>,
    /// The connection's task, where it waits for what others put here.
    waiting: Option<Waker>,
}

impl Outbox {
    pub(super) fn new(encoding: Encoding, push_frames_max: usize, budget: &Arc<Budget>) -> Self {
        let state = State {
            answers: VecDeque::new(),
            pushes: VecDeque::new(),
            push_bytes: 0,
            taken_bytes: 0,
            answer_bytes: 0,
            charge: budget.charge(),
            welcomed: false,
            lagging: false,
            close: None,
            waiting: None,
        };
        Self { encoding, push_frames_max, budget: budget.clone(), state: Mutex::new(state) }
    }

    /// Queues the answer to a request. For the connection's own task, which looks at the queue afterwards.
    pub(super) fn answer(&self, request: u64, event: Event) {
        let frame = self.encode(request, event);
        let mut state = self.state.lock();
        state.answer_bytes += cost(&frame);
        state.answers.push_back(frame);
        state.account();
    }

    /// Queues the answer to Hello. Pushes follow it.
    pub(super) fn welcome(&self, request: u64, welcome: v1::Welcome) {
        self.answer(request, Event::Welcome(welcome));
        self.state.lock().welcomed = true;
    }

    /// Queues a push that is encoded already.
    pub(super) fn push(&self, frame: Bytes) -> Pushed {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return Pushed::Closed;
        }
        if state.lagging {
            return Pushed::Dropped(1);
        }
        let cost = cost(&frame);
        let bytes_max = self.budget.share().max(PUSH_BYTES_MIN);
        if state.pushes.len() >= self.push_frames_max || state.push_bytes + cost > bytes_max {
            let dropped = state.pushes.len() + 1;
            state.drop_pushes();
            state.lagging = true;
            // It may have nothing else to write and have to say that it lags.
            state.wake();
            return Pushed::Dropped(dropped);
        }
        state.push_bytes += cost;
        state.pushes.push_back(frame);
        state.account();
        state.wake();
        Pushed::Queued
    }

    /// Queues a push of the connection's own.
    pub(super) fn push_event(&self, event: Event) {
        let frame = self.encode(0, event);
        self.push(frame);
    }

    /// Asks for the connection to be closed. What waits to be pushed is dropped; answers are still written. The first
    /// reason stays.
    pub(super) fn close(&self, close: Close) {
        let mut state = self.state.lock();
        state.close.get_or_insert(close);
        state.drop_pushes();
        state.lagging = false;
        state.wake();
    }

    /// Why the connection is to close, if it is.
    pub(super) fn closing(&self) -> Option<Close> {
        self.state.lock().close
    }

    /// Whether there is something to write, or a close to be done that the caller does not know of; the caller is woken once
    /// there is. One task at a time asks.
    pub(super) fn poll_ready(&self, knows_of_close: bool, context: &mut Context<'_>) -> Poll<()> {
        self.poll(context, |state| state.has_frames() || (state.close.is_some() && !knows_of_close))
    }

    /// Waits until the connection is to close.
    pub(super) async fn close_wanted(&self) {
        poll_fn(|context| self.poll(context, |state| state.close.is_some())).await;
    }

    /// Takes what one flush writes: answers first, then word that the connection lagged, then pushes. It counts until
    /// [`Self::written`].
    pub(super) fn take(&self) -> Vec<Bytes> {
        let mut state = self.state.lock();
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < WRITE_FRAMES_MAX && bytes < WRITE_BYTES_MAX {
            let frame = match state.answers.pop_front() {
                Some(frame) => {
                    state.answer_bytes -= cost(&frame);
                    frame
                }
                None if !state.welcomed => break,
                None if state.lagging => {
                    state.lagging = false;
                    self.encode(0, Event::Lagging(v1::Lagging::default()))
                }
                None => match state.pushes.pop_front() {
                    Some(frame) => {
                        state.push_bytes -= cost(&frame);
                        frame
                    }
                    None => break,
                },
            };
            bytes += frame.len();
            state.taken_bytes += cost(&frame);
            taken.push(frame);
        }
        state.account();
        taken
    }

    /// What was taken is written, or given up.
    pub(super) fn written(&self) {
        let mut state = self.state.lock();
        state.taken_bytes = 0;
        state.account();
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        !self.state.lock().has_frames()
    }

    fn encode(&self, request: u64, event: Event) -> Bytes {
        self.encoding.encode_server(&v1::ServerFrame { request, event: Some(event) })
    }

    fn poll(&self, context: &mut Context<'_>, condition: impl Fn(&State) -> bool) -> Poll<()> {
        let mut state = self.state.lock();
        if condition(&state) {
            // Whoever is at work needs no waking.
            state.waiting = None;
            return Poll::Ready(());
        }
        match &mut state.waiting {
            Some(waker) => waker.clone_from(context.waker()),
            waiting => *waiting = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

fn cost(frame: &Bytes) -> usize {
    frame.len() + FRAME_OVERHEAD_BYTES
}

impl State {
    fn drop_pushes(&mut self) {
        self.pushes = VecDeque::new();
        self.push_bytes = 0;
        self.account();
    }

    fn account(&mut self) {
        self.charge.set(self.answer_bytes + self.push_bytes + self.taken_bytes);
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    fn has_frames(&self) -> bool {
        !self.answers.is_empty() || (self.welcomed && (self.lagging || !self.pushes.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::close::{IDLE, REVOKED};
    use prometheus_client::metrics::gauge::Gauge;

    const BUDGET_BYTES: usize = 64 * 1_024 * 1_024;

    fn budget() -> Arc<Budget> {
        Budget::new(BUDGET_BYTES, Gauge::default())
    }

    fn welcomed(frames_max: usize) -> Outbox {
        let outbox = Outbox::new(Encoding::Protobuf, frames_max, &budget());
        outbox.welcome(1, v1::Welcome::default());
        outbox
    }

    fn events(outbox: &Outbox) -> Vec<Event> {
        let decode = |frame: Bytes| Encoding::Protobuf.decode_server(&frame).expect("a frame").event.expect("an event");
        outbox.take().into_iter().map(decode).collect()
    }

    fn typing(n: u8) -> Bytes {
        let event = Event::TypingNotice(v1::TypingNotice { account: vec![n].into(), ..Default::default() });
        crate::presence::push(event)
    }

    #[test]
    fn pushes_wait_for_the_welcome() {
        let outbox = Outbox::new(Encoding::Protobuf, 4, &budget());
        assert_eq!(outbox.push(typing(1)), Pushed::Queued);
        assert!(outbox.is_empty() && outbox.take().is_empty());
        outbox.welcome(1, v1::Welcome::default());
        assert!(matches!(events(&outbox)[..], [Event::Welcome(_), Event::TypingNotice(_)]));
    }

    #[test]
    fn a_full_outbox_drops_pushes_and_says_so_once_but_keeps_answers() {
        let outbox = welcomed(2);
        assert_eq!(
            [1, 2, 3, 4].map(|n| outbox.push(typing(n))),
            [Pushed::Queued, Pushed::Queued, Pushed::Dropped(3), Pushed::Dropped(1)]
        );
        outbox.answer(2, Event::Done(v1::Done::default()));
        assert!(matches!(events(&outbox)[..], [Event::Welcome(_), Event::Done(_), Event::Lagging(_)]));
        assert_eq!(outbox.push(typing(5)), Pushed::Queued);
        assert!(matches!(events(&outbox)[..], [Event::TypingNotice(_)]));
    }

    #[test]
    fn pushes_are_bounded_by_the_share_of_the_budget_and_free_it_when_they_are_dropped() {
        let budget = budget();
        let outbox = Outbox::new(Encoding::Protobuf, 1_000, &budget);
        let share = budget.share();
        let frame = Bytes::from(vec![0; share * 2 / 5]);
        assert_eq!(outbox.push(frame.clone()), Pushed::Queued);
        assert_eq!(outbox.push(frame.clone()), Pushed::Queued);
        assert_eq!(outbox.push(frame), Pushed::Dropped(3));
        assert_eq!(budget.share(), share);
    }

    /// Others fill the memory; who reads is pushed to all the same, a little at a time.
    #[test]
    fn a_full_memory_leaves_everybody_a_little() {
        let budget = budget();
        let outbox = Outbox::new(Encoding::Protobuf, 1_000, &budget);
        let mut others = budget.charge();
        others.set(BUDGET_BYTES);
        assert_eq!(budget.share(), 0);
        let frame = Bytes::from_static(&[0; 200]);
        for _ in 0..8 {
            assert_eq!(outbox.push(frame.clone()), Pushed::Queued);
        }
        let large = Bytes::from(vec![0; PUSH_BYTES_MIN]);
        assert_eq!(outbox.push(large), Pushed::Dropped(9));
    }

    #[test]
    fn what_is_being_written_counts_until_it_is() {
        let budget = budget();
        let outbox = Outbox::new(Encoding::Protobuf, 1_000, &budget);
        let share = budget.share();
        outbox.answer(1, Event::Done(v1::Done::default()));
        let waiting = budget.share();
        assert!(waiting < share && outbox.take().len() == 1 && budget.share() == waiting);
        outbox.written();
        assert_eq!(budget.share(), share);
    }

    #[test]
    fn one_flush_is_bounded() {
        let outbox = welcomed(1_000);
        for n in 0..100 {
            outbox.push(typing(n));
        }
        assert_eq!(outbox.take().len(), WRITE_FRAMES_MAX);
    }

    #[test]
    fn a_closing_connection_still_answers_and_pushes_nothing() {
        let outbox = welcomed(4);
        outbox.push(typing(1));
        outbox.close(REVOKED);
        outbox.close(IDLE);
        assert_eq!(outbox.push(typing(2)), Pushed::Closed);
        outbox.answer(2, Event::Done(v1::Done::default()));
        assert!(matches!(events(&outbox)[..], [Event::Welcome(_), Event::Done(_)]));
        assert_eq!(outbox.closing(), Some(REVOKED));
    }
}
