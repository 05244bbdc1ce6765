//! `hudhud admin`: the command line of the admin API.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// What operators do with a server that runs.
#[derive(Args, Clone, Debug)]
pub struct Admin {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
    /// Print what the server answers as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// The operators' port of a server elsewhere; a token is needed then. Without it the server on this machine is asked,
    /// over the socket in its data folder.
    #[arg(long, global = true, env = "HUDHUD_ADMIN_URL", value_name = "URL")]
    pub url: Option<String>,
    /// A file with an admin token, for --url; or give the token itself in HUDHUD_ADMIN_TOKEN.
    #[arg(long, global = true, env = "HUDHUD_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A certificate in PEM that leads to the one at --url, where that is of no usual authority.
    #[arg(long, global = true, value_name = "FILE")]
    pub authority_file: Option<PathBuf>,
    /// The data folder of the server on this machine [default: that of the configuration].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// The configuration file of the server on this machine.
    #[arg(long, global = true, env = "HUDHUD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What there is.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// Accounts and their devices. ACCOUNT is an id, or @ and a handle.
    #[command(subcommand)]
    Account(Account),
    /// Groups and direct chats; never what is written in them.
    #[command(subcommand)]
    Conversation(Conversation),
    /// Invites to the server.
    #[command(subcommand)]
    Invite(Invite),
    /// Limits, and who is refused now.
    #[command(subcommand)]
    Limit(Limit),
    /// What people reported.
    #[command(subcommand)]
    Report(Report),
    /// Tokens for the admin API.
    #[command(subcommand)]
    Token(Token),
}

/// Of accounts.
#[derive(Subcommand, Clone, Debug)]
pub enum Account {
    /// List all.
    List,
    /// Show one.
    Show {
        /// An id, or `@` and a handle.
        #[arg(allow_hyphen_values = true)]
        account: String,
    },
    /// Let nobody in as this account; it stays where it is.
    Suspend {
        /// An id, or `@` and a handle.
        #[arg(allow_hyphen_values = true)]
        account: String,
        /// Why, for other operators.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let it in again.
    Unsuspend {
        /// An id, or `@` and a handle.
        #[arg(allow_hyphen_values = true)]
        account: String,
    },
    /// Delete it for good. What it wrote stays in the chats of others.
    Delete {
        /// An id, or `@` and a handle.
        #[arg(allow_hyphen_values = true)]
        account: String,
        /// Why, for other operators.
        #[arg(long, default_value = "")]
        reason: String,
        /// Do it: there is no way back.
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Log all its devices out and print a password that logs in once, within a day.
    ResetPassword {
        /// An id, or `@` and a handle.
        #[arg(allow_hyphen_values = true)]
        account: String,
    },
    /// List its devices.
    Devices {
        /// An id, or `@` and a handle.
        #[arg(allow_hyphen_values = true)]
        account: String,
    },
    /// Log a device out.
    RevokeDevice {
        /// An id, or `@` and a handle.
        #[arg(allow_hyphen_values = true)]
        account: String,
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        device: String,
    },
    /// List the conversations that it is in.
    Conversations {
        /// An id, or `@` and a handle.
        #[arg(allow_hyphen_values = true)]
        account: String,
    },
}

/// Of conversations.
#[derive(Subcommand, Clone, Debug)]
pub enum Conversation {
    /// Show one.
    Show {
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        conversation: String,
    },
    /// List who is in it.
    Members {
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        conversation: String,
    },
    /// Remove somebody from a group.
    RemoveMember {
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        conversation: String,
        /// An id, or `@` and a handle.
        #[arg(allow_hyphen_values = true)]
        account: String,
    },
    /// Let nobody write any more.
    Close {
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        conversation: String,
        /// Why: members are shown it.
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// Of invites.
#[derive(Subcommand, Clone, Debug)]
pub enum Invite {
    /// List those that have not expired.
    List,
    /// Make one, for one person.
    Create {
        /// How long it lets somebody in, such as 12h or 7d.
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires: Option<Duration>,
    },
    /// Make one worth nothing.
    Revoke {
        /// As `list` prints it.
        #[arg(allow_hyphen_values = true)]
        code: String,
    },
}

/// Of limits.
#[derive(Subcommand, Clone, Debug)]
pub enum Limit {
    /// Show the limits and rates that the server goes by.
    Show,
    /// List who is refused now.
    Refusals,
    /// Let somebody go on: ID as `refusals` prints it.
    Reset {
        /// As the list prints it.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

/// Of reports.
#[derive(Subcommand, Clone, Debug)]
pub enum Report {
    /// List them, newest first.
    List {
        /// Which: open, resolved or all.
        #[arg(long, default_value = "open", value_parser = ["open", "resolved", "all"])]
        state: String,
    },
    /// Show one.
    Show {
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        report: String,
    },
    /// Note what came of it.
    Resolve {
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        report: String,
        /// In a few words.
        resolution: String,
    },
}

/// Of tokens.
#[derive(Subcommand, Clone, Debug)]
pub enum Token {
    /// List those that are valid.
    List,
    /// Make one, and print it: nobody can see it again.
    Create {
        /// What it is for, such as accounts:read; once for each. `write` includes `read`.
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<String>,
        /// How long it is valid, such as 12h or 90d; a year at most.
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires: Duration,
        /// A name for it, for people.
        #[arg(long, default_value = "")]
        label: String,
    },
    /// Refuse one from now on: ID as `list` prints it.
    Revoke {
        /// As the list prints it.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

/// A number and a unit: `s`, `m`, `h`, `d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a number with s, m, h or d, such as 12h or 90d".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 24 * 3_600,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds)).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times have units.
    #[test]
    fn times_are_read() {
        for (text, seconds) in [("90d", 90 * 24 * 3_600), ("12h", 43_200), ("5m", 300), ("1s", 1)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "90", "d", "1y", "-1d", "99999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
