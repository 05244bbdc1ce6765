//! `docs/operating.md` works: its blocks are run from top to bottom, with the program, in folders and on ports of the test's own. A
//! block that can't be run says why, or this fails.

use crate::process::said;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PAGE: &str = include_str!("../../../../docs/operating.md");
const PATIENCE: Duration = Duration::from_secs(60);

/// A block of the page, and what its mark says.
#[derive(Debug, PartialEq)]
struct Block<'a> {
    line: usize,
    language: &'a str,
    mark: Mark<'a>,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark<'a> {
    /// It runs, and ends well.
    Run,
    /// It goes on while the rest is run.
    Background,
    /// It is not run, for this reason.
    Not(&'a str),
}

/// The fenced blocks of a page. A mark is a comment on the line before.
fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let (mut inside, mut before) = (false, "");
    for (number, line) in page.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(language) => {
                let mark = match before.strip_prefix("<!-- ").and_then(|mark| mark.strip_suffix(" -->")) {
                    Some("in the background") => Mark::Background,
                    Some(mark) => Mark::Not(mark.strip_prefix("not run: ").unwrap_or_default()),
                    None => Mark::Run,
                };
                blocks.push(Block { line: number + 1, language, mark, text: String::new() });
                inside = true;
            }
            None if inside => {
                let block = blocks.last_mut().expect("one was begun");
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
        before = line;
    }
    blocks
}

/// A place to run in: what the page calls by the names of a real machine is in a folder, and on free ports.
struct Place {
    folder: tempfile::TempDir,
    ports: Vec<(&'static str, u16)>,
    running: Vec<Child>,
}

impl Place {
    fn new() -> Self {
        // All are held at once, so that no two are the same.
        let listeners = ["8080", "8081", "8443"].map(|name| (name, TcpListener::bind("127.0.0.1:0").expect("a port")));
        let ports = listeners.iter().map(|(name, listener)| (*name, listener.local_addr().expect("bound").port()));
        Self { folder: tempfile::tempdir().expect("a folder"), ports: ports.collect(), running: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name.trim_start_matches('/'))
    }

    fn port(&self, name: &str) -> u16 {
        self.ports.iter().find(|(known, _)| *known == name).expect("it is one of them").1
    }

    /// A block, as it is run here.
    fn localised(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for name in ["/var/lib/hudhud", "/etc/hudhud", "/backups"] {
            text = text.replace(name, &self.path(name).display().to_string());
        }
        for (name, port) in &self.ports {
            text = text
                .replace(&format!(":{name}"), &format!(":{port}"))
                .replace(&format!("port {name}"), &format!("port {port}"));
        }
        text
    }

    fn shell(&self, text: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_hudhud")).parent().expect("a folder");
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a shell has one"));
        let mut command = Command::new("bash");
        // `exec` ends with its server, not with a shell that waits for one.
        command.args(["-euo", "pipefail", "-c", text]).current_dir(self.folder.path()).env_clear();
        command
            .env("PATH", path)
            .env("HUDHUD_CONFIG", self.path("/etc/hudhud/hudhud.toml"))
            .env("HUDHUD_LISTEN", format!("127.0.0.1:{}", self.port("8080")))
            .env("HUDHUD_OPERATORS__LISTEN", format!("127.0.0.1:{}", self.port("8081")))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, text: &str) -> Output {
        self.shell(&self.localised(text)).output().expect("bash runs")
    }

    fn start(&mut self, text: &str) {
        let log = std::fs::File::create(self.path("server.log")).expect("made");
        let text = format!("exec {}", self.localised(text));
        let mut command = self.shell(&text);
        let started = command.stdout(log.try_clone().expect("a file")).stderr(log).spawn().expect("bash runs");
        self.running.push(started);
        let deadline = Instant::now() + PATIENCE;
        let ready = "curl --fail --silent http://127.0.0.1:8081/readyz";
        while !self.run(ready).status.success() {
            let log = std::fs::read_to_string(self.path("server.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "it does not get ready:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Checks a piece of a configuration with the program that it is for.
    fn check(&self, block: &Block<'_>) -> Output {
        let file = self.path("block");
        std::fs::write(&file, self.localised(&block.text)).expect("written");
        match block.language {
            "toml" => self.run("hudhud config check --config block"),
            "haproxy" => self.run("PATH=$PATH:/usr/sbin haproxy -c -f block"),
            other => panic!("line {}: nobody checks {other:?}: mark the block, or run it here", block.line),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for child in &mut self.running {
            // Errors mean that it has ended.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Every block is run, or says why it can't be.
#[test]
fn the_guide_works() {
    let mut place = Place::new();
    std::fs::create_dir_all(place.path("/backups")).expect("made");
    let mut run = 0;
    for block in blocks(PAGE) {
        match block.mark {
            Mark::Not(reason) => {
                assert!(
                    reason.len() > 10,
                    "line {}: a block that is not run says why: <!-- not run: … -->",
                    block.line
                );
                continue;
            }
            Mark::Background => place.start(&block.text),
            Mark::Run => {
                let output = if block.language == "sh" { place.run(&block.text) } else { place.check(&block) };
                assert!(output.status.success(), "line {}: {}\n{}", block.line, block.text, said(&output));
            }
        }
        run += 1;
    }
    assert!(run > 15, "only {run} blocks were run");
}

/// The marks mean what the page says that they do.
#[test]
fn marks_are_read() {
    let page = "```sh\na\n```\n<!-- not run: no network -->\n```sh\nb\n```\n<!-- in the background -->\n```sh\nc\n```\n\
                <!-- whatever -->\n```toml\nd\n```\n";
    let marks: Vec<_> = blocks(page).iter().map(|block| block.mark).collect();
    assert_eq!(marks, [Mark::Run, Mark::Not("no network"), Mark::Background, Mark::Not("")]);
}

/// The table of exit codes is the one of the program.
#[test]
fn exit_codes_are_those_of_the_program() {
    let of = |text: &str, read: fn(&str) -> Option<u8>| text.lines().filter_map(read).collect::<Vec<_>>();
    let on_page = of(PAGE.split("## Exit codes").nth(1).expect("it is there"), |line| {
        line.strip_prefix("| ")?.split_whitespace().next()?.parse().ok()
    });
    let in_help = of(hudhud_server::exit::HELP, |line| {
        line.strip_prefix("  ").filter(|rest| !rest.starts_with("    "))?.split_whitespace().next()?.parse().ok()
    });
    assert_eq!(on_page, in_help);
}
