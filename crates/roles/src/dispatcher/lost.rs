//! After the loss of a log: what was accepted and is in no log any more is appended again.
//!
//! Devices keep a message until its entry comes back and repeat it by themselves. This is for what nobody repeats: changes of
//! groups, and messages of callers that are gone. A conversation is looked at when its first record of the new epoch comes;
//! what is appended lands behind that record, as repetitions, so that it does no harm to append it twice.

use super::{Core, Ended};
use crate::conversation::{Conversation, Known};
use crate::tables::{self, AcceptedPart};
use bytes::Bytes;
use hudhud_ports::{ErrorKind, Order, Scan};
use hudhud_proto::v1::{AcceptedRow, SequencedRow, record};
use hudhud_proto::{Message, MessageId, Position, Shard};
use std::collections::BTreeMap;

/// Days of message ids that are looked through: rows are not kept for longer.
const DAYS_MAX: u64 = 8;
/// Rows that are read of a day, the newest: far more than a log holds of one conversation.
const ROWS_MAX: usize = 8 * 1_024;
/// Records of one append: they stay below the port's limit however large they are.
const RECORDS_MAX: usize = 16;

/// Appends what a conversation has lost, but for the message of the record that is in hand. False where the bus has no room:
/// this dispatcher must not wait for what only itself can make.
pub(super) async fn append_again(
    core: &Core,
    conversation: &Conversation,
    position: Position,
    now_us: u64,
    but: MessageId,
) -> Result<bool, Ended> {
    let head_us = conversation.head.as_ref().map_or(now_us, |head| head.time_us);
    let (now_ms, head_ms) = (now_us.max(head_us) / 1_000, head_us.min(now_us) / 1_000);
    let last_day = now_ms / tables::DAY_MS + 1;
    let first_day = (head_ms / tables::DAY_MS).saturating_sub(1).max(last_day.saturating_sub(DAYS_MAX));
    let mut lost = Vec::new();
    for day in first_day..=last_day {
        lost.extend(of_day(core, conversation, position, day).await?);
    }
    lost.retain(|(message, _)| *message != but);
    if lost.is_empty() {
        return Ok(true);
    }
    let bus = &core.services.bus;
    let shard = Shard::of(conversation.id, bus.shards());
    tracing::warn!(conversation = %conversation.id, count = lost.len(), "a log was lost: its end is appended again");
    for chunk in lost.chunks(RECORDS_MAX) {
        let records: Vec<Bytes> = chunk.iter().map(|(_, record)| record.clone()).collect();
        let append = || async {
            match bus.append(shard, records.clone()).await {
                Err(error) if error.kind() == ErrorKind::Full => Ok(false),
                appended => appended.map(|_| true),
            }
        };
        if !core.persist("append what was lost with a log", append).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What was accepted and not decided, of a day, in the order of ids: that of each device's messages.
async fn of_day(
    core: &Core,
    conversation: &Conversation,
    position: Position,
    day: u64,
) -> Result<Vec<(MessageId, Bytes)>, Ended> {
    let scan = Scan {
        table: tables::ACCEPTED,
        partition: tables::accepted_partition(conversation.id, day * tables::DAY_MS),
        from: Bytes::new(),
        to: None,
        order: Order::Descending,
        limit: ROWS_MAX,
    };
    let messages = &core.services.messages;
    let rows = core.persist("look for what was lost with a log", || messages.scan(scan.clone())).await?;
    let mut open = BTreeMap::new();
    let mut decided = Vec::new();
    for row in &rows {
        match tables::accepted_sort(&row.sort) {
            Some((message, AcceptedPart::Accepted)) => {
                let accepted: AcceptedRow = tables::read(row).map_err(Ended::Failed)?;
                open.extend(accepted.record.into_option().map(|record| (message, record)));
            }
            Some((message, AcceptedPart::Sequenced)) => {
                let known = Known::from_row(&tables::read::<SequencedRow>(row).map_err(Ended::Failed)?);
                decided.extend((!conversation.is_lost(&known, position)).then_some(message));
            }
            None => {}
        }
    }
    decided.iter().for_each(|message| _ = open.remove(message));
    let again = open.into_iter().map(|(message, mut record)| {
        if let Some(record::Body::Submit(submit)) = &mut record.body {
            submit.resend = true;
        }
        (message, record.encode_to_bytes())
    });
    Ok(again.collect())
}
