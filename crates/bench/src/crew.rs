//! Load from several processes: this program starts itself, hands each process a part of the work, and adds up what they
//! found. A process can't have more connections than descriptors, and one that waits for its turn measures itself.
//!
//! A job goes to a process by its standard input, then order by order, a line of JSON each. Each is answered by a line.

use crate::account::Issuer;
use crate::bench::{Bench, go_on};
use crate::connection::connect;
use crate::destination::Destination;
use crate::latency::Recorded;
use crate::proc::Process;
use crate::server::SECRET;
use crate::workload::{idle, pairs};
use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The argument that makes this program one of a crew.
pub const WORK: &str = "work";
/// How long a process may take for an order. Making ten thousand accounts is the longest.
const ORDER_MAX: Duration = Duration::from_secs(600);

/// A part of the load.
#[derive(Serialize, Deserialize)]
pub struct Job {
    /// The server.
    pub server: Destination,
    /// Names the accounts, which nobody had before.
    pub group: String,
    /// Connections of the processes before: decides the source addresses.
    pub first: usize,
    /// What to do.
    pub load: Load,
}

/// What a process does.
#[derive(Serialize, Deserialize)]
pub enum Load {
    /// Connections that do nothing.
    Idle(idle::Options),
    /// Pairs that write to each other.
    Pairs(pairs::Options),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Order {
    /// Connect everybody, and begin.
    Connect,
    /// Record from now on.
    Record,
    /// Tell what was recorded.
    Tell,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Done,
    Found(Found),
    Failed(String),
}

/// What a process saw while it recorded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// Messages that were done with.
    pub messages: u64,
    /// By kind.
    pub latencies: BTreeMap<String, Recorded>,
}

/// Processes that load the server. They end when dropped.
pub struct Crew {
    workers: Vec<Worker>,
}

struct Worker {
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Killed when dropped.
    _process: Child,
}

impl Crew {
    /// Starts a process for each load, and has them make their accounts. `each` is the connections of a load.
    pub async fn start(bench: &Bench, loads: Vec<Load>, each: usize) -> anyhow::Result<Self> {
        let mut workers = Vec::new();
        for (n, load) in loads.into_iter().enumerate() {
            let job = Job { server: bench.server.destination().clone(), group: bench.group(), first: n * each, load };
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(WORK).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            let mut process = command.spawn().context("this program can't be started again")?;
            bench.watch_generator(Process::new(process.id().context("the process has ended")?));
            let mut orders = process.stdin.take().context("a pipe was asked for")?;
            let answers = BufReader::new(process.stdout.take().context("a pipe was asked for")?).lines();
            send(&mut orders, &job).await?;
            workers.push(Worker { orders, answers, _process: process });
        }
        let mut crew = Self { workers };
        crew.answers().await?;
        Ok(crew)
    }

    /// Connects everybody, and lets them begin.
    pub async fn connect(&mut self) -> anyhow::Result<()> {
        self.order(Order::Connect).await.map(drop)
    }

    /// Has what happens from now on recorded.
    pub async fn record(&mut self) -> anyhow::Result<()> {
        self.order(Order::Record).await.map(drop)
    }

    /// What was recorded until now, of each process.
    pub async fn tell(&mut self) -> anyhow::Result<Vec<Found>> {
        self.order(Order::Tell).await
    }

    /// Lets them go on. The first that says something unasked has failed.
    pub async fn go_on(&mut self, duration: Duration) -> anyhow::Result<()> {
        let mut waiting: Vec<_> = self.workers.iter_mut().map(|worker| Box::pin(worker.answer())).collect();
        let any = futures_util::future::select_all(waiting.drain(..));
        match tokio::time::timeout(duration, any).await {
            Err(_) => Ok(()),
            Ok((answer, ..)) => {
                answer?;
                bail!("a process of the load ended before its time")
            }
        }
    }

    async fn order(&mut self, order: Order) -> anyhow::Result<Vec<Found>> {
        for worker in &mut self.workers {
            send(&mut worker.orders, &order).await?;
        }
        self.answers().await
    }

    async fn answers(&mut self) -> anyhow::Result<Vec<Found>> {
        let mut found = Vec::new();
        for worker in &mut self.workers {
            let answer = tokio::time::timeout(ORDER_MAX, worker.answer()).await;
            found.extend(answer.context("a process of the load does not answer")??);
        }
        Ok(found)
    }
}

impl Worker {
    /// Cancel-safe, as a line is read as a whole or not at all.
    async fn answer(&mut self) -> anyhow::Result<Option<Found>> {
        let line = self.answers.next_line().await?.context("a process of the load has ended")?;
        match serde_json::from_str(&line)? {
            Answer::Done => Ok(None),
            Answer::Found(found) => Ok(Some(found)),
            Answer::Failed(why) => bail!("{why}"),
        }
    }
}

async fn send(pipe: &mut ChildStdin, value: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(value)? + "\n";
    pipe.write_all(line.as_bytes()).await.context("a process of the load has ended")
}

/// What a process of a crew does: its job, until nobody gives orders any more.
pub async fn work() -> anyhow::Result<()> {
    // Read by a thread of its own, which nobody waits for: a read of the standard input can't be cancelled.
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    if let Err(error) = obey(&mut lines).await {
        answer(&Answer::Failed(format!("{error:#}")))?;
    }
    Ok(())
}

async fn obey(lines: &mut mpsc::UnboundedReceiver<String>) -> anyhow::Result<()> {
    let Some(Job { server, group, first, load }) = read(lines.recv().await)? else { return Ok(()) };
    let connections = match &load {
        Load::Idle(options) => options.connections,
        Load::Pairs(options) => 2 * options.pairs,
    };
    let accounts = Issuer::new(SECRET).accounts(&server, &group, connections).await?;
    answer(&Answer::Done)?;
    let seen = pairs::Seen::default();
    let mut tasks = JoinSet::new();
    loop {
        let line = tokio::select! {
            biased;
            ended = go_on(&mut tasks, Duration::MAX), if !tasks.is_empty() => return ended,
            line = lines.recv() => line,
        };
        match read(line)? {
            None => return Ok(()),
            Some(Order::Connect) => {
                let connections = connect(&server, first, &accounts).await?;
                match &load {
                    Load::Idle(_) => connections.into_iter().for_each(|connection| {
                        tasks.spawn(connection.stay());
                    }),
                    Load::Pairs(options) => pairs::begin(options, &accounts, connections, &seen, &mut tasks),
                }
                answer(&Answer::Done)?;
            }
            Some(Order::Record) => {
                seen.record_from_now(true);
                answer(&Answer::Done)?;
            }
            Some(Order::Tell) => {
                seen.record_from_now(false);
                answer(&Answer::Found(seen.found()))?;
            }
        }
    }
}

fn read<T: DeserializeOwned>(line: Option<String>) -> anyhow::Result<Option<T>> {
    line.map(|line| serde_json::from_str(&line).context("no order of this program")).transpose()
}

fn answer(answer: &Answer) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(answer)?)?;
    Ok(stdout.flush()?)
}
