//! What every [`Cache`] must do. A cache may lose anything, so these cases hold little and ask at once.

use super::{Time, cases};
use crate::memory::ManualClock;
use crate::{Cache, memory};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use std::sync::Arc;
use std::time::Duration;

/// What a case runs on.
#[derive(Clone)]
pub struct Subject {
    /// The cache, empty.
    pub cache: Arc<dyn Cache>,
    /// Its bound: what lies in it may take no more.
    pub bytes_max: u64,
    /// Its time.
    pub time: Time,
}

const LONG: Duration = Duration::from_secs(3_600);

cases! { Subject:
    a_value_is_there_until_it_is_removed,
    a_value_takes_the_place_of_the_one_before,
    any_bytes_are_keys_and_values,
    an_expired_value_is_gone,
    memory_is_bounded_and_what_was_not_used_goes_first,
    a_value_larger_than_the_cache_does_no_harm,
}

impl Subject {
    async fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.cache.get(key).await.expect("asked")
    }

    async fn put(&self, key: &[u8], value: impl AsRef<[u8]>, ttl: Duration) {
        self.cache.put(key, Bytes::copy_from_slice(value.as_ref()), ttl).await.expect("put");
    }
}

async fn a_value_is_there_until_it_is_removed(it: Subject) {
    assert_eq!(it.get(b"key").await, None);
    it.put(b"key", "value", LONG).await;
    assert_eq!(it.get(b"key").await.as_deref(), Some(&b"value"[..]));
    it.cache.remove(b"key").await.expect("removed");
    assert_eq!(it.get(b"key").await, None);
    it.cache.remove(b"key").await.expect("removing it again does nothing");
}

async fn a_value_takes_the_place_of_the_one_before(it: Subject) {
    it.put(b"key", "old", LONG).await;
    it.put(b"key", "new", LONG).await;
    assert_eq!(it.get(b"key").await.as_deref(), Some(&b"new"[..]));
    assert_eq!(it.cache.stats().await.expect("asked").entries, 1);
}

async fn any_bytes_are_keys_and_values(it: Subject) {
    for key in [&b""[..], b"\0", b"\xff\xfe", b"\r\n", &[7; 300]] {
        it.put(key, key, LONG).await;
        assert_eq!(it.get(key).await.as_deref(), Some(key));
    }
}

async fn an_expired_value_is_gone(it: Subject) {
    it.put(b"short", "x", Duration::from_secs(1)).await;
    it.put(b"long", "x", LONG).await;
    it.put(b"prolonged", "x", Duration::from_secs(1)).await;
    it.put(b"prolonged", "x", LONG).await;
    it.time.pass(Duration::from_millis(1_100)).await;
    assert_eq!(it.get(b"short").await, None);
    assert!(it.get(b"long").await.is_some() && it.get(b"prolonged").await.is_some());
}

async fn memory_is_bounded_and_what_was_not_used_goes_first(it: Subject) {
    let value = vec![7; 1_000];
    let fits = it.bytes_max / 1_000;
    it.put(b"used", &value, LONG).await;
    let mut put = 0;
    for _ in 0..4 {
        // Half of what fits at a time, so that the other half is older: engines may tell seconds of use apart, not less.
        for _ in 0..fits.div_ceil(2) {
            it.put(&put_key(put), &value, LONG).await;
            put += 1;
            // Engines may do their housekeeping when they are asked.
            let stats = it.cache.stats().await.expect("asked");
            assert!(stats.entries <= fits + 1, "{stats:?}");
        }
        it.time.pass(Duration::from_millis(2_100)).await;
        assert!(it.get(b"used").await.is_some(), "used all the time, but gone after {put}");
    }
    let stats = it.cache.stats().await.expect("asked");
    assert!(stats.entries > 1 && stats.evictions >= put - fits, "{stats:?} after {put}");
    assert_eq!(it.get(&put_key(0)).await, None, "the oldest one");
    assert!(it.get(&put_key(put - 1)).await.is_some(), "the newest one");
}

fn put_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

async fn a_value_larger_than_the_cache_does_no_harm(it: Subject) {
    let size = usize::try_from(it.bytes_max).expect("a small cache") + 1;
    it.put(b"large", vec![7; size], LONG).await;
    it.cache.stats().await.expect("asked");
    it.put(b"small", "x", LONG).await;
    assert_eq!(it.get(b"large").await, None);
    assert!(it.get(b"small").await.is_some());
}

/// What happens to a cache.
#[derive(Clone, Debug)]
pub enum Op {
    /// Puts a value, with a time to live in milliseconds.
    Put(u8, u8, u64),
    /// Removes a key.
    Remove(u8),
    /// Asks for a key.
    Get(u8),
    /// Time passes, in milliseconds.
    Pass(u64),
}

/// Random operations on few keys, so that they meet.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0..9_u8, any::<u8>(), 1..2_000_u64).prop_map(|(key, value, ttl)| Op::Put(key, value, ttl)),
        (0..9_u8).prop_map(Op::Remove),
        (0..9_u8).prop_map(Op::Get),
        (0..500_u64).prop_map(Op::Pass),
    ];
    vec(op, 1..100)
}

/// Does the same to an engine and to the one in memory. What fits must be the same in both, as nothing is lost in process.
pub async fn check(cache: Arc<dyn Cache>, clock: Arc<ManualClock>, ops: Vec<Op>) {
    let oracle = memory::Cache::new(clock.clone(), 1 << 20);
    for op in ops {
        match op {
            Op::Put(key, value, ttl) => {
                let ttl = Duration::from_millis(ttl);
                oracle.put(&[key], Bytes::copy_from_slice(&[value]), ttl).await.expect("put");
                cache.put(&[key], Bytes::copy_from_slice(&[value]), ttl).await.expect("put");
            }
            Op::Remove(key) => {
                oracle.remove(&[key]).await.expect("removed");
                cache.remove(&[key]).await.expect("removed");
            }
            Op::Get(key) => {
                let wanted = oracle.get(&[key]).await.expect("asked");
                assert_eq!(cache.get(&[key]).await.expect("asked"), wanted);
            }
            Op::Pass(ms) => clock.advance(Duration::from_millis(ms)),
        }
    }
}
