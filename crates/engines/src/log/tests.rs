use super::*;
use hudhud_ports::{Bus as _, ShardConsumer};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;

const SMALL: BusOptions = BusOptions {
    shards: 2,
    segment_bytes: 4 * 1024,
    backlog_bytes_max: 1024 * 1024,
    log_bytes_max: 64 * 1024,
    unread_bytes_max: 1024 * 1024,
};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(folder: &TempDir, options: BusOptions) -> Bus {
    Bus::open(folder.path(), options).expect("opened")
}

async fn append(bus: &Bus, shard: u32, text: &str) -> Result<Position> {
    Ok(bus.append(Shard(shard), vec![Bytes::copy_from_slice(text.as_bytes())]).await?[0])
}

/// A member and its consumers, by shard.
async fn consumers(bus: &Bus) -> (Box<dyn Membership>, Vec<Box<dyn ShardConsumer>>) {
    let mut member = bus.join().await.expect("joined");
    let mut consumers = Vec::new();
    for _ in 0..bus.shards() {
        consumers.push(member.assigned().await.expect("assigned"));
    }
    (member, consumers)
}

/// Reads so many records, at most `max` at once.
async fn read(consumer: &mut Box<dyn ShardConsumer>, count: usize, max: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let records = consumer.next(max.min(count - texts.len())).await.expect("read").expect("still assigned");
        texts.extend(records.into_iter().map(|record| String::from_utf8_lossy(&record.bytes).into_owned()));
    }
    texts
}

fn segments(folder: &TempDir) -> Vec<PathBuf> {
    segment::Segment::list(folder.path()).expect("listed")
}

fn texts(range: std::ops::Range<usize>) -> Vec<String> {
    // Sixteen of these fill a small segment.
    range.map(|n| format!("{n:0>230}")).collect()
}

#[tokio::test]
async fn a_consumer_that_lags_reads_from_disk_what_memory_does_not_hold() {
    for unread_bytes_max in [0, 2_000, 1_000_000] {
        let folder = folder();
        let options = BusOptions { unread_bytes_max, ..SMALL };
        let bus = open(&folder, options);
        let (_member, mut consumers) = consumers(&bus).await;
        for text in texts(0..100) {
            append(&bus, 0, &text).await.expect("appended");
            append(&bus, 1, "of another shard").await.expect("appended");
        }
        assert_eq!(read(&mut consumers[0], 60, 7).await, texts(0..60));
        assert_eq!(read(&mut consumers[0], 40, 1_000).await, texts(60..100));
        assert_eq!(read(&mut consumers[1], 100, 3).await, vec!["of another shard"; 100]);
    }
}

/// Records count one by one, appends that wait for the disk together once.
#[tokio::test]
async fn what_was_made_durable_is_counted() {
    let folder = folder();
    let bus = open(&folder, SMALL);
    let both = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    bus.append(Shard(0), both).await.expect("appended");
    append(&bus, 1, "three").await.expect("appended");
    let counts = bus.counts();
    let [records, syncs] = [&counts.records, &counts.syncs].map(|count| count.load(Ordering::Relaxed));
    assert_eq!((records, syncs), (3, 2));
}

#[tokio::test]
async fn segments_go_once_everything_in_them_is_committed() {
    let folder = folder();
    let bus = open(&folder, SMALL);
    let held = append(&bus, 1, "held").await.expect("appended");
    for text in texts(0..100) {
        append(&bus, 0, &text).await.expect("appended");
    }
    let (_member, mut consumers) = consumers(&bus).await;
    let last = consumers[0].next(100).await.expect("read").expect("assigned").last().expect("some").position;
    consumers[0].commit(last).await.expect("committed");
    bus.close().await.expect("closed");
    assert!(segments(&folder).len() > 6, "the first segment has a record that is not committed");

    let bus = open(&folder, SMALL);
    let (_member, mut consumers) = self::consumers(&bus).await;
    let record = consumers[1].next(9).await.expect("read").expect("assigned").pop().expect("one");
    assert_eq!((record.position, &record.bytes[..]), (held, &b"held"[..]));
    consumers[1].commit(held).await.expect("committed");
    bus.close().await.expect("closed");
    assert_eq!(segments(&folder).len(), 1);

    let bus = open(&folder, SMALL);
    assert!(append(&bus, 0, "next").await.expect("appended") > last, "positions go on");
    let (_member, mut consumers) = self::consumers(&bus).await;
    assert_eq!(read(&mut consumers[0], 1, 9).await, ["next"]);
}

