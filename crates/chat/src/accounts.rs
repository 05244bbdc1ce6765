//! `chat register` and `chat login`.

use crate::cli::{Cli, device_name};
use crate::text;
use anyhow::{Context as _, anyhow, bail};
use hudhud_client::native::Handle as Client;
use hudhud_client::{Command, Connection, Event};
use hudhud_proto::v1::{self, client_frame};
use std::env::VarError;
use std::process::ExitCode;
use tokio::sync::mpsc;

const TAG: u64 = 1;
const PASSWORD_VARIABLE: &str = "HUDHUD_PASSWORD";

pub async fn register(
    cli: &Cli,
    handle: &str,
    invite: Option<&str>,
    client: &Client,
    events: &mut mpsc::Receiver<Event>,
) -> anyhow::Result<ExitCode> {
    let handle = crate::words::handle(handle).map_err(|wrong| anyhow!(wrong))?.to_string();
    let password = match password_in_environment()? {
        Some(password) => password,
        None => {
            let password = ask("Password, at least 8 characters: ")?;
            if ask("The same again: ")? != password {
                bail!("that was not the same twice: start again");
            }
            password
        }
    };
    let (invite, device_name) = (invite.unwrap_or_default().to_owned(), device_name());
    let register = v1::Register { handle, password, invite, device_name, ..v1::Register::default() };
    authenticate(cli, register.into(), client, events).await
}

pub async fn log_in(
    cli: &Cli,
    handle: &str,
    client: &Client,
    events: &mut mpsc::Receiver<Event>,
) -> anyhow::Result<ExitCode> {
    let handle = crate::words::handle(handle).map_err(|wrong| anyhow!(wrong))?.to_string();
    let password = match password_in_environment()? {
        Some(password) => password,
        None => ask("Password: ")?,
    };
    let log_in = v1::LogIn { handle, password, device_name: device_name() };
    authenticate(cli, log_in.into(), client, events).await
}

fn password_in_environment() -> anyhow::Result<Option<String>> {
    match std::env::var(PASSWORD_VARIABLE) {
        Ok(password) => Ok(Some(password)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => bail!("{PASSWORD_VARIABLE} is no UTF-8"),
    }
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    rpassword::prompt_password(prompt).with_context(|| format!("no terminal to ask on: set {PASSWORD_VARIABLE}"))
}

async fn authenticate(
    cli: &Cli,
    command: client_frame::Command,
    client: &Client,
    events: &mut mpsc::Receiver<Event>,
) -> anyhow::Result<ExitCode> {
    client.command(Command::Authenticate { tag: TAG, command })?;
    let mut me = String::new();
    while let Some(event) = events.recv().await {
        match event {
            // Stored, or new: the answer tells.
            Event::LoggedIn(account) if account.token.is_some() => me = text::line(&account.handle),
            Event::Answer { tag: TAG, result: Ok(_) } => {
                println!("You are @{me} in the profile {}.", cli.profile);
                return Ok(ExitCode::SUCCESS);
            }
            Event::Answer { tag: TAG, result: Err(_) } if !me.is_empty() => {
                let profile = &cli.profile;
                bail!("the profile {profile} is @{me} already: choose another --profile, or /logout in its chat first");
            }
            Event::Answer { tag: TAG, result: Err(error) } => bail!(text::line(&error.message)),
            Event::Connection(Connection::Offline { failures, .. }) if failures > 0 => {
                bail!("no server answers at {}: start one (`make run`), or name another with --server", cli.server);
            }
            _ => {}
        }
    }
    bail!("the client stopped");
}
