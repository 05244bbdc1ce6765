//! URLs, read.

use super::OpenError;
#[cfg(feature = "cassandra")]
use crate::cassandra;
#[cfg(feature = "kafka")]
use crate::kafka;
#[cfg(feature = "redis")]
use crate::redis;

/// An engine, and where it is.
#[derive(PartialEq, Eq)]
pub(super) enum Url {
    Memory,
    #[cfg(feature = "embedded")]
    Embedded(std::path::PathBuf),
    #[cfg(feature = "cassandra")]
    Cassandra(cassandra::Url),
    #[cfg(feature = "kafka")]
    Kafka(kafka::Url),
    #[cfg(feature = "redis")]
    Redis(redis::Url),
}

impl Url {
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        match url.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            #[cfg(feature = "embedded")]
            Some(("embedded", path)) if !path.is_empty() => Ok(Self::Embedded(path.into())),
            #[cfg(feature = "cassandra")]
            Some(("cassandra", rest)) => match cassandra::Url::parse(rest) {
                Ok(url) => Ok(Self::Cassandra(url)),
                Err(why) => Err(OpenError::BadUrl { engine: "cassandra", why }),
            },
            #[cfg(feature = "kafka")]
            Some(("kafka", rest)) => match kafka::Url::parse(rest) {
                Ok(url) => Ok(Self::Kafka(url)),
                Err(why) => Err(OpenError::BadUrl { engine: "kafka", why }),
            },
            #[cfg(feature = "redis")]
            Some(("redis", rest)) => match redis::Url::parse(rest) {
                Ok(url) => Ok(Self::Redis(url)),
                Err(why) => Err(OpenError::BadUrl { engine: "redis", why }),
            },
            _ => Err(Self::unknown(url)),
        }
    }

    #[cfg(any(feature = "cassandra", feature = "kafka", feature = "redis"))]
    pub(super) fn misplaced(engine: &'static str, what: &str) -> OpenError {
        OpenError::BadUrl { engine, why: format!("it is not {what}") }
    }

    fn unknown(url: &str) -> OpenError {
        OpenError::UnknownUrl { scheme: url.split_inclusive(':').next().unwrap_or_default().to_owned() }
    }
}
