//! How clients of the cluster are set up. What is not here is as librdkafka has it.

use super::Url;
use super::frame::VALUE_BYTES_MAX;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::time::Duration;

/// How long a question about the cluster may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an append may take: a broker that is gone is replaced within that time.
pub(super) const APPEND_TIMEOUT: Duration = Duration::from_secs(15);
/// How long appends wait for others, to be sent together.
const LINGER: Duration = Duration::from_millis(1);
/// What waits to be sent or acknowledged, of all shards.
const QUEUE_RECORDS_MAX: usize = 50_000;
const QUEUE_KIB_MAX: usize = 128 * 1024;
/// A record of ours with what Kafka puts around it; a topic takes as much.
pub(super) const MESSAGE_BYTES_MAX: usize = VALUE_BYTES_MAX + 64 * 1024;
/// How often a member says that it is there, and hears that shares change.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long nothing may be heard of a member before its shards are another one's.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a process that lives, and whose thread of this member does not.
const STUCK_TIMEOUT: Duration = Duration::from_secs(60);
/// What is fetched ahead for each shard. One append more may be there, however large it is.
const FETCHED_KIB_MAX: usize = 4 * 1024;

fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn client(url: &Url) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", url.servers.join(","))
        .set("client.id", "hudhud")
        .set("socket.keepalive.enable", "true")
        .set("socket.timeout.ms", ms(REQUEST_TIMEOUT))
        .set("reconnect.backoff.max.ms", "1000")
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    config
}

/// Asks about the cluster; makes nothing by asking.
pub(super) fn reader(url: &Url) -> ClientConfig {
    let mut config = client(url);
    config.set("allow.auto.create.topics", "false").set("enable.auto.commit", "false");
    config
}

/// Changes the cluster.
pub(super) fn admin(url: &Url) -> ClientConfig {
    client(url)
}

pub(super) fn producer(url: &Url) -> ClientConfig {
    let mut config = client(url);
    config
        // Acknowledged by every copy that is in step; its retries neither double nor reorder.
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", ms(LINGER))
        .set("delivery.timeout.ms", ms(APPEND_TIMEOUT))
        .set("request.timeout.ms", ms(APPEND_TIMEOUT / 3))
        .set("retry.backoff.ms", "50")
        .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX.to_string())
        .set("queue.buffering.max.kbytes", QUEUE_KIB_MAX.to_string());
    config
}

pub(super) fn member(url: &Url) -> ClientConfig {
    let mut config = reader(url);
    config
        .set("group.id", &url.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("heartbeat.interval.ms", ms(HEARTBEAT))
        .set("session.timeout.ms", ms(SESSION_TIMEOUT))
        .set("max.poll.interval.ms", ms(STUCK_TIMEOUT))
        .set("enable.auto.offset.store", "false")
        // Where to begin is always said: a place that is not there is a log that was lost.
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("queued.max.messages.kbytes", FETCHED_KIB_MAX.to_string())
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.error.backoff.ms", "100");
    config
}

/// What the library has to say goes into our log: trouble with brokers is trouble elsewhere.
pub(super) struct Logged;

impl rdkafka::ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, what: &str, message: &str) {
        log(level, what, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the client of Kafka reports an error");
    }
}

pub(super) fn log(level: RDKafkaLogLevel, what: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(what, message, "the client of Kafka has trouble");
        }
        _ => tracing::debug!(what, message, "the client of Kafka says"),
    }
}

impl rdkafka::consumer::ConsumerContext for Logged {}
