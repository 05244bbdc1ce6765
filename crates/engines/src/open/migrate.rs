//! The way to what this version needs, from whatever is there.

use super::url::Url;
use super::{OpenError, Options, Urls};
#[cfg(feature = "cassandra")]
use crate::cassandra;
#[cfg(feature = "kafka")]
use crate::kafka;
use crate::remembered;
use hudhud_ports::{Database, Table};

/// Whether a migration is carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Nothing is changed.
    DryRun,
    /// It is.
    Apply,
}

/// What is migrated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A database; the first one where both are in one place.
    Database(Database),
    /// The bus.
    Bus,
}

/// What a database, or the bus, takes to be as this version needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Migration {
    /// Which.
    pub place: Place,
    /// In their order, in the language of the engine; none where all is well.
    pub statements: Vec<String>,
}

/// Makes of both databases and the bus what this version needs: safe to do again, and from several nodes at once. Embedded ones
/// make what they need themselves.
///
/// # Errors
/// When an engine can't be reached, or holds what is not ours.
pub async fn migrate(urls: &Urls, options: &Options, mode: Mode) -> Result<Vec<Migration>, OpenError> {
    let (messages, directory) = (Url::parse(&urls.messages)?, Url::parse(&urls.directory)?);
    let mut migrations = Vec::new();
    for (database, url) in [(Database::Messages, &messages), (Database::Directory, &directory)] {
        if database == Database::Directory && directory == messages {
            continue;
        }
        let tables = tables_in(options.tables, database, messages == directory);
        let statements = match url {
            Url::Memory => Vec::new(),
            #[cfg(feature = "embedded")]
            Url::Embedded(_) => Vec::new(),
            #[cfg(feature = "cassandra")]
            Url::Cassandra(url) => cassandra::migrate(url, &tables, mode).await?,
            #[cfg(feature = "kafka")]
            Url::Kafka(_) => return Err(Url::misplaced("kafka", "a database")),
            #[cfg(feature = "redis")]
            Url::Redis(_) => return Err(Url::misplaced("redis", "a database")),
        };
        tracing::debug!(?database, ?mode, tables = tables.len(), statements = statements.len(), "migrated");
        migrations.push(Migration { place: Place::Database(database), statements });
    }
    #[cfg(feature = "kafka")]
    if let Url::Kafka(url) = Url::parse(&urls.bus)? {
        let statements = kafka::migrate(&url, options.shards, mode).await?;
        migrations.push(Migration { place: Place::Bus, statements });
    }
    Ok(migrations)
}

/// The tables of a store: those of its database or, if there is one store for both, all.
pub(super) fn tables_in(tables: &[&'static Table], database: Database, is_shared: bool) -> Vec<&'static Table> {
    let all = tables.iter().copied().chain([remembered::ENGINES]);
    all.filter(|table| is_shared || table.database == database).collect()
}
