//! The admin API of a real server: over HTTP with tokens, over the socket, and by `hudhud admin`.

use crate::client::Client;
use crate::process::{Process, hudhud, run, said};
use crate::server::{Answer, PASSWORD, Server, message_id};
use hudhud_proto::Encoding;
use hudhud_proto::v1::{self, client_frame::Command, server_frame::Event};
use hudhud_roles::gateway::close;
use hudhud_server::admin::{OPERATIONS, socket};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Asks the operators' listener.
async fn ask(server: &Server, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let mut request = hyper::Request::builder().method(method).uri(format!("/admin/v1{path}"));
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = request.body(body.into()).expect("a request");
    crate::server::request(server.running.operators_address(), request).await.expect("an answer")
}

/// Runs `hudhud admin` on a data folder, over its socket. It has to succeed.
async fn admin(data: &Path, arguments: &[&str]) -> Value {
    let data = data.display().to_string();
    let arguments: Vec<String> =
        ["admin"].iter().chain(arguments).chain(&["--json", "--data", &data]).map(ToString::to_string).collect();
    let output = tokio::task::spawn_blocking(move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    let output = output.await.expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

async fn token(server: &Server, scopes: &[&str]) -> String {
    let mut arguments = vec!["token", "create", "--expires", "1h", "--label", "test"];
    scopes.iter().for_each(|scope| arguments.extend(["--scope", scope]));
    let made = admin(&server.folder.path().join("data"), &arguments).await;
    made["token"].as_str().expect("it is told once").to_owned()
}

/// Waits until the log has caught up with what was asked for.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "the log does not catch up");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Every operation is refused without a token, with one of a device, and with one for something else; the document lists it.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_needs_its_scope() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    let document = server.watch("/admin/openapi.json").await.json();
    let (accounts, limits) = (token(&server, &["accounts:write"]).await, token(&server, &["limits:read"]).await);
    for operation in OPERATIONS {
        let listed = &document["paths"][format!("/admin/v1{}", operation.path)][operation.method.to_ascii_lowercase()];
        assert_eq!(listed["operationId"], operation.id);
        let path = operation.path.replace(['{', '}'], "");
        for (token, status) in [("", 401), (alice.token.as_str(), 401), ("hha_nonsense", 401)] {
            let answer = ask(&server, token, operation.method, &path, Value::Null).await;
            assert_eq!((answer.status, answer.header("content-type")), (status, "application/problem+json"));
        }
        let other = match operation.scope {
            Some(scope) if scope.name().starts_with("accounts") => &limits,
            _ => &accounts,
        };
        let answer = ask(&server, other, operation.method, &path, Value::Null).await;
        assert_eq!(answer.status, 403, "{}: {answer:?}", operation.id);
        assert_eq!(server.get(&format!("/admin/v1{path}")).await.status, 404, "the public listener has none of it");
    }
    let folder = server.stop().await;
    assert!(!folder.path().join("data/operators.sock").exists());
}

/// A suspended account is out, over HTTP and over WebSockets in both encodings, and in again afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_account_is_out() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    let key = token(&server, &["accounts:write"]).await;
    let hello = || Command::Hello(v1::Hello { token: alice.token.clone(), ..v1::Hello::default() });
    let mut client = Client::of(&server, &alice, Encoding::Protobuf).await;
    let answer = ask(&server, &key, "POST", "/accounts/@alice/suspend", json!({ "reason": "spam" })).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(u16::from(client.closed().await.code), close::SUSPENDED.code);

    let refused = server.post("listDevices", Some(&alice.token), json!({})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("ERROR_CODE_SUSPENDED")));
    assert_eq!(refused.json()["retryAfterMs"], 0);
    let log_in = server.post("logIn", None, json!({ "handle": "alice", "password": PASSWORD })).await;
    assert_eq!(log_in.json()["code"], "ERROR_CODE_SUSPENDED");
    for encoding in Encoding::ALL {
        let mut client = Client::connect(&server, encoding).await;
        let Event::Error(error) = client.request(hello()).await else { panic!("it is suspended") };
        assert_eq!(error.code.as_known(), Some(v1::ErrorCode::Suspended));
    }
    let shown = ask(&server, &key, "GET", "/accounts/@alice", Value::Null).await.json();
    assert_eq!(
        (&shown["state"], &shown["reason"], &shown["id"]),
        (&json!("suspended"), &json!("spam"), &plain(&alice.account))
    );

    assert_eq!(ask(&server, &key, "POST", "/accounts/@alice/unsuspend", Value::Null).await.status, 204);
    assert_eq!(server.post("listDevices", Some(&alice.token), json!({})).await.status, 200);
    server.stop().await;
}

