//! The tasks of one run of a server process: they all stand still, or die, at once.

use crate::watched::Watched;
use crate::world::World;
use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hudhud_ports::{Error, ErrorKind, Spawn};
use parking_lot::Mutex;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::task::AbortHandle;

/// What the tasks of a process may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pulse {
    /// They run.
    Running,
    /// None of them gets to run (SIGSTOP).
    Stopped,
    /// They are gone, at whatever they waited for (SIGKILL).
    Dead,
}

/// A process, as the system sees it. Cheap to clone.
#[derive(Clone)]
pub struct Process {
    world: World,
    name: Arc<str>,
    state: Arc<Mutex<State>>,
    pulse: Arc<Watched<Pulse>>,
    alarmed: Arc<Watched<bool>>,
}

#[derive(Default)]
struct State {
    handles: Vec<AbortHandle>,
    pruned_len: usize,
    /// Of tasks that would have run while the process stood still.
    woken: Vec<Waker>,
}

struct Task {
    process: Process,
    future: BoxFuture<'static, ()>,
}

impl Process {
    /// A process without tasks.
    pub fn new(world: &World, name: Arc<str>) -> Self {
        let pulse = Arc::new(Watched::new(Pulse::Running));
        Self { world: world.clone(), name, state: Arc::default(), pulse, alarmed: Arc::default() }
    }

    /// An engine can't keep its promises any more: whoever runs the process is to end it.
    pub fn alarm(&self) {
        self.alarmed.change(|alarmed| *alarmed = true);
    }

    /// The dispatcher gave up: right when an engine can't keep its promises or holds damaged rows, and never else.
    pub fn dispatcher_stopped(&self, error: &Error) {
        let what = format!("the dispatcher of {} stopped: {error}", self.name);
        self.world.note(format_args!("{what}"));
        match error.kind() {
            ErrorKind::Fatal | ErrorKind::Corrupt => self.alarm(),
            _ => self.world.observer().violate(0, what, Vec::new()),
        }
    }

    /// Waits until an engine can't keep its promises any more.
    pub async fn alarmed(&self) {
        self.alarmed.until(|alarmed| *alarmed).await;
    }

    /// Which server it is.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What its tasks may do now.
    pub fn pulse(&self) -> Pulse {
        self.pulse.get()
    }

    /// Waits until it stands still.
    pub async fn stands_still(&self) {
        self.pulse.until(|pulse| *pulse == Pulse::Stopped).await;
    }

    /// Waits until it runs; false if it is dead.
    pub async fn runs(&self) -> bool {
        self.pulse.until(|pulse| *pulse != Pulse::Stopped).await;
        self.pulse() == Pulse::Running
    }

    /// Stops every task where it is.
    pub fn stop(&self) {
        if self.pulse() == Pulse::Running {
            self.pulse.change(|pulse| *pulse = Pulse::Stopped);
        }
    }

    /// Lets them go on.
    pub fn go_on(&self) {
        if self.pulse() == Pulse::Stopped {
            self.pulse.change(|pulse| *pulse = Pulse::Running);
            let woken = std::mem::take(&mut self.state.lock().woken);
            woken.into_iter().for_each(Waker::wake);
        }
    }

    /// Ends every task where it is.
    pub fn kill(&self) {
        self.pulse.change(|pulse| *pulse = Pulse::Dead);
        let (handles, woken) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.handles), std::mem::take(&mut state.woken))
        };
        handles.into_iter().for_each(|handle| handle.abort());
        drop(woken);
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.process.pulse() {
            Pulse::Running => self.future.poll_unpin(context),
            Pulse::Stopped => {
                self.process.state.lock().woken.push(context.waker().clone());
                Poll::Pending
            }
            Pulse::Dead => Poll::Ready(()),
        }
    }
}

#[async_trait]
impl Spawn for Process {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        if self.pulse() == Pulse::Dead {
            return;
        }
        let (world, name) = (self.world.clone(), self.name.clone());
        let guarded = AssertUnwindSafe(future).catch_unwind().map(move |ended| {
            if let Err(panic) = ended {
                let what = panic.downcast_ref::<String>().map(String::as_str);
                let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why");
                world.note(format_args!("{name} panicked: {what}"));
                world.observer().violate(0, format!("a task of {name} panicked: {what}"), Vec::new());
            }
        });
        let task = tokio::spawn(Task { process: self.clone(), future: guarded.boxed() });
        let mut state = self.state.lock();
        state.handles.push(task.abort_handle());
        if state.handles.len() > 2 * state.pruned_len + 64 {
            state.handles.retain(|handle| !handle.is_finished());
            state.pruned_len = state.handles.len();
        }
    }

    async fn compute(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}
