//! Carrying a fan-out out: inbox rows first, then look-up and push.

use super::batch::Fanout;
use super::{Core, Ended, Progressed};
use crate::session::Post;
use hudhud_ports::Write;
use hudhud_proto::Position;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Writes of one call.
const WRITES_MAX: usize = hudhud_ports::limits::WRITES_MAX;
/// Fan-outs of big conversations that wait in one shard. Beyond, the shard waits too.
const BULK_QUEUED_MAX: usize = 256;

/// Writes the inbox rows and pushes the frames. The rows come first: a device that registers between the two finds the entry in
/// its inbox, one that registered before gets the push.
pub(super) async fn carry_out(core: &Core, fanout: Fanout) -> Result<(), Ended> {
    write(core, "write inboxes", vec![fanout.inbox.into_values().collect()]).await?;
    push(core, fanout.posts).await;
    Ok(())
}

/// Pushes the frames, behind the rows that they are about.
pub(super) async fn push(core: &Core, posts: Vec<Post>) {
    if !posts.is_empty() {
        let nobody = core.sessions.deliver(posts).await;
        core.services.metrics.ready_queue.inc_by(nobody.len() as u64);
    }
}

/// Writes lists in their order, whichever database each is of; none of them mixes databases. What a list writes of one
/// partition is written together.
pub(super) async fn write(core: &Core, what: &'static str, lists: Vec<Vec<Write>>) -> Result<(), Ended> {
    let mut call: Vec<Vec<Write>> = Vec::with_capacity(lists.len());
    let mut room = WRITES_MAX;
    for mut list in lists {
        while !list.is_empty() {
            let fits = fitting(&list, room);
            if fits == list.len() {
                room -= fits;
                call.push(std::mem::take(&mut list));
                break;
            }
            // A partition that has more writes than a call takes is none that a dispatcher makes.
            let fits = if fits == 0 && call.is_empty() { room } else { fits };
            let rest = list.split_off(fits);
            call.push(std::mem::replace(&mut list, rest));
            let full = std::mem::take(&mut call);
            core.persist(what, || core.services.write_in_order(full.clone())).await?;
            room = WRITES_MAX;
        }
    }
    if !call.is_empty() {
        core.persist(what, || core.services.write_in_order(call.clone())).await?;
    }
    Ok(())
}

/// How many writes from the first on are at most so many, and do not end within a partition.
fn fitting(list: &[Write], room: usize) -> usize {
    if list.len() <= room {
        return list.len();
    }
    let place = |write: &Write| (write.key.table, write.key.partition.clone());
    (1..=room).rev().find(|n| place(&list[n - 1]) != place(&list[*n])).unwrap_or(0)
}

/// The lane of big conversations of one shard: they fan out in their order, beside everything else.
pub(super) struct BulkLane {
    jobs: mpsc::Sender<(Position, Fanout)>,
    state: Arc<Mutex<Lane>>,
}

/// How far a lane is.
#[derive(Default)]
struct Lane {
    /// What is queued or carried out, in order.
    pending: VecDeque<Position>,
    /// It carries nothing out any more. What is pending stays so, and nothing behind it is committed: a restart does it again.
    is_over: bool,
    /// Why it is over, until somebody was told.
    ended: Option<Ended>,
}

impl BulkLane {
    /// Starts the lane; it ends when this is dropped and everything queued is done, or when a fan-out can't be carried out.
    /// Both kinds of progress are told.
    pub(super) fn start(core: &Core, progressed: Progressed) -> Self {
        let (jobs, mut queue) = mpsc::channel::<(Position, Fanout)>(BULK_QUEUED_MAX);
        let state = Arc::new(Mutex::new(Lane::default()));
        let (core, lane) = (core.clone(), state.clone());
        core.services.runtime.tasks.clone().spawn(Box::pin(async move {
            while let Some((_, fanout)) = queue.recv().await {
                if let Err(ended) = carry_out(&core, fanout).await {
                    tracing::warn!(?ended, "the fan-out of a big conversation ended early");
                    let mut lane = lane.lock();
                    lane.is_over = true;
                    lane.ended = Some(ended);
                    progressed.notify_one();
                    return;
                }
                lane.lock().pending.pop_front();
                progressed.notify_one();
            }
        }));
        Self { jobs, state }
    }

    /// Queues a fan-out. Waits while the queue is full.
    pub(super) async fn queue(&self, position: Position, fanout: Fanout) -> Result<(), Ended> {
        self.state.lock().pending.push_back(position);
        self.jobs.send((position, fanout)).await.map_err(|_| self.take_end().unwrap_or(Ended::Stopped))
    }

    /// Why the lane is over, once.
    pub(super) fn take_end(&self) -> Option<Ended> {
        self.state.lock().ended.take()
    }

    /// Whether something up to here is still to be carried out, and will be.
    pub(super) fn is_behind(&self, applied: Position) -> bool {
        let lane = self.state.lock();
        !lane.is_over && lane.pending.front().is_some_and(|first| *first <= applied)
    }

    /// The greatest position, up to `applied`, at and before which everything is carried out.
    pub(super) fn done_up_to(&self, applied: Position) -> Position {
        match self.state.lock().pending.front() {
            Some(first) => Position::from_u64(first.as_u64() - 1).min(applied),
            None => applied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables;
    use bytes::Bytes;
    use hudhud_ports::Key;

    #[test]
    fn a_call_ends_between_partitions() {
        let write = |partition: &'static str| {
            let key = Key { table: tables::CONVERSATION, partition: partition.into(), sort: Bytes::new() };
            Write { key, value: None, version: 1 }
        };
        let list = ["a", "b", "b", "b", "c"].map(write);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|room| fitting(&list, room)), [0, 1, 1, 1, 4, 5]);
    }
}
