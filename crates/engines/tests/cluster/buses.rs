//! The bus: Kafka, three brokers, with three copies of everything; a topic for each case.

use super::servers::Servers;
use super::{Made, trial};
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_engines::{Mode, OpenError, Options, Urls, migrate, open};
use hudhud_ports::conformance::bus;
use hudhud_ports::memory::ManualClock;
use hudhud_ports::{Bus, ErrorKind, Membership, Record, ShardConsumer};
use hudhud_proto::{Position, Shard};
use libtest_mimic::Trial;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Runs of random operations.
const RANDOM_RUNS: u32 = 12;

pub fn trials(servers: &Arc<Servers>) -> Vec<Trial> {
    let mut trials = super::trials("kafka", servers, subject, bus::CASES);
    trials.extend([
        trial("kafka::random_operations", servers, random_operations),
        trial("kafka::a_topic_is_migrated", servers, a_topic_is_migrated),
        trial("kafka::two_nodes_migrate_at_once", servers, two_nodes_migrate_at_once),
        trial("kafka::a_topic_that_may_lose_records_is_refused", servers, a_topic_that_may_lose_records_is_refused),
        trial("kafka::a_lost_log_is_refused", servers, a_lost_log_is_refused),
        trial("kafka::a_log_that_was_cut_is_not_skipped", servers, a_log_that_was_cut_is_not_skipped),
        trial("kafka::a_commit_inside_an_append_is_exact", servers, a_commit_inside_an_append_is_exact),
    ]);
    trials
}

pub fn servers_of(port: u16) -> String {
    (1..=3).map(|node| format!("127.0.0.{node}:{port}")).collect::<Vec<_>>().join(",")
}

/// The URL of a topic that nobody else uses.
async fn url(servers: &Arc<Servers>) -> String {
    static TOPICS: AtomicU32 = AtomicU32::new(0);
    let servers = servers.clone();
    let port = tokio::task::spawn_blocking(move || servers.kafka()).await.expect("started");
    format!("kafka://{}/bus{}", servers_of(port), TOPICS.fetch_add(1, Ordering::Relaxed))
}

pub fn urls(bus: &str) -> Urls {
    Urls { bus: bus.to_owned(), ..Urls::all("memory:") }
}

fn options() -> Options {
    Options { shards: bus::SHARDS, ..Options::default() }
}

pub async fn opened(urls: &Urls) -> Result<hudhud_engines::Engines, OpenError> {
    open(urls, &options(), Arc::new(ManualClock::new(0))).await
}

pub async fn migrated(urls: &Urls, mode: Mode) -> Vec<String> {
    let migrations = migrate(urls, &options(), mode).await.expect("migrated");
    migrations.into_iter().flat_map(|migration| migration.statements).collect()
}

pub async fn new_bus(servers: &Arc<Servers>) -> (String, Arc<dyn Bus>) {
    let url = url(servers).await;
    migrated(&urls(&url), Mode::Apply).await;
    let bus = opened(&urls(&url)).await.expect("opened").bus.clone();
    (url, bus)
}

fn subject(servers: Arc<Servers>) -> Made<bus::Subject> {
    Box::pin(async move {
        let (_, bus) = new_bus(&servers).await;
        (bus::Subject { bus, backlog_bytes_max: None }, None)
    })
}

/// A topic, opened again and again.
struct Reopened {
    url: String,
    open: Option<hudhud_engines::Engines>,
}

#[async_trait]
impl bus::Harness for Reopened {
    async fn reopen(&mut self) -> Arc<dyn Bus> {
        if let Some(engines) = self.open.take() {
            engines.close().await.expect("closed");
        }
        self.open.insert(opened(&urls(&self.url)).await.expect("opened")).bus.clone()
    }
}

/// Against the bus in memory. Every run is the same: its seed is fixed.
async fn random_operations(servers: Arc<Servers>) {
    let mut runner = TestRunner::deterministic();
    for run in 0..RANDOM_RUNS {
        let url = url(&servers).await;
        migrated(&urls(&url), Mode::Apply).await;
        let mut ops = bus::ops().new_tree(&mut runner).expect("a list").current();
        ops.truncate(40);
        tracing::debug!(run, ?ops, "random operations");
        bus::check(&mut Reopened { url, open: None }, ops).await;
    }
}

