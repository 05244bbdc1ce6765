//! What is sent and answered, as JSON Schema.

use hudhud_proto::limits::{INVITE_VALID_S_MAX, NAME_BYTES_MAX, REASON_BYTES_MAX};
use hudhud_roles::api::admin::{Scope, tokens};
use serde_json::{Map, Value, json};

/// Fields that an answer has: name, kind, words. A `?` behind the name: it may be left out.
type Fields = &'static [(&'static str, &'static str, &'static str)];

const ACCOUNT: Fields = &[
    ("id", "id", "Its id."),
    ("handle", "string", "Empty where it logs in by a backend and chose none, or was deleted."),
    ("displayName", "string", "What others see."),
    ("createdUs", "time", "When it was made."),
    ("state", "active|suspended|deleted", "How it stands."),
    ("reason", "string", "Why, in the words of an operator."),
    ("sinceUs", "time", "Since when it stands so; 0: nothing was ever decided."),
];
const DETAILS: Fields = &[
    ("lastSeenUs", "time", "0: never."),
    ("hasPassword", "boolean", "Whether it logs in by a password, or by a trusted backend."),
    ("devices", "count", "Its devices."),
    ("connectedDevices", "count", "Those that are connected now."),
    ("conversations", "count", "The conversations in its inbox."),
];
const ANSWERS: &[(&str, Fields)] = &[
    ("Account", ACCOUNT),
    (
        "Device",
        &[
            ("id", "id", "Its id."),
            ("name", "string", "What its owner called it."),
            ("createdUs", "time", "When it logged in."),
            ("connected", "boolean", "Whether it is connected now."),
        ],
    ),
    (
        "Membership",
        &[
            ("conversation", "id", "The conversation."),
            ("kind", "direct|group|unknown", "What it is."),
            ("headSeq", "count", "The last entry's number."),
            ("activityUs", "time", "When that was made."),
        ],
    ),
    (
        "OneTimePassword",
        &[
            ("password", "string", "Logs in once. Shown here and never again."),
            ("expiresUs", "time", "Until when it does."),
        ],
    ),
    (
        "Conversation",
        &[
            ("id", "id", "Its id."),
            ("kind", "direct|group|unknown", "What it is."),
            ("title", "string", "Of a group."),
            ("headSeq", "count", "The last entry's number."),
            ("createdUs", "time", "When the first entry was made."),
            ("activityUs", "time", "When the last one was."),
            ("members", "count", "Who is in it now."),
            ("announceOnly", "boolean", "Whether only owner and admins write."),
            ("closed", "boolean", "Whether operators closed it."),
        ],
    ),
    ("Member", &[("account", "id", "Who."), ("role", "member|admin|owner", "As what.")]),
    (
        "Asked",
        &[("conversation", "id", "Whose log was asked."), ("messageId", "id", "The id that the entry will have.")],
    ),
    (
        "Invite",
        &[
            ("code", "string", "Whoever has it may register."),
            ("createdBy?", "id", "The account that made it; left out where operators did."),
            ("expiresUs", "time", "Until when it lets somebody in."),
            ("usedBy?", "id", "The account that was made with it."),
        ],
    ),
    (
        "Refusal",
        &[
            ("id", "string", "Names it, for `resetRefusal`."),
            ("rate", "string", "The rate, as the configuration calls it."),
            ("whose", "string", "account:…, device:…, handle:…, address:…, conversation:… or everybody."),
            ("waitMs", "count", "How long until the next one is let through, in milliseconds."),
        ],
    ),
    (
        "Shown",
        &[
            ("contentType", "string", "A media type."),
            ("text?", "string", "Of a text."),
            ("payload?", "string", "Of anything else, in base64."),
        ],
    ),
    (
        "Report",
        &[
            ("id", "id", "Its id."),
            ("reporter", "id", "Who reports."),
            ("account?", "id", "Who is reported."),
            ("conversation?", "id", "Which conversation is."),
            ("seqs", "counts", "The entries of it that this is about."),
            ("category", "spam|abuse|illegal|impersonation|other", "What it is about."),
            ("text", "string", "In the reporter's words."),
            ("contents", "Shown", "Messages that the reporter chose to show."),
            ("createdUs", "time", "When it came."),
            ("resolvedUs", "time", "When it was resolved; 0: it is open."),
            ("resolution", "string", "In the words of the operator who resolved it."),
        ],
    ),
    ("Token", TOKEN),
    (
        "Backup",
        &[
            ("folder", "string", "Where."),
            ("rows", "count", "Rows of both databases."),
            ("records", "count", "Records that were accepted and not yet applied."),
            ("conversations", "count", "Conversations."),
            ("bytes", "count", "Bytes of all files."),
            ("took_ms", "count", "How long it took, in milliseconds."),
        ],
    ),
];
const TOKEN: Fields = &[
    ("id", "id", "Names it without being it."),
    ("label", "string", "For people."),
    ("scopes", "scopes", "What it is for."),
    ("createdUs", "time", "When it was made."),
    ("expiresUs", "time", "Until when it is valid."),
];
const LISTS: &[(&str, &str)] = &[
    ("AccountPage", "Account"),
    ("MembershipPage", "Membership"),
    ("MemberPage", "Member"),
    ("InvitePage", "Invite"),
    ("ReportPage", "Report"),
    ("TokenPage", "Token"),
    ("DeviceList", "Device"),
    ("RefusalList", "Refusal"),
];

