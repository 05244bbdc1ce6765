//! The house rules that a scan of the source can see. CONTRIBUTING.md gives the reasons.

use crate::none_of;
use hudhud_tools::source;
use hudhud_tools::workspace::{self, File};

/// Where a rule holds.
type Scope = fn(&File) -> bool;

/// Paths that code in a scope has no business with.
struct Ban {
    scope: Scope,
    paths: &'static [&'static str],
    instead: &'static str,
}

const SOCKETS: &[&str] = &[
    "tokio::net",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "net::TcpStream",
    "net::TcpListener",
    "net::UdpSocket",
    "UnixStream",
    "UnixListener",
    "tokio_tungstenite",
];

const BANS: &[Ban] = &[
    Ban { scope: no_sockets, paths: SOCKETS, instead: "sockets are in `server::listen` and `client::native` alone" },
    Ban {
        scope: deterministic,
        paths: &["HashMap", "HashSet", "RandomState"],
        instead: "their order changes from run to run: BTreeMap, BTreeSet or the `lru` crate",
    },
    Ban {
        scope: deterministic,
        paths: &["SystemTime::now", "Instant::now", "tokio::time", "thread::sleep"],
        instead: "time comes from outside: `Runtime.clock` in roles, a parameter in client",
    },
    Ban {
        scope: deterministic,
        paths: &["thread_rng", "rand", "getrandom", "OsRng", "Uuid::new_v4", "Uuid::now_v7"],
        instead: "chance comes from outside: `Runtime.rng` in roles, a parameter in client",
    },
    Ban {
        scope: deterministic,
        paths: &["tokio::spawn", "task::spawn", "spawn_blocking", "spawn_local", "JoinSet", "thread::spawn"],
        instead: "tasks come from outside: `Runtime.tasks`",
    },
    Ban {
        scope: deterministic,
        paths: &["std::fs", "tokio::fs", "std::env", "std::process"],
        instead: "no I/O of their own: roles have ports, the client's state is handed to whoever keeps it",
    },
    Ban {
        scope: everywhere,
        paths: &["todo", "unimplemented"],
        instead: "write it, or leave it out and say so in the docs",
    },
];

/// Files that may be longer than [`LINES_MAX`], and why.
const LONG: &[(&str, &str)] =
    &[("crates/proto/proto/hudhud/v1/protocol.proto", "a table: the whole protocol on one page")];
const LINES_MAX: usize = 500;

fn everywhere(_: &File) -> bool {
    true
}

/// Everything whose runs must replay exactly.
fn deterministic(file: &File) -> bool {
    let client = file.path.starts_with("crates/client/src/") && !file.path.starts_with("crates/client/src/native");
    file.path.starts_with("crates/roles/src/") || client
}

/// Everything but the listeners of the binary, the transport of the client, engines, load, and tests of real processes.
fn no_sockets(file: &File) -> bool {
    let owners = ["crates/server/", "crates/client/src/native", "crates/engines/", "crates/e2e/", "crates/bench/"];
    !owners.iter().any(|owner| file.path.starts_with(owner))
}

fn shipped() -> impl Iterator<Item = File> {
    let rules = |file: &File| file.path.starts_with("crates/tools/");
    workspace::files("crates", ".rs").into_iter().filter(move |file| !file.is_test() && !rules(file))
}

#[test]
fn nothing_ambient_where_runs_must_replay() {
    let mut wrong = Vec::new();
    for file in shipped() {
        let code = source::shipped(&file.text);
        let paths = source::paths(&code);
        for ban in BANS.iter().filter(|ban| (ban.scope)(&file)) {
            let mut found: Vec<_> = paths.iter().filter(|path| ban.paths.iter().any(|&p| path.contains(p))).collect();
            found.dedup_by_key(|path| path.offset);
            let line = |path: &source::CodePath| {
                format!("{}: {}: {}", file.at(path.offset), path.segments.join("::"), ban.instead)
            };
            wrong.extend(found.into_iter().map(line));
        }
    }
    none_of(wrong, "See CONTRIBUTING.md, House rules. What is handed in can be simulated; what is ambient can't.");
}

#[test]
fn every_select_says_what_comes_first() {
    let mut wrong = Vec::new();
    for file in shipped().filter(deterministic) {
        let code = source::shipped(&file.text);
        for (at, select) in code.match_indices("select! {") {
            if !code[at + select.len()..].trim_start().starts_with("biased;") {
                wrong.push(file.at(at));
            }
        }
    }
    none_of(
        wrong,
        "Begin `tokio::select!` with `biased;`: its own choice is random, and a simulated run has to replay.",
    );
}

#[test]
fn no_unwrap_and_nothing_left_to_do() {
    let mut wrong = Vec::new();
    for file in workspace::files("crates", ".rs").into_iter().filter(|file| !file.path.starts_with("crates/tools/")) {
        let unwrap = source::shipped(&file.text);
        if !file.is_test() {
            wrong.extend(unwrap.match_indices(".unwrap()").map(|(at, _)| format!("{}: unwrap", file.at(at))));
        }
        for mark in ["TODO", "FIXME", "XXX", "HACK"] {
            wrong.extend(file.text.match_indices(mark).map(|(at, _)| format!("{}: {mark}", file.at(at))));
        }
    }
    none_of(
        wrong,
        "Handle the error or pass it on; where it cannot happen, `expect(\"why\")`. What is not done is written down where \
         people look for it, not in a comment.",
    );
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    let files =
        [workspace::files("crates", ".rs"), workspace::files("crates", ".proto"), workspace::files("scripts", "")];
    for file in files.into_iter().flatten() {
        let lines = file.text.lines().count();
        let allowed = LONG.iter().any(|(path, _)| *path == file.path);
        if lines > LINES_MAX && !allowed {
            wrong.push(format!("{}: {lines} lines", file.path));
        }
    }
    none_of(
        wrong,
        "Which noun is missing? Give it a file. A table or a state machine may be long: then it goes into LONG here, with the \
         reason.",
    );
}

#[test]
fn engines_are_chosen_in_one_place() {
    let wrong =
        workspace::files("crates/engines/src", ".rs").into_iter().chain(workspace::files("crates/server/src", ".rs"));
    let is_place = |path: &str| path.ends_with("/open.rs") || path.starts_with("crates/engines/src/open/");
    let wrong = wrong.filter(|file| !is_place(&file.path)).flat_map(|file| {
        // An engine's own `mod` line in lib.rs is what the feature is for.
        let front = file.path.ends_with("/src/lib.rs");
        let found: Vec<_> = file.text.match_indices("cfg(feature").map(|(at, _)| at).collect();
        found.into_iter().filter(move |_| !front).map(move |at| file.at(at)).collect::<Vec<_>>()
    });
    none_of(
        wrong.collect(),
        "Only engines' `open.rs`, with its folder, knows which engines are built in: ask it for one by URL.",
    );
}
