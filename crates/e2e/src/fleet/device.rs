//! One client, and the person in front of it.

use super::PATIENCE;
use super::seen::{Seen, WatchedStorage};
use anyhow::{Context as _, Result};
use hudhud_client::native::{self, Handle, Profile, Settings};
use hudhud_client::{Command, Event, Options};
use hudhud_proto::AccountId;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

pub(super) struct Device {
    pub(super) name: Arc<str>,
    pub(super) account: AccountId,
    handle: Handle,
    events: mpsc::Receiver<Event>,
    /// Events that were taken and not yet looked at.
    taken: VecDeque<Event>,
}

impl Device {
    /// Starts a client that nobody has logged in on. Its database is in the folder.
    pub(super) fn start(name: String, server: SocketAddr, folder: &Path, seen: &Arc<Seen>) -> Result<Self> {
        let name: Arc<str> = name.into();
        let storage = Profile::open(folder, &name)?.into_storage()?;
        let storage = WatchedStorage::new(storage, name.clone(), seen.clone());
        let options = Options { name: "e2e".into(), active: true };
        let settings = Settings { server: format!("ws://{server}/v1/ws"), authorities: None, options };
        let (handle, events) = native::start(settings, Box::new(storage))?;
        Ok(Self { name, account: AccountId::new([0; 16]), handle, events, taken: VecDeque::new() })
    }

    /// Ends the client.
    pub(super) fn stop(self) -> Result<()> {
        drop(self.events);
        self.handle.stop().with_context(|| format!("the disk of {} failed", self.name))
    }

    /// Gives a command, when the client takes one: it may be busy with its disk. It may also wait for somebody to take its
    /// events, so they are taken meanwhile.
    pub(super) async fn command(&mut self, command: Command) -> Result<()> {
        let given = async {
            while self.handle.command(command.clone()).is_err() {
                tokio::select! {
                    () = self.handle.ready() => {}
                    Some(event) = self.events.recv() => self.taken.push_back(event),
                }
            }
        };
        tokio::time::timeout(PATIENCE, given).await.with_context(|| format!("{} takes no command", self.name))
    }

    /// The next event that is here.
    pub(super) fn event(&mut self) -> Option<Event> {
        self.taken.pop_front().or_else(|| self.events.try_recv().ok())
    }

    /// Waits for an event; those before it are dropped.
    pub(super) async fn wait<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> Result<T> {
        let found = async {
            loop {
                let event = match self.taken.pop_front() {
                    Some(event) => event,
                    None => self.events.recv().await.context("the client has stopped")?,
                };
                if let Some(found) = wanted(event) {
                    return Ok(found);
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.with_context(|| format!("{} waits in vain", self.name))?
    }
}
