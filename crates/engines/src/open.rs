//! Opens the engines that URLs name: the one place that knows which are compiled in.

mod migrate;
mod peers;
mod url;

pub use migrate::{Migration, Mode, Place, migrate};
pub use peers::{open_gateways, serve_gateway};

#[cfg(feature = "cassandra")]
use crate::cassandra;
#[cfg(feature = "kafka")]
use crate::kafka;
#[cfg(feature = "redis")]
use crate::redis;
#[cfg(feature = "embedded")]
use crate::{fjall, format, log, moka, remembered};
use futures_util::future::BoxFuture;
use hudhud_ports::{Bus, Cache, Clock, Database, Error, Result as PortResult, Store, Table, memory};
use migrate::tables_in;
use std::sync::Arc;
use url::Url;

/// Which engine serves which port, each as a URL: `embedded:/path/to/a/folder`, `memory:`, or that of servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Urls {
    /// The database of conversations.
    pub messages: String,
    /// The database of accounts. May be the same as that of conversations.
    pub directory: String,
    /// The message bus. May be in the same folder as the databases.
    pub bus: String,
    /// The cache. The embedded one is in process, whatever its path.
    pub cache: String,
}

impl Urls {
    /// The same for all.
    pub fn all(url: impl Into<String>) -> Self {
        let url = url.into();
        Self { messages: url.clone(), directory: url.clone(), bus: url.clone(), cache: url }
    }
}

/// How engines use memory and disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Shards of the bus, fixed when it is born.
    pub shards: u32,
    /// Every table of both databases, for stores that must have made them.
    pub tables: &'static [&'static Table],
    /// What a cache in process may take.
    pub cache_bytes_max: u64,
    /// Of embedded stores.
    #[cfg(feature = "embedded")]
    pub store: fjall::StoreOptions,
    /// Of an embedded bus. Its number of shards is [`Options::shards`].
    #[cfg(feature = "embedded")]
    pub bus: log::BusOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shards: 16,
            tables: &[],
            cache_bytes_max: 64 * 1024 * 1024,
            #[cfg(feature = "embedded")]
            store: fjall::StoreOptions::default(),
            #[cfg(feature = "embedded")]
            bus: log::BusOptions::default(),
        }
    }
}

