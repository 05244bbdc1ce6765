//! The cache on Redis or Valkey: one server of a region, which all its processes share.
//!
//! A command that fails is not repeated, and a server that is away is not waited for: whoever asks a cache goes to the database
//! instead. Reads go where writes go, as a `put` is to be seen by what the same process asks next.

use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::{CacheStats, Error, ErrorKind, Result};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, RedisError, cmd};
use std::time::Duration;

const ENGINE: &str = "redis";

/// How long an answer may take before the database is asked instead.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(250);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a connection is tried again, by whoever needs it.
const CONNECT_RETRIES_MAX: usize = 1;
/// What is larger is not kept: sent to a full server it would be refused, and take its room for a while all the same.
const VALUE_BYTES_MAX: usize = 256 * 1024;
/// What is to be kept longer is kept as long as this.
const TTL_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The only policy under which a full cache drops what was not used for longest, and takes in what is new.
const POLICY: &str = "allkeys-lru";

/// Where the server is: `redis://user:password@host:port/database`.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Reads what stands behind `redis:`.
    ///
    /// # Errors
    /// What is wrong with it, without what may be secret.
    pub fn parse(rest: &str) -> std::result::Result<Self, String> {
        let url = format!("redis:{rest}");
        // Its message may repeat the URL.
        Client::open(url.as_str()).map_err(|_| "it must be redis://user:password@host:port/database".to_owned())?;
        Ok(Self(url))
    }
}

/// A [`hudhud_ports::Cache`] on a server.
pub struct Cache {
    connection: ConnectionManager,
}

impl Cache {
    /// Connects. A server that is away is no reason not to start: it is asked again later.
    ///
    /// # Errors
    /// When the server would fill up its machine, or refuse what is new, instead of dropping what is old.
    pub async fn open(url: &Url) -> Result<Self> {
        let failed = |error: RedisError| Error::new(ErrorKind::Invalid, ENGINE, "open").because(error);
        let client = Client::open(url.0.as_str()).map_err(failed)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(CONNECT_RETRIES_MAX)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(failed)?;
        let cache = Self { connection };
        match cache.ask::<String>("open", cmd("INFO").arg("memory")).await {
            Ok(info) => check(&info)?,
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "the cache does not answer; without it everything is asked of the database");
            }
            Err(error) => return Err(error),
        }
        Ok(cache)
    }

    async fn ask<T: FromRedisValue>(&self, op: &'static str, command: &mut Cmd) -> Result<T> {
        let answer = command.query_async(&mut self.connection.clone()).await;
        answer.map_err(|error: RedisError| {
            let kind = match error.kind() {
                _ if error.is_timeout() => ErrorKind::Timeout,
                _ if error.code() == Some("OOM") => ErrorKind::Full,
                redis::ErrorKind::AuthenticationFailed | redis::ErrorKind::InvalidClientConfig => ErrorKind::Invalid,
                redis::ErrorKind::Server(redis::ServerErrorKind::NoPerm) => ErrorKind::Invalid,
                _ => ErrorKind::Unavailable,
            };
            Error::new(kind, ENGINE, op).because(error)
        })
    }
}

/// Refuses a server that is not set up as a cache.
fn check(info: &str) -> Result<()> {
    let (bytes_max, policy) = (field(info, "maxmemory"), field(info, "maxmemory_policy"));
    if bytes_max.is_some_and(|bytes| bytes != "0") && policy == Some(POLICY) {
        return Ok(());
    }
    let cause = format!(
        "maxmemory is {} and maxmemory-policy {}: a cache needs a bound, and has to drop what was not used for longest when \
         it reaches it. Set `maxmemory` (bytes, more than 0) and `maxmemory-policy {POLICY}`",
        bytes_max.unwrap_or("unknown"),
        policy.unwrap_or("unknown")
    );
    Err(Error::new(ErrorKind::Invalid, ENGINE, "open").because(cause))
}

/// A field of what INFO answers.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[async_trait]
impl hudhud_ports::Cache for Cache {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.ask("get", cmd("GET").arg(key)).await
    }

    async fn put(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<()> {
        if value.len() > VALUE_BYTES_MAX {
            return self.remove(key).await;
        }
        let ttl_ms = u64::try_from(ttl.min(TTL_MAX).as_millis()).expect("a year of milliseconds fits").max(1);
        self.ask("put", cmd("SET").arg(key).arg(&value[..]).arg("PX").arg(ttl_ms)).await
    }

    async fn remove(&self, key: &[u8]) -> Result<()> {
        self.ask("remove", cmd("DEL").arg(key)).await
    }

    async fn stats(&self) -> Result<CacheStats> {
        let entries = self.ask("stats", &mut cmd("DBSIZE")).await?;
        let info: String = self.ask("stats", cmd("INFO").arg("stats")).await?;
        let evictions = field(&info, "evicted_keys").and_then(|count| count.parse().ok()).unwrap_or_default();
        Ok(CacheStats { entries, evictions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_no_cache_is_refused() {
        let info = |bytes_max: &str, policy: &str| {
            format!("# Memory\r\nused_memory:1\r\nmaxmemory:{bytes_max}\r\nmaxmemory_policy:{policy}\r\n")
        };
        check(&info("1000000", POLICY)).expect("as it must be");
        for (bytes_max, policy) in [("0", POLICY), ("1000000", "noeviction"), ("1000000", "volatile-lru")] {
            let error = check(&info(bytes_max, policy)).expect_err("refused").to_string();
            assert!(error.contains("maxmemory-policy allkeys-lru"), "{error}");
        }
        check("").expect_err("nothing is known");
    }

    #[test]
    fn a_bad_url_is_not_repeated() {
        let error = Url::parse("//me:secret@:x").err().expect("bad");
        assert!(!error.contains("secret"), "{error}");
    }
}
