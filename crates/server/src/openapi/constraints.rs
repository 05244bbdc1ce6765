//! What the schema says only in words, as JSON Schema: limits, patterns, and which fields a command can't do without.

use hudhud_proto::{command, limits};
use serde_json::{Value, json};

/// The fields without which a command is refused, by their JSON names.
pub fn required(message: &str) -> &'static [&'static str] {
    match message {
        "Register" | "LogIn" => &["handle", "password"],
        "LogInJwt" => &["jwt"],
        "ChangePassword" => &["oldPassword", "newPassword"],
        "RemoveDevice" => &["device"],
        "RevokeToken" => &["id"],
        "LookUp" => &["handle"],
        "SetPrivacy" => &["privacy"],
        "Report" => &["category"],
        "GetProfile" | "Block" | "Unblock" | "SetContact" | "RemoveContact" => &["account"],
        "CreateGroup" => &["messageId", "title"],
        "GetConversation" | "ListMembers" | "CreateInvite" | "ListInvites" | "Fetch" | "ListReceipts" | "Typing" => {
            &["conversation"]
        }
        "UpdateGroup" | "LeaveGroup" => &["conversation", "messageId"],
        "AddMembers" => &["conversation", "messageId", "members"],
        "RemoveMember" => &["conversation", "messageId", "member"],
        "SetRole" => &["conversation", "messageId", "member", "role"],
        "RevokeInvite" => &["conversation", "code"],
        "PreviewInvite" => &["code"],
        "JoinByInvite" => &["code", "messageId"],
        "SetPreferences" => &["conversation", "preferences"],
        "Send" => &["messageId", "content"],
        "Received" | "Read" => &["conversation", "seq"],
        _ => &[],
    }
}

/// Fields of which a command has exactly one, though the schema does not say so.
pub fn alternatives(message: &str) -> &'static [&'static str] {
    match message {
        "Send" => &["conversation", "directWith"],
        _ => &[],
    }
}

/// Which fields have to be there together, beyond [`required`] and [`alternatives`].
pub fn combinations(message: &str) -> Option<Value> {
    let switched = json!({ "enum": ["SWITCH_ON", "SWITCH_OFF"] });
    let named = json!({ "type": "string", "minLength": 1 });
    let said = json!({ "not": { "enum": ["REPORT_CATEGORY_UNSPECIFIED", 0] } });
    match message {
        "Content" => Some(json!([
            { "required": ["text"], "properties": { "text": not_null(), "payload": { "type": "null" } } },
            { "required": ["contentType", "payload"],
              "properties": { "contentType": not_null(), "payload": not_null() } },
        ])),
        "UpdateGroup" => Some(json!([
            { "required": ["title"], "properties": { "title": { "type": "string", "minLength": 1 } } },
            { "required": ["announceOnly"], "properties": { "announceOnly": switched } },
        ])),
        "Report" => Some(json!([
            { "required": ["conversation"],
              "properties": { "conversation": named, "category": said } },
            { "required": ["account"],
              "properties": { "category": said, "account": named, "seqs": { "maxItems": 0 }, "contents": { "maxItems": 0 } } },
        ])),
        _ => None,
    }
}

/// Something is there.
pub fn not_null() -> Value {
    json!({ "not": { "type": "null" } })
}

/// Whether a message is a part of what is asked. There a field that may be left out may be null as well.
pub fn is_asked(message: &str) -> bool {
    matches!(message, "Content" | "Preferences" | "Privacy") || command::COMMANDS.iter().any(|it| it.message == message)
}

/// 16 bytes, in the usual or the URL-safe alphabet.
const ID: &str = "^([A-Za-z0-9+/]{21}[AQgw]|[A-Za-z0-9_-]{21}[AQgw])(==)?$";
/// 16 bytes that have the version and the variant of a UUIDv7 (RFC 9562).
const UUID_V7: &str = "^([A-Za-z0-9+/]{8}[c-f][A-Za-z0-9+/][CGKOSWaeimquy26+][A-Za-z0-9+/]{10}[AQgw]|\
                       [A-Za-z0-9_-]{8}[c-f][A-Za-z0-9_-][CGKOSWaeimquy26-][A-Za-z0-9_-]{10}[AQgw])(==)?$";
