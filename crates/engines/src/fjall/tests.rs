use super::*;
use bytes::Bytes;
use hudhud_ports::memory::ManualClock;
use hudhud_ports::{Database, Store as _, Table, Tuning};
use std::time::Duration;
use tempfile::TempDir;

const KEPT: &Table = &Table { name: "kept", database: Database::Messages, ttl: None, tuning: Tuning::DEFAULT };
const SHORT: &Table =
    &Table { name: "short", database: Database::Messages, ttl: Some(Duration::from_secs(60)), tuning: Tuning::DEFAULT };

fn open(folder: &TempDir, options: StoreOptions) -> (Store, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1));
    (Store::open(folder.path(), options, clock.clone()).expect("opened"), clock)
}

fn key(table: &'static Table, sort: &str) -> Key {
    Key { table, partition: Bytes::from_static(b"partition"), sort: Bytes::copy_from_slice(sort.as_bytes()) }
}

fn write(table: &'static Table, sort: &str, value: Option<&'static str>, version: u64) -> Write {
    Write { key: key(table, sort), value: value.map(Bytes::from), version }
}

#[tokio::test]
async fn what_is_expired_goes_when_the_tree_is_compacted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, clock) = open(&folder, StoreOptions::default());
    let writes = vec![write(KEPT, "a", Some("x"), 1), write(KEPT, "b", None, 1), write(SHORT, "a", Some("x"), 1)];
    store.write(writes).await.expect("written");
    let compacted = || {
        let tree = &store.shared.messages;
        tree.rotate_memtable_and_wait().expect("flushed");
        tree.major_compact().expect("compacted");
        // All but the mark.
        tree.len().expect("counted") - 1
    };
    assert_eq!(compacted(), 3);
    clock.advance(Duration::from_secs(61));
    store.write(vec![write(KEPT, "c", Some("x"), 1)]).await.expect("written");
    assert_eq!(compacted(), 3, "one expired, one new");
    clock.advance(Duration::from_secs(11 * 24 * 3_600));
    store.write(vec![write(KEPT, "d", Some("x"), 1)]).await.expect("written");
    assert_eq!(compacted(), 3, "the deletion is forgotten");
    let rows = store.scan(Scan::all(KEPT, Bytes::from_static(b"partition"), 9)).await.expect("read");
    assert_eq!(rows.iter().map(|row| &row.sort[..]).collect::<Vec<_>>(), [b"a", b"c", b"d"]);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_before_anything_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(&folder, StoreOptions { disk_free_bytes_min: u64::MAX, ..StoreOptions::default() });
    let error = store.write(vec![write(KEPT, "a", Some("x"), 1)]).await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Full);
    let error = store.claim(write(KEPT, "a", Some("x"), 1)).await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(store.get(key(KEPT, "a")).await.expect("read"), None);
    store.flush().await.expect("there is nothing to write");
}

#[tokio::test]
async fn a_row_that_fails_its_checksum_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open(&folder, StoreOptions::default());
    store.write(vec![write(KEPT, "a", Some("x"), 1), write(KEPT, "b", Some("x"), 1)]).await.expect("written");
    let tree = &store.shared.messages;
    let stored = row::key_bytes(&key(KEPT, "a"));
    let mut bytes = tree.get(&stored).expect("read").expect("there").to_vec();
    bytes[21] ^= 1;
    tree.insert(stored, bytes).expect("damaged");
    assert_eq!(store.get(key(KEPT, "a")).await.expect_err("damaged").kind(), ErrorKind::Corrupt);
    let all = Scan::all(KEPT, Bytes::from_static(b"partition"), 9);
    assert_eq!(store.scan(all).await.expect_err("damaged").kind(), ErrorKind::Corrupt);
    assert!(store.get(key(KEPT, "b")).await.expect("read").is_some(), "others are not concerned");
}

