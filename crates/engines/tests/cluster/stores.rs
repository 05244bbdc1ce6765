//! The databases: Cassandra, three nodes of one datacentre, with three copies of everything.

use super::servers::Servers;
use super::{Made, trial};
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_engines::{Migration, Mode, OpenError, Options, Urls, open};
use hudhud_ports::conformance::{Time, store};
use hudhud_ports::memory::ManualClock;
use hudhud_ports::{Claim, Compaction, Database, Key, Result, Row, Scan, Store, Table, Tuning, Write};
use libtest_mimic::Trial;
use std::sync::Arc;
use tokio::sync::OnceCell;

pub fn trials(servers: &Arc<Servers>) -> Vec<Trial> {
    let mut trials = super::trials("cassandra", servers, subject, store::CASES);
    trials.extend([
        trial("cassandra::a_dry_run_changes_nothing", servers, a_dry_run_changes_nothing),
        trial("cassandra::two_nodes_migrate_at_once", servers, two_nodes_migrate_at_once),
        trial("cassandra::a_table_is_altered_and_keeps_its_rows", servers, a_table_is_altered_and_keeps_its_rows),
        trial("cassandra::copies_are_asked_for", servers, copies_are_asked_for),
    ]);
    trials
}

/// The URL of a keyspace, with some of the nodes first.
fn url(servers: &Servers, node: u8, keyspace: &str) -> String {
    let port = servers.cassandra();
    format!("cassandra://127.0.0.{node}:{port}/{keyspace}?datacenter=dc1&replication=dc1:3")
}

/// Both databases, each in a keyspace of this name.
fn urls(servers: &Servers, node: u8, name: &str) -> Urls {
    Urls {
        messages: url(servers, node, &format!("{name}_messages")),
        directory: url(servers, node, &format!("{name}_directory")),
        ..Urls::all("memory:")
    }
}

async fn migrate(urls: &Urls, tables: &'static [&'static Table], mode: Mode) -> Result<Vec<Migration>, OpenError> {
    hudhud_engines::migrate(urls, &Options { tables, ..Options::default() }, mode).await
}

async fn store(urls: &Urls, tables: &'static [&'static Table]) -> Both {
    let clock = Arc::new(ManualClock::new(0));
    let engines = open(urls, &Options { tables, ..Options::default() }, clock).await.expect("opened");
    Both { messages: engines.messages.clone(), directory: engines.directory.clone() }
}

fn subject(servers: Arc<Servers>) -> Made<store::Subject> {
    /// All cases share the keyspaces: their keys do not collide.
    static MIGRATED: OnceCell<()> = OnceCell::const_new();
    Box::pin(async move {
        let urls = tokio::task::spawn_blocking(move || urls(&servers, 1, "cases")).await.expect("started");
        let migrated = async || {
            migrate(&urls, store::TABLES, Mode::Apply).await.expect("migrated");
        };
        MIGRATED.get_or_init(migrated).await;
        (store::Subject { store: Arc::new(store(&urls, store::TABLES).await), time: Time::Real }, None)
    })
}

/// The statements that are left to do.
async fn left(urls: &Urls, tables: &'static [&'static Table]) -> Vec<String> {
    let migrations = migrate(urls, tables, Mode::DryRun).await.expect("planned");
    migrations.into_iter().flat_map(|migration| migration.statements).collect()
}

async fn a_dry_run_changes_nothing(servers: Arc<Servers>) {
    let urls = urls(&servers, 1, "dry");
    let planned = left(&urls, store::TABLES).await;
    // Two keyspaces, four tables and the engines' own.
    assert_eq!(planned.len(), 7, "{planned:#?}");
    assert_eq!(left(&urls, store::TABLES).await, planned);
    let options = Options { tables: store::TABLES, ..Options::default() };
    let error = open(&urls, &options, Arc::new(ManualClock::new(0))).await.err().expect("there is nothing").to_string();
    assert!(error.contains("run `hudhud migrate`"), "{error}");
}

