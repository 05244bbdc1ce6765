//! The command line.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hudhud_proto::limits::NAME_BYTES_MAX;
use std::path::PathBuf;
use std::time::Duration;

/// The profile of somebody who has just one.
pub const PROFILE_DEFAULT: &str = "default";

const EXAMPLES: &str = "\
Exit codes: 0 done; 1 it failed, or (--json) something is still unsent; 2 the command line is wrong.

JSON lines, for scripts: one object per line in, one per line out. `docs/chat.md` has them all.
  {\"do\":\"send\",\"to\":\"@bob\",\"text\":\"hi\",\"id\":1}
    {\"event\":\"answer\",\"do\":\"send\",\"id\":1,\"conversation\":\"…\",\"message\":\"…\"}
    {\"event\":\"tick\",\"tick\":\"accepted\",\"conversation\":\"…\",\"message\":\"…\"}
  in:  register login logout send open create_group add remove leave rename role announce invite join members read typing
       history conversations outbox retry discard block unblock blocks contact remove_contact contacts privacy name mute
       devices remove_device tokens invite_to_server watch active offline online quit
  out: ready connection logged_in logged_out replaced conversation message change tick receipt typing presence history
       answer error";

/// Chat on a Hudhud server.
///
/// Without a subcommand: a full-screen chat, that asks who you are the first time.
#[derive(Debug, Parser)]
#[command(name = "chat", version, after_help = EXAMPLES)]
pub struct Cli {
    /// The server, as http://host:port or as its WebSocket.
    #[arg(long, env = "HUDHUD_SERVER", default_value = "ws://127.0.0.1:8080/v1/ws", value_parser = socket_url, global = true)]
    pub server: String,
    /// A file with certificates in PEM: the authorities that may vouch for the server, instead of the usual ones.
    #[arg(long, env = "HUDHUD_AUTHORITIES", value_name = "FILE", global = true)]
    pub authorities: Option<PathBuf>,
    /// One account on this computer: a folder of that name below --data.
    #[arg(long, env = "HUDHUD_PROFILE", default_value = PROFILE_DEFAULT, global = true)]
    pub profile: String,
    /// The folder of the profiles [default: $XDG_DATA_HOME/hudhud, or ~/.local/share/hudhud].
    #[arg(long, env = "HUDHUD_CHAT_DATA", global = true)]
    pub data: Option<PathBuf>,
    /// JSON lines instead of the full screen.
    #[arg(long)]
    pub json: bool,
    /// With --json: how long to wait, after the end of the input, for everything to be sent.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "json")]
    pub wait: u64,
    /// What to do instead of chatting.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What is done without the full screen.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make an account. The password is asked for, or comes from HUDHUD_PASSWORD.
    Register {
        /// What others call you: 3 to 32 of a-z, 0-9, '.' and '_'.
        handle: String,
        /// The code of somebody who is here already, where the server asks for one.
        #[arg(long)]
        invite: Option<String>,
    },
    /// Log in to an account. The password is asked for, or comes from HUDHUD_PASSWORD.
    Login {
        /// The account.
        handle: String,
    },
    /// Print the completions of a shell.
    Completions {
        /// Which.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of this program and its subcommands into a folder.
    Man {
        /// The folder, which must be there.
        folder: PathBuf,
    },
}

impl Cli {
    /// How long to wait at the end of the input.
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.wait)
    }

    /// Where the profiles are.
    pub fn data_folder(&self) -> anyhow::Result<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = self
            .data
            .clone()
            .or_else(|| Some(set("XDG_DATA_HOME")?.join("hudhud")))
            .or_else(|| Some(set("HOME")?.join(".local/share/hudhud")));
        folder.context("there is no home folder: say with --data where profiles are kept")
    }
}

/// The WebSocket of a server that somebody named, perhaps by the address that the server prints or a browser shows.
fn socket_url(server: &str) -> Result<String, String> {
    let (scheme, rest) = server.split_once("://").unwrap_or(("", server));
    let scheme = match scheme {
        "ws" | "http" => "ws",
        "wss" | "https" => "wss",
        _ => return Err("begin it with http://, https://, ws:// or wss://".to_owned()),
    };
    match rest.split_once('/') {
        None | Some((_, "")) if rest.trim_end_matches('/').is_empty() => {
            Err("the name of a host is missing".to_owned())
        }
        None | Some((_, "")) => Ok(format!("{scheme}://{}/v1/ws", rest.trim_end_matches('/'))),
        Some(_) => Ok(format!("{scheme}://{rest}")),
    }
}

/// What this device is called in its owner's list of devices.
pub fn device_name() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = crate::text::line(host.trim());
    let mut name = if host.is_empty() { "chat".to_owned() } else { format!("chat on {host}") };
    while name.len() > NAME_BYTES_MAX {
        name.pop();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_be_named_as_it_names_itself() {
        let check = |server, expected: Result<&str, &str>| {
            let found = socket_url(server);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{server}");
        };
        check("ws://127.0.0.1:8080/v1/ws", Ok("ws://127.0.0.1:8080/v1/ws"));
        check("http://127.0.0.1:8080", Ok("ws://127.0.0.1:8080/v1/ws"));
        check("https://chat.example.org/", Ok("wss://chat.example.org/v1/ws"));
        check("wss://example.org/behind/a/proxy", Ok("wss://example.org/behind/a/proxy"));
        check("example.org", Err("begin it with http://, https://, ws:// or wss://"));
        check("http://", Err("the name of a host is missing"));
    }
}
