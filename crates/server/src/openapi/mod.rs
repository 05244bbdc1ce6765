//! The OpenAPI 3.1 document of the HTTP endpoints, made from the schema and the table of commands, so that it can't
//! disagree with what is served.

mod constraints;
mod schema;

pub(crate) use constraints::SEEN;
pub use schema::Schema;

use crate::http::problem;
use hudhud_proto::command::{Access, COMMANDS, CommandInfo};
use hudhud_proto::limits::FRAME_BYTES_MAX;
use serde_json::{Map, Value, json};

const INTRODUCTION: &str = "\
Every command of Hudhud's protocol as an HTTP endpoint: the body is the command's message, the answer its answer. \
The same commands travel over a WebSocket (`GET /v1/ws`), which also pushes what others send; docs/protocol.md describes it.

Messages are protobuf's canonical JSON: 64-bit numbers are strings (numbers are accepted), bytes are base64, fields that \
have their default value are left out. Times are microseconds since the Unix epoch. Unknown fields are ignored.

Errors are RFC 9457 problem documents. Repeat a request only where `retryAfterMs` is greater than 0, after that time; a \
repeated `send` with the same `messageId` is stored once.";

/// The whole document.
pub fn document(schema: &Schema) -> Value {
    let mut schemas = schema.messages(COMMANDS.iter().filter(|c| is_served(c)).flat_map(|c| [c.message, c.answer]));
    schemas.insert("Problem".into(), problem_schema(schema));
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Hudhud",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A messaging system that anyone can run.",
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This server." }],
        "tags": TAGS.map(|(name, _, description)| json!({ "name": name, "description": description })),
        "paths": paths(schema),
        "components": {
            "schemas": schemas,
            "responses": { "Problem": problem_response() },
            "headers": {
                "RequestId": {
                    "description": "Names this request in the server's log.",
                    "schema": { "type": "string" },
                },
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token, as `register`, `logIn`, `logInJwt` and `createToken` give it.",
                },
            },
        },
    })
}

/// Tags, with the first number of the command's field in `ClientFrame` that has it.
const TAGS: [(&str, i32, &str); 6] = [
    ("Server", 0, "The server itself."),
    ("Connection", 1, "The connection and its state."),
    ("Accounts", 10, "Registration, log-ins, devices, tokens, profiles, privacy, blocks, contacts."),
    ("Conversations", 40, "Direct chats, groups, invites."),
    ("Messages", 60, "Sending, reading, receipts, the inbox."),
    ("Signals", 80, "What is never stored."),
];

/// Whether a command is served over HTTP.
pub fn is_served(command: &CommandInfo) -> bool {
    command.access != Access::Connection
}

fn paths(schema: &Schema) -> Map<String, Value> {
    let commands = COMMANDS.iter().filter(|command| is_served(command));
    let mut paths: Map<String, Value> = commands
        .map(|command| (format!("/v1/{}", command.name), json!({ "post": operation(command, schema) })))
        .collect();
    paths.insert("/v1/ws".into(), json!({ "get": web_socket() }));
    for (path, id, summary, media_type) in [
        ("/", "about", "What this server is, for people.", "text/html"),
        ("/openapi.json", "openapi", "This document.", "application/json"),
    ] {
        paths.insert(path.into(), json!({ "get": page(id, summary, media_type) }));
    }
    let mut explained = page("problem", "What a problem's `type` means, for people.", "text/plain");
    explained["parameters"] = json!([{
        "name": "code",
        "in": "path",
        "required": true,
        "schema": { "type": "string", "enum": problem::CODES.map(problem::slug) },
    }]);
    explained["responses"]["404"] = json!({ "$ref": "#/components/responses/Problem" });
    paths.insert(format!("{}{{code}}", problem::TYPE_PREFIX), json!({ "get": explained }));
    paths
}