async fn a_topic_is_migrated(servers: Arc<Servers>) {
    let url = url(&servers).await;
    let urls = urls(&url);
    let planned = migrated(&urls, Mode::DryRun).await;
    assert!(planned.len() == 1 && planned[0].starts_with("CREATE TOPIC bus"), "{planned:?}");
    assert_eq!(migrated(&urls, Mode::DryRun).await, planned, "a dry run changes nothing");
    let error = opened(&urls).await.err().expect("there is nothing").to_string();
    assert!(error.contains("run `hudhud migrate`"), "{error}");
    assert_eq!(migrated(&urls, Mode::Apply).await, planned);
    assert_eq!(migrated(&urls, Mode::Apply).await, [""; 0], "nothing is left");
    // What somebody set beside what is asked stays.
    alter(&url, &[("retention.bytes", "1000"), ("segment.bytes", "20000000")]).await;
    let planned = migrated(&urls, Mode::Apply).await;
    assert!(planned.len() == 1 && planned[0].ends_with("SET retention.bytes = -1"), "{planned:?}");
    assert_eq!(setting(&url, "segment.bytes").await.as_deref(), Some("20000000"));
    assert_eq!(setting(&url, "min.insync.replicas").await.as_deref(), Some("2"));
    opened(&urls).await.expect("opened");
    let other = Options { shards: bus::SHARDS + 1, ..options() };
    let error = migrate(&urls, &other, Mode::Apply).await.expect_err("another number").to_string();
    assert!(error.contains("was born with 4 partitions"), "{error}");
}

async fn two_nodes_migrate_at_once(servers: Arc<Servers>) {
    let urls = urls(&url(&servers).await);
    tokio::join!(migrated(&urls, Mode::Apply), migrated(&urls, Mode::Apply));
    assert_eq!(migrated(&urls, Mode::DryRun).await, [""; 0]);
    opened(&urls).await.expect("opened");
}

async fn a_topic_that_may_lose_records_is_refused(servers: Arc<Servers>) {
    let (url, bus) = new_bus(&servers).await;
    drop(bus);
    for (name, bad) in [
        ("min.insync.replicas", "1"),
        ("unclean.leader.election.enable", "true"),
        ("retention.ms", "3600000"),
        ("retention.bytes", "1000000000"),
        ("cleanup.policy", "compact"),
        ("max.message.bytes", "1000000"),
    ] {
        alter(&url, &[(name, bad)]).await;
        let error = opened(&urls(&url)).await.err().expect(name).to_string();
        assert!(
            error.contains(&format!("{name} is {bad} and has to be")) && error.contains("hudhud migrate"),
            "{error}"
        );
        migrated(&urls(&url), Mode::Apply).await;
        opened(&urls(&url)).await.expect("mended");
    }
    let more = Options { shards: bus::SHARDS + 1, ..options() };
    let error =
        open(&urls(&url), &more, Arc::new(ManualClock::new(0))).await.err().expect("another number").to_string();
    assert!(error.contains("set the number of shards back"), "{error}");
    // One copy, and nobody said so.
    let single = url.replace("/bus", "/single");
    let topic = topic(&single);
    let new = NewTopic::new(&topic, bus::SHARDS as i32, TopicReplication::Fixed(1));
    admin(&single).create_topics([&new], &AdminOptions::new()).await.expect("asked")[0].as_ref().expect("made");
    let error = opened(&urls(&single)).await.err().expect("one copy").to_string();
    assert!(error.contains("has 1 copies") && error.contains("?replication=1"), "{error}");
    let single = urls(&format!("{single}?replication=1"));
    let error = opened(&single).await.err().expect("not on the disk").to_string();
    assert!(error.contains("flush.messages"), "{error}");
    migrated(&single, Mode::Apply).await;
    opened(&single).await.expect("as it was asked for");
}

/// With the databases in a folder, which remembers.
async fn a_lost_log_is_refused(servers: Arc<Servers>) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = url(&servers).await;
    let urls = |bus: &str| Urls { bus: bus.to_owned(), ..Urls::all(format!("embedded:{}", folder.path().display())) };
    migrated(&urls(&url), Mode::Apply).await;
    let engines = opened(&urls(&url)).await.expect("opened");
    append(&engines.bus, Shard(2), "there").await;
    let (member, mut consumers) = join(&engines.bus).await;
    let consumer = consumers.get_mut(&2).expect("all are there");
    let last = read(consumer, 1).await[0].position;
    consumer.commit(last).await.expect("committed");
    drop((member, consumers));
    engines.close().await.expect("closed");
    opened(&urls(&url)).await.expect("it is there").close().await.expect("closed");

    admin(&url).delete_topics(&[&topic(&url)], &AdminOptions::new()).await.expect("asked")[0]
        .as_ref()
        .expect("deleted");
    until_gone(&url).await;
    for _ in 0..2 {
        // Not there, then there and empty.
        let error = opened(&urls(&url)).await.err().expect("it is gone");
        assert!(error.to_string().contains("say ?epoch=2"), "{error}");
        migrated(&urls(&url), Mode::Apply).await;
    }
    let next = format!("{url}?epoch=2");
    migrated(&urls(&next), Mode::Apply).await;
    let engines = opened(&urls(&next)).await.expect("a new log");
    assert!(append(&engines.bus, Shard(2), "again").await > last);
    engines.close().await.expect("closed");
    let error = opened(&urls(&url)).await.err().expect("the old one").to_string();
    assert!(error.contains("every node has to say the same, ?epoch=2"), "{error}");
}