/// Any bytes, in the usual or the URL-safe alphabet.
const BASE64: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw](==)?|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?$|\
                      ^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw](==)?|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]=?)?$";
/// What a name may hold: nothing that is not seen, and no line ends.
pub(crate) const SEEN: &str =
    r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]*$";

/// A field of bytes: base64 of either alphabet. All but a few are ids.
pub fn bytes(field: &str) -> Value {
    let mut schema = json!({ "type": "string", "contentEncoding": "base64", "pattern": BASE64 });
    match field {
        "cursor" | "next_cursor" => {}
        "payload" => {
            schema["minLength"] = json!(2);
            schema["maxLength"] = json!(limits::PAYLOAD_BYTES_MAX.div_ceil(3) * 4);
        }
        "message_id" => schema["pattern"] = json!(UUID_V7),
        _ => schema["pattern"] = json!(ID),
    }
    schema
}

/// What else holds for a field. Limits are in bytes of UTF-8, `maxLength` is in characters: no string within the first can
/// break the second.
pub fn of(message: &str, field: &str) -> Value {
    match (message, field) {
        ("Register" | "LogIn" | "LookUp" | "OpenDirect", "handle") => {
            json!({ "pattern": "^@?[A-Za-z0-9_][A-Za-z0-9._]{1,30}[A-Za-z0-9_]$" })
        }
        (_, "password" | "old_password" | "new_password") => {
            json!({ "minLength": limits::PASSWORD_BYTES_MIN, "maxLength": limits::PASSWORD_BYTES_MAX })
        }
        (_, "device_name" | "display_name" | "label" | "alias") => {
            json!({ "maxLength": limits::NAME_BYTES_MAX, "pattern": SEEN })
        }
        ("CreateGroup", "title") => json!({ "minLength": 1, "maxLength": limits::TITLE_BYTES_MAX, "pattern": SEEN }),
        (_, "title") => json!({ "maxLength": limits::TITLE_BYTES_MAX, "pattern": SEEN }),
        ("Content", "content_type") => {
            json!({ "minLength": 1, "maxLength": limits::CONTENT_TYPE_BYTES_MAX, "pattern": r"^[\u0000-\u007f]*$" })
        }
        ("CreateToken", "valid_s") => at_most(limits::TOKEN_VALID_S_MAX),
        ("CreateInvite", "valid_s") => at_most(limits::INVITE_VALID_S_MAX),
        ("Received" | "Read", "seq") => json!({ "minimum": 1, "pattern": "^0*[1-9][0-9]{0,18}$" }),
        ("Content", "text") => json!({ "minLength": 1, "maxLength": limits::PAYLOAD_BYTES_MAX }),
        ("CreateGroup" | "AddMembers", "members") => json!({ "maxItems": limits::GROUP_MEMBERS_MAX - 1 }),
        // Left out, or empty, which is the same to protobuf.
        ("Report", "account" | "conversation") => json!({ "pattern": format!("^$|{ID}") }),
        ("Report", "text") => json!({ "maxLength": limits::REPORT_TEXT_BYTES_MAX }),
        ("Report", "seqs" | "contents") => json!({ "maxItems": limits::REPORT_ENTRIES_MAX }),
        ("WatchPresence", "accounts") => json!({ "maxItems": limits::WATCHED_MAX }),
        _ => json!({}),
    }
}

/// A number of 64 bits up to a limit, as a number and as its decimal digits.
fn at_most(limit: u64) -> Value {
    let digits = limit.to_string();
    let mut patterns = vec![format!("[0-9]{{1,{}}}", digits.len() - 1), digits.clone()];
    for (place, digit) in digits.char_indices().filter(|(_, digit)| *digit != '0') {
        let smaller = char::from(u8::try_from(digit).expect("a digit") - 1);
        patterns.push(format!("{}[0-{smaller}][0-9]{{{}}}", &digits[..place], digits.len() - place - 1));
    }
    json!({ "maximum": limit, "pattern": format!("^0*({})$", patterns.join("|")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digits of a limit and of everything below it, and of nothing above.
    #[test]
    fn a_limit_is_the_same_in_digits() {
        let limit = at_most(307);
        assert_eq!(limit["maximum"], 307);
        assert_eq!(limit["pattern"], "^0*([0-9]{1,2}|307|[0-2][0-9]{2}|30[0-6][0-9]{0})$");
    }
}
