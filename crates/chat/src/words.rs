//! What happened, in words for people: safe to print, without colours.

use crate::act::Act;
use crate::text;
use crate::world::World;
use hudhud_client::{Body, Content, Entry};
use hudhud_proto::v1::event::What;
use hudhud_proto::v1::{self, server_frame};
use hudhud_proto::{AccountId, EnumValue, Handle};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What somebody is called in a conversation.
pub fn name(world: &World, account: AccountId) -> String {
    if world.is_me(account) {
        return "you".into();
    }
    if account == AccountId::OPERATORS {
        return "the server's operators".into();
    }
    text::line(world.handle_of(account).unwrap_or("…"))
}

/// Names in a row: `alice, bob and you`.
fn names(world: &World, accounts: &[impl AsRef<[u8]>]) -> String {
    let name = |bytes: &[u8]| AccountId::from_slice(bytes).map_or_else(|_| "…".into(), |account| name(world, account));
    let names: Vec<_> = accounts.iter().map(|account| name(account.as_ref())).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "nobody".into(),
    }
}

/// The message, in its lines; what this version can't show is named.
pub fn content(content: &Content) -> String {
    match content.as_text() {
        Some(text) => text::lines(text),
        None => format!("[{}: this version shows text only]", text::line(&content.content_type)),
    }
}

/// The entry as a sentence if it is a change of the conversation.
pub fn change(world: &World, entry: &Entry) -> Option<String> {
    let who = name(world, entry.sender);
    let what = match &entry.body {
        Body::Content(_) => return None,
        Body::Unknown => return Some("(something that this version does not know)".into()),
        Body::Event(what) => what,
    };
    Some(match what {
        What::Created(created) if created.members.is_empty() => {
            format!("{who} made the group “{}”", text::line(&created.title))
        }
        What::Created(created) => {
            let members = names(world, &created.members);
            format!("{who} made the group “{}” with {members}", text::line(&created.title))
        }
        What::MembersAdded(added) => format!("{who} added {}", names(world, &added.members)),
        What::MemberRemoved(removed) if !removed.new_owner.is_empty() => format!(
            "{who} removed {}; now owned by {}",
            names(world, &[&removed.member]),
            names(world, &[&removed.new_owner])
        ),
        What::Closed(closed) if closed.reason.is_empty() => {
            format!("{who} closed this chat: nobody writes here any more")
        }
        What::Closed(closed) => format!("{who} closed this chat: {}", text::line(&closed.reason)),
        What::MemberRemoved(removed) => format!("{who} removed {}", names(world, &[&removed.member])),
        What::MemberLeft(left) if left.new_owner.is_empty() => format!("{who} left"),
        What::MemberLeft(left) => format!("{who} left; now owned by {}", names(world, &[&left.new_owner])),
        What::MemberJoined(_) => format!("{who} joined by invite"),
        What::RoleChanged(changed) => {
            format!("{who} made {} {}", names(world, &[&changed.member]), role_of(&changed.role))
        }
        What::Updated(updated) => match (updated.title.as_str(), updated.announce_only.as_known()) {
            ("", Some(v1::Switch::On)) => format!("{who} lets only owner and admins send"),
            ("", _) => format!("{who} lets everybody send"),
            (title, _) => format!("{who} renamed the group to “{}”", text::line(title)),
        },
    })
}

fn role_of(role: &EnumValue<v1::Role>) -> &'static str {
    match role.as_known() {
        Some(v1::Role::Owner) => "owner",
        Some(v1::Role::Admin) => "admin",
        Some(v1::Role::Member) => "member",
        _ => "no member",
    }
}

/// The role as scripts and commands spell it.
pub fn role(role: v1::Role) -> &'static str {
    role_of(&role.into())
}

/// The audience as scripts and commands spell it.
pub fn audience(audience: &EnumValue<v1::Audience>) -> &'static str {
    match audience.as_known() {
        Some(v1::Audience::Everyone) => "everyone",
        Some(v1::Audience::Contacts) => "contacts",
        Some(v1::Audience::Nobody) => "nobody",
        _ => "unspecified",
    }
}

/// The switch as scripts and commands spell it.
pub fn switch(switch: &EnumValue<v1::Switch>) -> &'static str {
    match switch.as_known() {
        Some(v1::Switch::On) => "on",
        Some(v1::Switch::Off) => "off",
        _ => "unspecified",
    }
}

