//! The OpenAPI document, as other people's tools will read it.

use crate::server::Server;
use hudhud_proto::command::{Access, COMMANDS};
use serde_json::Value;

async fn document() -> Value {
    let server = Server::start().await;
    let answer = server.get("/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    server.stop().await;
    answer.json()
}

/// Every command that HTTP serves is in it, with its body, its answer and who may give it; and no other.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_there() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("an object");
    for command in COMMANDS {
        let Some(path) = paths.get(&format!("/v1/{}", command.name)) else {
            assert_eq!(command.access, Access::Connection, "{} is missing", command.name);
            continue;
        };
        let operation = &path["post"];
        assert_eq!(operation["operationId"], command.name);
        assert_eq!(operation["summary"], command.summary);
        let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(*body, format!("#/components/schemas/{}", command.message));
        let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(*answer, format!("#/components/schemas/{}", command.answer));
        let is_anonymous = operation["security"] == serde_json::json!([]);
        assert_eq!(is_anonymous, command.access == Access::Anonymous, "{}", command.name);
    }
    let served = COMMANDS.iter().filter(|command| command.access != Access::Connection).count();
    let posts = paths.values().filter(|path| path.get("post").is_some()).count();
    assert_eq!(posts, served);
}

/// Every reference leads somewhere, and every component is referred to.
#[tokio::test(flavor = "multi_thread")]
async fn every_reference_resolves() {
    let document = document().await;
    let mut references = Vec::new();
    collect(&document, &mut references);
    for reference in &references {
        let pointer = reference.strip_prefix('#').expect("references stay in the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let schemas = document["components"]["schemas"].as_object().expect("an object");
    for name in schemas.keys() {
        assert!(references.contains(&format!("#/components/schemas/{name}")), "nothing refers to {name}");
    }
}

/// Names of operations are unique, and their tags are explained.
#[tokio::test(flavor = "multi_thread")]
async fn operations_are_unique_and_tagged() {
    let document = document().await;
    let operations = document["paths"].as_object().expect("an object").values();
    let operations: Vec<&Value> = operations.flat_map(|path| path.as_object().expect("an object").values()).collect();
    let mut ids: Vec<_> = operations.iter().map(|operation| operation["operationId"].to_string()).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
    let tags: Vec<_> = document["tags"].as_array().expect("a list").iter().map(|tag| &tag["name"]).collect();
    assert!(operations.iter().all(|operation| tags.contains(&&operation["tags"][0])));
}

/// Comments of the schema are the descriptions, and numbers of 64 bits are what JSON can carry.
#[tokio::test(flavor = "multi_thread")]
async fn schemas_follow_the_protocol() {
    let document = document().await;
    let send = &document["components"]["schemas"]["Send"]["properties"];
    assert!(send["messageId"]["description"].as_str().is_some_and(|text| text.starts_with("UUIDv7")), "{send}");
    let accepted = &document["components"]["schemas"]["Accepted"]["properties"]["acceptedUs"];
    assert_eq!(accepted["type"], serde_json::json!(["string", "integer"]));
    let choice = &document["components"]["schemas"]["Entry"]["oneOf"];
    assert_eq!(*choice, serde_json::json!([{ "required": ["content"] }, { "required": ["event"] }]));
}

/// Null is what protobuf's JSON takes for a field that is left out, in what is asked; in no answer.
#[tokio::test(flavor = "multi_thread")]
async fn null_is_as_if_left_out() {
    let document = document().await;
    let schemas = &document["components"]["schemas"];
    let fetch = &schemas["Fetch"]["properties"];
    assert_eq!(fetch["conversation"]["type"], "string");
    assert_eq!(fetch["limit"]["type"], serde_json::json!(["integer", "null"]));
    assert_eq!(schemas["Profile"]["properties"]["handle"]["type"], "string");
    let [account, _] = &schemas["OpenDirect"]["oneOf"].as_array().expect("a list")[..] else { panic!("two ways") };
    let properties = serde_json::json!({ "account": { "not": { "type": "null" } }, "handle": { "type": "null" } });
    assert_eq!(*account, serde_json::json!({ "required": ["account"], "properties": properties }));
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(reference) if name == "$ref" => references.push(reference.clone()),
                    value => collect(value, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
