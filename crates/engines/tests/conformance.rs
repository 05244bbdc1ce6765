//! Every case of every port against every engine.
//!
//! An engine that needs a server is tested where the environment says where that is. Where it does not, its cases are
//! reported as ignored; with `HUDHUD_REQUIRE_ENGINES=1` that is a failure.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hudhud_engines::{fjall, log, moka};
use hudhud_ports::conformance::{Case, Time, bus, cache, gateways, store};
use hudhud_ports::memory::{self, ManualClock};
use libtest_mimic::{Arguments, Trial};
use std::sync::Arc;
use tempfile::TempDir;

#[cfg(feature = "grpc")]
mod peers;

/// A subject, and what must live as long as it does.
type Made<Subject> = BoxFuture<'static, (Subject, Option<TempDir>)>;

/// An engine of a port.
struct Engine<Subject: 'static> {
    name: &'static str,
    /// The variable that says where it is, for engines that need a server.
    variable: Option<&'static str>,
    make: fn() -> Made<Subject>,
}

const CACHE_BYTES_MAX: u64 = 100_000;
const BACKLOG_BYTES_MAX: usize = 2 * 1024 * 1024;

fn time() -> (Arc<ManualClock>, Time) {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
    (clock.clone(), Time::Manual(clock))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

const STORES: &[Engine<store::Subject>] = &[
    Engine {
        name: "memory",
        variable: None,
        make: || {
            async {
                let (clock, time) = time();
                (store::Subject { store: Arc::new(memory::Store::new(clock)), time }, None)
            }
            .boxed()
        },
    },
    Engine {
        name: "fjall",
        variable: None,
        make: || {
            async {
                let (clock, time) = time();
                let folder = folder();
                let store = fjall::Store::open(folder.path(), fjall::StoreOptions::default(), clock).expect("opened");
                (store::Subject { store: Arc::new(store), time }, Some(folder))
            }
            .boxed()
        },
    },
];

const BUSES: &[Engine<bus::Subject>] = &[
    Engine {
        name: "memory",
        variable: None,
        make: || {
            async {
                let options = memory::BusOptions {
                    shards: bus::SHARDS,
                    backlog_bytes_max: BACKLOG_BYTES_MAX,
                    ..memory::BusOptions::default()
                };
                let bus = Arc::new(memory::Bus::new(options));
                (bus::Subject { bus, backlog_bytes_max: Some(BACKLOG_BYTES_MAX) }, None)
            }
            .boxed()
        },
    },
    Engine {
        name: "log",
        variable: None,
        make: || {
            async {
                let options = log::BusOptions {
                    shards: bus::SHARDS,
                    segment_bytes: 1024 * 1024,
                    backlog_bytes_max: BACKLOG_BYTES_MAX as u64,
                    unread_bytes_max: 256 * 1024,
                    ..log::BusOptions::default()
                };
                let folder = folder();
                let bus = Arc::new(log::Bus::open(folder.path(), options).expect("opened"));
                (bus::Subject { bus, backlog_bytes_max: Some(BACKLOG_BYTES_MAX) }, Some(folder))
            }
            .boxed()
        },
    },
];

const CACHES: &[Engine<cache::Subject>] = &[
    Engine {
        name: "memory",
        variable: None,
        make: || {
            async {
                let (clock, time) = time();
                let bytes_max = usize::try_from(CACHE_BYTES_MAX).expect("small");
                let cache = Arc::new(memory::Cache::new(clock, bytes_max));
                (cache::Subject { cache, bytes_max: CACHE_BYTES_MAX, time }, None)
            }
            .boxed()
        },
    },
    Engine {
        name: "moka",
        variable: None,
        make: || {
            async {
                let (clock, time) = time();
                let cache = Arc::new(moka::Cache::new(clock, CACHE_BYTES_MAX));
                (cache::Subject { cache, bytes_max: CACHE_BYTES_MAX, time }, None)
            }
            .boxed()
        },
    },
];

const GATEWAYS: &[Engine<gateways::Subject>] = &[
    Engine {
        name: "local",
        variable: None,
        make: || {
            async {
                let gateways = Arc::new(memory::Local::new());
                let local = gateways.clone();
                let register: gateways::Register = Arc::new(move |gateway, inbox| {
                    local.register(gateway, inbox);
                    std::future::ready(()).boxed()
                });
                (gateways::Subject { gateways, register }, None)
            }
            .boxed()
        },
    },
    #[cfg(feature = "grpc")]
    Engine {
        name: "grpc",
        variable: None,
        make: || {
            async {
                let peers = Arc::new(peers::Peers::default());
                let gateways = Arc::new(peers::remote(&peers));
                let register: gateways::Register = Arc::new(move |gateway, inbox| {
                    let peers = peers.clone();
                    async move { peers.add(gateway, inbox).await }.boxed()
                });
                (gateways::Subject { gateways, register }, None)
            }
            .boxed()
        },
    },
];

fn trials<Subject: 'static>(
    port: &str,
    engines: &'static [Engine<Subject>],
    cases: &'static [Case<Subject>],
) -> Vec<Trial> {
    let is_required = std::env::var("HUDHUD_REQUIRE_ENGINES").is_ok_and(|value| value == "1");
    let mut trials = Vec::new();
    for Engine { name, variable, make } in engines {
        let is_absent = variable.is_some_and(|variable| std::env::var_os(variable).is_none());
        for (case, run) in cases {
            let trial = Trial::test(format!("{port}::{name}::{case}"), move || {
                if is_absent {
                    return Err(format!("{} does not say where the engine is", variable.unwrap_or_default()).into());
                }
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
                runtime.block_on(async {
                    // Dropped after the subject.
                    let (subject, _folder) = make().await;
                    run(subject).await;
                });
                Ok(())
            });
            trials.push(trial.with_ignored_flag(is_absent && !is_required));
        }
    }
    trials
}

fn main() {
    let trials = [
        trials("store", STORES, store::CASES),
        trials("bus", BUSES, bus::CASES),
        trials("cache", CACHES, cache::CASES),
        trials("gateways", GATEWAYS, gateways::CASES),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}