async fn two_nodes_migrate_at_once(servers: Arc<Servers>) {
    let [one, two] = [1, 2].map(|node| urls(&servers, node, "twice"));
    let (first, second) =
        tokio::join!(migrate(&one, store::TABLES, Mode::Apply), migrate(&two, store::TABLES, Mode::Apply));
    first.expect("migrated");
    second.expect("migrated as well");
    assert_eq!(left(&one, store::TABLES).await, [""; 0], "nothing is left");
    migrate(&two, store::TABLES, Mode::Apply).await.expect("and again");
    // What one of them writes the other one reads: there is one table, not two of a name.
    let table = store::TABLES[0];
    for node in 1..=3 {
        write(&store(&urls(&servers, node, "twice"), store::TABLES).await, table, node).await;
    }
    for node in 1..=3 {
        let store = store(&urls(&servers, node, "twice"), store::TABLES).await;
        let rows = store.scan(Scan::all(table, Bytes::from_static(b"p"), 9)).await.expect("read");
        assert_eq!(rows.len(), 3, "node {node}");
    }
}

async fn a_table_is_altered_and_keeps_its_rows(servers: Arc<Servers>) {
    const fn table(compaction: Compaction) -> Table {
        let tuning = Tuning { compaction, ..Tuning::DEFAULT };
        Table { name: "altered", database: Database::Messages, ttl: None, tuning }
    }
    const BEFORE: &[&Table] = &[&table(Compaction::WrittenOnce)];
    const AFTER: &[&Table] = &[&table(Compaction::ReadMostly)];
    let urls = urls(&servers, 1, "altered");
    migrate(&urls, BEFORE, Mode::Apply).await.expect("migrated");
    write(&store(&urls, BEFORE).await, BEFORE[0], 1).await;
    let planned = left(&urls, AFTER).await;
    assert!(planned.len() == 1 && planned[0].starts_with("ALTER TABLE altered_messages.altered WITH"), "{planned:?}");
    migrate(&urls, AFTER, Mode::Apply).await.expect("migrated");
    assert_eq!(left(&urls, AFTER).await, [""; 0]);
    let rows = store(&urls, AFTER).await.scan(Scan::all(AFTER[0], Bytes::from_static(b"p"), 9)).await;
    assert_eq!(rows.expect("read").len(), 1);
}

async fn copies_are_asked_for(servers: Arc<Servers>) {
    let urls = Urls::all(url(&servers, 1, "nowhere").replace("&replication=dc1:3", ""));
    let error = migrate(&urls, store::TABLES, Mode::Apply).await.expect_err("how many copies?").to_string();
    assert!(error.contains("&replication=dc1:3"), "{error}");
}

async fn write(store: &Both, table: &'static Table, sort: u8) {
    let key = Key { table, partition: Bytes::from_static(b"p"), sort: Bytes::copy_from_slice(&[sort]) };
    store.write(vec![Write { key, value: Some(Bytes::from_static(b"x")), version: 1 }]).await.expect("written");
}

/// Both databases as the one store that the cases know.
struct Both {
    messages: Arc<dyn Store>,
    directory: Arc<dyn Store>,
}

impl Both {
    fn of(&self, table: &Table) -> &Arc<dyn Store> {
        match table.database {
            Database::Messages => &self.messages,
            Database::Directory => &self.directory,
        }
    }
}

#[async_trait]
impl Store for Both {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.of(key.table).get(key).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.of(scan.table).scan(scan).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        let (messages, directory): (Vec<_>, Vec<_>) =
            writes.into_iter().partition(|write| write.key.table.database == Database::Messages);
        self.messages.write(messages).await?;
        self.directory.write(directory).await
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        self.of(write.key.table).claim(write).await
    }

    async fn flush(&self) -> Result<()> {
        self.messages.flush().await?;
        self.directory.flush().await
    }
}
