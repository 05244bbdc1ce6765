//! What survives: kill -9 at any moment, a torn tail at any byte, a full disk; and what is refused: damage.

use bytes::Bytes;
use hudhud_engines::{fjall, log};
use hudhud_ports::memory::ManualClock;
use hudhud_ports::{Bus, Database, ErrorKind, Key, Scan, Store, Table, Tuning, Write};
use hudhud_proto::{Position, Shard};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const OPTIONS: log::BusOptions = log::BusOptions {
    shards: 4,
    segment_bytes: 64 * 1024,
    backlog_bytes_max: 1 << 30,
    log_bytes_max: 1 << 30,
    unread_bytes_max: 16 * 1024,
};
const WRITERS: u32 = 8;
const KILLS: usize = 5;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn open(folder: &Path) -> log::Bus {
    log::Bus::open(folder, OPTIONS).expect("opened")
}

/// Every record that is not committed, by shard, with its position.
async fn read_all(bus: &log::Bus) -> BTreeMap<Shard, Vec<(Position, String)>> {
    let mut member = bus.join().await.expect("joined");
    // Held until all are there: a consumer that is dropped is assigned again.
    let mut consumers = Vec::new();
    for _ in 0..OPTIONS.shards {
        consumers.push(member.assigned().await.expect("assigned"));
    }
    let mut all = BTreeMap::new();
    for consumer in &mut consumers {
        let end = bus.append(consumer.shard(), vec![Bytes::from("end")]).await.expect("appended")[0];
        let mut records = Vec::new();
        while records.last().is_none_or(|(position, _)| *position < end) {
            for record in consumer.next(100).await.expect("read").expect("assigned") {
                records.push((record.position, String::from_utf8_lossy(&record.bytes).into_owned()));
            }
        }
        records.retain(|(_, text)| text != "end");
        all.insert(consumer.shard(), records);
    }
    all
}

/// This binary again, to run one of its tests with these words in `HUDHUD_CHILD`.
fn child(test: &str, words: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", test, "--nocapture"]).env("HUDHUD_CHILD", words).stdout(Stdio::piped());
    command
}

/// The words that this test was given if it runs as a child.
fn words() -> Option<Vec<String>> {
    Some(std::env::var("HUDHUD_CHILD").ok()?.split(' ').map(str::to_owned).collect())
}

fn say(line: &str) {
    // One write of a whole line: lines of several writers do not mix, and a kill leaves a torn one at most.
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush()).expect("somebody listens");
}

/// What a child says until it is killed, which it is so long after the first thing that it did.
fn listen_and_kill(mut child: Child, after: Duration) -> Vec<Vec<String>> {
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let (began, begun) = std::sync::mpsc::channel();
    let killer = std::thread::spawn(move || {
        // An error means that it ended without doing anything.
        if begun.recv().is_ok() {
            std::thread::sleep(after);
        }
        child.kill().expect("killed");
        child.wait().expect("dead");
    });
    let mut lines = Vec::new();
    for line in output.split(b'\n') {
        let line = String::from_utf8(line.expect("read")).expect("text");
        if let Some(line) = line.strip_prefix("done ").and_then(|line| line.strip_suffix(" .")) {
            // An error means that it was killed already.
            began.send(()).ok();
            lines.push(line.split(' ').map(str::to_owned).collect());
        }
    }
    drop(began);
    killer.join().expect("it does not panic");
    lines
}

