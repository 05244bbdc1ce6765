//! What every role holds.

use crate::metrics::Metrics;
use crate::settings::Settings;
use hudhud_ports::{Bus, Cache, Database, Gateways, Runtime, Store, Write};
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

    /// Writes lists in their order, each to the database that its tables are in: whoever sees a write of a list sees all of the
    /// lists before it. One call where one engine serves both databases. At most 4,096 writes in all.
    pub async fn write_in_order(&self, lists: Vec<Vec<Write>>) -> hudhud_ports::Result<()> {
        if Arc::ptr_eq(&self.messages, &self.directory) {
            return self.messages.write_in_order(lists).await;
        }
        let database = |list: &Vec<Write>| list.first().map(|write| write.key.table.database);
        for together in lists.chunk_by(|one, next| database(one) == database(next)) {
            match database(&together[0]) {
                Some(Database::Messages) => self.messages.write_in_order(together.to_vec()).await?,
                Some(Database::Directory) => self.directory.write_in_order(together.to_vec()).await?,
                None => {}
            }
        }
        Ok(())
    }

    /// Now, in microseconds since the Unix epoch.
    pub fn now_us(&self) -> u64 {
        self.runtime.clock.now_us()
    }
}
