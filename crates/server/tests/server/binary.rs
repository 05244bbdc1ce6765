//! The program itself: what it prints, and how it ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// The program, without what the surroundings of the test would configure.
fn hudhud(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hudhud"));
    command.args(arguments).env_clear();
    command
}

fn run(arguments: &[&str]) -> Output {
    hudhud(arguments).output().expect("it runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// A server in a folder of its own, and the address that it prints.
fn start(folder: &std::path::Path) -> (Child, String) {
    let data = folder.display().to_string();
    let mut command = hudhud(&["--listen", "127.0.0.1:0", "--operators-listen", "127.0.0.1:0", "--data", &data]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
    let output = child.stdout.take().expect("it is piped");
    let first = BufReader::new(output).lines().next().expect("it says where it listens").expect("text");
    let (_, addresses) = first.split_once("http://").expect("an address");
    let (address, operators) = addresses.split_once(", for its operators on http://").expect("and another");
    std::net::TcpStream::connect(operators).expect("operators can ask");
    (child, address.to_owned())
}

/// It starts without any configuration, says where it is, and ends well when it is asked to.
#[test]
fn it_stops_when_asked_to() {
    let folder = tempfile::tempdir().expect("a folder");
    for signal in ["-TERM", "-INT"] {
        let (mut child, address) = start(folder.path());
        std::net::TcpStream::connect(address).expect("it listens");
        let asked = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(asked.success());
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{signal}");
    }
}

/// Where it can't start it says why and what to do, in one line, and the exit code says it to programs.
#[test]
fn it_says_why_it_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut first, address) = start(folder.path());
    let file = folder.path().join("hudhud.toml");
    std::fs::write(&file, "shards = 4\nlisen = \"127.0.0.1:80\"\n").expect("written");
    let (data, other) = (folder.path().display().to_string(), folder.path().join("other").display().to_string());
    let file = file.display().to_string();
    for (arguments, code, message) in [
        (["--listen", "127.0.0.1:0", "--data", &data], 73, "another process"),
        (["--listen", &address, "--data", &other], 69, "--listen"),
        (["--listen", "127.0.0.1:0", "--config", &file], 2, "hudhud.toml:2: there is no key \"lisen\""),
        (["--listen", "127.0.0.1:0", "--messages", "sqlite:x"], 73, "embedded:"),
    ] {
        let output = run(&arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.starts_with("hudhud: ") && said.contains(message), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    first.kill().expect("it runs");
    first.wait().expect("it ends");
}

/// What `config default` prints is a configuration.
#[test]
fn the_default_file_is_valid() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hudhud.toml");
    let printed = run(&["config", "default"]);
    std::fs::write(&file, &printed.stdout).expect("written");
    let checked = run(&["config", "check", "--config", &file.display().to_string()]);
    assert_eq!((checked.status.code(), text(&checked.stdout)), (Some(0), "the configuration is valid\n"));
}