#[tokio::test]
async fn a_folder_is_open_in_one_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, clock) = open(&folder, StoreOptions::default());
    let again = || Store::open(folder.path(), StoreOptions::default(), clock.clone());
    let error = again().err().expect("open already");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("another process"), "{error}");
    store.write(vec![write(KEPT, "a", Some("x"), 1)]).await.expect("written");
    store.close().await.expect("closed");
    assert_eq!(store.flush().await.expect_err("closed").kind(), ErrorKind::Unavailable);
    drop(store);
    let store = again().expect("free");
    assert!(store.get(key(KEPT, "a")).await.expect("read").is_some());
}

/// Copies a folder of files and folders, but for journals.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed").map(|entry| entry.expect("listed")) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else if source.extension().is_none_or(|extension| extension != "jnl") {
            std::fs::copy(source, target).expect("copied");
        }
    }
}

fn journal(folder: &Path) -> PathBuf {
    folder.join("0.jnl")
}

/// The byte behind the last batch of a journal, which is allocated with zeros.
fn end(journal: &[u8]) -> usize {
    journal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// The store as it would be found if its journal were these bytes.
fn open_with_journal(folder: &TempDir, bytes: &[u8], clock: &Arc<ManualClock>) -> (TempDir, Result<Store>) {
    let copied = tempfile::tempdir().expect("a folder");
    copy(folder.path(), copied.path());
    std::fs::write(journal(copied.path()), &bytes[..end(bytes) + 10_000]).expect("written");
    let store = Store::open(copied.path(), StoreOptions::default(), clock.clone());
    (copied, store)
}

#[tokio::test]
async fn whatever_a_power_loss_leaves_of_the_journal_what_was_flushed_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, clock) = open(&folder, StoreOptions::default());
    store.write(vec![write(KEPT, "flushed", Some("x"), 1)]).await.expect("written");
    store.flush().await.expect("flushed");
    let flushed = std::fs::read(journal(folder.path())).expect("read");
    for sort in ["unflushed 1", "unflushed 2"] {
        let value = Some(Bytes::from(vec![7; 1_000]));
        let rows = ["a", "b"].map(|part| Write {
            key: key(KEPT, &format!("{sort} {part}")),
            value: value.clone(),
            version: 1,
        });
        store.write(rows.to_vec()).await.expect("written");
    }
    let unflushed = std::fs::read(journal(folder.path())).expect("read");
    let (start, end) = (end(&flushed), end(&unflushed));
    for at in (start..end).step_by(307) {
        // The rest was not written, or is something else; or a part of it was not written.
        for (range, byte) in [(at..end, 0), (at..end, 0xa5), (at..end.min(at + 512), 0), (at..end.min(at + 100), 0)] {
            let mut torn = unflushed.clone();
            torn[range.clone()].fill(byte);
            let (_folder, store) = open_with_journal(&folder, &torn, &clock);
            let store = store.unwrap_or_else(|error| panic!("{byte} in {range:?} of {end}: {error}"));
            let rows = store.scan(Scan::all(KEPT, Bytes::from_static(b"partition"), 99)).await.expect("read");
            let whole = rows.len() == 1 || rows.len() == 3;
            assert!(rows[0].sort == "flushed" && whole, "{byte} in {range:?} of {end}: {} rows", rows.len());
            store.close().await.expect("closed");
        }
    }
}

#[tokio::test]
async fn damage_to_what_was_flushed_is_no_torn_tail() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, clock) = open(&folder, StoreOptions::default());
    for sort in ["damaged", "behind it"] {
        let value = Some(Bytes::from(vec![7; 1_000]));
        store.write(vec![Write { key: key(KEPT, sort), value, version: 1 }]).await.expect("written");
        store.flush().await.expect("flushed");
    }
    let mut bytes = std::fs::read(journal(folder.path())).expect("read");
    let value = bytes.windows(500).position(|window| window == [7; 500]).expect("it is there");
    bytes[value + 100] ^= 1;
    let (_folder, store) = open_with_journal(&folder, &bytes, &clock);
    let error = store.err().expect("damaged");
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(".jnl, byte "), "{error}");
}
