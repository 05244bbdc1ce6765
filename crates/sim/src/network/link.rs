//! One connection: two ordered lanes of frames, and every way in which it can end.

use crate::chance::Chance;
use crate::world::World;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hudhud_client::Closed;
use hudhud_roles::gateway;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::Notify;

/// Bytes that an end takes without the other one reading them.
const WINDOW_BYTES: usize = 128 * 1024;

/// A connection between a device and a server.
pub struct Link {
    world: World,
    device: Arc<str>,
    server: Arc<str>,
    state: Mutex<State>,
    up: Signals,
    down: Signals,
}

#[derive(Default)]
struct Signals {
    /// For who reads: something came, or will not come any more.
    came: Notify,
    /// For who writes: there is room again, or the connection is gone.
    room: Notify,
}

struct State {
    up: Lane,
    down: Lane,
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<(Duration, Item)>,
    bytes: usize,
    last_at: Duration,
    /// Its reader knows that the connection is gone; what was under way is lost.
    reset: bool,
    /// Nothing gets through any more, and nobody is told.
    hole: bool,
}

enum Item {
    Frame(Bytes),
    End(Closed),
}

/// Which end of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The device's.
    Device,
    /// The server's.
    Server,
}

impl State {
    /// What this end reads from.
    fn to(&mut self, end: End) -> &mut Lane {
        match end {
            End::Device => &mut self.down,
            End::Server => &mut self.up,
        }
    }

    /// What this end writes to.
    fn from(&mut self, end: End) -> &mut Lane {
        match end {
            End::Device => &mut self.up,
            End::Server => &mut self.down,
        }
    }
}

impl Link {
    /// A connection that was just made: both ends.
    pub fn new(world: &World, device: Arc<str>, server: Arc<str>) -> (DeviceEnd, ServerEnd, Arc<Self>) {
        let state = State { up: Lane::default(), down: Lane::default() };
        let link = Arc::new(Self {
            world: world.clone(),
            device,
            server,
            state: Mutex::new(state),
            up: Signals::default(),
            down: Signals::default(),
        });
        (DeviceEnd(link.clone()), ServerEnd { link: link.clone(), next: None }, link)
    }

    /// Which device.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Which server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// An end learns that the connection is gone, at once; what was under way to it is lost.
    pub fn reset(&self, end: End) {
        let mut state = self.state.lock();
        let lane = state.to(end);
        lane.reset = true;
        lane.queue.clear();
        drop(state);
        self.wake();
    }

    /// From now on nothing gets through, and nobody is told.
    pub fn become_hole(&self) {
        self.swallow(End::Device);
        self.swallow(End::Server);
    }

    /// From now on nothing that this end writes gets through, and nobody is told. The other way all is well.
    pub fn swallow(&self, from: End) {
        let mut state = self.state.lock();
        let lane = state.from(from);
        lane.hole = true;
        lane.queue.clear();
    }