/// Records that retention, or somebody, deleted before they were consumed.
async fn a_log_that_was_cut_is_not_skipped(servers: Arc<Servers>) {
    let (url, bus) = new_bus(&servers).await;
    for n in 0..5 {
        append(&bus, Shard(0), &n.to_string()).await;
    }
    let (member, mut consumers) = join(&bus).await;
    let consumer = consumers.get_mut(&0).expect("all are there");
    let first = read(consumer, 1).await[0].position;
    consumer.commit(first).await.expect("committed");
    drop((member, consumers));
    let mut cut = rdkafka::TopicPartitionList::new();
    cut.add_partition_offset(&topic(&url), 0, rdkafka::Offset::Offset(3)).expect("an offset");
    admin(&url).delete_records(&cut, &AdminOptions::new()).await.expect("cut");
    let (_member, mut consumers) = join(&bus).await;
    let error = consumers.get_mut(&0).expect("all are there").next(9).await.expect_err("some are gone");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

/// Whatever was committed, the next consumer starts right behind it, also for another process.
async fn a_commit_inside_an_append_is_exact(servers: Arc<Servers>) {
    let (url, bus) = new_bus(&servers).await;
    let texts: Vec<Bytes> = (0..4).map(|n| Bytes::from(n.to_string())).collect();
    bus.append(Shard(3), texts.clone()).await.expect("appended");
    for committed in 1..=4_usize {
        let (member, mut consumers) = join(&bus).await;
        let consumer = consumers.get_mut(&3).expect("all are there");
        let position = read(consumer, 1).await[0].position;
        consumer.commit(position).await.expect("committed");
        drop((member, consumers));
        append(&bus, Shard(3), "behind").await;
        let other = opened(&urls(&url)).await.expect("opened").bus.clone();
        let (_member, mut consumers) = join(&other).await;
        let consumer = consumers.get_mut(&3).expect("all are there");
        let found: Vec<Bytes> = read(consumer, 5 - committed).await.into_iter().map(|record| record.bytes).collect();
        let wanted: Vec<Bytes> = texts[committed..].iter().cloned().chain([Bytes::from("behind")]).collect();
        assert_eq!(found, wanted);
    }
}

pub async fn append(bus: &Arc<dyn Bus>, shard: Shard, text: &str) -> Position {
    bus.append(shard, vec![Bytes::copy_from_slice(text.as_bytes())]).await.expect("appended")[0]
}

pub type Consumers = BTreeMap<u32, Box<dyn ShardConsumer>>;

pub async fn join(bus: &Arc<dyn Bus>) -> (Box<dyn Membership>, Consumers) {
    let mut member = bus.join().await.expect("joined");
    let mut consumers = BTreeMap::new();
    while consumers.len() < bus::SHARDS as usize {
        let consumer = member.assigned().await.expect("assigned");
        consumers.insert(consumer.shard().0, consumer);
    }
    (member, consumers)
}

pub async fn read(consumer: &mut Box<dyn ShardConsumer>, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(consumer.next(count - records.len()).await.expect("read").expect("assigned"));
    }
    records
}

/// The full name of a URL's topic, in its first epoch.
fn topic(url: &str) -> String {
    format!("{}-e1", url.rsplit('/').next().expect("a name"))
}

fn admin(url: &str) -> AdminClient<DefaultClientContext> {
    let servers = url.trim_start_matches("kafka://").split('/').next().expect("servers");
    rdkafka::ClientConfig::new().set("bootstrap.servers", servers).create().expect("a client")
}

/// Settings of the topic's own, by name.
async fn own_settings(url: &str) -> Option<BTreeMap<String, String>> {
    let topic = topic(url);
    let resource = ResourceSpecifier::Topic(&topic);
    let described =
        admin(url).describe_configs([&resource], &AdminOptions::new()).await.expect("asked").remove(0).ok()?;
    if described.entries.is_empty() {
        return None;
    }
    let own = described.entries.into_iter().filter(|it| it.source == rdkafka::admin::ConfigSource::DynamicTopic);
    Some(own.filter_map(|it| Some((it.name, it.value?))).collect())
}

async fn setting(url: &str, name: &str) -> Option<String> {
    own_settings(url).await?.remove(name)
}

async fn alter(url: &str, changes: &[(&str, &str)]) {
    let mut own = own_settings(url).await.expect("a topic");
    own.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let topic = topic(url);
    let mut alter = AlterConfig::new(ResourceSpecifier::Topic(&topic));
    for (name, value) in &own {
        alter = alter.set(name, value);
    }
    admin(url).alter_configs([&alter], &AdminOptions::new()).await.expect("asked")[0].as_ref().expect("altered");
    let (name, value) = changes[0];
    while setting(url, name).await.as_deref() != Some(value) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_gone(url: &str) {
    while own_settings(url).await.is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
