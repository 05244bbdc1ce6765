//! What every [`Gateways`] must do.

use super::cases;
use crate::{Delivery, GatewayInbox, GatewayRef, Gateways, Payload, Target};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hudhud_proto::{AccountId, ConnectionId, DeviceId, TokenId};
use parking_lot::Mutex;
use std::sync::Arc;

/// Makes an incarnation of a gateway reachable, over this inbox.
pub type Register = Arc<dyn Fn(GatewayRef, Arc<dyn GatewayInbox>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What a case runs on.
#[derive(Clone)]
pub struct Subject {
    /// The way to the gateways; there are none yet.
    pub gateways: Arc<dyn Gateways>,
    /// Makes one.
    pub register: Register,
}

cases! { Subject:
    a_gateway_that_is_not_there_has_none_of_the_targets,
    deliveries_arrive_whole_and_in_order,
    targets_that_are_not_connected_are_named_once,
    another_incarnation_is_not_meant,
}

fn gateway(name: &str, incarnation: u64) -> GatewayRef {
    GatewayRef { name: name.into(), incarnation }
}

fn target(n: u8) -> Target {
    let id = [n; 16];
    Target { account: AccountId::new(id), device: DeviceId::new(id), connection: ConnectionId(u64::from(n)) }
}

fn delivery(text: &'static str, targets: &[u8]) -> Delivery {
    Delivery { payload: Payload::Frame(Bytes::from(text)), targets: targets.iter().copied().map(target).collect() }
}

/// A gateway to which only those with even numbers are connected.
#[derive(Default)]
struct EvenOnly(Mutex<Vec<Delivery>>);

impl GatewayInbox for EvenOnly {
    fn deliver(&self, batch: Vec<Delivery>) -> Vec<Target> {
        let absent = batch.iter().flat_map(|delivery| delivery.targets.iter().copied());
        let absent = absent.filter(|target| target.connection.0 % 2 == 1).collect();
        self.0.lock().extend(batch);
        absent
    }
}

impl Subject {
    async fn push(&self, gateway: &GatewayRef, batch: Vec<Delivery>) -> Vec<Target> {
        let mut absent = self.gateways.push(gateway, batch).await.expect("pushed");
        absent.sort();
        absent
    }
}

async fn a_gateway_that_is_not_there_has_none_of_the_targets(it: Subject) {
    let batch = vec![delivery("a", &[1, 2]), delivery("b", &[2, 3]), delivery("c", &[])];
    assert_eq!(it.push(&gateway("nobody", 1), batch).await, [1, 2, 3].map(target));
}

async fn deliveries_arrive_whole_and_in_order(it: Subject) {
    let (inbox, there) = (Arc::new(EvenOnly::default()), gateway("there", 1));
    (it.register)(there.clone(), inbox.clone()).await;
    let revoked = Delivery { payload: Payload::Revoked(TokenId::new([7; 16])), targets: vec![target(4)] };
    let batches = [vec![delivery("a", &[2, 4]), delivery("b", &[2])], vec![revoked, delivery("c", &[4])]];
    for batch in batches.clone() {
        assert_eq!(it.push(&there, batch).await, []);
    }
    assert_eq!(*inbox.0.lock(), batches.concat());
}

async fn targets_that_are_not_connected_are_named_once(it: Subject) {
    let there = gateway("there", 1);
    (it.register)(there.clone(), Arc::new(EvenOnly::default())).await;
    let batch = vec![delivery("a", &[1, 2, 3]), delivery("b", &[3, 4])];
    assert_eq!(it.push(&there, batch).await, [1, 3].map(target));
}

async fn another_incarnation_is_not_meant(it: Subject) {
    let inbox = Arc::new(EvenOnly::default());
    (it.register)(gateway("there", 2), inbox.clone()).await;
    assert_eq!(it.push(&gateway("there", 1), vec![delivery("a", &[2])]).await, [target(2)]);
    assert_eq!(*inbox.0.lock(), []);
}
