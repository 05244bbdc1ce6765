//! What the log says, and what it never says.

use crate::process::hudhud;
use crate::server::{message_id, post};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::Stdio;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// What nobody may find in a log.
const PASSWORD: &str = "a password nobody logs";
const WRONG: &str = "a wrong password nobody logs";
const TEXT: &str = "a text nobody logs";
const TITLE: &str = "a title nobody logs";
const HANDLES: [&str; 2] = ["nobody.logs.alice", "nobody.logs.bob"];

/// Says hello, a message and something wrong over a WebSocket, and waits for the answers.
async fn over_a_socket(address: SocketAddr, token: &str, send: Value) {
    let mut request = format!("ws://{address}/v1/ws").into_client_request().expect("a URL");
    request.headers_mut().insert("sec-websocket-protocol", "hudhud.v1.json".parse().expect("a header"));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("it opens");
    for (number, command, body, answer) in [
        (1, "hello", json!({ "token": token, "client": "test", "active": true }), "welcome"),
        (2, "send", send, "accepted"),
        (3, "lookUp", json!({ "handle": HANDLES[1] }), "profile"),
        (4, "changePassword", json!({ "oldPassword": WRONG, "newPassword": PASSWORD }), "error"),
    ] {
        let frame = json!({ "request": number, command: body }).to_string();
        socket.send(Message::text(frame)).await.expect("it is open");
        loop {
            let said = socket.next().await.expect("it is open").expect("a message");
            let said: Value = serde_json::from_str(said.to_text().expect("text")).expect("JSON");
            if said["request"] == json!(number) || said["request"] == json!(number.to_string()) {
                assert!(said.get(answer).is_some(), "{command}: {said}");
                break;
            }
        }
    }
    socket.close(None).await.expect("it is open");
}

/// A whole session at the most talkative level of this project's own crates: requests carry their ids, and nothing that is
/// somebody's secret is there.
#[tokio::test(flavor = "multi_thread")]
async fn logs_carry_ids_and_no_contents() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let config = folder.path().join("hudhud.toml");
    std::fs::write(&config, "drain_ms = 1\n[registration]\npassword_memory_kib = 64\npassword_passes = 1\n")
        .expect("written");
    let config = config.display().to_string();
    let crates = ["hudhud", "hudhud_server", "hudhud_roles", "hudhud_engines", "hudhud_ports", "hudhud_proto"];
    let filter = crates.map(|name| format!("{name}=trace")).join(",");
    let mut child = hudhud(&["--listen", "127.0.0.1:0", "--operators-listen", "127.0.0.1:0"])
        .args(["--data", &data, "--config", &config, "--log-format", "json", "--log", &filter])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut errors = child.stderr.take().expect("it is piped");
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        errors.read_to_string(&mut log).map(|_| log)
    });
    let first =
        BufReader::new(child.stdout.take().expect("it is piped")).lines().next().expect("a line").expect("text");
    let (_, address) = first.split_once("http://").expect("an address");
    let address = address.split(',').next().expect("a split has a first part").parse().expect("an address");

    let ask = async |command: &str, token: &str, body: Value| {
        let answer = post(address, command, token, &body).await.expect("an answer");
        (answer.status, answer.json())
    };
    let mut people = Vec::new();
    for handle in HANDLES {
        people.push(ask("register", "", json!({ "handle": handle, "password": PASSWORD })).await.1);
    }
    let [alice, bob] = &people[..] else { unreachable!("two people") };
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (token, account, peer) = (text(&alice["token"]), text(&alice["account"]), text(&bob["account"]));
    assert_eq!(ask("logIn", "", json!({ "handle": HANDLES[0], "password": WRONG })).await.0, 401);
    assert_eq!(ask("lookUp", &token, json!({ "handle": HANDLES[1] })).await.0, 200);
    let message = message_id(1).to_string();
    let send = json!({ "directWith": peer, "messageId": message, "content": { "text": TEXT } });
    let (status, accepted) = ask("send", &token, send).await;
    assert_eq!(status, 200, "{accepted}");
    let group = json!({ "messageId": message_id(2).to_string(), "title": TITLE, "members": [peer] });
    assert_eq!(ask("createGroup", &token, group).await.0, 200);
    assert_eq!(ask("listDevices", &token, json!({})).await.0, 200);
    assert_eq!(ask("logOut", "not a token", json!({})).await.0, 401);
    let send = json!({ "directWith": peer, "messageId": message_id(3).to_string(), "content": { "text": TEXT } });
    over_a_socket(address, &token, send).await;
    let asked = std::process::Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
    assert!(asked.success() && child.wait().expect("it ends").success());

    let log = log.join().expect("it does not panic").expect("text");
    for secret in [PASSWORD, WRONG, TEXT, TITLE, &token, "not a token"].into_iter().chain(HANDLES) {
        assert!(!log.contains(secret), "{secret:?} is in the log:\n{log}");
    }
    // The log spells ids so that they can be part of a URL.
    let account = account.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let answered: Vec<_> = lines.iter().filter(|line| line["message"] == "answered").collect();
    assert_eq!(answered.len(), 8 + 1, "a line for each request:\n{log}");
    for line in &answered {
        assert_eq!(line["span"]["id"].as_str().map(str::len), Some(16), "a request has an id: {line}");
    }
    let connected = lines.iter().filter(|line| line["message"] == "connected" && line["account"] == account.as_str());
    assert_eq!(connected.count(), 1, "a connection is named by its ids:\n{log}");
    let of_alice = answered.iter().filter(|line| line["span"]["account"] == account.as_str()).count();
    assert_eq!(of_alice, 4, "whoever showed a token is named by its ids:\n{log}");
}
