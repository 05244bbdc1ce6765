//! `hudhud doctor` on this machine: what it says to people, to programs, and by its exit code.

use crate::process::{Process, run, said};
use serde_json::Value;

/// What was found, by the name of the check.
fn findings(arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = run(&[&["doctor", "--json", "--operators-listen", "127.0.0.1:0"], arguments].concat());
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    let findings: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(!findings.is_empty(), "{}", said(&output));
    (output.status.code(), findings)
}

fn verdict<'a>(findings: &'a [Value], check: &str) -> &'a str {
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.and_then(|finding| finding["verdict"].as_str()).unwrap_or_else(|| panic!("no {check} in {findings:?}"))
}

/// Before the first start nothing fails, and nothing is left behind; with the port taken by a stranger that is named; with the
/// server itself running all is well, and its URL leads to it.
#[tokio::test(flavor = "multi_thread")]
async fn the_machine_is_examined() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let data = data.display().to_string();
    let (code, found) = findings(&["--listen", "127.0.0.1:0", "--data", &data]);
    assert_eq!(code, Some(0), "{found:?}");
    for check in ["port", "data folder", "data format", "disk space", "disk sync", "open files", "clock", "clock sync"]
    {
        assert_ne!(verdict(&found, check), "fail", "{found:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0, "something is left behind");

    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = stranger.local_addr().expect("an address").to_string();
    let (code, found) = findings(&["--listen", &taken, "--data", &data]);
    assert_eq!((code, verdict(&found, "port")), (Some(1), "fail"), "{found:?}");
    let output = run(&["doctor", "--operators-listen", "127.0.0.1:0", "--listen", &taken, "--data", &data]);
    let text = said(&output);
    assert!(text.contains("FAIL  port") && text.contains("stop that process"), "{text}");

    let server = Process::start(std::path::Path::new(&data));
    let (listen, url) = (server.address.to_string(), format!("http://{}", server.address));
    let (code, found) = findings(&["--listen", &listen, "--data", &data, "--public-url", &url]);
    assert_eq!(code, Some(0), "{found:?}");
    for check in ["port", "data folder", "data format", "clock order", "public url", "websocket", "forwarded"] {
        assert_eq!(verdict(&found, check), "ok", "{found:?}");
    }
    server.stop();
    let (code, found) = findings(&["--listen", &listen, "--data", &data, "--public-url", &url]);
    assert_eq!((code, verdict(&found, "public url")), (Some(1), "fail"), "{found:?}");
}
