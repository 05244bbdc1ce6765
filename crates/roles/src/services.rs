//! What every role holds.

use crate::metrics::Metrics;
use crate::settings::Settings;
use hudhud_ports::{Bus, Cache, Gateways, Runtime, Store, Write};
use std::sync::Arc;

/// The ports, the settings and the metrics of a process. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The database of conversations.
    pub messages: Arc<dyn Store>,
    /// The database of accounts.
    pub directory: Arc<dyn Store>,
    /// The message bus.
    pub bus: Arc<dyn Bus>,
    /// The cache in front of the session mapping.
    pub cache: Arc<dyn Cache>,
    /// The way to the gateways.
    pub gateways: Arc<dyn Gateways>,
    /// Time, randomness, tasks.
    pub runtime: Runtime,
    /// What the operator chose.
    pub settings: Arc<Settings>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Services {
    /// Writes to the directory and returns once it survives the loss of power: for what is acknowledged without the bus.
    pub async fn write_directory_durably(&self, writes: Vec<Write>) -> hudhud_ports::Result<()> {
        self.directory.write(writes).await?;
        self.directory.flush().await
    }

    /// Now, in microseconds since the Unix epoch.
    pub fn now_us(&self) -> u64 {
        self.runtime.clock.now_us()
    }
}
