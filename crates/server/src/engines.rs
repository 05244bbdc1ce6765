//! From the configuration to open engines.

use crate::config::Config;
use crate::exit::Failure;
use crate::folder;
use hudhud_engines::log::Counts;
use hudhud_engines::{Engines, Migration, Mode, Options, Urls};
use hudhud_ports::Clock;
use hudhud_roles::tables;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::{MetricType, counter::ConstCounter};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Opens what the configuration names; by default everything in the data folder, which is made if it is not there.
pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Engines, Failure> {
    let chosen = &config.engines;
    if [&chosen.messages, &chosen.directory, &chosen.bus, &chosen.cache].iter().any(|url| url.is_none()) {
        folder::make(&config.data).map_err(|source| Failure::Folder { path: config.data.clone(), source })?;
    }
    hudhud_engines::open(&urls(config), &options(config), clock).await.map_err(Failure::Open)
}

/// Makes of the databases and the bus that the configuration names what this version needs.
pub async fn migrate(config: &Config, mode: Mode) -> Result<Vec<Migration>, Failure> {
    hudhud_engines::migrate(&urls(config), &options(config), mode).await.map_err(Failure::Open)
}

fn options(config: &Config) -> Options {
    Options {
        shards: config.shards,
        tables: tables::ALL,
        cache_bytes_max: config.limits.cache_bytes_max,
        ..Options::default()
    }
}

fn urls(config: &Config) -> Urls {
    let chosen = &config.engines;
    let default = format!("embedded:{}", config.data.display());
    let urls = [&chosen.messages, &chosen.directory, &chosen.bus, &chosen.cache];
    let [messages, directory, bus, cache] = urls.map(|url| url.clone().unwrap_or_else(|| default.clone()));
    Urls { messages, directory, bus, cache }
}

/// What an embedded bus counts, as metrics.
#[derive(Debug)]
pub struct BusMetrics(Arc<Counts>);

impl BusMetrics {
    /// Every one of them with its type.
    pub const KINDS: &[(&str, &str)] = &[("bus_records", "Counter"), ("bus_syncs", "Counter")];

    /// Has a registry tell them.
    pub fn register(registry: &mut Registry, counts: Arc<Counts>) {
        registry.register_collector(Box::new(Self(counts)));
    }
}

impl Collector for BusMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let Counts { records, syncs } = &*self.0;
        for (name, help, count) in [
            ("bus_records", "Records that the embedded bus made durable", records),
            ("bus_syncs", "Times that the embedded bus waited for the disk", syncs),
        ] {
            let count = ConstCounter::new(count.load(Ordering::Relaxed));
            count.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
