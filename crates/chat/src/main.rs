//! A terminal client of Hudhud: `chat` is a full-screen interface for people, `chat --json` speaks JSON lines with scripts.
//!
//! ```text
//!   keys  ──► app  ──┐                       ┌──► app::World ──► ui
//!   lines ──► json ──┴─► act::Desk ──► client ┴──► json::describe ──► lines
//! ```
//!
//! Everything that decides is pure (`app`, `act`, `commands`, `json::mode`, `text`, `ui`); I/O is in `terminal`, `json`,
//! `accounts` and here. What must survive a crash is the client's business, see the crate `hudhud-client`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what is printed is what this program is for")]

mod accounts;
mod act;
mod app;
mod cli;
mod commands;
mod json;
mod terminal;
mod text;
mod ui;
mod words;
mod world;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use cli::{Action, Cli};
use hudhud_client::Options;
use hudhud_client::native::{self, Profile, Settings};
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let described = match &cli.action {
        Some(Action::Completions { shell }) => {
            // Packages may give the program another name.
            let called = std::env::args_os().next().map(PathBuf::from);
            let called =
                called.as_deref().and_then(Path::file_name).map_or("chat".into(), |name| name.to_string_lossy());
            clap_complete::generate(*shell, &mut Cli::command(), called, &mut std::io::stdout());
            Some(Ok(()))
        }
        Some(Action::Man { folder }) => Some(clap_mangen::generate_to(Cli::command(), folder)),
        Some(Action::Register { .. } | Action::Login { .. }) | None => None,
    };
    match described {
        Some(Ok(())) => return ExitCode::SUCCESS,
        Some(Err(error)) => return report(&anyhow::Error::from(error).context("the manual pages can't be written")),
        None => {}
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error.into()),
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("chat: {error:#}");
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let folder = cli.data_folder()?;
    let storage = Profile::open(&folder, &cli.profile)?.into_storage()?;
    let name = concat!("hudhud-chat/", env!("CARGO_PKG_VERSION")).to_owned();
    // A person looks at the full screen; a script says so if one looks at it.
    let active = cli.action.is_none() && !cli.json;
    let settings = Settings {
        server: cli.server.clone(),
        authorities: cli.authorities.clone(),
        options: Options { name, active },
    };
    let started = Instant::now();
    let (client, mut events) = native::start(settings, Box::new(storage))?;
    let code = match &cli.action {
        Some(Action::Register { handle, invite }) => {
            accounts::register(&cli, handle, invite.as_deref(), &client, &mut events).await
        }
        Some(Action::Login { handle }) => accounts::log_in(&cli, handle, &client, &mut events).await,
        Some(Action::Completions { .. } | Action::Man { .. }) => unreachable!("`main` has done these"),
        None if cli.json => json::run(&cli, &client, &mut events, started).await,
        None => {
            let mut app = app::App::new(setup(&cli));
            terminal::run(&mut app, &client, &mut events, started).await.map(|()| ExitCode::SUCCESS)
        }
    };
    // A client that waits for somebody to take its events would not stop.
    drop(events);
    client.stop().context("the profile can't be written: make room on the disk, then start again")?;
    code
}

fn setup(cli: &Cli) -> app::Setup {
    let named = cli.profile != cli::PROFILE_DEFAULT;
    let handle = words::handle(&cli.profile).ok().filter(|_| named).map(|handle| handle.to_string());
    app::Setup {
        server: cli.server.clone(),
        handle: handle.unwrap_or_default(),
        device: cli::device_name(),
        zone: TimeZone::system(),
    }
}