#[tokio::test]
async fn a_backlog_at_its_limit_is_full_until_it_is_committed() {
    let folder = folder();
    let bus = open(&folder, BusOptions { backlog_bytes_max: 1_000, ..SMALL });
    let mut appended = 0;
    let error = loop {
        match append(&bus, 0, &"x".repeat(100)).await {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), appended), (ErrorKind::Full, 9));
    let (_member, mut consumers) = consumers(&bus).await;
    let records = consumers[0].next(99).await.expect("read").expect("assigned");
    assert_eq!(records.len(), appended, "nothing of what was refused is there");
    consumers[0].commit(records[8].position).await.expect("committed");
    append(&bus, 0, "fits again").await.expect("appended");
}

#[tokio::test]
async fn a_log_at_its_limit_is_full_even_if_little_of_it_is_uncommitted() {
    let folder = folder();
    let bus = open(&folder, BusOptions { log_bytes_max: 8 * 1024, ..SMALL });
    append(&bus, 1, "held").await.expect("appended");
    let (_member, mut consumers) = consumers(&bus).await;
    let error = loop {
        match append(&bus, 0, &"x".repeat(100)).await {
            Ok(_) => {
                let last = consumers[0].next(9).await.expect("read").expect("assigned").pop().expect("one").position;
                consumers[0].commit(last).await.expect("committed");
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full);
    let held = consumers[1].next(9).await.expect("read").expect("assigned").pop().expect("one").position;
    consumers[1].commit(held).await.expect("committed");
    let mut patience = 100;
    while let Err(error) = append(&bus, 0, "fits again").await {
        // Room comes with the next writing of the commits.
        assert_eq!(error.kind(), ErrorKind::Full);
        patience -= 1;
        assert!(patience > 0, "never");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_log_whose_segments_are_gone_begins_a_higher_epoch() {
    let folder = folder();
    let bus = open(&folder, SMALL);
    let before = append(&bus, 0, "lost").await.expect("appended");
    let (_member, mut first) = consumers(&bus).await;
    read(&mut first[0], 1, 1).await;
    first[0].commit(before).await.expect("committed");
    bus.close().await.expect("closed");
    segments(&folder).into_iter().for_each(|path| std::fs::remove_file(path).expect("removed"));

    let bus = open(&folder, SMALL);
    let after = append(&bus, 0, "kept").await.expect("appended");
    assert!(after > before && after.epoch() == 2, "{before:?} {after:?}");
    let (_member, mut second) = consumers(&bus).await;
    assert_eq!(read(&mut second[0], 1, 1).await, ["kept"]);
}

#[tokio::test]
async fn a_record_that_was_not_read_can_not_be_committed() {
    let folder = folder();
    let bus = open(&folder, SMALL);
    let position = append(&bus, 0, "unread").await.expect("appended");
    let (_member, mut consumers) = consumers(&bus).await;
    assert_eq!(consumers[0].commit(position).await.expect_err("unread").kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_folder_is_refused_with_a_reason() {
    let folder = folder();
    let refused = |options| Bus::open(folder.path(), options).err().map(|error| (error.kind(), error.to_string()));
    let (kind, text) = refused(BusOptions { shards: 0, ..SMALL }).expect("no shards");
    assert!(kind == ErrorKind::Invalid && text.contains("one shard or more"), "{text}");
    let bus = open(&folder, SMALL);
    let (kind, text) = refused(SMALL).expect("it is open");
    assert!(kind == ErrorKind::Unavailable && text.contains("another process"), "{text}");
    bus.close().await.expect("closed");
    let (kind, text) = refused(BusOptions { shards: 3, ..SMALL }).expect("another number of shards");
    assert!(kind == ErrorKind::Invalid && text.contains("born with 2 shards"), "{text}");
    std::fs::remove_file(folder.path().join("meta")).expect("removed");
    let (kind, text) = refused(SMALL).expect("no meta");
    assert!(kind == ErrorKind::Corrupt && text.contains("meta"), "{text}");
}

#[tokio::test]
async fn calls_on_a_closed_bus_say_so() {
    let folder = folder();
    let bus = open(&folder, SMALL);
    let (mut member, mut consumers) = consumers(&bus).await;
    bus.close().await.expect("closed");
    bus.close().await.expect("closed already");
    let kind = |error: Error| error.kind();
    assert_eq!(append(&bus, 0, "late").await.map_err(kind), Err(ErrorKind::Unavailable));
    assert_eq!(consumers[0].next(1).await.map_err(kind), Err(ErrorKind::Unavailable));
    assert_eq!(member.assigned().await.map(drop).map_err(kind), Err(ErrorKind::Unavailable));
    assert_eq!(bus.join().await.map(drop).map_err(kind), Err(ErrorKind::Unavailable));
}
