//! What every workload starts from: the server, accounts that are its own, and connections.

use crate::account::Account;
use crate::connection::{Connection, connect};
use crate::proc::{Process, Usage};
use crate::report::Row;
use crate::server::{BusCounts, Server};
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often a person who waits is told how it goes.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// A server is at rest when it uses less of a core than this, for [`REST`].
const REST_CORES_MAX: f64 = 0.05;
/// See [`REST_CORES_MAX`].
const REST: Duration = Duration::from_secs(2);
/// A server that is not at rest after this is measured as it is.
const REST_WITHIN: Duration = Duration::from_secs(300);

/// A measurement.
pub struct Bench {
    /// What is measured.
    pub server: Server,
    groups: AtomicU64,
    /// Processes that load it: this one, and others that this one started.
    generators: Mutex<Vec<Process>>,
    progress: ProgressBar,
}

/// What a server had used at a moment, and what it took to load it.
pub struct Look {
    /// When.
    pub at: Instant,
    /// See there.
    pub usage: Usage,
    bus: BusCounts,
    generator_cpu: Duration,
}

/// What was used between two moments.
pub struct Spent {
    /// Of the server. Memory is the growth.
    pub usage: Usage,
    /// See there.
    pub bus: BusCounts,
    /// CPU time of all processes that load the server.
    pub generator_cpu: Duration,
    /// The time between the two looks.
    pub elapsed: Duration,
}

impl Bench {
    /// Measures a server.
    pub fn new(server: Server) -> Self {
        let style = ProgressStyle::with_template("  {elapsed} {msg}").expect("a template of this library");
        Self {
            server,
            groups: AtomicU64::new(0),
            generators: Mutex::new(vec![Process::new(std::process::id())]),
            progress: ProgressBar::new_spinner().with_style(style),
        }
    }

    /// A name for accounts that nobody had before.
    pub fn group(&self) -> String {
        format!("group-{}", self.groups.fetch_add(1, Ordering::Relaxed))
    }

    /// Accounts without a past.
    pub async fn accounts(&self, count: usize) -> anyhow::Result<Vec<Account>> {
        self.server.issuer().accounts(self.server.destination(), &self.group(), count).await
    }

    /// A connection with a session for each account, in their order.
    pub async fn connect(&self, accounts: &[Account]) -> anyhow::Result<Vec<Connection>> {
        connect(self.server.destination(), 0, accounts).await
    }

    /// Counts the CPU time of a process among that of the load. One that ends counts no more.
    pub fn watch_generator(&self, process: Process) {
        self.generators.lock().push(process);
    }

    /// Looks at the server.
    pub async fn look(&self) -> anyhow::Result<Look> {
        let generators = self.generators.lock().clone();
        let cpu = |process: &Process| process.usage().map_or(Duration::ZERO, |usage| usage.cpu);
        Ok(Look {
            at: Instant::now(),
            bus: self.server.bus().await?,
            usage: self.server.process().usage()?,
            generator_cpu: generators.iter().map(cpu).sum(),
        })
    }

    /// Watches the server until something has ended.
    pub async fn watch<T>(&self, going_on: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<(T, Spent)> {
        let before = self.look().await?;
        let mut going_on = pin!(going_on);
        let mut tick = tokio::time::interval(PROGRESS_INTERVAL);
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut going_on => break outcome?,
                _ = tick.tick() => self.tell(&before)?,
            }
        };
        self.progress.set_message("");
        Ok((outcome, self.look().await?.since(&before)))
    }

    /// Waits until the server has done what was left to do, such as compactions.
    pub async fn rest(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let before = (self.server.process().usage()?, Instant::now());
            tokio::time::sleep(REST).await;
            let cores = self.server.process().usage()?.since(&before.0).cpu.div_duration_f64(before.1.elapsed());
            if cores < REST_CORES_MAX || started.elapsed() > REST_WITHIN {
                return Ok(());
            }
        }
    }

    fn tell(&self, since: &Look) -> anyhow::Result<()> {
        let now = self.server.process().usage()?;
        let elapsed = since.at.elapsed();
        let cores = now.since(&since.usage).cpu.div_duration_f64(elapsed.max(Duration::from_millis(1)));
        let mib = now.resident_bytes >> 20;
        self.progress.set_message(format!("measuring since {} s: {cores:.2} cores, {mib} MiB", elapsed.as_secs()));
        Ok(())
    }
}

impl Look {
    /// What was used since an earlier moment.
    pub fn since(self, earlier: &Self) -> Spent {
        Spent {
            usage: self.usage.since(&earlier.usage),
            bus: self.bus.since(earlier.bus),
            generator_cpu: self.generator_cpu.saturating_sub(earlier.generator_cpu),
            elapsed: self.at - earlier.at,
        }
    }
}

impl Spent {
    /// CPU time of the server for each of so many, in microseconds.
    pub fn cpu_us_each(&self, count: f64) -> f64 {
        self.usage.cpu.as_secs_f64() * 1e6 / count
    }

    /// How much of the machine was used, and by whom. Where both together are near all cores, the throughput is that of the
    /// machine, and where the load's is near all cores of its processes, that of the load.
    pub fn cores(&self, row: Row) -> Row {
        row.figure("server_cores", self.usage.cpu.div_duration_f64(self.elapsed))
            .figure("load_cores", self.generator_cpu.div_duration_f64(self.elapsed))
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
