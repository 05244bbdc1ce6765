//! Data that earlier versions wrote is opened by this one, and holds what it held. In `tests/kept` there is a data folder of each format
//! that ever was released, with what its people saw of it. `make fixture` adds that of the present format.

use crate::process::Process;
use crate::server::{Server, message_id};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kept")
}

/// What somebody sees: the lists of conversations and devices, and of each conversation entries, members and receipts.
async fn picture(process: &Process, token: &str) -> Value {
    let changes = process.command("changes", token, json!({})).await;
    let mut conversations = Vec::new();
    for row in changes["rows"].as_array().cloned().unwrap_or_default() {
        let conversation = &row["conversation"];
        let body = json!({ "conversation": conversation });
        conversations.push(json!({
            "row": row,
            "entries": process.entries(token, conversation, 1).await,
            "members": process.command("listMembers", token, body.clone()).await,
            "receipts": process.command("listReceipts", token, body).await,
        }));
    }
    conversations.sort_by_key(|conversation| conversation["row"]["conversation"].to_string());
    let mut devices = process.command("listDevices", token, json!({})).await;
    for device in devices["devices"].as_array_mut().into_iter().flatten() {
        let device = device.as_object_mut().expect("an object");
        // What it does now is not what it held.
        device.retain(|field, _| ["device", "name", "createdUs"].contains(&field.as_str()));
    }
    json!({ "conversations": conversations, "devices": devices })
}

/// Makes a data folder with a direct chat, a group, receipts, and two devices of one account. Returns what its people see.
async fn write(data: &Path) -> Value {
    let process = Process::start(data);
    let (alice, bob, carol) =
        (process.register("alice").await, process.register("bobby").await, process.register("carol").await);
    let phone = json!({ "handle": "alice", "password": crate::server::PASSWORD, "deviceName": "phone" });
    let phone = process.command("logIn", "", phone).await["token"].as_str().expect("a string").to_owned();
    let send = |to: Value, id: u8, text: &str| {
        let mut body = json!({ "messageId": message_id(id).to_string(), "content": { "text": text } });
        body.as_object_mut().expect("an object").extend(to.as_object().expect("an object").clone());
        body
    };
    let direct = json!({ "directWith": bob.account });
    let chat = process.command("send", &alice.token, send(direct, 1, "hello")).await["conversation"].clone();
    process.entries(&bob.token, &chat, 1).await;
    process.command("send", &bob.token, send(json!({ "conversation": chat }), 2, "hi")).await;
    process.entries(&alice.token, &chat, 2).await;
    let create = json!({
        "messageId": message_id(3).to_string(), "title": "Walkers", "members": [bob.account, carol.account]
    });
    let group = process.command("createGroup", &alice.token, create).await["conversation"].clone();
    process.entries(&carol.token, &group, 1).await;
    for n in 4..12 {
        let text = format!("step {n}");
        process.command("send", &carol.token, send(json!({ "conversation": group }), n, &text)).await;
    }
    process.entries(&alice.token, &group, 9).await;
    for (token, command, conversation, seq) in [
        (&bob.token, "received", &chat, "1"),
        (&bob.token, "read", &chat, "1"),
        (&phone, "received", &chat, "2"),
        (&alice.token, "read", &group, "5"),
        (&bob.token, "received", &group, "9"),
    ] {
        process.command(command, token, json!({ "conversation": conversation, "seq": seq })).await;
    }
    let mut people = Vec::new();
    for token in [&alice.token, &phone, &bob.token, &carol.token] {
        people.push(json!({ "token": token, "sees": picture(&process, token).await }));
    }
    process.stop();
    json!({ "people": people })
}

fn tar(arguments: &[&str], folder: &Path) {
    let status = Command::new("tar").args(arguments).current_dir(folder).status().expect("tar is there");
    assert!(status.success(), "tar {arguments:?}");
}

/// Every kept folder is opened, and its people see what they saw. With `HUDHUD_RECORD_FIXTURE` set, to `present` or to the format
/// that the program in `HUDHUD_FIXTURE_BINARY` writes, such a folder is made instead.
#[tokio::test(flavor = "multi_thread")]
async fn earlier_formats_are_opened() {
    if let Ok(format) = std::env::var("HUDHUD_RECORD_FIXTURE") {
        let format = format.replace("present", &hudhud_engines::FORMAT.to_string());
        let folder = tempfile::tempdir().expect("a folder");
        let held = write(&folder.path().join("data")).await;
        let archive = kept().join(format!("format-{format}.tar.gz")).display().to_string();
        let pretty = serde_json::to_string_pretty(&held).expect("JSON");
        std::fs::write(kept().join(format!("format-{format}.json")), pretty + "\n").expect("written");
        tar(&["--sparse", "--exclude=*.sock", "-czf", &archive, "data"], folder.path());
        return;
    }
    let entries = std::fs::read_dir(kept()).expect("it is there").map(|entry| entry.expect("listed").path());
    let mut archives: Vec<_> = entries.filter(|path| path.extension().is_some_and(|name| name == "gz")).collect();
    archives.sort();
    let format = format!("format-{}.tar.gz", hudhud_engines::FORMAT);
    assert!(archives.iter().any(|path| path.ends_with(&format)), "keep the present format too: make fixture");
    for archive in archives {
        let name = archive.display().to_string();
        let folder = tempfile::tempdir().expect("a folder");
        tar(&["-xzf", &name], folder.path());
        let held = std::fs::read(name.replace(".tar.gz", ".json")).expect("read");
        let held: Value = serde_json::from_slice(&held).expect("JSON");
        // Twice: as it is, and as the first start left it.
        for start in ["first", "second"] {
            let process = Process::start(&folder.path().join("data"));
            for person in held["people"].as_array().expect("a list") {
                let token = person["token"].as_str().expect("a string");
                let sees = picture(&process, token).await;
                assert_eq!(sees, person["sees"], "{name}, {start} start");
            }
            process.stop();
        }
        let config = folder.path().join("data").display().to_string();
        let output = crate::process::run(&["verify", &config]);
        assert!(output.status.success(), "{name}: {}", crate::process::said(&output));
    }
}

/// A server does not touch what a newer one wrote, and says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_format_is_refused() {
    let folder = Server::start().await.stop().await;
    std::fs::write(folder.path().join("data/format"), "hudhud data, format 99\n").expect("written");
    let failure = hudhud_server::start(crate::server::config(&folder)).await.err().expect("newer");
    assert!(failure.code() == 73 && failure.to_string().contains("newer version"), "{failure}");
}
