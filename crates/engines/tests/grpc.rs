//! What the way between processes does beside the contract of its port: strangers, breaks, ends that stand still, large batches.

mod peers;

use bytes::Bytes;
use hudhud_engines::grpc::Remote;
use hudhud_ports::{Delivery, ErrorKind, GatewayInbox, GatewayRef, Gateways as _, Payload, Target};
use hudhud_proto::{AccountId, ConnectionId, DeviceId};
use parking_lot::Mutex;
use peers::Peers;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// A gateway where everybody is connected: what it was given.
#[derive(Default)]
struct Everybody(Mutex<Vec<Delivery>>);

impl GatewayInbox for Everybody {
    fn deliver(&self, batch: Vec<Delivery>) -> Vec<Target> {
        self.0.lock().extend(batch);
        Vec::new()
    }
}

fn gateway(incarnation: u64) -> GatewayRef {
    GatewayRef { name: "there".into(), incarnation }
}

fn target(n: u64) -> Target {
    Target { account: AccountId::new([1; 16]), device: DeviceId::new([2; 16]), connection: ConnectionId(n) }
}

fn delivery(frame: impl Into<Bytes>, to: u64) -> Delivery {
    Delivery { payload: Payload::Frame(frame.into()), targets: vec![target(to)] }
}

/// Nobody pushes who does not know the secret, and who pushes is told that it was not delivered.
#[tokio::test]
async fn strangers_push_nothing() {
    let (peers, inbox) = (Arc::new(Peers::default()), Arc::new(Everybody::default()));
    peers.add(gateway(1), inbox.clone()).await;
    let stranger = Remote::new(peers.clone(), peers::secret("a-secret-that-nobody-of-this-cluster-has"));
    let refused = stranger.push(&gateway(1), vec![delivery("x", 1)]).await.expect_err("the secret is another one");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert_eq!(*inbox.0.lock(), []);
    assert_eq!(peers::remote(&peers).push(&gateway(1), vec![delivery("x", 1)]).await.expect("known"), []);
}

/// A gateway that stops breaks its links; where it comes back, the next push finds it.
#[tokio::test]
async fn a_link_that_broke_is_made_again() {
    let (peers, inbox) = (Arc::new(Peers::default()), Arc::new(Everybody::default()));
    peers.add(gateway(1), inbox.clone()).await;
    let remote = peers::remote(&peers);
    remote.push(&gateway(1), vec![delivery("before", 1)]).await.expect("delivered");
    // It does not wait for those who may push to it.
    tokio::time::timeout(Duration::from_secs(4), peers.stop(&gateway(1))).await.expect("it ends at once");
    let away = remote.push(&gateway(1), vec![delivery("lost", 1)]).await.expect_err("nobody is there");
    assert_eq!(away.kind(), ErrorKind::Unavailable, "{away:?}");
    peers.add(gateway(1), inbox.clone()).await;
    let after = async {
        while remote.push(&gateway(1), vec![delivery("after", 1)]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), after).await.expect("it is found again");
    let last = inbox.0.lock().last().cloned();
    assert_eq!(last, Some(delivery("after", 1)));
}

/// An end that takes connections and says nothing is given up, so that nobody waits for it for ever.
#[tokio::test]
async fn an_end_that_stands_still_is_given_up() {
    let peers = Arc::new(Peers::default());
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    peers.place(gateway(1), silent.local_addr().expect("bound").to_string());
    let remote = peers::remote(&peers);
    let there = gateway(1);
    let push = remote.push(&there, vec![delivery("x", 1)]);
    let given_up = tokio::time::timeout(Duration::from_secs(60), push).await.expect("not for ever");
    assert!(given_up.expect_err("it says nothing").is_retryable());
    // Whoever pushes next does not wait for it again.
    let next = remote.push(&there, vec![delivery("x", 1)]);
    let answered = tokio::time::timeout(Duration::from_secs(1), next).await.expect("at once");
    assert_eq!(answered.expect_err("it is left alone").kind(), ErrorKind::Unavailable);
}

/// Batches larger than a message, from many tasks at once: each arrives whole, each task's in their order.
#[tokio::test]
async fn large_batches_keep_their_order() {
    let (peers, inbox) = (Arc::new(Peers::default()), Arc::new(Everybody::default()));
    peers.add(gateway(1), inbox.clone()).await;
    let remote = Arc::new(peers::remote(&peers));
    let tasks = (0..8_u64).map(|task| {
        let remote = remote.clone();
        tokio::spawn(async move {
            for round in 0..10_u8 {
                let batch = (0..25).map(|_| delivery(vec![round; 100_000], task)).collect();
                assert_eq!(remote.push(&gateway(1), batch).await.expect("delivered"), []);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it does not panic");
    }
    for task in 0..8 {
        let inbox = inbox.0.lock();
        let of_task = inbox.iter().filter(|delivery| delivery.targets == [target(task)]);
        let rounds: Vec<u8> = of_task
            .map(|delivery| match &delivery.payload {
                Payload::Frame(frame) if frame.len() == 100_000 => frame[0],
                other => panic!("{other:?} was not pushed"),
            })
            .collect();
        assert!(rounds.len() == 250 && rounds.is_sorted(), "{rounds:?}");
    }
}
