//! The bus while members and brokers of Kafka die.

use super::buses::{append, join, migrated, new_bus, opened, read, servers_of, urls};
use super::servers::Servers;
use super::trial;
use bytes::Bytes;
use hudhud_engines::Mode;
use hudhud_ports::conformance::bus;
use hudhud_ports::{ErrorKind, Record};
use hudhud_proto::{Position, Shard};
use libtest_mimic::Trial;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Says to a process that it is a member, and of which bus.
pub const MEMBER: &str = "HUDHUD_TEST_MEMBER";

pub fn trials(servers: &Arc<Servers>) -> Vec<Trial> {
    vec![
        trial(
            "kafka::members_share_and_a_dead_one_loses_its_share",
            servers,
            members_share_and_a_dead_one_loses_its_share,
        ),
        trial("kafka::without_a_majority_appends_time_out", servers, without_a_majority_appends_time_out),
        trial("kafka::who_closes_leaves_at_once", servers, who_closes_leaves_at_once),
        trial("kafka::a_killed_broker_takes_nothing_that_was_acknowledged", servers, a_killed_broker_takes_nothing),
    ]
}

/// What [`MEMBER`] says: joins, and writes down which shards it has.
pub async fn be_a_member(said: String) {
    let (file, url) = said.split_once(' ').expect("a file and a URL");
    let engines = opened(&urls(url)).await.expect("opened");
    let mut member = engines.bus.join().await.expect("joined");
    let mut consumers = Vec::new();
    loop {
        consumers.push(member.assigned().await.expect("assigned"));
        std::fs::write(file, consumers.len().to_string()).expect("written");
    }
}

async fn members_share_and_a_dead_one_loses_its_share(servers: Arc<Servers>) {
    let (url, bus) = new_bus(&servers).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut member, mut consumers) = join(&bus).await;
    for shard in 0..bus::SHARDS {
        append(&bus, Shard(shard), "x").await;
    }
    let mut other = other_process(&folder, &url);
    let half = bus::SHARDS as usize / 2;
    within("the other has its share", Duration::from_secs(30), || shares(&folder) == half).await;
    let mut lost = Vec::new();
    for (shard, consumer) in &mut consumers {
        // What this member still has gives its record; what it has not gives nothing, and takes no commit.
        match consumer.next(1).await.expect("asked") {
            Some(records) => consumer.commit(records[0].position).await.expect("committed"),
            None => {
                let error = consumer.commit(Position::new(1, 1)).await.expect_err("another member's");
                assert!(matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Invalid), "{error}");
                lost.push(*shard);
            }
        }
    }
    assert_eq!(lost.len(), half, "{lost:?}");
    other.kill().expect("killed");
    other.wait().expect("gone");
    let start = Instant::now();
    for _ in 0..half {
        let mut again = member.assigned().await.expect("assigned");
        assert!(lost.contains(&again.shard().0));
        assert_eq!(read(&mut again, 1).await[0].bytes, "x", "nobody committed it");
        consumers.insert(again.shard().0, again);
    }
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
}

fn other_process(folder: &TempDir, url: &str) -> std::process::Child {
    let said = format!("{} {url}", folder.path().join("shards").display());
    let this = std::env::current_exe().expect("a program");
    std::process::Command::new(this).env(MEMBER, said).spawn().expect("started")
}

/// How many shards the other process says it has.
fn shares(folder: &TempDir) -> usize {
    std::fs::read_to_string(folder.path().join("shards")).ok().and_then(|said| said.parse().ok()).unwrap_or_default()
}

/// kill -9 in the middle of appends: what was acknowledged is there once, in its order; what timed out at most once.
async fn a_killed_broker_takes_nothing(servers: Arc<Servers>) {
    const APPENDS: u32 = 1_000;
    let started = tokio::task::spawn_blocking(move || servers.own_kafka("3")).await;
    let (port, kafka) = started.expect("started");
    let url = format!("kafka://{}/bus", servers_of(port));
    migrated(&urls(&url), Mode::Apply).await;
    let bus = opened(&urls(&url)).await.expect("opened").bus.clone();
    let writers = (0..bus::SHARDS).map(|shard| {
        let bus = bus.clone();
        tokio::spawn(async move {
            let (mut acknowledged, mut unclear) = (Vec::new(), Vec::new());
            for n in 0..APPENDS {
                match bus.append(Shard(shard), vec![Bytes::from(n.to_string()), Bytes::from(format!("{n}b"))]).await {
                    Ok(positions) => acknowledged.push((n, positions)),
                    Err(error) if error.kind() == ErrorKind::Timeout => unclear.push(n),
                    Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(100)).await,
                    Err(error) => panic!("{error}"),
                }
            }
            (acknowledged, unclear)
        })
    });
    let writers: Vec<_> = writers.collect();
    let (_member, mut consumers) = join(&bus).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let kafka = tokio::task::spawn_blocking(move || {
        kafka.to_nodes("kill", &["2"]);
        kafka
    });
    let kafka = kafka.await.expect("killed");
    for (shard, writer) in (0..).zip(writers) {
        let (acknowledged, unclear) = writer.await.expect("it does not panic");
        assert!(acknowledged.len() > APPENDS as usize / 2, "{} acknowledged", acknowledged.len());
        let last = acknowledged.last().expect("some are").1[1];
        let mut records: Vec<Record> = Vec::new();
        while records.last().is_none_or(|record| record.position < last) {
            records.extend(
                consumers.get_mut(&shard).expect("all are there").next(999).await.expect("read").expect("assigned"),
            );
        }
        let mut found = BTreeMap::new();
        for pair in records.chunks(2) {
            let n: u32 = String::from_utf8_lossy(&pair[0].bytes).parse().expect("a number");
            assert_eq!(pair[1].bytes, format!("{n}b"), "an append is whole");
            assert!(found.insert(n, [pair[0].position, pair[1].position]).is_none(), "{n} is there twice");
        }
        assert!(found.values().is_sorted(), "shard {shard}: in their order");
        for (n, positions) in &acknowledged {
            assert_eq!(found.get(n).map(|found| &found[..]), Some(&positions[..]), "shard {shard}: append {n}");
        }
        let others = found.keys().filter(|n| !acknowledged.iter().any(|(known, _)| known == *n));
        assert!(others.clone().all(|n| unclear.contains(n)), "what was refused is not there");
    }
    drop(kafka);
}

