//! What can happen to a cluster while people write. As the faults of one server ([`crate::fault`]), each returns when it has
//! ended, and says how it went.

use super::{Cluster, Product, Role};
use crate::process::Server;
use anyhow::Result;
use rustix::process::Signal;
use std::fmt;
use std::ops::Range;

/// How long something is away, in milliseconds.
const AWAY_MS: Range<u64> = 500..3_000;
/// Longer than a member of the consumers may be silent before its shards are another's.
const SILENT_MS: Range<u64> = 12_000..15_000;
/// Longer than a gateway's lease.
const BEYOND_LEASE_MS: Range<u64> = 16_000..18_000;
/// As long as people notice.
const PAUSE_MS: Range<u64> = 2_000..5_000;

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal => $strike:ident),* $(,)?) => {
        /// A kind of fault.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Fault { $($(#[$doc])* $fault),* }

        impl Fault {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$fault),*];

            /// What people call it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$fault => $name),* }
            }

            /// Has it happen, to its end. Says how.
            pub async fn strike(self, cluster: &mut Cluster) -> Result<String> {
                match self { $(Self::$fault => Box::pin($strike(cluster)).await),* }
            }
        }
    };
}

faults! {
    /// `kill -9` of a gateway, and a start.
    GatewayKilled = "gateway, kill -9" => gateway_killed,
    /// A gateway does not run for longer than its lease.
    GatewayPaused = "gateway, paused" => gateway_paused,
    /// `kill -9` of an api.
    ApiKilled = "api, kill -9" => api_killed,
    /// `kill -9` of a dispatcher.
    DispatcherKilled = "dispatcher, kill -9" => dispatcher_killed,
    /// A dispatcher does not run until its shards are another's, and then goes on as if nothing had been.
    DispatcherPaused = "dispatcher, paused" => dispatcher_paused,
    /// A dispatcher more, which goes again.
    DispatcherJoins = "dispatcher, one more" => dispatcher_joins,
    /// Every process of ours, one after the other, as an upgrade has it.
    RollingRestart = "rolling restart" => rolling_restart,
    /// `kill -9` of a node of the databases.
    CassandraKilled = "Cassandra, kill -9" => cassandra_killed,
    /// A node of the databases does not run.
    CassandraPaused = "Cassandra, paused" => cassandra_paused,
    /// `kill -9` of a broker.
    KafkaKilled = "Kafka, kill -9" => kafka_killed,
    /// A broker does not run.
    KafkaPaused = "Kafka, paused" => kafka_paused,
    /// `kill -9` of the cache.
    RedisKilled = "Redis, kill -9" => redis_killed,
    /// The cache does not run.
    RedisPaused = "Redis, paused" => redis_paused,
    /// `kill -9` of the balancer.
    BalancerKilled = "balancer, kill -9" => balancer_killed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// `kill -9`, and a start after a while.
async fn killed(cluster: &mut Cluster, which: fn(&mut Cluster) -> &mut Vec<Server>) -> Result<String> {
    let index = cluster.chance.index(2);
    which(cluster)[index].kill().await?;
    let away = cluster.hold(AWAY_MS).await;
    which(cluster)[index].start_again().await?;
    Ok(format!("number {}, away for {away:?}", index + 1))
}

/// A process does not run, and then does.
async fn paused(
    cluster: &mut Cluster,
    which: fn(&mut Cluster) -> &mut Vec<Server>,
    millis: Range<u64>,
) -> Result<String> {
    let index = cluster.chance.index(2);
    which(cluster)[index].signal(Signal::STOP)?;
    let paused = cluster.hold(millis).await;
    which(cluster)[index].signal(Signal::CONT)?;
    Ok(format!("number {}, for {paused:?}", index + 1))
}

async fn gateway_killed(cluster: &mut Cluster) -> Result<String> {
    killed(cluster, |cluster| &mut cluster.gateways).await
}

async fn gateway_paused(cluster: &mut Cluster) -> Result<String> {
    paused(cluster, |cluster| &mut cluster.gateways, BEYOND_LEASE_MS).await
}

async fn api_killed(cluster: &mut Cluster) -> Result<String> {
    killed(cluster, |cluster| &mut cluster.apis).await
}

async fn dispatcher_killed(cluster: &mut Cluster) -> Result<String> {
    killed(cluster, |cluster| &mut cluster.dispatchers).await
}

async fn dispatcher_paused(cluster: &mut Cluster) -> Result<String> {
    paused(cluster, |cluster| &mut cluster.dispatchers, SILENT_MS).await
}

async fn dispatcher_joins(cluster: &mut Cluster) -> Result<String> {
    let mut third = cluster.start_another(Role::Dispatcher).await?;
    let there = cluster.hold(PAUSE_MS).await;
    third.terminate().await?;
    Ok(format!("for {there:?}"))
}

async fn rolling_restart(cluster: &mut Cluster) -> Result<String> {
    let mut count = 0;
    for process in cluster.processes() {
        process.terminate().await?;
        process.start_again().await?;
        count += 1;
    }
    Ok(format!("{count} processes"))
}

/// `kill -9` of a node of a product, and a start after a while.
async fn node_killed(cluster: &mut Cluster, product: Product, nodes: usize) -> Result<String> {
    let node = cluster.chance.index(nodes) + 1;
    cluster.engines.signal(product, node, Signal::KILL)?;
    let away = cluster.hold(AWAY_MS).await;
    cluster.engines.restart(product, node).await?;
    Ok(format!("node {node}, away for {away:?} and a start"))
}

async fn node_paused(cluster: &mut Cluster, product: Product, nodes: usize) -> Result<String> {
    let node = cluster.chance.index(nodes) + 1;
    cluster.engines.signal(product, node, Signal::STOP)?;
    let paused = cluster.hold(PAUSE_MS).await;
    cluster.engines.signal(product, node, Signal::CONT)?;
    Ok(format!("node {node}, for {paused:?}"))
}

async fn cassandra_killed(cluster: &mut Cluster) -> Result<String> {
    node_killed(cluster, Product::Cassandra, super::NODES).await
}

async fn cassandra_paused(cluster: &mut Cluster) -> Result<String> {
    node_paused(cluster, Product::Cassandra, super::NODES).await
}

async fn kafka_killed(cluster: &mut Cluster) -> Result<String> {
    node_killed(cluster, Product::Kafka, super::NODES).await
}

async fn kafka_paused(cluster: &mut Cluster) -> Result<String> {
    node_paused(cluster, Product::Kafka, super::NODES).await
}

async fn redis_killed(cluster: &mut Cluster) -> Result<String> {
    node_killed(cluster, Product::Redis, 1).await
}

async fn redis_paused(cluster: &mut Cluster) -> Result<String> {
    node_paused(cluster, Product::Redis, 1).await
}

async fn balancer_killed(cluster: &mut Cluster) -> Result<String> {
    node_killed(cluster, Product::HaProxy, 1).await
}