fn operation(command: &CommandInfo, schema: &Schema) -> Value {
    let number = schema.field_number("ClientFrame", command.name).unwrap_or_default();
    let tag = TAGS.iter().rev().find(|(_, from, _)| *from <= number).map_or("Server", |(name, ..)| *name);
    let mut responses = Map::from_iter([(
        "200".to_owned(),
        json!({
            "description": command.answer,
            "headers": request_id(),
            "content": { "application/json": { "schema": { "$ref": schema_ref(command.answer) } } },
        }),
    )]);
    for status in [400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503, 507] {
        responses.insert(status.to_string(), json!({ "$ref": "#/components/responses/Problem" }));
    }
    let security = match command.access {
        Access::Anonymous => json!([]),
        Access::Account | Access::Connection => json!([{ "token": [] }]),
    };
    json!({
        "operationId": command.name,
        "tags": [tag],
        "summary": command.summary,
        "description": schema.description(command.message),
        "security": security,
        "requestBody": {
            "required": schema.needs_fields(command.message),
            "description": format!("At most {FRAME_BYTES_MAX} bytes."),
            "content": { "application/json": { "schema": { "$ref": schema_ref(command.message) } } },
        },
        "responses": responses,
    })
}

fn web_socket() -> Value {
    let subprotocols = hudhud_proto::Encoding::ALL.map(hudhud_proto::Encoding::subprotocol);
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    json!({
        "operationId": "ws",
        "tags": ["Connection"],
        "summary": "Opens a WebSocket: all commands, and pushes.",
        "description": "RFC 6455. The first frame is `hello` with an access token. docs/protocol.md describes the frames.",
        "security": [],
        "parameters": [{
            "name": "Sec-WebSocket-Protocol",
            "in": "header",
            "required": true,
            "description": "How frames are written: protobuf in binary messages, or JSON in text messages.",
            "schema": { "type": "string", "enum": subprotocols },
        }],
        "responses": {
            "101": { "description": "The WebSocket is open." },
            "400": problem,
            "403": problem,
            "426": problem,
            "503": problem,
        },
    })
}

fn page(id: &str, summary: &str, media_type: &str) -> Value {
    json!({
        "operationId": id,
        "tags": ["Server"],
        "summary": summary,
        "security": [],
        "responses": {
            "200": {
                "description": summary,
                "headers": request_id(),
                "content": { media_type: {} },
            },
        },
    })
}

pub(crate) fn problem_response() -> Value {
    let mut headers = request_id();
    headers["Retry-After"] = json!({
        "description": "Seconds, rounded up, where `retryAfterMs` is greater than 0.",
        "schema": { "type": "integer" },
    });
    headers["WWW-Authenticate"] = json!({
        "description": "`Bearer`, with status 401.",
        "schema": { "type": "string" },
    });
    json!({
        "description": "What went wrong (RFC 9457). `code` says it to programs, `detail` to people.",
        "headers": headers,
        "content": { problem::MEDIA_TYPE: { "schema": { "$ref": schema_ref("Problem") } } },
    })
}

pub(crate) fn problem_schema(schema: &Schema) -> Value {
    json!({
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "retryAfterMs"],
        "properties": {
            "type": {
                "type": "string",
                "format": "uri-reference",
                "enum": problem::CODES.map(|code| format!("{}{}", problem::TYPE_PREFIX, problem::slug(code))),
            },
            "title": { "type": "string", "description": "The same for all problems of a type." },
            "status": { "type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status." },
            "detail": { "type": "string", "description": "What is wrong and what to do. For people." },
            "code": {
                "type": "string",
                "enum": problem::CODES.map(problem::name),
                "description": schema.enum_description("ErrorCode"),
            },
            "retryAfterMs": {
                "type": "integer",
                "minimum": 0,
                "description": "Repeat the request after so many milliseconds; 0: do not repeat it as it is.",
            },
        },
    })
}

pub(crate) fn request_id() -> Value {
    json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } })
}

fn schema_ref(message: &str) -> String {
    format!("#/components/schemas/{message}")
}
