//! What every workload starts from: the server, accounts that are its own, and connections.

use crate::account::Account;
use crate::connection::{Connection, source};
use crate::proc::Usage;
use crate::server::Server;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Connections that are made at the same time.
const CONNECTING_MAX: usize = 64;

/// A measurement.
pub struct Bench {
    /// What is measured.
    pub server: Server,
    groups: AtomicU64,
}

/// What a server used, and for how long it was watched.
pub struct Spent {
    /// See there.
    pub usage: Usage,
    /// The time between the two looks.
    pub elapsed: Duration,
}

impl Bench {
    /// Measures a server.
    pub fn new(server: Server) -> Self {
        Self { server, groups: AtomicU64::new(0) }
    }

    /// Accounts without a past.
    pub async fn accounts(&self, count: usize) -> anyhow::Result<Vec<Account>> {
        let group = format!("group-{}", self.groups.fetch_add(1, Ordering::Relaxed));
        self.server.issuer().accounts(self.server.address(), &group, count).await
    }

    /// A connection with a session for each account, in their order.
    pub async fn connect(&self, accounts: &[Account]) -> anyhow::Result<Vec<Connection>> {
        let server = self.server.address();
        let opening = accounts.iter().enumerate().map(|(n, account)| Connection::resume(server, source(n), account));
        stream::iter(opening).buffered(CONNECTING_MAX).try_collect().await
    }

    /// Watches the server while tasks go on that are not to end. The first that ends anyway is an error.
    pub async fn watch(&self, tasks: &mut JoinSet<anyhow::Result<()>>, duration: Duration) -> anyhow::Result<Spent> {
        let (before, started) = (self.server.process().usage()?, Instant::now());
        go_on(tasks, duration).await?;
        Ok(Spent { usage: self.server.process().usage()?.since(&before), elapsed: started.elapsed() })
    }
}

/// Lets tasks go on that are not to end. The first that ends anyway is an error.
pub async fn go_on(tasks: &mut JoinSet<anyhow::Result<()>>, duration: Duration) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        Some(ended) = tasks.join_next() => {
            ended.expect("no task panics or is cancelled")?;
            anyhow::bail!("a task of the load ended before its time")
        }
        () = tokio::time::sleep(duration) => Ok(()),
    }
}