/// An answer in lines: a title first if there is more than one.
pub fn answer(world: &World, act: &Act, answer: &server_frame::Event, zone: &TimeZone) -> Vec<String> {
    use server_frame::Event as Answer;
    let titled = |title: &str, none: &str, lines: Vec<String>| {
        if lines.is_empty() { vec![none.to_owned()] } else { [vec![title.to_owned()], lines].concat() }
    };
    match answer {
        Answer::MemberList(list) => {
            let line = |member: &v1::MemberInfo| format!("{}  {}", person(&member.profile), role_of(&member.role));
            titled("Members", "Nobody is here.", list.members.iter().map(line).collect())
        }
        Answer::BlockList(list) => titled("Blocked", "You block nobody.", list.accounts.iter().map(person).collect()),
        Answer::ContactList(list) => {
            let line = |contact: &v1::Contact| person(&contact.profile);
            titled("Contacts", "You have no contacts: /contact alice", list.contacts.iter().map(line).collect())
        }
        Answer::DeviceList(list) => {
            let mut lines: Vec<_> = list.devices.iter().map(|device| device_line(device, zone)).collect();
            lines.push("log one out: /devices remove ID".into());
            titled("Your devices", "", lines)
        }
        Answer::Privacy(privacy) => vec![
            "Privacy".into(),
            format!("last_seen      {}", audience(&privacy.last_seen)),
            format!("online         {}", audience(&privacy.online)),
            format!("groups         {}", audience(&privacy.groups)),
            format!("read_receipts  {}", switch(&privacy.read_receipts)),
            "change one: /privacy online contacts".into(),
        ],
        Answer::Invite(invite) => {
            let until = moment(invite.expires_us, zone);
            vec![
                "Invite".into(),
                format!("others join with: /join {}", text::line(&invite.code)),
                format!("until {until}"),
            ]
        }
        Answer::RegistrationInvite(invite) => {
            let until = moment(invite.expires_us, zone);
            vec![
                "Invite to this server".into(),
                format!("code: {}", text::line(&invite.code)),
                format!("until {until}"),
            ]
        }
        Answer::ChangeAccepted(accepted) if !accepted.not_added.is_empty() => {
            let who = names(world, &accepted.not_added);
            vec![format!("{who} can't be added: send them an /invite")]
        }
        Answer::Profile(profile) => vec![format!("Others see you as {}", person(profile))],
        _ => done(act).into_iter().collect(),
    }
}

/// That an act is done, where nothing else shows it.
fn done(act: &Act) -> Option<String> {
    Some(match act {
        Act::Report { .. } => "Reported. The server's operators see what you wrote, and no messages.".into(),
        Act::Block(handle) => format!("You block @{handle}: nothing comes from them any more."),
        Act::Unblock(handle) => format!("You block @{handle} no more."),
        Act::Contact(handle) => format!("@{handle} is a contact."),
        Act::RemoveContact(handle) => format!("@{handle} is no contact any more."),
        Act::SetPrivacy(_) => "Changed. /privacy shows the settings.".into(),
        Act::RemoveDevice(_) => "That device is logged out.".into(),
        Act::Mute { until_us: 0, .. } => "Not muted any more.".into(),
        Act::Mute { .. } => "Muted. /unmute ends it.".into(),
        _ => return None,
    })
}

fn person(profile: &v1::Profile) -> String {
    let (handle, shown) = (text::line(&profile.handle), text::line(&profile.display_name));
    if shown.is_empty() || shown == handle { format!("@{handle}") } else { format!("@{handle} ({shown})") }
}

fn device_line(device: &v1::Device, zone: &TimeZone) -> String {
    let id = hudhud_proto::DeviceId::from_slice(&device.device).map(|id| id.to_string()).unwrap_or_default();
    let state = match (device.current, device.connected) {
        (true, _) => "this one",
        (false, true) => "connected",
        (false, false) => "away",
    };
    format!("{id}  {}  {state}, since {}", text::line(&device.name), moment(device.created_us, zone))
}

/// Who types: `alice is typing…`.
pub fn typing<'a>(world: &World, typists: impl Iterator<Item = &'a AccountId>) -> Option<String> {
    let typists: Vec<_> = typists.map(AccountId::as_bytes).collect();
    match typists.len() {
        0 => None,
        1 => Some(format!("{} is typing…", names(world, &typists))),
        2 | 3 => Some(format!("{} are typing…", names(world, &typists))),
        _ => Some("several people are typing…".into()),
    }
}

/// `08:15`, at microseconds since the Unix epoch.
pub fn clock(time_us: u64, zone: &TimeZone) -> String {
    format(time_us, zone, "%H:%M")
}

/// `Sunday 22 November 2026`.
pub fn day(time_us: u64, zone: &TimeZone) -> String {
    format(time_us, zone, "%A %-d %B %Y")
}

/// `22 November 2026, 08:15`.
pub fn moment(time_us: u64, zone: &TimeZone) -> String {
    format(time_us, zone, "%-d %B %Y, %H:%M")
}

/// RFC 3339 in UTC, for scripts.
pub fn rfc3339(time_us: u64) -> String {
    timestamp(time_us).to_string()
}

fn format(time_us: u64, zone: &TimeZone, format: &str) -> String {
    timestamp(time_us).to_zoned(zone.clone()).strftime(format).to_string()
}

/// The moment; times that no calendar has become the epoch.
fn timestamp(time_us: u64) -> Timestamp {
    i64::try_from(time_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A handle as a person or a script spells it: with or without `@`.
pub fn handle(text: &str) -> Result<Handle, String> {
    text.parse().map_err(|error| format!("“{}”: {error}", text::line(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_and_impossible_ones_harmless() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let time_us = 1_795_300_000_000_000;
        assert_eq!(rfc3339(time_us), "2026-11-21T22:26:40Z");
        assert_eq!(clock(time_us, &zone), "00:26");
        assert_eq!(day(time_us, &zone), "Sunday 22 November 2026");
        assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00Z");
    }
}