    /// Whether both ends know that it is over.
    pub fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.up.reset && state.down.reset
    }

    fn wake(&self) {
        for signals in [&self.up, &self.down] {
            signals.came.notify_one();
            signals.room.notify_one();
        }
    }

    fn signals(&self, to: End) -> &Signals {
        match to {
            End::Device => &self.down,
            End::Server => &self.up,
        }
    }

    /// Puts something on its way; false if the connection is gone.
    fn put(&self, from: End, item: Item) -> bool {
        let latency = self.world.draw(|chance| latency(chance, self.world.plan().latency_ms_max));
        let mut state = self.state.lock();
        if state.to(from).reset {
            return false;
        }
        let lane = state.from(from);
        if let Item::Frame(frame) = &item {
            lane.bytes += frame.len();
        }
        if !lane.hole && !lane.reset {
            lane.last_at = lane.last_at.max(self.world.now() + latency);
            lane.queue.push_back((lane.last_at, item));
            drop(state);
            let to = if from == End::Device { End::Server } else { End::Device };
            self.signals(to).came.notify_one();
        }
        true
    }

    /// Waits for what comes next.
    async fn take(&self, end: End) -> Item {
        loop {
            let next = {
                let mut state = self.state.lock();
                let lane = state.to(end);
                if lane.reset {
                    return Item::End(Closed { code: None, reason: "the connection was cut".into() });
                }
                match lane.queue.front() {
                    Some((at, _)) if *at <= self.world.now() => {
                        let (_, item) = lane.queue.pop_front().expect("it is at the front");
                        if let Item::Frame(frame) = &item {
                            lane.bytes -= frame.len();
                            self.signals(end).room.notify_one();
                        } else {
                            lane.reset = true;
                        }
                        return item;
                    }
                    front => front.map(|(at, _)| *at),
                }
            };
            let came = self.signals(end).came.notified();
            match next {
                None => came.await,
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = came => {}
                        () = self.world.sleep_until(at) => {}
                    }
                }
            }
        }
    }

    /// Waits until the other end, or the network, has room.
    async fn room(&self, from: End) {
        loop {
            {
                let mut state = self.state.lock();
                if state.to(from).reset || state.from(from).bytes < WINDOW_BYTES {
                    return;
                }
            }
            let to = if from == End::Device { End::Server } else { End::Device };
            self.signals(to).room.notified().await;
        }
    }
}

fn latency(chance: &mut Chance, most_ms: u64) -> Duration {
    match chance.below(50) {
        0 => chance.millis(0..most_ms * 5 + 1),
        _ => chance.millis(0..most_ms + 1),
    }
}

/// The device's end. Dropping it closes the connection.
pub struct DeviceEnd(Arc<Link>);

impl DeviceEnd {
    /// Waits for the next frame, or for how the connection ended.
    pub async fn receive(&self) -> Result<Bytes, Closed> {
        match self.0.take(End::Device).await {
            Item::Frame(frame) => Ok(frame),
            Item::End(closed) => Err(closed),
        }
    }

    /// Writes a frame. Whether it arrives is another question.
    pub fn send(&self, frame: Bytes) {
        self.0.put(End::Device, Item::Frame(frame));
    }

    /// The other end learns at once that the device is gone; what was under way is lost.
    pub fn reset(self) {
        self.0.reset(End::Server);
    }

    /// The other end learns nothing.
    pub fn vanish(self) {
        self.0.become_hole();
    }
}

impl Drop for DeviceEnd {
    fn drop(&mut self) {
        self.0.put(End::Device, Item::End(Closed::default()));
        self.0.state.lock().down.reset = true;
    }
}

/// The server's end: a socket, to a gateway. Dropping it cuts the connection.
pub struct ServerEnd {
    link: Arc<Link>,
    /// What comes next, while it is waited for.
    next: Option<BoxFuture<'static, Item>>,
}

#[async_trait]
impl gateway::Transport for ServerEnd {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let link = &self.link;
        let next = self.next.get_or_insert_with(|| {
            let link = link.clone();
            Box::pin(async move { link.take(End::Server).await })
        });
        let item = ready!(next.as_mut().poll(context));
        self.next = None;
        Poll::Ready(match item {
            Item::Frame(frame) => Some(frame),
            Item::End(_) => None,
        })
    }

    async fn send(&mut self, frames: Vec<Bytes>) -> Result<(), gateway::Closed> {
        for frame in frames {
            self.link.room(End::Server).await;
            if !self.link.put(End::Server, Item::Frame(frame)) {
                return Err(gateway::Closed);
            }
        }
        Ok(())
    }

    async fn close(&mut self, code: u16, reason: &str) {
        self.link.put(End::Server, Item::End(Closed { code: Some(code), reason: reason.to_owned() }));
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        // Behind a close frame this is never read. A process that dies without power tells nobody: see `become_hole`.
        self.link.put(End::Server, Item::End(Closed { code: None, reason: "the server closed the connection".into() }));
        self.link.state.lock().up.reset = true;
    }
}