/// Two brokers of three are killed: an append may be there or not, and after their return all is as it was.
async fn without_a_majority_appends_time_out(servers: Arc<Servers>) {
    let started = tokio::task::spawn_blocking(move || servers.own_kafka("3")).await;
    let (port, kafka) = started.expect("started");
    let kafka = Arc::new(kafka);
    let url = format!("kafka://{}/bus", servers_of(port));
    migrated(&urls(&url), Mode::Apply).await;
    let engines = opened(&urls(&url)).await.expect("opened");
    let bus = engines.bus.clone();
    let (mut member, mut consumers) = join(&bus).await;
    let consumer = consumers.get_mut(&1).expect("all are there");
    append(&bus, Shard(1), "before").await;
    let before = read(consumer, 1).await[0].position;
    let to_nodes = async |what: &'static str| {
        let kafka = kafka.clone();
        tokio::task::spawn_blocking(move || kafka.to_nodes(what, &["2", "3"])).await.expect("done");
    };
    to_nodes("kill").await;
    consumer.commit(before).await.expect("noted");
    let start = Instant::now();
    let error = bus.append(Shard(1), vec![Bytes::from("unclear")]).await.expect_err("nobody takes it");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    to_nodes("restart").await;
    let after = loop {
        match bus.append(Shard(1), vec![Bytes::from("after")]).await {
            Ok(positions) => break positions[0],
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    };
    let mut found: Vec<Record> = Vec::new();
    while found.last().is_none_or(|last| last.position < after) {
        match consumers.get_mut(&1).expect("all are there").next(9).await.expect("read") {
            Some(records) => found.extend(records),
            // The group did not hear of this member for so long that it has to come again, from what Kafka was told.
            None => {
                let again = member.assigned().await.expect("assigned");
                if again.shard() == Shard(1) {
                    found.clear();
                }
                consumers.insert(again.shard().0, again);
            }
        }
    }
    let count = |text: &str| found.iter().filter(|record| record.bytes == text.as_bytes()).count();
    assert!(count("unclear") <= 1 && count("after") >= 1, "{found:?}");
    consumers.get_mut(&1).expect("all are there").commit(after).await.expect("committed");
    drop((member, consumers, bus));
    engines.close().await.expect("closed");
    let bus = opened(&urls(&url)).await.expect("opened").bus.clone();
    let (_member, mut consumers) = join(&bus).await;
    append(&bus, Shard(1), "next").await;
    assert_eq!(read(consumers.get_mut(&1).expect("all are there"), 1).await[0].bytes, "next");
}

/// As a server does when it ends: others need not wait until it is missed.
async fn who_closes_leaves_at_once(servers: Arc<Servers>) {
    let (url, bus) = new_bus(&servers).await;
    let engines = opened(&urls(&url)).await.expect("opened");
    let (mut member, mut consumers) = join(&engines.bus).await;
    let position = append(&engines.bus, Shard(0), "x").await;
    let consumer = consumers.get_mut(&0).expect("all are there");
    read(consumer, 1).await;
    consumer.commit(position).await.expect("committed");
    let start = Instant::now();
    engines.close().await.expect("closed");
    assert_eq!(consumer.next(1).await.expect("asked"), None);
    assert_eq!(member.assigned().await.err().expect("closed").kind(), ErrorKind::Unavailable);
    let (_member, mut consumers) = join(&bus).await;
    append(&bus, Shard(0), "y").await;
    assert_eq!(read(consumers.get_mut(&0).expect("all are there"), 1).await[0].bytes, "y", "the commit was told");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

async fn within(what: &str, limit: Duration, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
