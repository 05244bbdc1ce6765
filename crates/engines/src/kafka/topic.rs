//! The topic: what it has to be, and the way to it from whatever is there.

use super::client::{self, Logged, MESSAGE_BYTES_MAX, REQUEST_TIMEOUT};
use super::failure::{of_code, of_request};
use super::{ENGINE, Url, blocking};
use crate::Mode;
use hudhud_ports::{Error, ErrorKind, Result};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Accepted messages are kept as long as this, too: what nobody consumed by then is given up.
const BACKLOG: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Copies from which on the loss of power everywhere at once is not thought of.
const COPIES_DURABLE: u16 = 3;
/// How long a new topic may take to be everywhere.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);

/// A setting of the topic.
struct Setting {
    name: &'static str,
    wanted: String,
    accepts: Accepts,
    why: &'static str,
}

/// What is as good as what is wanted.
#[derive(Clone, Copy)]
enum Accepts {
    Equal,
    AtLeast,
    /// -1 is without end.
    AtLeastOrEndless,
}

impl Setting {
    fn is_met(&self, found: Option<&str>) -> bool {
        let numbers = || Some((found?.parse::<i64>().ok()?, self.wanted.parse::<i64>().ok()?));
        match (self.accepts, numbers()) {
            (Accepts::AtLeast, Some((found, wanted))) => found >= wanted,
            (Accepts::AtLeastOrEndless, Some((found, wanted))) => found == -1 || found >= wanted,
            _ => found == Some(self.wanted.as_str()),
        }
    }
}

/// What the topic has to have for appends that were acknowledged to be there until they are consumed.
fn settings(copies: u16) -> Vec<Setting> {
    let setting = |name, wanted: String, accepts, why| Setting { name, wanted, accepts, why };
    let is_durable = copies >= COPIES_DURABLE;
    let mut settings = vec![
        setting("cleanup.policy", "delete".into(), Accepts::Equal, "compaction drops records that nobody consumed yet"),
        setting("max.message.bytes", MESSAGE_BYTES_MAX.to_string(), Accepts::AtLeast, "one append has to fit"),
        setting(
            "min.insync.replicas",
            if is_durable { "2" } else { "1" }.into(),
            Accepts::AtLeast,
            "an acknowledged append has to survive the loss of a broker",
        ),
        setting("retention.bytes", "-1".into(), Accepts::Equal, "a backlog is not to be cut by its size"),
        setting(
            "retention.ms",
            BACKLOG.as_millis().to_string(),
            Accepts::AtLeastOrEndless,
            "a backlog has to be there until it is consumed",
        ),
        setting(
            "unclean.leader.election.enable",
            "false".into(),
            Accepts::Equal,
            "a broker that lacks acknowledged appends is not to lead",
        ),
    ];
    if !is_durable {
        let why = "with fewer than 3 copies an acknowledged append could be lost with the power";
        settings.push(setting("flush.messages", "1".into(), Accepts::Equal, why));
    }
    settings
}

/// A topic that is there.
struct Found {
    partitions: usize,
    /// Of the partition that has the fewest.
    copies: usize,
    /// Whether every partition has a leader.
    is_led: bool,
    settings: BTreeMap<String, String>,
    /// Those that somebody set for this topic.
    own: BTreeMap<String, String>,
}

/// A cluster, for questions and changes.
pub(super) struct Cluster {
    url: Url,
    reader: Arc<BaseConsumer<Logged>>,
    admin: AdminClient<Logged>,
}

impl Cluster {
    /// Blocks little: nothing is asked yet.
    pub(super) fn new(url: &Url) -> Result<Self> {
        let failed = |error| of_request("connect", error);
        let reader = BaseConsumer::from_config_and_context(&client::reader(url), Logged).map_err(failed)?;
        let admin = AdminClient::from_config_and_context(&client::admin(url), Logged).map_err(failed)?;
        Ok(Self { url: url.clone(), reader: Arc::new(reader), admin })
    }

    /// The offset that the next record of each shard will have.
    pub(super) async fn ends(&self, shards: u32) -> Result<Vec<u64>> {
        const OP: &str = "open";
        let (reader, topic) = (self.reader.clone(), self.url.topic.clone());
        let end = move |shard| {
            let partition = i32::try_from(shard).expect("shards are partitions");
            let (_, end) =
                reader.fetch_watermarks(&topic, partition, REQUEST_TIMEOUT).map_err(|error| of_request(OP, error))?;
            u64::try_from(end).map_err(|error| Error::new(ErrorKind::Unavailable, ENGINE, OP).because(error))
        };
        blocking(OP, move || (0..shards).map(end).collect()).await
    }

