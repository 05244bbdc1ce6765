//! The turns of a connection's task: what is to be done next, frames taken in together, frames written.

use super::{CLOSE_GRACE, FRAMES_TOGETHER_MAX, Finished, STALL_MAX, Task, Wire, Work, close, sleep};
use crate::gateway::transport::Closed;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::poll;
use futures_util::stream::StreamExt as _;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// What a connection's task does next.
#[expect(
    clippy::large_enum_variant,
    reason = "it is used up where it is made: a box would be an allocation for each turn"
)]
pub(super) enum Turn {
    /// Something waits to be written, or the connection is to close.
    Write,
    /// The timer rang.
    Tick,
    /// Work came to its end.
    Finished(Finished),
    /// A frame came; none where the other end closed.
    Frame(Option<Bytes>),
}

impl Task {
    /// What is to be done next. Written by hand rather than as a `select!`: this is where a server spends its turns, and
    /// nothing is allocated or registered anew in it.
    pub(super) fn poll_turn(&mut self, wire: &mut Wire, wrote: &mut bool, context: &mut Context<'_>) -> Poll<Turn> {
        if !*wrote && self.connection.outbox.poll_ready(self.closing, context).is_ready() {
            return Poll::Ready(Turn::Write);
        }
        if self.timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Turn::Tick);
        }
        if !wire.work.is_empty()
            && let Poll::Ready(Some(finished)) = wire.work.poll_next_unpin(context)
        {
            return Poll::Ready(Turn::Finished(finished));
        }
        if self.may_read()
            && let Poll::Ready(frame) = wire.transport.poll_receive(context)
        {
            return Poll::Ready(Turn::Frame(frame));
        }
        if std::mem::take(wrote) && self.connection.outbox.poll_ready(self.closing, context).is_ready() {
            return Poll::Ready(Turn::Write);
        }
        Poll::Pending
    }

    /// Takes the frames that came together with the last one, so that they are worked on together: sends become one batch.
    /// Returns false where the other end closed behind them.
    pub(super) async fn receive_more(&mut self, wire: &mut Wire) -> bool {
        for _ in 1..FRAMES_TOGETHER_MAX {
            self.account();
            if !self.may_read() {
                break;
            }
            match poll_fn(|context| Poll::Ready(wire.transport.poll_receive(context))).await {
                Poll::Ready(Some(frame)) => self.received(&wire.work, &frame),
                Poll::Ready(None) => {
                    // What was heard before is done all the same.
                    self.start_work(&wire.work);
                    return false;
                }
                Poll::Pending => break,
            }
        }
        true
    }

    /// Writes what waits, and lets work go on meanwhile: it may hold what others wait for. Returns false where the
    /// connection is of no use any more.
    pub(super) async fn write(&mut self, wire: &mut Wire) -> bool {
        let frames = self.connection.outbox.take();
        if frames.is_empty() {
            return true;
        }
        let Wire { transport, work } = wire;
        let mut sending = transport.send(frames);
        // Nearly always the socket takes all at once, and there is nothing to wait for.
        match poll!(&mut sending) {
            Poll::Ready(sent) => {
                self.connection.outbox.written();
                sent.is_ok()
            }
            // In a box.
            Poll::Pending => Box::pin(self.wait_for(sending, work)).await,
        }
    }

    /// Waits until what waits is written. It was polled just now, and wakes this task when it can go on: polled again at once, it
    /// would keep this task from letting others run.
    async fn wait_for(&mut self, mut sending: BoxFuture<'_, Result<(), Closed>>, work: &mut Work) -> bool {
        let connection = self.connection.clone();
        // A client that reads nothing for so long would not hear a ping either.
        let mut limit = sleep(&self.gateway, self.silence_max());
        let mut stalled = sleep(&self.gateway, STALL_MAX);
        let mut give_up: BoxFuture<'_, ()> =
            if self.closing { sleep(&self.gateway, CLOSE_GRACE) } else { Box::pin(connection.outbox.close_wanted()) };
        let mut is_polled = true;
        loop {
            let sent = poll_fn(|context| match std::mem::take(&mut is_polled) {
                true => Poll::Pending,
                false => sending.poll_unpin(context),
            });
            tokio::select! {
                biased;
                sent = sent => {
                    connection.outbox.written();
                    return sent.is_ok();
                }
                () = &mut give_up => return false,
                Some(finished) = work.next(), if !work.is_empty() => self.finished(work, finished),
                () = &mut stalled => {
                    if self.gateway.budget.is_tight() {
                        self.gateway.services.metrics.stalled.inc();
                        connection.outbox.close(close::IDLE);
                        return false;
                    }
                    stalled = sleep(&self.gateway, STALL_MAX);
                }
                () = &mut limit => {
                    self.gateway.services.metrics.idle_timeouts.inc();
                    connection.outbox.close(close::IDLE);
                    return false;
                }
            }
        }
    }
}
