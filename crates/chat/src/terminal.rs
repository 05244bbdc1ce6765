//! The terminal: taken at the start, given back at every end, and the loop between.

use crate::app::App;
use crate::ui;
use anyhow::Context as _;
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange, Event as Input, EventStream,
};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use futures_util::StreamExt as _;
use hudhud_client::native::Handle;
use hudhud_client::{Command, Event};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::collections::VecDeque;
use std::io::{self, Stdout, stdout};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How often the seconds on the screen are counted down.
const TICK: Duration = Duration::from_millis(500);

/// The terminal in raw mode, on its other screen. Its end gives it back.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn take() -> anyhow::Result<Self> {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            report(panic);
        }));
        enable_raw_mode().context("this needs a terminal; scripts use --json")?;
        // From here on there is something to give back.
        let screen = Terminal::new(CrosstermBackend::new(stdout())).map(Self);
        execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)?;
        Ok(screen?)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// As much of it as works: there is nobody to tell.
fn give_back() {
    let _ = execute!(stdout(), DisableFocusChange, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// Runs until the person, or the system, has enough, or the client has stopped.
pub async fn run(
    app: &mut App,
    client: &Handle,
    events: &mut mpsc::Receiver<Event>,
    started: Instant,
) -> anyhow::Result<()> {
    let mut screen = Screen::take()?;
    let mut keys = EventStream::new();
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut commands: VecDeque<Command> = VecDeque::new();
    while !app.is_over() {
        app.tick(started.elapsed());
        draw(&mut screen, app)?;
        commands.extend(app.take_commands());
        give(&mut commands, client);
        tokio::select! {
            biased;
            _ = hang_up.recv() => break,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            input = keys.next() => match input {
                Some(Ok(input)) => take(app, input),
                // The terminal is gone.
                Some(Err(_)) | None => break,
            },
            event = events.recv() => match event {
                Some(event) => {
                    app.event(event);
                    // A backlog is drawn once, not entry by entry.
                    while let Ok(event) = events.try_recv() {
                        app.event(event);
                    }
                }
                None => break,
            },
            () = client.ready(), if !commands.is_empty() => {}
            _ = tick.tick() => {}
        }
    }
    commands.extend(app.take_commands());
    give(&mut commands, client);
    Ok(())
}

fn draw(screen: &mut Screen, app: &mut App) -> io::Result<()> {
    let mut scroll_max = None;
    screen.0.draw(|frame| scroll_max = ui::draw(frame, app))?;
    app.drawn(scroll_max);
    Ok(())
}

fn take(app: &mut App, input: Input) {
    match input {
        Input::Key(key) => app.key(key),
        Input::Paste(text) => app.paste(&text),
        Input::FocusGained => app.focus(true),
        Input::FocusLost => app.focus(false),
        Input::Resize(..) | Input::Mouse(_) => {}
    }
}

/// Gives as many commands as the client takes.
fn give(commands: &mut VecDeque<Command>, client: &Handle) {
    while let Some(command) = commands.pop_front() {
        if client.command(command.clone()).is_err() {
            return commands.push_front(command);
        }
    }
}
