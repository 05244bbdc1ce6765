//! What a person types: a text, or a slash command.

use crate::act::Act;
use crate::words::handle;
use hudhud_proto::v1;
use hudhud_proto::{ConversationId, Handle};

/// The commands, as `/help` shows them.
pub const HELP: &[(&str, &str)] = &[
    ("/dm alice", "open the chat with somebody"),
    ("/group Book club @alice @bob", "make a group"),
    ("/add @alice   /remove @alice", "change who is in this group"),
    ("/role @alice admin|member|owner", "change what somebody may do"),
    ("/rename New title", "rename this group"),
    ("/announce on|off", "only owner and admins send, or everybody"),
    ("/invite   /join CODE", "invite others by a code; follow one"),
    ("/who   /leave", "members of this group; leave it"),
    ("/mute   /unmute", "no unread colours for this chat"),
    ("/block @alice   /unblock   /blocks", "take nothing more from somebody"),
    ("/report [@alice] spam|abuse|illegal|impersonation|other TEXT", "tell the server's operators"),
    ("/contact @alice   /contacts", "who counts as a contact for /privacy"),
    ("/privacy [setting value]", "who sees what of you"),
    ("/name Alice B.", "the name that others see beside your handle"),
    ("/retry   /discard", "refused messages (!) of this chat"),
    ("/devices [remove ID]", "where you are logged in"),
    ("/offline   /online", "close the connection; connect"),
    ("/logout   /quit", "forget this account here; close (Ctrl-C)"),
    ("//text", "send a text that begins with a slash"),
    ("Tab ↑ ↓   PgUp PgDn   Alt-Enter", "other chat; older and newer; line break"),
];

/// What was typed.
#[derive(Clone, PartialEq, Debug)]
pub enum Typed {
    /// Nothing.
    Nothing,
    /// A message.
    Text(String),
    /// Something for the client.
    Act(Act),
    /// Open the chat with somebody.
    Direct(Handle),
    /// Show the commands.
    Help,
    /// Show the form to log in.
    LogIn,
    /// Close the program.
    Quit,
}

/// Reads a line. `open`: the conversation on the screen. An error says what to type instead.
pub fn parse(line: &str, open: Option<ConversationId>) -> Result<Typed, String> {
    let Some(command) = line.strip_prefix('/') else {
        return Ok(if line.trim().is_empty() { Typed::Nothing } else { Typed::Text(line.to_owned()) });
    };
    if command.starts_with('/') {
        return Ok(Typed::Text(command.to_owned()));
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let arguments = Arguments { usage: usage(name), rest: rest.trim(), open };
    if let Some(act) = of_groups(name, &arguments).or_else(|| of_oneself(name, &arguments)) {
        return act.map(Typed::Act);
    }
    match name {
        "dm" | "msg" => Ok(Typed::Direct(arguments.handle()?)),
        "help" | "h" | "?" => Ok(Typed::Help),
        "login" => Ok(Typed::LogIn),
        "quit" | "q" | "exit" => Ok(Typed::Quit),
        _ => Err(format!("there is no command /{name}: /help lists them, and // sends a text that begins with /")),
    }
}

struct Arguments<'a> {
    usage: &'static str,
    rest: &'a str,
    open: Option<ConversationId>,
}

impl Arguments<'_> {
    fn here(&self) -> Result<ConversationId, String> {
        self.open.ok_or_else(|| "open a chat first: Tab, or /dm alice".into())
    }

    fn wrong(&self) -> String {
        format!("type it like this: {}", self.usage)
    }

    fn text(&self) -> Result<String, String> {
        if self.rest.is_empty() { Err(self.wrong()) } else { Ok(self.rest.to_owned()) }
    }

    fn handle(&self) -> Result<Handle, String> {
        if self.rest.is_empty() { Err(self.wrong()) } else { handle(self.rest) }
    }

    fn handles(&self) -> Result<Vec<Handle>, String> {
        if self.rest.is_empty() { Err(self.wrong()) } else { self.rest.split_whitespace().map(handle).collect() }
    }

    fn switch(&self) -> Result<v1::Switch, String> {
        match self.rest {
            "on" => Ok(v1::Switch::On),
            "off" => Ok(v1::Switch::Off),
            _ => Err(self.wrong()),
        }
    }
}

fn usage(name: &str) -> &'static str {
    match name {
        "dm" | "msg" => "/dm alice",
        "group" => "/group Book club @alice @bob",
        "add" => "/add @alice @bob",
        "remove" | "kick" => "/remove @alice",
        "role" => "/role @alice admin (or member, or owner)",
        "rename" => "/rename New title",
        "announce" => "/announce on (or off)",
        "join" => "/join CODE",
        "block" => "/block @alice",
        "unblock" => "/unblock @alice",
        "report" => "/report spam what happened, or /report @alice abuse what happened",
        "contact" => "/contact @alice",
        "uncontact" => "/uncontact @alice",
        "name" => "/name Alice B.",
        "privacy" => "/privacy last_seen|online|groups everyone|contacts|nobody, or /privacy read_receipts on|off",
        "devices" => "/devices, or /devices remove ID",
        _ => "/help",
    }
}

