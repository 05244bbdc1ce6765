//! What happened, as lines for scripts: ids in base64url, people by their handles, times in RFC 3339.
//!
//! Texts are as they were sent, not made safe for a terminal: JSON escapes control characters.

use super::mode::code;
use crate::words;
use crate::world::{Tick, World, tick_of_outgoing};
use hudhud_client::{Account, Body, Connection, ConversationRow, Entry, Event, Outgoing, Summary};
use hudhud_proto::v1::event::What;
use hudhud_proto::v1::{ConversationKind, ReceiptKind};
use hudhud_proto::{AccountId, ConversationId, MessageId, ProtocolError, Seq};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// An event that is told as it is; none for those that the mode tells in its own way, or not at all.
pub fn event(world: &World, event: &Event) -> Option<Value> {
    Some(match event {
        Event::LoggedIn(me) => with(account(me), &[("event", json!("logged_in"))]),
        Event::LoggedOut { reason } => json!({ "event": "logged_out", "reason": reason }),
        Event::Replaced => json!({ "event": "replaced" }),
        Event::Suspended { reason } => json!({ "event": "suspended", "reason": reason }),
        Event::Typing { conversation, account, typing } => json!({ "event": "typing",
            "conversation": conversation.to_string(), "from": handle(world, *account), "typing": typing }),
        Event::Presence { account, online, last_seen_us } => json!({ "event": "presence",
            "handle": handle(world, *account), "online": online,
            "last_seen": (*last_seen_us > 0).then(|| words::rfc3339(*last_seen_us)) }),
        _ => return None,
    })
}

/// `value` with further fields.
fn with(mut value: Value, fields: &[(&str, Value)]) -> Value {
    for (name, field) in fields {
        value[*name] = field.clone();
    }
    value
}

/// A handle, or null while it is not known.
fn handle(world: &World, account: AccountId) -> Option<&str> {
    world.handle_of(account)
}

/// Handles of ids in a message; the id itself for whoever is not known.
pub fn handles(world: &World, accounts: &[impl AsRef<[u8]>]) -> Vec<String> {
    let known = |account: AccountId| handle(world, account).map_or_else(|| account.to_string(), str::to_owned);
    accounts.iter().filter_map(|bytes| AccountId::from_slice(bytes.as_ref()).ok()).map(known).collect()
}

/// Who uses this device.
pub fn account(me: &Account) -> Value {
    json!({ "handle": me.handle, "account": me.account.to_string(), "device": me.device.to_string() })
}

pub fn error(error: &ProtocolError) -> Value {
    let mut line = json!({ "code": code(error.code), "message": error.message });
    if error.retry_after_ms > 0 {
        line["retry_after_ms"] = json!(error.retry_after_ms);
    }
    line
}

pub fn connection(connection: Connection, now: Duration) -> Value {
    let line = |state: &str| json!({ "event": "connection", "state": state });
    match connection {
        Connection::Online => line("online"),
        Connection::CatchingUp => line("catching_up"),
        Connection::Connecting => line("connecting"),
        Connection::Offline { failures, retry_at } => {
            let retry_in_ms = retry_at.map(|at| at.saturating_sub(now).as_millis());
            let retry_in_ms = retry_in_ms.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX));
            with(line("offline"), &[("failures", json!(failures)), ("retry_in_ms", json!(retry_in_ms))])
        }
    }
}

/// What a conversation is; its messages have lines of their own.
pub fn conversation(world: &World, row: &ConversationRow) -> Value {
    let kind = match row.kind {
        ConversationKind::Direct => "direct",
        ConversationKind::Group => "group",
        ConversationKind::Unspecified => "unknown",
    };
    let mut line = json!({ "event": "conversation", "conversation": row.id.to_string(), "kind": kind });
    if row.kind == ConversationKind::Group {
        line["title"] = json!(row.title);
        line["role"] = json!(words::role(row.role));
        line["members"] = json!(row.member_count);
        line["announce"] = json!(row.announce_only);
    }
    if let Some(peer) = row.peer {
        line["with"] = json!(handle(world, peer));
    }
    line
}

/// A conversation as a list of them has it.
pub fn summary(world: &World, summary: &Summary) -> Value {
    let mut line = conversation(world, &summary.row);
    line["unread"] = json!(summary.unread);
    line["read_seq"] = json!(summary.row.read.0);
    line["last"] = json!(summary.last.as_ref().map(|last| entry(world, last)));
    if let Value::Object(fields) = &mut line {
        fields.remove("event");
    }
    line
}

