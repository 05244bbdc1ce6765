//! `hudhud admin`, carried out: each command is one operation, or all pages of one.

use super::client::{Reach, ask};
use super::command::{Account, Admin, Conversation, Invite, Limit, Report, Token, What};
use super::print::{self, Shape};
use crate::Failure;
use crate::cli::Options;
use crate::config::ConfigError;
use serde_json::{Value, json};
use std::io::Write as _;

/// The variable that has a token in it.
const TOKEN: &str = "HUDHUD_ADMIN_TOKEN";
/// Pages that are asked for in a row.
const PAGES_MAX: usize = 100_000;

/// A request and how its answer looks.
struct Wish {
    method: &'static str,
    path: String,
    body: Option<Value>,
    shape: Shape,
}

/// Asks the server and prints what it answers.
pub async fn run(command: &Admin) -> Result<(), Failure> {
    let reach = reach(command)?;
    let Wish { method, path, body, shape } = wish(&command.what);
    if !shape.is_list() {
        let answer = ask(&reach, method, &path, body.as_ref()).await?;
        return say(&if command.json { pretty(&answer) } else { print::one(&shape, &answer) });
    }
    let mut items: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let join = if path.contains('?') { '&' } else { '?' };
        let page = match &cursor {
            Some(cursor) => format!("{path}{join}cursor={cursor}"),
            None => path.clone(),
        };
        let mut answer = ask(&reach, method, &page, None).await?;
        items.extend(answer["items"].as_array_mut().map(std::mem::take).unwrap_or_default());
        cursor = answer["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    say(&if command.json { pretty(&Value::Array(items)) } else { print::table(&shape, &items) })
}

/// Where the server is.
fn reach(command: &Admin) -> Result<Reach, Failure> {
    let Some(url) = &command.url else {
        let options = Options { config: command.config.clone(), data: command.data.clone(), ..Options::default() };
        return Ok(Reach::Socket(options.config()?.data));
    };
    let invalid = |message: String| Failure::Config(ConfigError::Invalid { origin: None, message });
    let uri: axum::http::Uri = url.parse().map_err(|_| invalid(format!("--url: {url} is no URL")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(invalid(format!("--url: {url} does not begin with http:// or https:// and a name")));
    }
    let token = match &command.token_file {
        Some(path) => std::fs::read_to_string(path).map_err(|source| Failure::File { path: path.clone(), source })?,
        None => std::env::var(TOKEN)
            .map_err(|_| invalid(format!("--url needs a token: in {TOKEN}, or in a file that --token-file names")))?,
    };
    let authority = command.authority_file.clone();
    Ok(Reach::Url { uri, token: token.trim().to_owned(), authority })
}

fn wish(what: &What) -> Wish {
    let get = |path: String, shape| Wish { method: "GET", path, body: None, shape };
    let post = |path: String, body: Value, shape| Wish { method: "POST", path, body: Some(body), shape };
    let delete = |path: String, words| Wish { method: "DELETE", path, body: None, shape: Shape::Done(words) };
    match what {
        What::Account(account) => match account {
            Account::List => get("/accounts".into(), Shape::Accounts),
            Account::Show { account } => get(format!("/accounts/{account}"), Shape::Record),
            Account::Suspend { account, reason } => post(
                format!("/accounts/{account}/suspend"),
                json!({ "reason": reason }),
                Shape::Done("suspended: nobody comes in as this account"),
            ),
            Account::Unsuspend { account } => {
                post(format!("/accounts/{account}/unsuspend"), json!({}), Shape::Done("let in again"))
            }
            Account::Delete { account, reason, .. } => post(
                format!("/accounts/{account}/delete"),
                json!({ "reason": reason }),
                Shape::Done("deleted: what it wrote stays in the chats of others"),
            ),
            Account::ResetPassword { account } => {
                post(format!("/accounts/{account}/reset-password"), json!({}), Shape::Record)
            }
            Account::Devices { account } => get(format!("/accounts/{account}/devices"), Shape::Devices),
            Account::RevokeDevice { account, device } => {
                delete(format!("/accounts/{account}/devices/{device}"), "logged out")
            }
            Account::Conversations { account } => get(format!("/accounts/{account}/conversations"), Shape::Memberships),
        },
        What::Conversation(conversation) => match conversation {
            Conversation::Show { conversation } => get(format!("/conversations/{conversation}"), Shape::Record),
            Conversation::Members { conversation } => {
                get(format!("/conversations/{conversation}/members"), Shape::Members)
            }
            Conversation::RemoveMember { conversation, account } => Wish {
                method: "DELETE",
                path: format!("/conversations/{conversation}/members/{account}"),
                body: None,
                shape: Shape::Done("asked for: an entry of the conversation's log follows"),
            },
            Conversation::Close { conversation, reason } => post(
                format!("/conversations/{conversation}/close"),
                json!({ "reason": reason }),
                Shape::Done("asked for: an entry of the conversation's log follows"),
            ),
        },
        What::Invite(invite) => match invite {
            Invite::List => get("/invites".into(), Shape::Invites),
            Invite::Create { expires } => {
                let body = expires.map_or_else(|| json!({}), |expires| json!({ "validS": expires.as_secs() }));
                post("/invites".into(), body, Shape::Record)
            }
            Invite::Revoke { code } => delete(format!("/invites/{code}"), "revoked"),
        },
        What::Limit(limit) => match limit {
            Limit::Show => get("/limits".into(), Shape::Record),
            Limit::Refusals => get("/limits/refusals".into(), Shape::Refusals),
            Limit::Reset { id } => post("/limits/refusals/reset".into(), json!({ "id": id }), Shape::Done("may go on")),
        },
        What::Report(report) => match report {
            Report::List { state } => get(format!("/reports?state={state}"), Shape::Reports),
            Report::Show { report } => get(format!("/reports/{report}"), Shape::Record),
            Report::Resolve { report, resolution } => {
                post(format!("/reports/{report}/resolve"), json!({ "resolution": resolution }), Shape::Done("resolved"))
            }
        },
        What::Token(token) => match token {
            Token::List => get("/tokens".into(), Shape::Tokens),
            Token::Create { scopes, expires, label } => post(
                "/tokens".into(),
                json!({ "scopes": scopes, "validS": expires.as_secs(), "label": label }),
                Shape::Record,
            ),
            Token::Revoke { id } => delete(format!("/tokens/{id}"), "revoked"),
        },
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON is JSON")
}

/// To the standard output, which nobody may be reading any more.
fn say(text: &str) -> Result<(), Failure> {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(())
}
