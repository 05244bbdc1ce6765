//! The program as a process of its own, on a data folder, and its other commands beside it.

use crate::server::{PASSWORD, Person, post};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A server that runs. Killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// Where its operators are served; an earlier version does not say it.
    pub operators: Option<SocketAddr>,
}

/// The program, without what the surroundings of the test would configure.
pub fn hudhud(arguments: &[&str]) -> Command {
    let binary = std::env::var("HUDHUD_FIXTURE_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_hudhud").to_owned());
    let mut command = Command::new(binary);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    hudhud(arguments).output().expect("it runs")
}

/// What a command said, to be shown where it is not what was expected.
pub fn said(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

impl Process {
    /// Starts on a data folder. Passwords are cheap, log-ins last for ever.
    pub fn start(data: &Path) -> Self {
        let file = data.with_extension("toml");
        let config = "drain_ms = 1\n[registration]\npassword_memory_kib = 64\npassword_passes = 1\n\
                      token_valid_s = 3000000000\n[rates]\nsends = { burst = 100000, interval_ms = 1 }\n";
        std::fs::write(&file, config).expect("written");
        let (file, data) = (file.display().to_string(), data.display().to_string());
        let mut command = hudhud(&["--listen", "127.0.0.1:0", "--data", &data, "--config", &file, "--log", "warn"]);
        // In the environment: earlier versions, which are started here too, do not know it.
        command.env("HUDHUD_OPERATORS__LISTEN", "127.0.0.1:0");
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let first = lines.next().expect("it says where it listens").expect("text");
        let (_, address) = first.split_once("http://").expect("an address");
        let address = address.split(',').next().expect("a split has a first part");
        let operators = first.split_once("operators on http://").map(|(_, it)| it.parse().expect("an address"));
        Self { child, address: address.parse().expect("an address"), operators }
    }

    /// Gives a command that succeeds.
    pub async fn command(&self, command: &str, token: &str, body: Value) -> Value {
        let answer = post(self.address, command, token, &body).await.expect("an answer");
        assert_eq!(answer.status, 200, "{command}: {answer:?}");
        answer.json()
    }

    pub async fn register(&self, handle: &str) -> Person {
        let answer = self.command("register", "", json!({ "handle": handle, "password": PASSWORD })).await;
        let text = |field: &str| answer[field].as_str().expect("a string").to_owned();
        Person { token: text("token"), account: text("account") }
    }

    /// The entries of a conversation, once they are so many.
    pub async fn entries(&self, token: &str, conversation: &Value, at_least: usize) -> Vec<Value> {
        loop {
            let mut entries: Vec<Value> = Vec::new();
            let mut from = 1;
            loop {
                let body = json!({ "conversation": conversation, "fromSeq": from.to_string() });
                let page = post(self.address, "fetch", token, &body).await.expect("an answer");
                // Accepted means durable, not sequenced: the conversation may not be there yet.
                let page = if page.status == 200 { page.json() } else { json!({}) };
                let found = page["entries"].as_array().cloned().unwrap_or_default();
                let Some(last) = found.last() else { break };
                from = last["seq"].as_str().expect("a number").parse::<u64>().expect("a number") + 1;
                entries.extend(found);
            }
            if entries.len() >= at_least {
                return entries;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(asked.success() && self.child.wait().expect("it ends").success());
    }

    /// Kills it with -9.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