    /// The topic as metadata have it: partitions, copies, whether they are led; none where there is none.
    async fn shape(&self, op: &'static str) -> Result<Option<(usize, usize, bool)>> {
        let (reader, name) = (self.reader.clone(), self.url.topic.clone());
        let asked = move || reader.fetch_metadata(Some(&name), REQUEST_TIMEOUT).map_err(|error| of_request(op, error));
        let (metadata, topic) = (blocking(op, asked).await?, &self.url.topic);
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        if let Some(error) = found.error() {
            let code = Code::from(error);
            return match code {
                Code::UnknownTopicOrPartition | Code::UnknownTopic => Ok(None),
                _ => Err(Error::new(of_code(code), ENGINE, op).because(code)),
            };
        }
        let partitions = found.partitions();
        let copies = partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or_default();
        let is_led = !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0);
        Ok(Some((partitions.len(), copies, is_led)))
    }

    async fn found(&self, op: &'static str) -> Result<Option<Found>> {
        let Some((partitions, copies, is_led)) = self.shape(op).await? else {
            return Ok(None);
        };
        let resource = ResourceSpecifier::Topic(&self.url.topic);
        let answer =
            self.admin.describe_configs([&resource], &options()).await.map_err(|error| of_request(op, error))?;
        let described = match answer.into_iter().next() {
            Some(Ok(described)) if !described.entries.is_empty() => described,
            // It has gone meanwhile.
            Some(Ok(_) | Err(Code::UnknownTopicOrPartition)) | None => return Ok(None),
            Some(Err(code)) => return Err(Error::new(of_code(code), ENGINE, op).because(code)),
        };
        let (mut settings, mut own) = (BTreeMap::new(), BTreeMap::new());
        for entry in described.entries {
            let Some(value) = entry.value else { continue };
            if entry.source == ConfigSource::DynamicTopic {
                own.insert(entry.name.clone(), value.clone());
            }
            settings.insert(entry.name, value);
        }
        Ok(Some(Found { partitions, copies, is_led, settings, own }))
    }

    /// Whether the topic is there; refuses one that is not as it has to be.
    pub(super) async fn check(&self, shards: u32) -> Result<bool> {
        const OP: &str = "open";
        let Some(found) = self.found(OP).await? else { return Ok(false) };
        self.check_shape(OP, &found, shards)?;
        let wanted = settings(self.url.replication);
        let unmet: Vec<String> = wanted.iter().filter_map(|setting| found.unmet(setting)).collect();
        if unmet.is_empty() {
            return Ok(true);
        }
        Err(refused(OP, format!("topic {}: {}. Run `hudhud migrate`", self.url.topic, unmet.join("; "))))
    }

    /// What no setting can mend.
    fn check_shape(&self, op: &'static str, found: &Found, shards: u32) -> Result<()> {
        let Url { topic, replication, .. } = &self.url;
        if found.partitions != shards as usize {
            return Err(refused(
                op,
                format!(
                    "topic {topic} was born with {} partitions and can't be used with {shards} shards: set the number of shards \
                     back",
                    found.partitions
                ),
            ));
        }
        if found.copies < usize::from(*replication) {
            return Err(refused(
                op,
                format!(
                    "topic {topic} has {} copies, and {replication} are wanted: add copies with Kafka's \
                     kafka-reassign-partitions or, to try things where nothing may be lost, say ?replication={} in the URL",
                    found.copies, found.copies
                ),
            ));
        }
        Ok(())
    }

    async fn plan(&self, shards: u32) -> Result<Option<Change>> {
        const OP: &str = "migrate";
        let wanted = settings(self.url.replication);
        let Some(found) = self.found(OP).await? else {
            return Ok(Some(Change::Create(wanted)));
        };
        self.check_shape(OP, &found, shards)?;
        let unmet: Vec<Setting> = wanted.into_iter().filter(|setting| found.unmet(setting).is_some()).collect();
        Ok((!unmet.is_empty()).then_some(Change::Alter(unmet, found.own)))
    }

    async fn make(&self, change: Change, shards: u32) -> Result<()> {
        const OP: &str = "migrate";
        let Url { topic, replication, .. } = &self.url;
        let failed = |error| of_request(OP, error);
        let outcome = match &change {
            Change::Create(settings) => {
                let partitions = i32::try_from(shards).expect("a number of shards");
                let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(i32::from(*replication)));
                for setting in settings {
                    new = new.set(setting.name, &setting.wanted);
                }
                match self.admin.create_topics([&new], &options()).await.map_err(failed)?.into_iter().next() {
                    // Another node was faster.
                    Some(Err((_, Code::TopicAlreadyExists))) | Some(Ok(_)) | None => Ok(()),
                    Some(Err((_, code))) => Err(code),
                }
            }
            Change::Alter(settings, own) => {
                let mut alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
                // What is not named goes back to its default.
                for (name, value) in own {
                    alter = alter.set(name, value);
                }
                for setting in settings {
                    alter = alter.set(setting.name, &setting.wanted);
                }
                match self.admin.alter_configs([&alter], &options()).await.map_err(failed)?.into_iter().next() {
                    Some(Ok(_)) | None => Ok(()),
                    Some(Err((_, code))) => Err(code),
                }
            }
        };
        outcome.map_err(|code| Error::new(of_code(code), ENGINE, OP).because(code))?;
        self.settled(shards).await
    }

    /// Waits until brokers know of what was changed.
    async fn settled(&self, shards: u32) -> Result<()> {
        let end = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let is_led = self.found("migrate").await?.is_some_and(|found| found.is_led);
            if is_led && self.plan(shards).await?.is_none() {
                return Ok(());
            }
            if Instant::now() >= end {
                let cause = format!("topic {} is not what it was made in {SETTLE_TIMEOUT:?}", self.url.topic);
                return Err(Error::new(ErrorKind::Timeout, ENGINE, "migrate").because(cause));
            }
            tokio::time::sleep(SETTLE_INTERVAL).await;
        }
    }
}

