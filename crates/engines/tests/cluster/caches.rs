//! The cache: a Redis for each case.

use super::servers::Servers;
use super::{Made, trial};
use bytes::Bytes;
use hudhud_engines::{Options, Urls, open};
use hudhud_ports::conformance::{Time, cache};
use hudhud_ports::memory::ManualClock;
use hudhud_ports::{Cache, ErrorKind};
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Enough for what a server needs for itself, and a few thousand entries.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

pub fn trials(servers: &Arc<Servers>) -> Vec<Trial> {
    let mut trials = super::trials("redis", servers, subject, cache::CASES);
    trials.extend([
        trial("redis::a_server_without_a_bound_is_refused", servers, a_server_without_a_bound_is_refused),
        trial("redis::a_server_that_goes_is_not_waited_for", servers, a_server_that_goes_is_not_waited_for),
    ]);
    trials
}

async fn cache(port: u16) -> Result<Arc<dyn Cache>, hudhud_engines::OpenError> {
    let urls = Urls { cache: format!("redis://127.0.0.1:{port}"), ..Urls::all("memory:") };
    let engines = open(&urls, &Options::default(), Arc::new(ManualClock::new(0))).await?;
    Ok(engines.cache.clone())
}

fn subject(servers: Arc<Servers>) -> Made<cache::Subject> {
    Box::pin(async move {
        let (port, running) = servers.redis(BYTES_MAX);
        let cache = cache(port).await.expect("opened");
        (cache::Subject { cache, bytes_max: BYTES_MAX, time: Time::Real }, Some(running))
    })
}

async fn a_server_without_a_bound_is_refused(servers: Arc<Servers>) {
    let (port, _running) = servers.redis(0);
    let error = cache(port).await.err().expect("refused").to_string();
    assert!(error.contains("maxmemory is 0") && error.contains("Set `maxmemory`"), "{error}");
}

/// Everything goes on without a cache, and soon.
async fn a_server_that_goes_is_not_waited_for(servers: Arc<Servers>) {
    let (port, running) = servers.redis(BYTES_MAX);
    let cache_before = cache(port).await.expect("opened");
    cache_before.put(b"key", Bytes::from_static(b"x"), Duration::from_secs(60)).await.expect("put");
    running.stop();
    let start = Instant::now();
    for _ in 0..3 {
        let error = cache_before.get(b"key").await.expect_err("it is gone");
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    cache(port).await.expect("a server starts without its cache");
}
