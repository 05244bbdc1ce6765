//! What the schema says only in words, as JSON Schema: limits, patterns, and which fields a command can't do without.

use hudhud_proto::limits;
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

/// A field of bytes: base64 of either alphabet. All but a few are ids.
pub fn bytes(field: &str) -> Value {
    match field {
        "cursor" | "next_cursor" => json!({ "type": "string", "contentEncoding": "base64" }),
        "payload" => json!({
            "type": "string",
            "contentEncoding": "base64",
            "maxLength": limits::PAYLOAD_BYTES_MAX.div_ceil(3) * 4,
        }),
        _ => json!({ "type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/_-]{21}[AQgw](==)?$" }),
    }
}

/// What else holds for a field. Limits are in bytes of UTF-8, `maxLength` is in characters: no string within the first can
/// break the second.
pub fn of(message: &str, field: &str) -> Value {
    match (message, field) {
        ("Register" | "LogIn" | "LookUp" | "OpenDirect", "handle") => {
            json!({ "pattern": "^@?[A-Za-z0-9_][A-Za-z0-9._]{1,30}[A-Za-z0-9_]$" })
        }
        ("Register", "password") | ("ChangePassword", "new_password") => {
            json!({ "minLength": limits::PASSWORD_BYTES_MIN, "maxLength": limits::PASSWORD_BYTES_MAX })
        }
        ("LogIn", "password") | ("ChangePassword", "old_password") => {
            json!({ "maxLength": limits::PASSWORD_BYTES_MAX })
        }
        (_, "device_name" | "display_name" | "label" | "alias") => json!({ "maxLength": limits::NAME_BYTES_MAX }),
        ("CreateGroup", "title") => json!({ "minLength": 1, "maxLength": limits::TITLE_BYTES_MAX }),
        (_, "title") => json!({ "maxLength": limits::TITLE_BYTES_MAX }),
        ("Content", "content_type") => json!({ "maxLength": limits::CONTENT_TYPE_BYTES_MAX }),
        ("Content", "text") => json!({ "maxLength": limits::PAYLOAD_BYTES_MAX }),
        ("CreateGroup" | "AddMembers", "members") => json!({ "maxItems": limits::GROUP_MEMBERS_MAX }),
        ("WatchPresence", "accounts") => json!({ "maxItems": limits::WATCHED_MAX }),
        _ => json!({}),
    }
}