/// An id of the protocol's JSON as the admin API spells it.
fn plain(id: &str) -> Value {
    json!(id.trim_end_matches('=').replace('+', "-").replace('/', "_"))
}

/// What operators do in a group is an entry of its log: everybody sees it, a removed owner has an heir, and nobody writes into
/// what is closed. A deleted account leaves its groups and stays in the chats of others.
#[tokio::test(flavor = "multi_thread")]
async fn operators_act_in_the_log() {
    let server = Server::start().await;
    let data = server.folder.path().join("data");
    let (alice, bob, carol) =
        (server.register("alice").await, server.register("bobby").await, server.register("carol").await);
    let create =
        json!({ "messageId": message_id(1).to_string(), "title": "Hoopoes", "members": [bob.account, carol.account] });
    let group = server.command("createGroup", &alice, create).await["conversation"].as_str().expect("an id").to_owned();
    let id = plain(&group).as_str().expect("text").to_owned();
    let see = async |person| server.post("getConversation", Some(person), json!({ "conversation": group })).await;
    until(async || see(&bob.token).await.status == 200).await;
    let send =
        |n| json!({ "conversation": group, "messageId": message_id(n).to_string(), "content": { "text": "hi" } });
    server.command("send", &alice, send(2)).await;

    admin(&data, &["account", "delete", "@carol", "--yes"]).await;
    admin(&data, &["conversation", "remove-member", &id, "@alice"]).await;
    until(async || see(&bob.token).await.json()["role"] == "ROLE_OWNER").await;
    let members = admin(&data, &["conversation", "members", &id]).await;
    assert_eq!(members, json!([{ "account": plain(&bob.account), "role": "owner" }]));

    admin(&data, &["conversation", "close", &id, "--reason", "spam"]).await;
    until(async || see(&bob.token).await.json()["closed"] == true).await;
    let refused = server.post("send", Some(&bob.token), send(3)).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("ERROR_CODE_FORBIDDEN")), "{refused:?}");
    let page = server.command("fetch", &bob, json!({ "conversation": group, "fromSeq": "1" })).await;
    let events: Vec<String> = page["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| match entry["event"].as_object() {
            Some(event) => event.keys().next().expect("one").clone(),
            None => "message".to_owned(),
        })
        .collect();
    assert_eq!(events, ["created", "message", "memberLeft", "memberRemoved", "closed"]);
    assert_eq!(page["entries"][4]["sender"], "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_eq!(page["entries"][4]["event"]["closed"]["reason"], "spam");
    server.command("leaveGroup", &bob, json!({ "conversation": group, "messageId": message_id(4).to_string() })).await;

    let gone = server.post("logIn", None, json!({ "handle": "carol", "password": PASSWORD })).await;
    assert_eq!(gone.status, 401);
    let direct =
        json!({ "directWith": carol.account, "messageId": message_id(5).to_string(), "content": { "text": "?" } });
    let refused = server.post("send", Some(&bob.token), direct).await;
    assert_eq!(refused.json()["code"], "ERROR_CODE_RECIPIENT_UNAVAILABLE");
    server.stop().await;
}

/// What people report reaches the operators with what they chose to show, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn reports_reach_the_operators() {
    let server = Server::start().await;
    let data = server.folder.path().join("data");
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    let report =
        json!({ "account": bob.account, "conversation": "", "category": "REPORT_CATEGORY_ABUSE", "text": "rude" });
    server.command("report", &alice, report).await;
    let open = admin(&data, &["report", "list"]).await;
    let expected = json!({ "account": plain(&bob.account), "reporter": plain(&alice.account), "category": "abuse",
        "text": "rude", "contents": [], "seqs": [], "resolvedUs": 0, "resolution": "" });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&open[0][name], value, "{name}");
    }
    let id = open[0]["id"].as_str().expect("an id");
    admin(&data, &["report", "resolve", id, "warned"]).await;
    assert_eq!(admin(&data, &["report", "list"]).await, json!([]));
    assert_eq!(admin(&data, &["report", "list", "--state", "resolved"]).await[0]["resolution"], "warned");
    server.stop().await;
}

