//! The one thread that appends: takes everything that waits, one write, one fsync, and answers.

use super::segment::{HEADER_BYTES, Segment, is_full};
use super::{ENGINE, Shared, frame};
use bytes::Bytes;
use hudhud_ports::{Error, ErrorKind, Result};
use hudhud_proto::{Position, Shard};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot};

/// Bytes that are written together, roughly: bounds how long the first append of a group waits.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the writer is asked to do.
pub(super) enum Call {
    Append(Append),
    Close { done: oneshot::Sender<()> },
}

/// Records for one shard, and whom to tell.
pub(super) struct Append {
    shard: Shard,
    records: Vec<Bytes>,
    /// Of records and their headers.
    pub(super) bytes: u64,
    done: oneshot::Sender<Result<Vec<Position>>>,
}

impl Append {
    pub(super) fn new(shard: Shard, records: Vec<Bytes>, done: oneshot::Sender<Result<Vec<Position>>>) -> Self {
        let bytes = records.iter().map(|record| (frame::HEADER_BYTES + record.len()) as u64).sum();
        Self { shard, records, bytes, done }
    }

    fn answer(self, answer: Result<Vec<Position>>) {
        // An error means that the caller went away.
        self.done.send(answer).ok();
    }
}

/// Where the log ends.
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// The byte of it where the next record goes.
    pub(super) at: u64,
    /// The offset of the next record.
    pub(super) next: u64,
}

/// The writer of a log.
pub(super) struct Writer {
    shared: Arc<Shared>,
    active: Active,
    /// Whether nothing more fits into the segment.
    is_sealed: bool,
    /// The frames of the group.
    buffer: Vec<u8>,
    group: Vec<Append>,
    records_in_group: u32,
}

