//! The OpenAPI 3.1 document of the admin API, made from the table of operations.

use super::operations::{OPERATIONS, Operation};
use super::{PREFIX, schemas};
use crate::openapi::{Schema, problem_response, problem_schema, request_id};
use hudhud_roles::api::admin::{PAGE_DEFAULT, PAGE_MAX};
use serde_json::{Map, Value, json};

const INTRODUCTION: &str = "\
What the operators of a Hudhud server do with accounts, conversations, invites, limits, reports and the tokens for it. Nothing \
here shows what people write, but for what a reporter chose to show.

Ids are 22 characters of URL-safe base64; an account may also be asked for as `@` and its handle. Times are microseconds since \
the Unix epoch. Lists come in pages: ask for the next one with `cursor=` and the `nextCursor` of the page before. What may be \
left out may be left out; what is not known is refused. Errors are RFC 9457 problem documents, as those of the public API. \
Every request leaves a line in the server's log (target `hudhud::audit`): which token, what, on which ids.

Tokens are made by `hudhud admin token create` on the server's machine, or by a token with the scope `tokens:write`. `write` \
includes `read`. Over the Unix socket `operators.sock` in the data folder the same API needs no token.";

/// The whole document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut schemas = schemas::all();
    for operation in OPERATIONS {
        let path = paths.entry(format!("{PREFIX}{}", operation.path)).or_insert_with(|| json!({}));
        path[operation.method.to_ascii_lowercase()] = described(operation, &schemas);
    }
    paths.insert(
        "/admin/openapi.json".into(),
        json!({ "get": {
        "operationId": "adminOpenapi",
        "summary": "This document.",
        "security": [],
        "responses": { "200": {
            "description": "This document.",
            "headers": request_id(),
            "content": { "application/json": {} },
        } },
    } }),
    );
    schemas.insert("Problem".into(), problem_schema(&Schema::load()));
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Hudhud, for its operators",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The operators' listener of this server." }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Problem": problem_response() },
            "headers": { "RequestId": {
                "description": "Names this request in the server's log.",
                "schema": { "type": "string" },
            } },
            "securitySchemes": { "adminToken": {
                "type": "http",
                "scheme": "bearer",
                "description": "An admin token, which begins with hha_. Each operation names the scope that it needs.",
            } },
        },
    })
}

fn described(operation: &Operation, schemas: &Map<String, Value>) -> Value {
    let (status, answer) = operation.answer;
    let mut success = json!({ "description": answer.unwrap_or("Done."), "headers": request_id() });
    if let Some(answer) = answer {
        success["content"] = json!({ "application/json": { "schema": { "$ref": schemas::reference(answer) } } });
    }
    let mut responses = Map::from_iter([(status.to_string(), success)]);
    for status in [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 507] {
        responses.insert(status.to_string(), json!({ "$ref": "#/components/responses/Problem" }));
    }
    let in_path = operation
        .parameters()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": of_path(name) }));
    let in_query = operation
        .query
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "required": false, "schema": of_query(operation, name) }));
    let scope = operation.scope.map_or_else(|| "none: over the socket alone".to_owned(), |scope| scope.to_string());
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": format!("Scope: {scope}."),
        "security": [{ "adminToken": [] }],
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": responses,
    });
    if let Some(body) = operation.body {
        let required = schemas.get(body).is_some_and(|schema| schema["required"] != json!([]));
        described["requestBody"] = json!({ "required": required, "content": { "application/json": { "schema": { "$ref": schemas::reference(body) } } } });
    }
    described
}

/// 16 bytes in URL-safe base64.
const ID: &str = "^[A-Za-z0-9_-]{21}[AQgw]$";
/// The same, or a handle.
const ACCOUNT: &str = "^([A-Za-z0-9_-]{21}[AQgw]|@[A-Za-z0-9_][A-Za-z0-9._]{1,30}[A-Za-z0-9_])$";

fn of_path(name: &str) -> Value {
    match name {
        "account" | "member" => json!({ "type": "string", "pattern": ACCOUNT }),
        "code" => json!({ "type": "string", "minLength": 1 }),
        _ => json!({ "type": "string", "pattern": ID }),
    }
}

fn of_query(operation: &Operation, name: &str) -> Value {
    match name {
        "cursor" if operation.id == "listInvites" => json!({ "type": "string" }),
        "cursor" => json!({ "type": "string", "pattern": ID }),
        "limit" => json!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT }),
        "state" => json!({ "type": "string", "enum": ["open", "resolved", "all"], "default": "open" }),
        _ => json!({ "type": "string" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every schema that something refers to is there, and every one that is there is referred to.
    #[test]
    fn schemas_and_references_are_the_same() {
        let document = document();
        let text = document.to_string();
        let defined: BTreeSet<String> =
            document["components"]["schemas"].as_object().expect("an object").keys().cloned().collect();
        let referred: BTreeSet<String> = text
            .split("\"#/components/schemas/")
            .skip(1)
            .filter_map(|rest| Some(rest.split('"').next()?.to_owned()))
            .collect();
        assert_eq!(defined, referred);
    }
}
