//! From the configuration to open engines.

use crate::config::Config;
use crate::exit::Failure;
use hudhud_engines::{Engines, Options, Urls};
use hudhud_ports::Clock;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

/// Who may look into a data folder that is made: its owner alone.
const FOLDER_MODE: u32 = 0o700;

/// Opens what the configuration names; by default everything in the data folder, which is made if it is not there.
pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Engines, Failure> {
    let chosen = &config.engines;
    let urls = [&chosen.messages, &chosen.directory, &chosen.bus, &chosen.cache];
    if urls.iter().any(|url| url.is_none()) {
        make(&config.data)?;
    }
    let default = format!("embedded:{}", config.data.display());
    let [messages, directory, bus, cache] = urls.map(|url| url.clone().unwrap_or_else(|| default.clone()));
    let options =
        Options { shards: config.shards, cache_bytes_max: config.limits.cache_bytes_max, ..Options::default() };
    let urls = Urls { messages, directory, bus, cache };
    hudhud_engines::open(&urls, &options, clock).await.map_err(Failure::Open)
}

fn make(folder: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.map_err(|source| Failure::Folder { path: folder.to_owned(), source })
}