impl Found {
    /// What is wrong with a setting.
    fn unmet(&self, setting: &Setting) -> Option<String> {
        let found = self.settings.get(setting.name).map(String::as_str);
        let said = || {
            let Setting { name, wanted, why, .. } = setting;
            format!("{name} is {} and has to be {wanted}: {why}", found.unwrap_or("unknown"))
        };
        (!setting.is_met(found)).then(said)
    }
}

/// What a migration does.
enum Change {
    Create(Vec<Setting>),
    /// These, beside what the topic has of its own.
    Alter(Vec<Setting>, BTreeMap<String, String>),
}

impl Change {
    fn statement(&self, url: &Url, shards: u32) -> String {
        let (Self::Create(settings) | Self::Alter(settings, _)) = self;
        let settings: Vec<String> = settings.iter().map(|it| format!("{} = {}", it.name, it.wanted)).collect();
        let (topic, settings) = (&url.topic, settings.join(", "));
        match self {
            Self::Create(_) => {
                format!("CREATE TOPIC {topic} PARTITIONS {shards} REPLICATION {} SET {settings}", url.replication)
            }
            Self::Alter(..) => format!("ALTER TOPIC {topic} SET {settings}"),
        }
    }
}

/// Makes the topic, or its settings, as they have to be; returns what that takes.
///
/// # Errors
/// When no broker can be reached, or the topic is of another number of shards.
pub async fn migrate(url: &Url, shards: u32, mode: Mode) -> Result<Vec<String>> {
    let cluster = Cluster::new(url)?;
    let Some(change) = cluster.plan(shards).await? else { return Ok(Vec::new()) };
    let statement = change.statement(url, shards);
    if mode == Mode::Apply {
        cluster.make(change, shards).await?;
    }
    Ok(vec![statement])
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT))
}

fn refused(op: &'static str, cause: String) -> Error {
    Error::new(ErrorKind::Invalid, ENGINE, op).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_met(copies: u16, name: &str, found: &str) -> bool {
        let settings = settings(copies);
        settings.iter().find(|setting| setting.name == name).expect(name).is_met(Some(found))
    }

    #[test]
    fn what_is_as_good_is_taken() {
        assert!(is_met(3, "retention.ms", "-1") && is_met(3, "retention.ms", "604800000"));
        assert!(!is_met(3, "retention.ms", "604799999"));
        assert!(is_met(3, "min.insync.replicas", "2") && !is_met(3, "min.insync.replicas", "1"));
        assert!(is_met(1, "min.insync.replicas", "1") && !is_met(1, "flush.messages", "9223372036854775807"));
        assert!(!is_met(3, "cleanup.policy", "compact,delete") && !is_met(3, "retention.bytes", "1000000"));
        assert!(is_met(3, "max.message.bytes", "104857600") && !is_met(3, "max.message.bytes", "1048588"));
        assert!(!settings(3).iter().any(|setting| setting.name == "flush.messages"));
    }

    #[test]
    fn a_statement_says_it_all() {
        let url = Url::parse("//one/bus?replication=1").expect("valid");
        let statement = Change::Create(settings(1)).statement(&url, 16);
        assert!(statement.starts_with("CREATE TOPIC bus-e1 PARTITIONS 16 REPLICATION 1 SET cleanup.policy = delete, "));
        let unmet = settings(1).into_iter().filter(|it| it.name == "flush.messages").collect();
        let statement = Change::Alter(unmet, BTreeMap::new()).statement(&url, 16);
        assert_eq!(statement, "ALTER TOPIC bus-e1 SET flush.messages = 1");
    }
}
