//! Lists of writes that are applied in their order.

use super::super::failure;
use super::{OTHER, PLAIN, Subject, delete, key, put};
use crate::ErrorKind;
use crate::limits::WRITES_MAX;

pub(super) async fn lists_are_seen_in_their_order(it: Subject) {
    // Partitions, tables and lists of their own: nothing but the order of the lists holds these together.
    let keys = [key(PLAIN, "first list", "a"), key(OTHER, "second list", "a"), key(PLAIN, "third list", "a")];
    let writer = tokio::spawn({
        let (it, keys) = (it.clone(), keys.clone());
        async move {
            for version in 1..=200_u64 {
                let mut lists: Vec<_> = keys.iter().map(|key| vec![put(key, version.to_string(), version)]).collect();
                lists.insert(1, Vec::new());
                it.store.write_in_order(lists).await.expect("written");
            }
        }
    });
    while !writer.is_finished() {
        let mut later = 0;
        // Read backwards: whatever a later list shows, an earlier one shows already.
        for key in keys.iter().rev() {
            let version = it.get(key).await.map_or(0, |row| row.version);
            assert!(version >= later, "{key:?} is at {version}, a later list at {later}");
            later = version;
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("it does not panic");
    assert_eq!(it.get(&keys[2]).await.map(|row| row.version), Some(200));
}

pub(super) async fn lists_are_versioned_as_any_writes(it: Subject) {
    let key = key(PLAIN, "versioned lists", "a");
    let lists = |versions: &[u64]| versions.iter().map(|n| vec![put(&key, n.to_string(), *n)]).collect::<Vec<_>>();
    it.store.write_in_order(lists(&[3, 9, 4])).await.expect("written");
    it.store.write_in_order(lists(&[8])).await.expect("written");
    assert_eq!(it.value(&key).await.as_deref(), Some(&b"9"[..]));
    it.store.write_in_order(vec![vec![put(&key, "10", 10)], vec![delete(&key, 11)]]).await.expect("written");
    assert_eq!(it.value(&key).await, None);
    it.store.write_in_order(Vec::new()).await.expect("nothing is written");
    let half = vec![put(&key, "x", 12); WRITES_MAX / 2 + 1];
    assert_eq!(failure(it.store.write_in_order(vec![half.clone(), half]).await), ErrorKind::Invalid);
    assert_eq!(it.value(&key).await, None, "nothing of what was invalid was written");
}