/// Why engines were not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A URL that names no engine of this build.
    #[error("{scheme:?} names no engine: use {KNOWN}")]
    UnknownUrl {
        /// What the URL begins with: the rest of it may be secret.
        scheme: String,
    },
    /// A URL that its engine does not understand.
    #[error("the URL of {engine} is not valid: {why}")]
    BadUrl {
        /// The engine.
        engine: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// There is no way between processes.
    #[error("peers: {0}")]
    Peers(String),
    /// The engine says why.
    #[error(transparent)]
    Engine(#[from] Error),
}

#[cfg(all(feature = "embedded", feature = "cluster"))]
const KNOWN: &str = "`embedded:/path/to/a/folder`, the URL of servers (docs/cluster.md), or `memory:` to keep nothing";
#[cfg(all(feature = "embedded", not(feature = "cluster")))]
const KNOWN: &str =
    "`embedded:/path/to/a/folder`, or `memory:` to keep nothing (a build with `--features cluster` has more)";
#[cfg(not(feature = "embedded"))]
const KNOWN: &str = "`memory:` to keep nothing (this build has few engines)";

/// Embedded engines, for what no port offers: a backup.
#[cfg(feature = "embedded")]
#[derive(Clone)]
pub struct Embedded {
    messages: Arc<fjall::Store>,
    directory: Arc<fjall::Store>,
    bus: Arc<log::Bus>,
}

/// Databases and bus at one moment.
///
/// What a shard committed is in the databases, and what is in the databases is committed or in the tail: applying the tail again
/// leads to where the server was.
#[cfg(feature = "embedded")]
pub struct Moment {
    /// The database of conversations.
    pub messages: fjall::Frozen,
    /// The database of accounts.
    pub directory: fjall::Frozen,
    /// What is accepted and not committed.
    pub tail: log::Tail,
    /// The number of shards.
    pub shards: u32,
}

#[cfg(feature = "embedded")]
impl Embedded {
    /// Databases and bus as they are now. Everything that was acknowledged before the call is in it. Writes go on beside it, but
    /// for an instant. Blocks.
    ///
    /// # Errors
    /// When an engine is closed or failed.
    pub fn freeze(&self) -> PortResult<Moment> {
        // While the bus stands still: nothing becomes visible to dispatchers that is not in the tail, and nothing is committed
        // that is not in the views.
        let (tail, views) = self.bus.freeze(|| Ok::<_, Error>((self.messages.freeze()?, self.directory.freeze()?)));
        let (messages, directory) = views?;
        Ok(Moment { messages, directory, tail, shards: self.bus.shards() })
    }

    /// What the bus has made durable; they go on counting.
    pub fn bus_counts(&self) -> Arc<log::Counts> {
        self.bus.counts()
    }
}

/// An engine for every port.
pub struct Engines {
    /// The database of conversations.
    pub messages: Arc<dyn Store>,
    /// The database of accounts.
    pub directory: Arc<dyn Store>,
    /// The message bus.
    pub bus: Arc<dyn Bus>,
    /// The cache.
    pub cache: Arc<dyn Cache>,
    /// All of them, where all are embedded.
    #[cfg(feature = "embedded")]
    pub embedded: Option<Embedded>,
    /// What is left to do at the end, in this order.
    closing: Vec<BoxFuture<'static, PortResult<()>>>,
}

impl Engines {
    /// Takes no more writes and makes durable what there is. Folders are free once every copy of a port is dropped.
    /// Returns the first error, after closing the others as well.
    pub async fn close(self) -> PortResult<()> {
        let mut outcome = Ok(());
        for close in self.closing {
            outcome = outcome.and(close.await);
        }
        outcome
    }
}

/// Opens what the URLs name; recovers what a crash left. The same URL for both databases is one store.
pub async fn open(urls: &Urls, options: &Options, clock: Arc<dyn Clock>) -> Result<Engines, OpenError> {
    let (messages_url, directory_url) = (Url::parse(&urls.messages)?, Url::parse(&urls.directory)?);
    let (bus_url, cache_url) = (Url::parse(&urls.bus)?, Url::parse(&urls.cache)?);
    #[cfg(feature = "embedded")]
    for url in [&messages_url, &directory_url, &bus_url] {
        if let Url::Embedded(path) = url {
            let path = path.clone();
            blocking(move || format::check(&path)).await?;
        }
    }
    let is_shared = directory_url == messages_url;
    let messages = open_store(&messages_url, Database::Messages, is_shared, options, &clock).await?;
    let directory = match is_shared {
        true => messages.clone(),
        false => open_store(&directory_url, Database::Directory, is_shared, options, &clock).await?,
    };
    let bus = open_bus(&bus_url, options, &messages).await?;
    let cache: Arc<dyn Cache> = match cache_url {
        #[cfg(feature = "redis")]
        Url::Redis(url) => Arc::new(redis::Cache::open(&url).await?),
        #[cfg(feature = "cassandra")]
        Url::Cassandra(_) => return Err(Url::misplaced("cassandra", "a cache")),
        #[cfg(feature = "kafka")]
        Url::Kafka(_) => return Err(Url::misplaced("kafka", "a cache")),
        Url::Memory => {
            let bytes_max = usize::try_from(options.cache_bytes_max).unwrap_or(usize::MAX);
            Arc::new(memory::Cache::new(clock, bytes_max))
        }
        #[cfg(feature = "embedded")]
        Url::Embedded(_) => Arc::new(moka::Cache::new(clock, options.cache_bytes_max)),
    };
    let mut closing: Closing = Vec::new();
    bus.close_last(&messages, &mut closing);
    messages.close_last(&mut closing);
    if !is_shared {
        directory.close_last(&mut closing);
    }
    Ok(Engines {
        #[cfg(feature = "embedded")]
        embedded: match (&messages, &directory, &bus) {
            (OpenStore::Embedded(messages), OpenStore::Embedded(directory), OpenBus::Embedded(bus)) => {
                let (messages, directory, bus) = (messages.clone(), directory.clone(), bus.clone());
                Some(Embedded { messages, directory, bus })
            }
            _ => None,
        },
        messages: messages.port(),
        directory: directory.port(),
        bus: bus.port(),
        cache,
        closing,
    })
}

type Closing = Vec<BoxFuture<'static, PortResult<()>>>;

#[derive(Clone)]
enum OpenStore {
    Memory(Arc<memory::Store>),
    #[cfg(feature = "embedded")]
    Embedded(Arc<fjall::Store>),
    #[cfg(feature = "cassandra")]
    Cassandra(Arc<cassandra::Store>),
}

impl OpenStore {
    fn port(self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => store,
            #[cfg(feature = "embedded")]
            Self::Embedded(store) => store,
            #[cfg(feature = "cassandra")]
            Self::Cassandra(store) => store,
        }
    }

    /// What can remember how far a bus had come; memory is gone before the bus is.
    #[cfg(any(feature = "embedded", feature = "kafka"))]
    fn lasting(&self) -> Option<Arc<dyn Store>> {
        match self {
            Self::Memory(_) => None,
            _ => Some(self.clone().port()),
        }
    }

    fn close_last(&self, closing: &mut Closing) {
        match self {
            Self::Memory(_) => {}
            #[cfg(feature = "embedded")]
            Self::Embedded(store) => {
                let store = store.clone();
                closing.push(Box::pin(async move { store.close().await }));
            }
            // Its connections end with its last copy.
            #[cfg(feature = "cassandra")]
            Self::Cassandra(_) => {}
        }
    }
}

enum OpenBus {
    Memory(Arc<memory::Bus>),
    #[cfg(feature = "embedded")]
    Embedded(Arc<log::Bus>),
    #[cfg(feature = "kafka")]
    Kafka(Arc<kafka::Bus>),
}

impl OpenBus {
    fn port(self) -> Arc<dyn Bus> {
        match self {
            Self::Memory(bus) => bus,
            #[cfg(feature = "embedded")]
            Self::Embedded(bus) => bus,
            #[cfg(feature = "kafka")]
            Self::Kafka(bus) => bus,
        }
    }

