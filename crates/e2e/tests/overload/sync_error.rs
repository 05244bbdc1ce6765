//! A disk that fails an fsync: nobody knows what is on it then, so nothing more is promised, and the process ends with a
//! message that says what to do. What it promised before is there.

use hudhud_e2e::Wire;
use hudhud_e2e::overload::Server;
use hudhud_proto::v1::{self, Content, client_frame::Command, server_frame::Event};
use hudhud_proto::{Encoding, MessageId};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Lies between the server and the C library: where a file of that name exists, the disk is broken.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int is_broken(void) {
    const char *flag = getenv("BROKEN_DISK");
    return flag && access(flag, F_OK) == 0;
}

static int call(const char *name, int file) {
    if (is_broken()) {
        errno = EIO;
        return -1;
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(file);
}

int fsync(int file) { return call("fsync", file); }
int fdatasync(int file) { return call("fdatasync", file); }
"#;

fn compiled(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    std::fs::write(&source, SHIM).expect("the folder can be written");
    let mut compiler = process::Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    assert!(compiler.status().expect("a C compiler is there: scripts/deps build").success());
    library
}

fn send(to: &v1::LoggedIn, n: u8) -> Command {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let message = MessageId::v7(u64::try_from(now.as_millis()).expect("soon"), [n; 10]);
    let content = Content { content_type: "text/plain".into(), payload: vec![n].into(), ..Default::default() };
    Command::Send(v1::Send {
        direct_with: to.account.clone(),
        message_id: message.to_bytes(),
        content: content.into(),
        ..Default::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_ends_the_process_with_what_to_do_and_loses_nothing_that_was_acknowledged() {
    let _turn = crate::TURN.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (library, flag) = (compiled(folder.path()), folder.path().join("broken"));
    let server = Server::with(folder.path(), "", |command| {
        command.env("LD_PRELOAD", &library).env("BROKEN_DISK", &flag);
    })
    .await;
    let (mut alice, as_alice) = Wire::register(server.address(), Encoding::Protobuf, "alice").await;
    let (_bob, bob) = Wire::register(server.address(), Encoding::Protobuf, "bobby").await;
    let Event::Accepted(accepted) = alice.ask(send(&bob, 1)).await else { panic!("it works") };

    std::fs::write(&flag, "").expect("the folder can be written");
    let second = alice.say(send(&bob, 2)).await;
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(70), "{said}");
    // What engines still log may come behind it.
    let last = said.lines().find(|line| line.starts_with("hudhud: ")).unwrap_or_default();
    assert!(last.contains("can't keep its promises any more"), "{said}");
    assert!(last.contains("Nothing acknowledged is lost") && last.contains("start again"), "{said}");
    assert!(!alice.was_accepted(second).await, "what the disk did not take was acknowledged");

    std::fs::remove_file(&flag).expect("it is there");
    let server = Server::start(folder.path(), "").await;
    let mut alice = Wire::connect(server.address(), Encoding::Protobuf).await;
    alice.hello(&as_alice.token).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let fetch = v1::Fetch { conversation: accepted.conversation.clone(), from_seq: 1, ..Default::default() };
        let found = match alice.ask(Command::Fetch(fetch)).await {
            Event::EntryPage(page) => page.entries.iter().any(|entry| entry.message_id == accepted.message_id),
            _ => false,
        };
        if found {
            return;
        }
        assert!(Instant::now() < deadline, "what was acknowledged is lost");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