impl Drop for Writer {
    /// Also when it panicked: nobody may wait for it for ever.
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.wake_all();
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, active: Active) -> Self {
        Self { shared, active, is_sealed: false, buffer: Vec::new(), group: Vec::new(), records_in_group: 0 }
    }

    /// Runs until it is told to close, the bus is dropped, or nothing can be promised any more.
    pub(super) fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        while let Some(first) = calls.blocking_recv() {
            let mut next = Some(first);
            let mut closed = None;
            while let Some(call) = next {
                match call {
                    Call::Append(append) => self.add(append),
                    Call::Close { done } => {
                        closed = Some(done);
                        break;
                    }
                }
                next = if self.buffer.len() < GROUP_BYTES_MAX { calls.try_recv().ok() } else { None };
            }
            self.write_group();
            if let Some(done) = closed {
                // An error means that nobody waits for it.
                done.send(()).ok();
                return;
            }
            if self.shared.failed.get().is_some() {
                return;
            }
        }
    }

    /// Adds an append to the group, behind a group of its own if the segment has no room for it.
    fn add(&mut self, append: Append) {
        let needed = self.buffer.len() as u64 + append.bytes + frame::HEADER_BYTES as u64;
        let fits = self.active.at + needed <= self.active.segment.bytes;
        if !fits || self.is_sealed {
            self.write_group();
            if let Err(error) = self.roll(append.bytes) {
                self.shared.state.lock().index.release(append.bytes);
                return append.answer(Err(error));
            }
        }
        for record in &append.records {
            let header = frame::Header {
                bytes: u32::try_from(record.len()).expect("checked to be at most 1 MiB"),
                offset: self.active.next + u64::from(self.records_in_group),
                shard: append.shard.0,
                before_in_group: self.records_in_group,
            };
            frame::encode(&mut self.buffer, self.active.segment.salt, header, record);
            self.records_in_group += 1;
        }
        self.group.push(append);
    }

    /// Goes on in a new segment, in which so many bytes and a seal fit.
    fn roll(&mut self, bytes: u64) -> Result<()> {
        let Shared { path, options, epoch, state, .. } = &*self.shared;
        let full = |cause: String| Err(Error::new(ErrorKind::Full, ENGINE, "append").because(cause));
        if let Some(cause) = self.shared.failed.get() {
            return Err(Error::new(ErrorKind::Fatal, ENGINE, "append").because(cause.clone()));
        }
        if state.lock().index.log_bytes() >= options.log_bytes_max {
            return full(format!("the log has {} bytes, and an old record is not committed", options.log_bytes_max));
        }
        let bytes = options.segment_bytes.max(HEADER_BYTES + bytes + frame::HEADER_BYTES as u64);
        match Segment::create(path, *epoch, self.active.next, bytes) {
            Ok(segment) => {
                let segment = Arc::new(segment);
                state.lock().index.add_segment(segment.clone());
                self.active.segment = segment;
                self.active.at = HEADER_BYTES;
                self.is_sealed = false;
                Ok(())
            }
            Err(error) if is_full(&error) => full(format!("{}: {error}", path.display())),
            Err(error) => {
                self.fail(&error);
                Err(self.shared.gone("append"))
            }
        }
    }

    /// Makes the group durable and shows it to consumers. After an error nothing of it is there.
    fn write_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        let records = std::mem::take(&mut self.records_in_group);
        if group.is_empty() {
            return;
        }
        let Active { segment, at, .. } = &self.active;
        let written = match segment.write(&self.buffer, *at) {
            // The records may be partly there, so the segment ends here, before them. Only a copy-on-write file system
            // has no room for bytes that it allocated.
            Err(error) if is_full(&error) => {
                self.is_sealed = true;
                segment.cut_off(*at).map(|()| Err(error))
            }
            Err(error) => Err(error),
            Ok(()) => segment.sync().map(Ok),
        };
        let bytes = self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(GROUP_BYTES_MAX);
        match written {
            Ok(Ok(())) => {
                self.shared.counts.records.fetch_add(records.into(), Ordering::Relaxed);
                self.shared.counts.syncs.fetch_add(1, Ordering::Relaxed);
                self.seal(self.active.at + bytes, self.active.next + u64::from(records));
                self.show(group);
                self.active.at += bytes;
                self.active.next += u64::from(records);
            }
            Ok(Err(error)) => {
                self.shared.state.lock().index.release(bytes);
                let text = error.to_string();
                for append in group {
                    append.answer(Err(Error::new(ErrorKind::Full, ENGINE, "append").because(text.clone())));
                }
            }
            Err(error) => {
                self.fail(&error);
                for append in group {
                    append.answer(Err(self.shared.gone("append")));
                }
            }
        }
    }

    /// Tells whoever opens the log after a crash that everything before this byte was synced.
    fn seal(&self, at: u64, next: u64) {
        let segment = &self.active.segment;
        if let Err(error) = segment.write(&frame::seal(segment.salt, next), at) {
            // What is behind the sync is safe: only damage to it would not be told from a torn tail.
            tracing::warn!(%error, segment = %segment.path.display(), "the end of the log can't be sealed");
        }
    }

    fn show(&self, group: Vec<Append>) {
        let mut answers = Vec::with_capacity(group.len());
        let mut state = self.shared.state.lock();
        let (mut offset, mut at) = (self.active.next, self.active.at);
        for append in group {
            let mut positions = Vec::with_capacity(append.records.len());
            for record in append.records {
                let length = u32::try_from(record.len()).expect("checked to be at most 1 MiB");
                state.index.push(append.shard, at, length, Some(record));
                positions.push(Position::new(self.shared.epoch, offset));
                offset += 1;
                at += (frame::HEADER_BYTES + length as usize) as u64;
            }
            answers.push((append.shard, append.done, positions));
        }
        drop(state);
        for (shard, done, positions) in answers {
            self.shared.changed[shard.0 as usize].notify_waiters();
            // An error means that the caller went away.
            done.send(Ok(positions)).ok();
        }
    }

    /// Gives up: after a failed fsync nobody knows what is on disk, and trying again would only look as if it worked.
    fn fail(&self, error: &io::Error) {
        tracing::error!(%error, path = %self.shared.path.display(), "the bus can't write any more");
        let cause = format!("{}: {error}", self.active.segment.path.display());
        // Set by this thread alone, which then ends.
        self.shared.failed.set(cause).ok();
    }
}