/// Accounts, invites, tokens and limits by the command line, from a process to a process; exit codes say what went wrong.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_manages_a_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let text = data.display().to_string();
    let nobody = run(&["admin", "account", "list", "--data", &text]);
    assert_eq!(nobody.status.code(), Some(69), "{}", said(&nobody));
    assert!(said(&nobody).contains("start it"), "{}", said(&nobody));
    let server = Process::start(&data);
    let alice = server.register("alice").await;
    let list = run(&["admin", "account", "list", "--data", &text]);
    assert!(said(&list).contains("HANDLE") && said(&list).contains("alice"), "{}", said(&list));
    let once = admin(&data, &["account", "reset-password", "@alice"]).await;
    let log_in = json!({ "handle": "alice", "password": once["password"] });
    server.command("logIn", "", log_in.clone()).await;
    let again = crate::server::post(server.address, "logIn", "", &log_in).await.expect("an answer");
    assert_eq!(again.status, 401, "it logs in once");
    let invite = admin(&data, &["invite", "create", "--expires", "1h"]).await;
    assert_eq!(admin(&data, &["invite", "list"]).await[0]["code"], invite["code"]);
    admin(&data, &["invite", "revoke", invite["code"].as_str().expect("a code")]).await;
    assert_eq!(admin(&data, &["invite", "list"]).await, json!([]));
    assert_eq!(admin(&data, &["limit", "show"]).await["rates"]["reports"]["burst"], 10);
    assert_eq!(admin(&data, &["limit", "refusals"]).await, json!([]));
    let made = admin(&data, &["token", "create", "--scope", "accounts:read", "--expires", "90d"]).await;
    assert_eq!(admin(&data, &["token", "list"]).await[0]["id"], made["id"]);
    for (arguments, code) in [
        (&["account", "show", "@nobody"][..], 73),
        (&["account", "show", "nonsense"], 73),
        (&["account", "delete", "@alice"], 2),
        (&["token", "create", "--scope", "everything", "--expires", "1h"], 73),
        (&["token", "create", "--scope", "accounts:read"], 2),
    ] {
        let output = run(&[&["admin"], arguments, &["--data", &text]].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    }
    let remote = |token: &str, arguments: &[&str]| {
        let url = format!("http://{}", server.operators.expect("it says so"));
        let mut command = hudhud(&[&["admin", "--url", &url], arguments].concat());
        command.env("HUDHUD_ADMIN_TOKEN", token).output().expect("it runs")
    };
    let token = made["token"].as_str().expect("told once");
    let shown =
        remote(token, &["account", "show", &alice.account.trim_end_matches('=').replace('+', "-").replace('/', "_")]);
    assert!(shown.status.success() && said(&shown).contains("alice"), "{}", said(&shown));
    assert_eq!(remote(token, &["token", "list"]).status.code(), Some(77), "not what it is for");
    assert_eq!(remote("hha_nonsense", &["account", "list"]).status.code(), Some(77));
    server.stop();
}

/// Every request of an operator leaves a line, without secrets.
#[tokio::test(flavor = "multi_thread")]
async fn operators_leave_lines_in_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let text = data.display().to_string();
    let file = folder.path().join("log");
    let log = std::fs::File::create(&file).expect("made");
    let mut server = hudhud(&["--listen", "127.0.0.1:0", "--operators-listen", "127.0.0.1:0", "--data", &text])
        .args(["--log-format", "json"])
        .stdout(log.try_clone().expect("a file"))
        .stderr(log)
        .spawn()
        .expect("it runs");
    until(async || socket::is_served(&data)).await;
    let invite = admin(&data, &["invite", "create"]).await;
    let code = invite["code"].as_str().expect("a code");
    admin(&data, &["invite", "revoke", code]).await;
    let refused = run(&["admin", "account", "show", "@nobody", "--data", &text]);
    assert_eq!(refused.status.code(), Some(73));
    server.kill().expect("it runs");
    server.wait().expect("it ends");
    let log = std::fs::read_to_string(&file).expect("read");
    for words in ["\"createInvite\"", "\"revokeInvite\"", "\"ERROR_CODE_NOT_FOUND\"", "\"hudhud::audit\"", "\"socket\""]
    {
        assert!(log.contains(words), "{words} is not in\n{log}");
    }
    assert!(!log.contains(code) && log.contains(&code[..4]), "{log}");
}
