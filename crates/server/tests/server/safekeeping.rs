//! Backups of servers that run and of folders that rest, and what is made of them.

use crate::process::{Process, hudhud, run, said};
use crate::server::{message_id, post};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const WRITERS: usize = 3;
/// How far a seq jumps with an epoch.
const JUMP: u64 = 1 << 20;

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A message id that no other call returns.
fn fresh_id() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let mut random = [0; 10];
    random[..4].copy_from_slice(&count);
    hudhud_proto::MessageId::v7(u64::try_from(now.as_millis()).expect("before the year 584 million"), random)
        .to_string()
}

fn seq(entry: &Value) -> u64 {
    entry["seq"].as_str().expect("a number").parse().expect("a number")
}

fn texts(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["content"]["text"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Everything that was accepted before a backup of a running server began is in it, once; every conversation has the checksum
/// that the backup says; and what is written after a restore takes no seq that devices may have seen since.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Arc::new(Process::start(&data));
    let alice = server.register("alice").await;
    let mut people = Vec::new();
    for n in 0..WRITERS {
        people.push(server.register(&format!("writer{n}")).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let accepted: Vec<_> = (0..WRITERS).map(|_| Arc::new(AtomicU32::new(0))).collect();
    let writers: Vec<_> = people
        .iter()
        .zip(&accepted)
        .map(|(person, accepted)| {
            let (token, to) = (person.token.clone(), alice.account.clone());
            let (stop, accepted, address) = (stop.clone(), accepted.clone(), server.address);
            tokio::spawn(async move {
                let mut conversation = Value::Null;
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let body = json!({ "directWith": to, "messageId": fresh_id(), "content": { "text": format!("message {n}") } });
                    let answer = post(address, "send", &token, &body).await.expect("an answer");
                    assert_eq!(answer.status, 200, "{answer:?}");
                    conversation = answer.json()["conversation"].clone();
                    accepted.store(n + 1, Ordering::SeqCst);
                }
                conversation
            })
        })
        .collect();
    let count = |accepted: &[Arc<AtomicU32>]| accepted.iter().map(|one| one.load(Ordering::SeqCst)).collect::<Vec<_>>();
    while count(&accepted).iter().any(|accepted| *accepted < 30) {
        tokio::task::yield_now().await;
    }

    let before = count(&accepted);
    let backup = folder.path().join("backup");
    let arguments = ["backup".to_owned(), text(&backup), "--data".into(), text(&data)];
    let output =
        tokio::task::spawn_blocking(move || run(&arguments.each_ref().map(String::as_str))).await.expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    let after = count(&accepted);
    while count(&accepted).iter().zip(&after).any(|(now, then)| now < &(then + 3)) {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut conversations = Vec::new();
    for writer in writers {
        conversations.push(writer.await.expect("it does not panic"));
    }
    // The disk is lost.
    Arc::into_inner(server).expect("the writers ended").kill();

    let restored = folder.path().join("restored");
    let output = run(&["restore", &text(&backup), "--data", &text(&restored), "--verify"]);
    let words = format!("{WRITERS} of {WRITERS} have equal checksums");
    assert!(output.status.success() && said(&output).contains(&words), "{}", said(&output));
    let verified = run(&["verify", &text(&restored)]);
    assert!(verified.status.success(), "{}", said(&verified));
    let overwritten = run(&["restore", &text(&backup), "--data", &text(&restored)]);
    assert_eq!(overwritten.status.code(), Some(73), "{}", said(&overwritten));

    let server = Process::start(&restored);
    for (((person, conversation), before), n) in people.iter().zip(&conversations).zip(&before).zip(0..) {
        let entries = server.entries(&alice.token, conversation, *before as usize).await;
        let wanted: Vec<_> = (0..entries.len()).map(|n| format!("message {n}")).collect();
        assert_eq!(texts(&entries), wanted, "each once and in order, {before} of them at least");
        let seqs: BTreeSet<u64> = entries.iter().map(seq).collect();
        assert_eq!(seqs, (1..=entries.len() as u64).collect(), "as they were");
        let body = json!({ "directWith": alice.account, "messageId": fresh_id(), "content": { "text": "after" } });
        server.command("send", &person.token, body).await;
        let entries = server.entries(&alice.token, conversation, entries.len() + 1).await;
        let last = entries.last().expect("it was sent");
        assert_eq!(seq(last), entries.len() as u64 - 1 + JUMP, "writer {n}");
    }
    server.stop();

    // The same backup once more: another future, which shares no seq with the first.
    let again = folder.path().join("again");
    let output = run(&["restore", &text(&backup), "--data", &text(&again)]);
    assert!(output.status.success() && said(&output).contains("epoch          3"), "{}", said(&output));
}

/// A data folder at rest is backed up and verified too; each byte of a backup is under a checksum; a damaged one is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup"));
    let server = Process::start(&data);
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    let body =
        json!({ "directWith": bob.account, "messageId": message_id(1).to_string(), "content": { "text": "hello" } });
    let conversation = server.command("send", &alice.token, body).await["conversation"].clone();
    server.entries(&bob.token, &conversation, 1).await;
    let open = run(&["verify", &text(&data)]);
    assert_eq!(open.status.code(), Some(73), "a server has it: {}", said(&open));
    server.stop();

    let output = run(&["backup", &text(&backup), "--data", &text(&data)]);
    assert!(output.status.success(), "{}", said(&output));
    for folder in [&backup, &data] {
        let output = run(&["verify", &text(folder)]);
        assert!(output.status.success() && said(&output).contains("conversations  1"), "{}", said(&output));
    }
    let again = run(&["backup", &text(&backup), "--data", &text(&data)]);
    assert_eq!(again.status.code(), Some(73), "nothing is overwritten: {}", said(&again));

    let restored = folder.path().join("restored");
    for entry in std::fs::read_dir(&backup).expect("listed") {
        let path = entry.expect("listed").path();
        let whole = std::fs::read(&path).expect("read");
        let Some(middle) = whole.len().checked_sub(1).map(|last| last / 2) else { continue };
        let mut bytes = whole.clone();
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let output = run(&["restore", &text(&backup), "--data", &text(&restored)]);
        assert_eq!(output.status.code(), Some(65), "{}: {}", path.display(), said(&output));
        assert!(said(&output).contains(&text(&path)), "{}", said(&output));
        assert!(!restored.exists(), "nothing is there");
        std::fs::write(&path, whole).expect("written");
    }
    std::fs::remove_file(backup.join("manifest.json")).expect("removed");
    let output = run(&["restore", &text(&backup), "--data", &text(&restored)]);
    assert_eq!(output.status.code(), Some(73), "{}", said(&output));
}

/// A backup that is broken off, by a kill or by a stop of the server, leaves nothing that looks like one.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_backup_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup"));
    let server = Process::start(&data);
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    for n in 0..12 {
        let content = json!({ "text": "x".repeat(60_000) });
        let body = json!({ "directWith": bob.account, "messageId": message_id(n).to_string(), "content": content });
        server.command("send", &alice.token, body).await;
    }
    let begin = || {
        let arguments = ["backup", &text(&backup), "--data", &text(&data), "--bytes-per-s", "1000"];
        // Whoever began it waits for it.
        #[expect(clippy::zombie_processes, reason = "it is handed out, and waited for there")]
        let child = hudhud(&arguments).stderr(std::process::Stdio::piped()).spawn().expect("it runs");
        // It has begun once its unfinished folder holds a file.
        loop {
            let entries = std::fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("listed").path());
            let mut unfinished = entries.filter(|path| text(path).contains(".unfinished-"));
            if unfinished.next().is_some_and(|path| path.read_dir().is_ok_and(|mut files| files.next().is_some())) {
                return child;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let first = begin();
    let second = run(&["backup", &text(&folder.path().join("other")), "--data", &text(&data)]);
    assert_eq!(second.status.code(), Some(73), "one at a time: {}", said(&second));
    server.stop();
    let output = first.wait_with_output().expect("it ends");
    assert!(!output.status.success() && said(&output).contains("the server stops"), "{}", said(&output));
    assert!(!backup.exists());

    let server = Process::start(&data);
    let first = begin();
    server.kill();
    assert!(!first.wait_with_output().expect("it ends").status.success());
    assert!(!backup.exists());
    let entries = std::fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("listed").path());
    let unfinished = entries.into_iter().find(|path| text(path).contains(".unfinished-")).expect("it was killed");
    let restored = folder.path().join("restored");
    let output = run(&["restore", &text(&unfinished), "--data", &text(&restored)]);
    assert!(output.status.code() == Some(73) && said(&output).contains("no whole backup"), "{}", said(&output));
}
