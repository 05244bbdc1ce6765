use super::*;
use crate::{Bus as _, ShardConsumer};

async fn consumer(bus: &Bus) -> (Box<dyn Membership>, Box<dyn ShardConsumer>) {
    let mut member = bus.join().await.expect("memory does not fail");
    let consumer = member.assigned().await.expect("memory does not fail");
    (member, consumer)
}

async fn texts(consumer: &mut Box<dyn ShardConsumer>) -> Vec<Bytes> {
    let records = consumer.next(99).await.expect("memory does not fail").expect("still assigned");
    records.into_iter().map(|record| record.bytes).collect()
}

fn one_shard() -> Bus {
    Bus::new(BusOptions { shards: 1, retained_records: 10, ..BusOptions::default() })
}

fn record(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from(text)]
}

#[tokio::test]
async fn a_power_loss_takes_a_tail_of_what_was_not_synced() {
    let bus = one_shard();
    bus.append(Shard(0), record("synced")).await.expect("appended");
    let kept = bus.stage(Shard(0), record("kept")).expect("staged");
    let lost = bus.stage(Shard(0), record("lost")).expect("staged");
    assert_eq!(bus.unsynced(), 2);
    bus.crash(1, 0);
    let next = bus.append(Shard(0), record("next")).await.expect("appended");
    assert!(next > kept);
    assert_eq!(next, lost, "nobody saw the lost one, so its position is free");
    let (_member, mut consumer) = consumer(&bus).await;
    assert_eq!(texts(&mut consumer).await, ["synced", "kept", "next"]);
}

#[tokio::test]
async fn a_power_loss_may_forget_the_last_commits() {
    let bus = one_shard();
    for text in ["1", "2", "3"] {
        bus.append(Shard(0), record(text)).await.expect("appended");
    }
    let (member, mut first) = consumer(&bus).await;
    let read = first.next(2).await.expect("memory does not fail").expect("still assigned");
    first.commit(read[1].position).await.expect("committed");
    bus.crash(0, 1);
    assert_eq!(first.next(1).await.expect("memory does not fail"), None);
    assert_eq!(first.commit(read[1].position).await.expect_err("fenced").kind(), ErrorKind::Fenced);
    drop(member);
    let (_member, mut second) = consumer(&bus).await;
    assert_eq!(texts(&mut second).await, ["2", "3"]);
}

#[tokio::test]
async fn a_lost_log_begins_a_higher_epoch() {
    let bus = one_shard();
    let before = bus.append(Shard(0), record("lost")).await.expect("appended");
    bus.lose();
    let after = bus.append(Shard(0), record("kept")).await.expect("appended");
    assert!(after > before);
    let (_member, mut consumer) = consumer(&bus).await;
    assert_eq!(texts(&mut consumer).await, ["kept"]);
}