fn of_groups(name: &str, arguments: &Arguments<'_>) -> Option<Result<Act, String>> {
    let here = || arguments.here();
    Some(match name {
        "group" => new_group(arguments),
        "add" => here().and_then(|group| Ok(Act::Add { group, members: arguments.handles()? })),
        "remove" | "kick" => here().and_then(|group| Ok(Act::Remove { group, member: arguments.handle()? })),
        "leave" => here().map(|group| Act::Leave { group }),
        "rename" => here().and_then(|group| Ok(Act::Rename { group, title: arguments.text()? })),
        "announce" => here().and_then(|group| Ok(Act::Announce { group, announce: arguments.switch()? })),
        "role" => here().and_then(|group| {
            let (who, role) = arguments.rest.split_once(' ').ok_or_else(|| arguments.wrong())?;
            let role = role_named(role.trim()).ok_or_else(|| arguments.wrong())?;
            Ok(Act::Role { group, member: handle(who)?, role })
        }),
        "invite" => here().map(|group| Act::Invite { group }),
        "join" => arguments.text().map(|code| Act::Join { code }),
        "who" | "members" => here().map(|conversation| Act::Members { conversation }),
        "mute" => here().map(|conversation| Act::Mute { conversation, until_us: u64::MAX }),
        "unmute" => here().map(|conversation| Act::Mute { conversation, until_us: 0 }),
        "retry" => here().map(|conversation| Act::Retry { conversation, message: None }),
        "discard" => here().map(|conversation| Act::Discard { conversation, message: None }),
        _ => return None,
    })
}

/// A title ends where the handles begin: at the first `@`, or behind its first word.
fn new_group(arguments: &Arguments<'_>) -> Result<Act, String> {
    let words: Vec<_> = arguments.rest.split_whitespace().collect();
    let title_words = words.iter().position(|word| word.starts_with('@')).unwrap_or(1).min(words.len());
    let (title, members) = words.split_at(title_words);
    if title.is_empty() {
        return Err(arguments.wrong());
    }
    let members = members.iter().map(|word| handle(word)).collect::<Result<_, _>>()?;
    Ok(Act::CreateGroup { title: title.join(" "), members, announce: v1::Switch::Unspecified })
}

fn of_oneself(name: &str, arguments: &Arguments<'_>) -> Option<Result<Act, String>> {
    Some(match name {
        "block" => arguments.handle().map(Act::Block),
        "unblock" => arguments.handle().map(Act::Unblock),
        "report" => report(arguments),
        "blocks" => Ok(Act::Blocks),
        "contact" => arguments.handle().map(Act::Contact),
        "uncontact" => arguments.handle().map(Act::RemoveContact),
        "contacts" => Ok(Act::Contacts),
        "privacy" => privacy(arguments),
        "name" => arguments.text().map(Act::Name),
        "devices" => match arguments.rest.split_once(' ') {
            None if arguments.rest.is_empty() => Ok(Act::Devices),
            Some(("remove", id)) => id.trim().parse().map(Act::RemoveDevice).map_err(|_| arguments.wrong()),
            _ => Err(arguments.wrong()),
        },
        "invite-to-server" => Ok(Act::InviteToServer),
        "offline" => Ok(Act::Offline),
        "online" => Ok(Act::Online),
        "logout" => Ok(Act::LogOut),
        _ => return None,
    })
}

/// About somebody who is named, or about what is on the screen.
fn report(arguments: &Arguments<'_>) -> Result<Act, String> {
    let (who, rest) = match arguments.rest.split_once(' ') {
        Some((who, rest)) if who.starts_with('@') => (Some(handle(who)?), rest.trim()),
        _ => (None, arguments.rest),
    };
    let (category, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let category = category_named(category).ok_or_else(|| arguments.wrong())?;
    let conversation = if who.is_none() { Some(arguments.here()?) } else { None };
    Ok(Act::Report { who, conversation, seqs: Vec::new(), category, text: text.trim().to_owned() })
}

fn privacy(arguments: &Arguments<'_>) -> Result<Act, String> {
    if arguments.rest.is_empty() {
        return Ok(Act::Privacy);
    }
    let (setting, value) = arguments.rest.split_once(' ').ok_or_else(|| arguments.wrong())?;
    let mut privacy = v1::Privacy::default();
    let audience = || audience_named(value.trim()).ok_or_else(|| arguments.wrong());
    match setting {
        "last_seen" => privacy.last_seen = audience()?.into(),
        "online" => privacy.online = audience()?.into(),
        "groups" => privacy.groups = audience()?.into(),
        "read_receipts" if value.trim() == "on" => privacy.read_receipts = v1::Switch::On.into(),
        "read_receipts" if value.trim() == "off" => privacy.read_receipts = v1::Switch::Off.into(),
        _ => return Err(arguments.wrong()),
    }
    Ok(Act::SetPrivacy(privacy))
}

/// The role with this name.
pub fn role_named(name: &str) -> Option<v1::Role> {
    Some(match name {
        "owner" => v1::Role::Owner,
        "admin" => v1::Role::Admin,
        "member" => v1::Role::Member,
        _ => return None,
    })
}

/// The category of reports with this name.
pub fn category_named(name: &str) -> Option<v1::ReportCategory> {
    Some(match name {
        "spam" => v1::ReportCategory::Spam,
        "abuse" => v1::ReportCategory::Abuse,
        "illegal" => v1::ReportCategory::Illegal,
        "impersonation" => v1::ReportCategory::Impersonation,
        "other" => v1::ReportCategory::Other,
        _ => return None,
    })
}

/// The audience with this name.
pub fn audience_named(name: &str) -> Option<v1::Audience> {
    Some(match name {
        "everyone" => v1::Audience::Everyone,
        "contacts" => v1::Audience::Contacts,
        "nobody" => v1::Audience::Nobody,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
