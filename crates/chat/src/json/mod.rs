//! The line mode: JSON objects, one per line, in on standard input and out on standard output. `docs/chat.md` has them all.

mod answers;
mod describe;
mod mode;
mod parse;

#[cfg(test)]
mod tests;

use crate::cli::Cli;
use hudhud_client::native::Handle as Client;
use hudhud_client::{Command, Event};
use mode::Mode;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A longer line is wrong.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Lines that were read and not handled yet.
const LINES_MAX: usize = 64;
/// How often it is looked whether everything is done, and for what waits for a name.
const TICK: Duration = Duration::from_millis(100);
/// Receipts are gathered for a moment before they leave; the end waits for them.
const LINGER: Duration = Duration::from_millis(200);

/// Runs until the input ends (and everything is sent, or `--wait` has passed), or a line says `quit`.
pub async fn run(
    cli: &Cli,
    client: &Client,
    events: &mut mpsc::Receiver<Event>,
    started: Instant,
) -> anyhow::Result<ExitCode> {
    let mut lines = read_lines()?;
    let mut mode = Mode::new(&cli.profile, &cli.server);
    let mut commands: VecDeque<Command> = VecDeque::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut is_open = true;
    let (mut wait_until, mut linger_until): (Option<Instant>, Option<Instant>) = (None, None);
    while !mode.is_over() {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => mode.event(event),
                None => break,
            },
            // Nor faster than the client takes it.
            line = lines.recv(), if is_open && mode.takes_lines() && commands.is_empty() => match line {
                Some(line) => mode.line(&line),
                None => {
                    is_open = false;
                    wait_until = Some(Instant::now() + cli.wait());
                }
            },
            () = client.ready(), if !commands.is_empty() => {}
            _ = tick.tick() => mode.tick(started.elapsed()),
        }
        commands.extend(mode.take_commands());
        while let Some(command) = commands.pop_front() {
            if client.command(command.clone()).is_err() {
                commands.push_front(command);
                break;
            }
        }
        if !print(&mode.take_lines()) {
            break;
        }
        if let Some(until) = wait_until {
            let now = Instant::now();
            let done = mode.is_done() && commands.is_empty();
            linger_until = if done { linger_until.or(Some(now + LINGER)) } else { None };
            if now >= until || linger_until.is_some_and(|linger| now >= linger) {
                break;
            }
        }
    }
    Ok(if mode.is_unsent() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// False if nobody reads it any more.
fn print(lines: &[Value]) -> bool {
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush()).is_ok()
}

/// Reads standard input on a thread: it blocks, and ends with the process.
fn read_lines() -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    std::thread::Builder::new().name("lines".into()).spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) || sender.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
