//! Deliveries and targets, as messages and back.

use super::PART_BYTES_MAX;
use hudhud_ports::{Delivery, GatewayRef, Payload, Target};
use hudhud_proto::v1::{PushBatch, PushDelivery, PushOutcome, PushSuspended, PushTarget, push_delivery};
use hudhud_proto::{AccountId, ConnectionId, DeviceId, IdError, TokenId};

/// Roughly what a target takes.
const TARGET_BYTES: usize = 48;

/// A batch as messages of about [`PART_BYTES_MAX`], in its order. At least one.
pub(super) fn parts(gateway: &GatewayRef, batch: Vec<Delivery>) -> Vec<PushBatch> {
    let part =
        || PushBatch { gateway: gateway.name.to_string(), incarnation: gateway.incarnation, ..PushBatch::default() };
    let mut parts = vec![part()];
    let mut bytes = 0;
    for delivery in batch {
        let size = size(&delivery);
        if bytes > 0 && bytes + size > PART_BYTES_MAX {
            parts.push(part());
            bytes = 0;
        }
        bytes += size;
        parts.last_mut().expect("there is one from the start").deliveries.push(encode(delivery));
    }
    parts
}

fn size(delivery: &Delivery) -> usize {
    let payload = match &delivery.payload {
        Payload::Frame(frame) => frame.len(),
        Payload::Revoked(_) | Payload::Suspended => 0,
    };
    payload + (delivery.targets.len() + 1) * TARGET_BYTES
}

fn encode(delivery: Delivery) -> PushDelivery {
    let payload = match delivery.payload {
        Payload::Frame(frame) => push_delivery::Payload::Frame(frame),
        Payload::Revoked(token) => push_delivery::Payload::Revoked(token.to_bytes()),
        Payload::Suspended => push_delivery::Payload::Suspended(PushSuspended::default()),
    };
    PushDelivery { payload: Some(payload), targets: delivery.targets.iter().map(target).collect() }
}

/// A target as a message.
pub(super) fn target(target: &Target) -> PushTarget {
    PushTarget { account: target.account.to_bytes(), device: target.device.to_bytes(), connection: target.connection.0 }
}

/// The gateway that a batch is meant for, and its deliveries. A payload that this version does not know is none, and its
/// targets are said to be absent by whoever gets it: [`Err`] only where an id is no id.
pub(super) fn decode(batch: PushBatch) -> Result<(GatewayRef, Vec<Delivery>, Vec<Target>), IdError> {
    let gateway = GatewayRef { name: batch.gateway.into(), incarnation: batch.incarnation };
    let mut deliveries = Vec::with_capacity(batch.deliveries.len());
    let mut unknown = Vec::new();
    for delivery in batch.deliveries {
        let targets = targets(delivery.targets)?;
        let payload = match delivery.payload {
            Some(push_delivery::Payload::Frame(frame)) => Payload::Frame(frame),
            Some(push_delivery::Payload::Revoked(token)) => Payload::Revoked(TokenId::from_slice(&token)?),
            Some(push_delivery::Payload::Suspended(_)) => Payload::Suspended,
            None => {
                unknown.extend(targets);
                continue;
            }
        };
        deliveries.push(Delivery { payload, targets });
    }
    Ok((gateway, deliveries, unknown))
}

/// The targets of an outcome.
pub(super) fn absent(outcome: PushOutcome) -> Result<Vec<Target>, IdError> {
    targets(outcome.absent)
}

fn targets(targets: Vec<PushTarget>) -> Result<Vec<Target>, IdError> {
    let target = |target: PushTarget| {
        Ok(Target {
            account: AccountId::from_slice(&target.account)?,
            device: DeviceId::from_slice(&target.device)?,
            connection: ConnectionId(target.connection),
        })
    };
    targets.into_iter().map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// A batch that is large goes in parts, whole and in order.
    #[test]
    fn large_batches_go_in_parts() {
        let gateway = GatewayRef { name: "there".into(), incarnation: 7 };
        let id = [3; 16];
        let target = Target { account: AccountId::new(id), device: DeviceId::new(id), connection: ConnectionId(9) };
        let frame = |n: u8| Delivery { payload: Payload::Frame(vec![n; 100_000].into()), targets: vec![target] };
        let mut batch: Vec<_> = (0..40).map(frame).collect();
        batch.push(Delivery { payload: Payload::Revoked(TokenId::new([5; 16])), targets: vec![target; 2] });
        batch.push(Delivery { payload: Payload::Suspended, targets: Vec::new() });
        let parts = parts(&gateway, batch.clone());
        assert_eq!(parts.len(), 4, "10 frames of 100 kB, and what is small, are below a part's bytes");
        let mut decoded = Vec::new();
        for part in parts {
            let (meant, deliveries, unknown) = decode(part).expect("as encoded");
            assert_eq!((meant, unknown), (gateway.clone(), Vec::new()));
            decoded.extend(deliveries);
        }
        assert_eq!(decoded, batch);
    }

    /// What a later version pushes is not lost silently: its targets count as absent.
    #[test]
    fn an_unknown_payload_reaches_nobody() {
        let id = Bytes::from_static(&[1; 16]);
        let unknown = PushTarget { account: id.clone(), device: id, connection: 1 };
        let delivery = PushDelivery { payload: None, targets: vec![unknown] };
        let (_, deliveries, absent) =
            decode(PushBatch { deliveries: vec![delivery], ..PushBatch::default() }).expect("ids are ids");
        assert_eq!((deliveries, absent.len()), (Vec::new(), 1));
    }
}