/// Every schema, by its name.
pub fn all() -> Map<String, Value> {
    let mut schemas: Map<String, Value> =
        ANSWERS.iter().map(|(name, fields)| ((*name).to_owned(), object(fields))).collect();
    schemas.insert("AccountDetails".into(), object(&[ACCOUNT, DETAILS].concat()));
    let secret = ("token", "string", "The token itself. Shown here and never again.");
    schemas.insert("NewTokenAnswer".into(), object(&[TOKEN, &[secret]].concat()));
    for (list, item) in LISTS {
        let mut page = json!({
            "type": "object",
            "required": ["items"],
            "properties": { "items": { "type": "array", "items": { "$ref": reference(item) } } },
        });
        if list.ends_with("Page") {
            page["properties"]["nextCursor"] =
                json!({ "type": "string", "description": "For the next page; left out at the end." });
        }
        schemas.insert((*list).to_owned(), page);
    }
    let settings = json!({ "type": "object", "description": "As the configuration has it: docs/configuration.md." });
    schemas.insert(
        "LimitSettings".into(),
        json!({
            "type": "object",
            "required": ["limits", "rates"],
            "properties": { "limits": settings, "rates": settings },
        }),
    );
    schemas.extend(requests());
    schemas
}

/// What is sent.
fn requests() -> Map<String, Value> {
    let words =
        json!({ "type": "string", "maxLength": REASON_BYTES_MAX, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$" });
    let seconds = |most: u64| json!({ "type": "integer", "minimum": 1, "maximum": most, "description": "In seconds." });
    let asked = |required: Value, properties: Value| json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties });
    let scopes: Vec<_> = Scope::ALL.iter().map(|scope| scope.name()).collect();
    let scopes = json!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": scopes } });
    let label = json!({ "type": "string", "maxLength": NAME_BYTES_MAX, "pattern": crate::openapi::SEEN });
    Map::from_iter(
        [
            ("Reason", asked(json!([]), json!({ "reason": words }))),
            ("Resolution", asked(json!(["resolution"]), json!({ "resolution": words }))),
            ("NewInvite", asked(json!([]), json!({ "validS": seconds(INVITE_VALID_S_MAX) }))),
            ("WhichRefusal", asked(json!(["id"]), json!({ "id": { "type": "string" } }))),
            (
                "NewToken",
                asked(
                    json!(["scopes", "validS"]),
                    json!({ "label": label, "scopes": scopes, "validS": seconds(tokens::VALID_MAX.as_secs()) }),
                ),
            ),
            (
                "NewBackup",
                asked(
                    json!(["folder"]),
                    json!({ "folder": { "type": "string" }, "bytesPerS": { "type": "integer", "minimum": 1 } }),
                ),
            ),
        ]
        .map(|(name, schema)| (name.to_owned(), schema)),
    )
}

fn object(fields: &[(&str, &str, &str)]) -> Value {
    let named = |name: &str| name.trim_end_matches('?').to_owned();
    let required: Vec<String> =
        fields.iter().filter(|(name, ..)| !name.ends_with('?')).map(|(name, ..)| named(name)).collect();
    let properties: Map<String, Value> = fields
        .iter()
        .map(|(name, kind, words)| {
            let mut schema = of_kind(kind);
            schema["description"] = json!(words);
            (named(name), schema)
        })
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn of_kind(kind: &str) -> Value {
    match kind {
        "string" | "boolean" => json!({ "type": kind }),
        "id" => json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{22}$" }),
        "count" => json!({ "type": "integer", "minimum": 0 }),
        "counts" => json!({ "type": "array", "items": { "type": "integer", "minimum": 0 } }),
        "scopes" => json!({ "type": "array", "items": { "type": "string" } }),
        "time" => json!({ "type": "integer", "minimum": 0, "x-unit": "microseconds since the Unix epoch" }),
        choice if choice.contains('|') => json!({ "type": "string", "enum": choice.split('|').collect::<Vec<_>>() }),
        schema => json!({ "type": "array", "items": { "$ref": reference(schema) } }),
    }
}

pub(super) fn reference(schema: &str) -> String {
    format!("#/components/schemas/{schema}")
}