    fn close_last(&self, messages: &OpenStore, closing: &mut Closing) {
        match self {
            Self::Memory(_) => {}
            #[cfg(feature = "embedded")]
            Self::Embedded(bus) => {
                let (bus, store) = (bus.clone(), messages.lasting());
                closing.push(Box::pin(async move {
                    bus.close().await?;
                    match store {
                        Some(store) => remembered::save(&*store, bus.reached()).await,
                        None => Ok(()),
                    }
                }));
            }
            #[cfg(feature = "kafka")]
            Self::Kafka(bus) => {
                let bus = bus.clone();
                closing.push(Box::pin(async move { bus.close().await }));
            }
        }
    }
}

async fn open_store(
    url: &Url,
    database: Database,
    is_shared: bool,
    options: &Options,
    clock: &Arc<dyn Clock>,
) -> Result<OpenStore, OpenError> {
    let clock = clock.clone();
    let tables = tables_in(options.tables, database, is_shared);
    tracing::debug!(?database, tables = tables.len(), "opening a store");
    match url {
        #[cfg(feature = "cassandra")]
        Url::Cassandra(url) => Ok(OpenStore::Cassandra(Arc::new(cassandra::Store::open(url, &tables).await?))),
        #[cfg(feature = "kafka")]
        Url::Kafka(_) => Err(Url::misplaced("kafka", "a database")),
        #[cfg(feature = "redis")]
        Url::Redis(_) => Err(Url::misplaced("redis", "a database")),
        Url::Memory => Ok(OpenStore::Memory(Arc::new(memory::Store::new(clock)))),
        #[cfg(feature = "embedded")]
        Url::Embedded(path) => {
            let (path, options) = (path.join("store"), options.store);
            let store = blocking(move || fjall::Store::open(&path, options, clock)).await?;
            Ok(OpenStore::Embedded(Arc::new(store)))
        }
    }
}

/// A bus that is on disk must not be behind what a store on disk remembers of it.
async fn open_bus(url: &Url, options: &Options, messages: &OpenStore) -> Result<OpenBus, OpenError> {
    match url {
        #[cfg(feature = "cassandra")]
        Url::Cassandra(_) => Err(Url::misplaced("cassandra", "a bus")),
        #[cfg(feature = "kafka")]
        Url::Kafka(url) => {
            let bus = kafka::Bus::open(url, options.shards, messages.lasting()).await?;
            Ok(OpenBus::Kafka(Arc::new(bus)))
        }
        #[cfg(feature = "redis")]
        Url::Redis(_) => Err(Url::misplaced("redis", "a bus")),
        Url::Memory => {
            let options = memory::BusOptions { shards: options.shards, ..memory::BusOptions::default() };
            Ok(OpenBus::Memory(Arc::new(memory::Bus::new(options))))
        }
        #[cfg(feature = "embedded")]
        Url::Embedded(path) => {
            let (path, options) = (path.join("bus"), log::BusOptions { shards: options.shards, ..options.bus });
            let store = messages.lasting();
            let reached = match &store {
                None => hudhud_proto::Position::ZERO,
                Some(store) => remembered::load(&**store).await?,
            };
            let bus = Arc::new(blocking(move || log::Bus::open_behind(&path, options, reached)).await?);
            if let Some(store) = store {
                // Before anything is appended: a bus that is lost from now on is known to have had this epoch.
                remembered::save(&*store, bus.reached()).await?;
            }
            Ok(OpenBus::Embedded(bus))
        }
    }
}

/// Recovery reads whole files: not on a thread that serves others.
#[cfg(feature = "embedded")]
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> PortResult<T> + Send + 'static) -> PortResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Error::new(hudhud_ports::ErrorKind::Unavailable, "embedded", "open").because(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(memory::ManualClock::new(0))
    }

    #[tokio::test]
    async fn an_unknown_url_is_answered_with_the_known_ones() {
        for url in ["", "embedded:", "memory:x", "postgres://localhost"] {
            let error = open(&Urls::all(url), &Options::default(), clock()).await.err().expect("unknown");
            assert!(error.to_string().contains("`memory:`"), "{error}");
        }
    }

    #[cfg(feature = "embedded")]
    #[tokio::test]
    async fn a_folder_is_opened_once_and_keeps_its_number_of_shards() {
        let folder = tempfile::tempdir().expect("a folder");
        let urls = Urls::all(format!("embedded:{}", folder.path().display()));
        let options = |shards| Options { shards, ..Options::default() };
        let engines = open(&urls, &options(4), clock()).await.expect("opened");
        assert_eq!(engines.bus.shards(), 4);
        let error = open(&urls, &options(4), clock()).await.err().expect("open already");
        assert!(error.to_string().contains("another process"), "{error}");
        engines.close().await.expect("closed");
        let error = open(&urls, &options(8), clock()).await.err().expect("another number of shards");
        assert!(error.to_string().contains("born with 4 shards"), "{error}");
        open(&urls, &options(4), clock()).await.expect("opened again").close().await.expect("closed again");
    }
}