/// An entry: a `message`, or a `change` of the conversation.
pub fn entry(world: &World, entry: &Entry) -> Value {
    let event = if matches!(entry.body, Body::Content(_)) { "message" } else { "change" };
    let mut line = json!({ "event": event, "conversation": entry.conversation.to_string(), "seq": entry.seq.0,
        "message": entry.message.to_string(), "from": handle(world, entry.sender), "mine": world.is_me(entry.sender),
        "time": words::rfc3339(entry.time_us) });
    let body = match &entry.body {
        Body::Content(content) => match content.as_text() {
            Some(text) => json!({ "text": text }),
            None => json!({ "text": null, "content_type": content.content_type }),
        },
        Body::Event(what) => change(world, what),
        Body::Unknown => json!({ "what": "unknown" }),
    };
    if let (Value::Object(line), Value::Object(body)) = (&mut line, body) {
        line.extend(body);
    }
    line
}

fn change(world: &World, what: &What) -> Value {
    let one = |bytes: &[u8]| handles(world, &[bytes]).pop();
    match what {
        What::Created(created) => json!({ "what": "created", "title": created.title,
            "members": handles(world, &created.members), "announce": created.announce_only }),
        What::MembersAdded(added) => json!({ "what": "members_added", "members": handles(world, &added.members) }),
        What::MemberRemoved(removed) => json!({ "what": "member_removed", "member": one(&removed.member) }),
        What::Closed(closed) => json!({ "what": "closed", "reason": closed.reason }),
        What::MemberLeft(left) => json!({ "what": "member_left", "new_owner": one(&left.new_owner) }),
        What::MemberJoined(_) => json!({ "what": "member_joined" }),
        What::RoleChanged(changed) => {
            let role = changed.role.as_known().map(words::role);
            json!({ "what": "role_changed", "member": one(&changed.member), "role": role })
        }
        What::Updated(updated) => {
            let mut fields = Map::from_iter([("what".to_owned(), json!("updated"))]);
            if !updated.title.is_empty() {
                fields.insert("title".into(), json!(updated.title));
            }
            match words::switch(&updated.announce_only) {
                "unspecified" => {}
                switch => drop(fields.insert("announce".into(), json!(switch == "on"))),
            }
            Value::Object(fields)
        }
    }
}

/// Whoever an entry names.
pub fn people(entry: &Entry) -> Vec<AccountId> {
    let named: Vec<&[u8]> = match &entry.body {
        Body::Event(What::Created(created)) => created.members.iter().map(|member| &member[..]).collect(),
        Body::Event(What::MembersAdded(added)) => added.members.iter().map(|member| &member[..]).collect(),
        Body::Event(What::MemberRemoved(removed)) => vec![&removed.member],
        Body::Event(What::RoleChanged(changed)) => vec![&changed.member],
        _ => Vec::new(),
    };
    let named = named.into_iter().filter_map(|bytes| AccountId::from_slice(bytes).ok());
    // Operators have no handle that could become known.
    std::iter::once(entry.sender).chain(named).filter(|account| *account != AccountId::OPERATORS).collect()
}

/// A message in the outbox, as a list of them has it.
pub fn outgoing(outgoing: &Outgoing) -> Value {
    let line = tick(outgoing.conversation, outgoing.message, None, tick_of_outgoing(outgoing));
    let text = outgoing.content.as_text();
    let mut line = with(line, &[("text", json!(text)), ("time", json!(words::rfc3339(outgoing.composed_us)))]);
    if let Value::Object(fields) = &mut line {
        fields.remove("event");
    }
    line
}

/// How far a message of one's own is.
pub fn tick(conversation: ConversationId, message: MessageId, seq: Option<Seq>, tick: Tick) -> Value {
    let name = match tick {
        Tick::Waiting => "waiting",
        Tick::Accepted => "accepted",
        Tick::Delivered => "delivered",
        Tick::Read => "read",
        Tick::Refused => "refused",
    };
    let line = json!({ "event": "tick", "tick": name, "conversation": conversation.to_string(),
        "message": message.to_string() });
    match seq {
        Some(seq) => with(line, &[("seq", json!(seq.0))]),
        None => line,
    }
}

/// How far all others have received or read.
pub fn receipt(conversation: ConversationId, kind: ReceiptKind, seq: Seq) -> Value {
    let kind = if kind == ReceiptKind::Read { "read" } else { "received" };
    json!({ "event": "receipt", "conversation": conversation.to_string(), "kind": kind, "seq": seq.0 })
}
