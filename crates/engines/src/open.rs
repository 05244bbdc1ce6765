//! Opens the engines that URLs name: the one place that knows which are compiled in.

#[cfg(feature = "embedded")]
use crate::{fjall, log, moka};
use futures_util::future::BoxFuture;
use hudhud_ports::{Bus, Cache, Clock, Error, Result as PortResult, Store, memory};
use std::sync::Arc;

/// Which engine serves which port, each as a URL: `embedded:/path/to/a/folder` or `memory:`.
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
    #[error("{url:?} names no engine: use {KNOWN}")]
    UnknownUrl {
        /// The URL.
        url: String,
    },
    /// The engine says why.
    #[error(transparent)]
    Engine(#[from] Error),
}

#[cfg(feature = "embedded")]
const KNOWN: &str = "`embedded:/path/to/a/folder`, or `memory:` to keep nothing";
#[cfg(not(feature = "embedded"))]
const KNOWN: &str = "`memory:` to keep nothing (this build has no other engine)";

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

#[derive(PartialEq, Eq)]
enum Url {
    Memory,
    #[cfg(feature = "embedded")]
    Embedded(std::path::PathBuf),
}

impl Url {
    fn parse(url: &str) -> Result<Self, OpenError> {
        match url.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            #[cfg(feature = "embedded")]
            Some(("embedded", path)) if !path.is_empty() => Ok(Self::Embedded(path.into())),
            _ => Err(OpenError::UnknownUrl { url: url.to_owned() }),
        }
    }
}

/// Opens what the URLs name; recovers what a crash left. The same URL for both databases is one store.
pub async fn open(urls: &Urls, options: &Options, clock: Arc<dyn Clock>) -> Result<Engines, OpenError> {
    let (messages_url, directory_url) = (Url::parse(&urls.messages)?, Url::parse(&urls.directory)?);
    let (bus_url, cache_url) = (Url::parse(&urls.bus)?, Url::parse(&urls.cache)?);
    let mut closing = Vec::new();
    let bus = open_bus(bus_url, options, &mut closing).await?;
    let messages = open_store(&messages_url, options, &clock, &mut closing).await?;
    let directory = if directory_url == messages_url {
        messages.clone()
    } else {
        open_store(&directory_url, options, &clock, &mut closing).await?
    };
    let cache: Arc<dyn Cache> = match cache_url {
        Url::Memory => {
            let bytes_max = usize::try_from(options.cache_bytes_max).unwrap_or(usize::MAX);
            Arc::new(memory::Cache::new(clock, bytes_max))
        }
        #[cfg(feature = "embedded")]
        Url::Embedded(_) => Arc::new(moka::Cache::new(clock, options.cache_bytes_max)),
    };
    Ok(Engines { messages, directory, bus, cache, closing })
}

type Closing = Vec<BoxFuture<'static, PortResult<()>>>;

async fn open_store(
    url: &Url,
    options: &Options,
    clock: &Arc<dyn Clock>,
    closing: &mut Closing,
) -> Result<Arc<dyn Store>, OpenError> {
    let clock = clock.clone();
    match url {
        Url::Memory => Ok(Arc::new(memory::Store::new(clock))),
        #[cfg(feature = "embedded")]
        Url::Embedded(path) => {
            let (path, options) = (path.join("store"), options.store);
            let store = Arc::new(blocking(move || fjall::Store::open(&path, options, clock)).await?);
            let closed = store.clone();
            closing.push(Box::pin(async move { closed.close().await }));
            Ok(store)
        }
    }
}

async fn open_bus(url: Url, options: &Options, closing: &mut Closing) -> Result<Arc<dyn Bus>, OpenError> {
    match url {
        Url::Memory => {
            let options = memory::BusOptions { shards: options.shards, ..memory::BusOptions::default() };
            Ok(Arc::new(memory::Bus::new(options)))
        }
        #[cfg(feature = "embedded")]
        Url::Embedded(path) => {
            let options = log::BusOptions { shards: options.shards, ..options.bus };
            let bus = Arc::new(blocking(move || log::Bus::open(&path.join("bus"), options)).await?);
            let closed = bus.clone();
            closing.push(Box::pin(async move { closed.close().await }));
            Ok(bus)
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
