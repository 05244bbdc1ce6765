//! The thread that drives a client: brings it frames, commands and time, and carries out what it says, in order.

use super::limits::{COMMANDS_MAX, EVENTS_MAX, FRAMES_TOGETHER_MAX};
use super::transport::{self, Connector, Socket};
use crate::{Change, Client, Closed, Command, Event, Input, Moment, Options, Output, Storage, StorageError};
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// What a driver is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's WebSocket, such as `ws://127.0.0.1:8080/v1/ws`.
    pub server: String,
    /// A file with certificates in PEM, the authorities that are trusted instead of the usual ones.
    pub authorities: Option<PathBuf>,
    /// How the client presents itself.
    pub options: Options,
}

/// A client that can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The URL makes no sense, or the authorities.
    #[error("{0}")]
    Server(String),
    /// What was stored can't be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No thread, or no runtime on it.
    #[error("the client's thread can't be started: {0}")]
    Thread(#[from] io::Error),
}

/// A command that was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the client has too much to do, or has stopped: try again")]
pub struct Busy;

/// The way to a running client. It stops when this is dropped.
#[derive(Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<Result<(), StorageError>>,
}

impl Handle {
    /// Gives a command, unless too many wait.
    pub fn command(&self, command: Command) -> Result<(), Busy> {
        self.commands.try_send(command).map_err(|_| Busy)
    }

    /// Waits until there is room for another command, or the client has stopped. Cancel-safe.
    pub async fn ready(&self) {
        // Stopped: the next command says so.
        drop(self.commands.reserve().await);
    }

    /// Stops the client and waits for its end: an error says that the storage failed it.
    pub fn stop(self) -> Result<(), StorageError> {
        drop(self.commands);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Starts a client on a thread of its own. Its events come until it stops: when the handle is dropped, or when the storage
/// fails ([`Handle::stop`] tells).
pub fn start(settings: Settings, mut storage: Box<dyn Storage>) -> Result<(Handle, mpsc::Receiver<Event>), StartError> {
    transport::check_url(&settings.server).map_err(StartError::Server)?;
    let connector = transport::connector(settings.authorities.as_deref()).map_err(StartError::Server)?;
    let client = Client::new(settings.options, storage.load()?, fill_random);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
    let (event_queue, events) = mpsc::channel(EVENTS_MAX);
    let driver = Driver {
        client,
        storage,
        server: settings.server,
        connector,
        events: event_queue,
        started: Instant::now(),
        timer: None,
        line: Line::Down,
        inputs: Vec::new(),
    };
    let thread = std::thread::Builder::new()
        .name("hudhud-client".into())
        .spawn(move || runtime.block_on(driver.run(command_queue)))?;
    Ok((Handle { commands, thread }, events))
}

fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system has random bytes");
}

/// The connection, as far as it is.
enum Line {
    Down,
    Opening(Pin<Box<dyn Future<Output = Result<Socket, Closed>> + Send>>),
    Open(Box<Socket>),
}

impl Line {
    /// What happens next on it. Cancel-safe.
    async fn next(&mut self) -> Input {
        match self {
            Self::Down => pending().await,
            Self::Opening(opening) => match opening.await {
                Ok(socket) => {
                    *self = Self::Open(Box::new(socket));
                    Input::Connected
                }
                Err(closed) => self.lost(closed),
            },
            Self::Open(socket) => match socket.next().await {
                Ok(frame) => Input::Frame(frame),
                Err(closed) => self.lost(closed),
            },
        }
    }

    /// A frame that is here already.
    fn try_next(&mut self) -> Option<Input> {
        let Self::Open(socket) = self else { return None };
        Some(match socket.try_next()? {
            Ok(frame) => Input::Frame(frame),
            Err(closed) => self.lost(closed),
        })
    }

    fn lost(&mut self, closed: Closed) -> Input {
        *self = Self::Down;
        Input::Disconnected(closed)
    }
}

struct Driver {
    client: Client,
    storage: Box<dyn Storage>,
    server: String,
    connector: Connector,
    events: mpsc::Sender<Event>,
    started: Instant,
    timer: Option<Duration>,
    line: Line,
    /// To be handled before anything new.
    inputs: Vec<Input>,
}

impl Driver {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Result<(), StorageError> {
        self.inputs.push(Input::Start);
        loop {
            while !self.inputs.is_empty() {
                self.handle().await?;
            }
            let timer = self.timer.map(|at| tokio::time::Instant::from_std(self.started + at));
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.inputs.push(Input::Command(command)),
                    None => break,
                },
                input = self.line.next() => self.inputs.push(input),
                () = at(timer) => {
                    self.timer = None;
                    self.inputs.push(Input::Tick);
                }
            }
            // A backlog comes in pages and bursts: one sync for many of them.
            while self.inputs.len() < FRAMES_TOGETHER_MAX
                && let Some(input) = self.line.try_next()
            {
                self.inputs.push(input);
            }
        }
        if let Line::Open(socket) = self.line {
            socket.close().await;
        }
        Ok(())
    }

    /// Handles the inputs that are here. What they persist is persisted together and first: for each of them it is then
    /// durable before anything else it causes.
    async fn handle(&mut self) -> Result<(), StorageError> {
        let (mut changes, mut outputs) = (Vec::<Change>::new(), Vec::new());
        for input in std::mem::take(&mut self.inputs) {
            let now = self.now();
            for output in self.client.handle(input, now) {
                match output {
                    Output::Persist(more) => changes.extend(more),
                    other => outputs.push(other),
                }
            }
        }
        if !changes.is_empty() {
            self.storage.persist(&changes)?;
        }
        for output in outputs {
            self.carry_out(output).await?;
        }
        if let Line::Open(socket) = &mut self.line
            && let Err(closed) = socket.flush().await
        {
            let lost = self.line.lost(closed);
            self.inputs.push(lost);
        }
        Ok(())
    }

    async fn carry_out(&mut self, output: Output) -> Result<(), StorageError> {
        match output {
            Output::Persist(_) => unreachable!("persisted before everything else"),
            Output::Connect => {
                self.line = Line::Opening(Box::pin(transport::open(self.server.clone(), self.connector.clone())))
            }
            Output::Disconnect => {
                // Also forgets what the old connection brought and nobody has handled.
                self.inputs.retain(|input| !matches!(input, Input::Disconnected(_)));
                if let Line::Open(socket) = std::mem::replace(&mut self.line, Line::Down) {
                    socket.close().await;
                }
            }
            Output::Send(frame) => {
                if let Line::Open(socket) = &mut self.line
                    && let Err(closed) = socket.feed(&frame).await
                {
                    let lost = self.line.lost(closed);
                    self.inputs.push(lost);
                }
            }
            Output::SetTimer(at) => self.timer = Some(at),
            Output::Load { conversation, before, limit } => {
                let entries = self.storage.entries_before(conversation, before, limit)?;
                self.inputs.push(Input::Loaded { conversation, before, limit, entries });
            }
            // Nobody listens any more: the handle is about to be dropped too.
            Output::Event(event) => drop(self.events.send(event).await),
        }
        Ok(())
    }

    fn now(&self) -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { monotonic: self.started.elapsed(), wall_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX) }
    }
}

async fn at(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => pending().await,
    }
}