#[test]
fn child_that_appends() {
    let Some(words) = words() else { return };
    let [folder, round] = &words[..] else { panic!("a folder and a round") };
    block_on(async {
        let bus = Arc::new(open(Path::new(folder)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (bus, round) = (bus.clone(), round.clone());
                tokio::spawn(async move {
                    for n in 0.. {
                        let text = format!("{round}-{writer}-{n}");
                        let record = Bytes::from(format!("{text:<width$}", width = 20 + n % 400));
                        let shard = Shard(writer % OPTIONS.shards);
                        let position = bus.append(shard, vec![record]).await.expect("appended")[0];
                        say(&format!("done {} {} {text} .", shard.0, position.as_u64()));
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.expect("it does not panic");
        }
    });
}

/// Every append that was acknowledged is there after kill -9, once, at its position, in its writer's order.
#[test]
fn acknowledged_records_survive_kill_9() {
    let folder = folder();
    let mut acknowledged: BTreeMap<(u32, Position), String> = BTreeMap::new();
    for round in 0..KILLS {
        let words = format!("{} {round}", folder.path().display());
        let child = child("child_that_appends", &words).spawn().expect("a child");
        let lines = listen_and_kill(child, Duration::from_millis(250 + 70 * round as u64));
        assert!(!lines.is_empty(), "it was killed before it did anything");
        for line in lines {
            let [shard, position, text] = &line[..] else { panic!("{line:?}") };
            let position = Position::from_u64(position.parse().expect("a position"));
            let before = acknowledged.insert((shard.parse().expect("a shard"), position), text.clone());
            assert_eq!(before, None, "a position was given twice");
        }
    }
    let found = block_on(async { read_all(&open(folder.path())).await });
    let mut count = 0;
    for (shard, records) in found {
        assert!(records.is_sorted_by(|one, next| one.0 < next.0), "positions increase");
        let mut next = BTreeMap::new();
        for (position, text) in records {
            let text = text.trim_end().to_owned();
            if let Some(wanted) = acknowledged.remove(&(shard.0, position)) {
                assert_eq!(text, wanted);
            }
            let (writer, n) = text.rsplit_once('-').expect("as appended");
            let next = next.entry(writer.to_owned()).or_insert(0_u64);
            assert_eq!(n.parse(), Ok(*next), "each record of {writer} once, in order");
            *next += 1;
            count += 1;
        }
    }
    assert!(acknowledged.is_empty(), "{} of {count} records were acknowledged, but are gone", acknowledged.len());
}

const TABLE: &Table = &Table { name: "durable", database: Database::Messages, ttl: None, tuning: Tuning::DEFAULT };

fn key(writer: u32, n: u64) -> Key {
    let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    Key { table: TABLE, partition: copy(&writer.to_be_bytes()), sort: copy(&n.to_be_bytes()) }
}

fn open_store(folder: &Path) -> fjall::Store {
    let options = fjall::StoreOptions { memtable_bytes_max: 1024 * 1024, ..fjall::StoreOptions::default() };
    fjall::Store::open(folder, options, Arc::new(ManualClock::new(1))).expect("opened")
}

#[test]
fn child_that_writes() {
    let Some(words) = words() else { return };
    let [folder, round] = &words[..] else { panic!("a folder and a round") };
    let round: u64 = round.parse().expect("a number");
    block_on(async {
        let store = Arc::new(open_store(Path::new(folder)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for n in 0.. {
                        // A batch: two rows that are there both or neither.
                        let rows = [2 * n, 2 * n + 1].map(|n| Write {
                            key: key(writer, n),
                            value: Some(Bytes::from(vec![7; 500])),
                            version: round,
                        });
                        store.write(rows.to_vec()).await.expect("written");
                        if n % 16 == 0 {
                            store.flush().await.expect("flushed");
                        }
                        say(&format!("done {writer} {n} ."));
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.expect("it does not panic");
        }
    });
}

/// Every write that was acknowledged is there after kill -9, flushed or not, and no batch is there in part.
#[test]
fn acknowledged_rows_survive_kill_9() {
    let folder = folder();
    for round in 1..=KILLS as u64 {
        let words = format!("{} {round}", folder.path().display());
        let child = child("child_that_writes", &words).spawn().expect("a child");
        let lines = listen_and_kill(child, Duration::from_millis(250 + 70 * round));
        assert!(!lines.is_empty(), "it was killed before it did anything");
        block_on(async {
            let store = open_store(folder.path());
            for line in &lines {
                let [writer, n] = &line[..] else { panic!("{line:?}") };
                let (writer, n): (u32, u64) = (writer.parse().expect("a writer"), n.parse().expect("a number"));
                for n in [2 * n, 2 * n + 1] {
                    let row = store.get(key(writer, n)).await.expect("read");
                    assert!(row.is_some_and(|row| row.version == round), "row {n} of writer {writer} is gone");
                }
            }
            for writer in 0..WRITERS {
                let rows = store.scan(Scan::all(TABLE, key(writer, 0).partition, usize::MAX)).await.expect("read");
                for pair in rows.chunks(2) {
                    assert!(pair.len() == 2 && pair[0].version == pair[1].version, "half of a batch is there");
                }
            }
            store.close().await.expect("closed");
        });
    }
}

/// The only segment of a small log.
fn segment(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("listed").path());
    let segments: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    let [segment] = &segments[..] else { panic!("{segments:?}") };
    segment.clone()
}

/// Appends these, one after another, and returns the segment as it was before the last one and after it.
fn append_all(folder: &Path, texts: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let append = |texts: &[&str]| {
        block_on(async {
            let bus = open(folder);
            for text in texts {
                bus.append(Shard(1), vec![Bytes::copy_from_slice(text.as_bytes())]).await.expect("appended");
            }
            bus.close().await.expect("closed");
        });
        std::fs::read(segment(folder)).expect("read")
    };
    let (last, others) = texts.split_last().expect("some");
    (append(others), append(&[last]))
}

fn texts_of(folder: &Path) -> Vec<String> {
    block_on(async {
        let bus = open(folder);
        let records = read_all(&bus).await.remove(&Shard(1)).unwrap_or_default();
        bus.close().await.expect("closed");
        records.into_iter().map(|(_, text)| text).collect()
    })
}

/// The byte behind the last record: there the seal begins, whose last four bytes are zeros.
fn end_of_records(segment: &[u8]) -> usize {
    segment.iter().rposition(|byte| *byte != 0).expect("not empty") + 1 - 20
}

/// Wherever the last record is torn, those before it are there, it is not, and the log goes on.
#[test]
fn a_tail_torn_at_any_byte_is_cut_off() {
    let first = folder();
    let (before, after) = append_all(first.path(), &["one", "two", "three"]);
    let (start, end) = (end_of_records(&before), end_of_records(&after));
    assert_eq!(end - start, 24 + "three".len());
    let (meta, path) = (std::fs::read(first.path().join("meta")).expect("read"), segment(first.path()));
    for torn in start..end {
        let folder = folder();
        std::fs::write(folder.path().join("meta"), &meta).expect("written");
        let mut bytes = after.clone();
        bytes[torn..].fill(0);
        std::fs::write(folder.path().join(path.file_name().expect("a name")), bytes).expect("written");
        assert_eq!(texts_of(folder.path()), ["one", "two"], "torn at byte {torn}");
    }
}

/// A bit that flips in a record that was acknowledged, the last one too, is damage, not a torn tail: the log says where, and
/// stays closed.
#[test]
fn a_flipped_bit_is_refused() {
    let folder = folder();
    let (before, after) = append_all(folder.path(), &["one", "two", "three"]);
    assert!(end_of_records(&before) < end_of_records(&after));
    // The commits would tell as well.
    std::fs::remove_file(folder.path().join("commits")).expect("removed");
    for flipped in 0..end_of_records(&after) {
        let mut bytes = after.clone();
        bytes[flipped] ^= 0x10;
        std::fs::write(segment(folder.path()), bytes).expect("written");
        let error = log::Bus::open(folder.path(), OPTIONS).err().expect("damaged");
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}");
        assert!(text.contains(".log, byte ") && text.contains("Restore"), "{text}");
    }
    std::fs::write(segment(folder.path()), after).expect("written");
    assert_eq!(texts_of(folder.path()), ["one", "two", "three"], "nothing was changed by trying");
}

/// The commits say how long the log was: an end that is missing is not taken for a torn tail.
#[test]
fn an_end_that_was_seen_before_must_be_there() {
    let folder = folder();
    let (before, _) = append_all(folder.path(), &["one", "two", "three"]);
    std::fs::write(segment(folder.path()), before).expect("written");
    let error = log::Bus::open(folder.path(), OPTIONS).err().expect("damaged");
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("before record 3"), "{error}");
}

/// A last record that was acknowledged and is damaged is not cut off, as a torn tail would be: whoever mends the file needs it.
#[test]
fn a_damaged_end_that_was_seen_before_is_left_as_it_is() {
    let folder = folder();
    let (_, mut bytes) = append_all(folder.path(), &["one", "two", "three"]);
    let end = end_of_records(&bytes);
    bytes[end - 1] ^= 1;
    // The seal would tell as well, before anything could be changed.
    bytes[end..].fill(0);
    std::fs::write(segment(folder.path()), &bytes).expect("written");
    for _ in 0..2 {
        let error = log::Bus::open(folder.path(), OPTIONS).err().expect("damaged");
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("before record 3"), "{error}");
        assert!(std::fs::read(segment(folder.path())).expect("read") == bytes, "it was changed by trying");
    }
}

/// A segment that is missing is damage.
#[test]
fn a_missing_segment_is_refused() {
    let folder = folder();
    block_on(async {
        let bus = open(folder.path());
        for _ in 0..3 {
            bus.append(Shard(0), vec![Bytes::from(vec![7; 40_000])]).await.expect("appended");
        }
        bus.close().await.expect("closed");
    });
    let entries = std::fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("listed").path());
    let mut segments: Vec<_> = entries.filter(|path| path.extension().is_some_and(|name| name == "log")).collect();
    segments.sort();
    assert_eq!(segments.len(), 3);
    std::fs::remove_file(&segments[1]).expect("removed");
    let error = log::Bus::open(folder.path(), OPTIONS).err().expect("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn child_without_room() {
    let Some(words) = words() else { return };
    let folder = Path::new(&words[0]);
    block_on(async {
        let bus = open(folder);
        let mut appended = 0;
        let append = async || bus.append(Shard(0), vec![Bytes::from(vec![7; 1_000])]).await;
        let error = loop {
            match append().await {
                Ok(_) => appended += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert_eq!(append().await.expect_err("still no room").kind(), ErrorKind::Full);
        let room = rustix::process::Rlimit { current: None, maximum: None };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, room).expect("the hard limit is unlimited");
        let again = append().await.expect("there is room again")[0];
        assert_eq!(again.offset(), appended + 2, "one before, and nothing of what was refused");
        say(&format!("done {appended} ."));
        bus.close().await.expect("closed");
    });
}

/// A disk without room refuses appends, without any part of them being there, and takes them again when there is room.
/// The limit of a file's size stands for the disk.
#[test]
fn a_full_disk_refuses_and_recovers() {
    let folder = folder();
    block_on(async {
        let bus = open(folder.path());
        bus.append(Shard(0), vec![Bytes::from("before")]).await.expect("appended");
        bus.close().await.expect("closed");
    });
    let binary = std::env::current_exe().expect("this binary");
    let output = Command::new("sh")
        // A write beyond the limit is an error, as on a full disk, if the signal for it is ignored.
        .args(["-c", "trap '' XFSZ; ulimit -S -f 40; exec \"$0\" --exact child_without_room --nocapture"])
        .arg(binary)
        .env("HUDHUD_CHILD", folder.path())
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let appended = text.lines().find_map(|line| line.strip_prefix("done ")?.strip_suffix(" .")).expect("it said so");
    let appended: usize = appended.parse().expect("a number");
    assert!(appended > 0);
    let found = block_on(async { read_all(&open(folder.path())).await });
    let records = &found[&Shard(0)];
    assert_eq!(records.len(), appended + 2, "one before, one after");
}
