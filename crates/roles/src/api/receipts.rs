//! "Received" and "read": watermarks, never a flag per message.

use super::{Api, Caller, errors, membership, privacy, send};
use crate::conversation::record::Moved;
use crate::conversation::{ROWS_MAX, Receipts};
use crate::tables;
use hudhud_ports::Scan;
use hudhud_proto::limits::EPOCH_SEQ_JUMP;
use hudhud_proto::v1::{
    ErrorCode, ListReceipts, MemberReceipt, Read, ReceiptKind, ReceiptList, Received, Record, WatermarkMoved, record,
};
use hudhud_proto::{ConversationId, Message, ProtocolError, Seq};

/// How far beyond the last entry's seq a mark may be that is only told to wait. After a loss of power the entries are made again
/// from the bus, and a device is ahead of them for a moment; and one that knows more than a server that was restored is ahead
/// until the conversation goes on, which jumps by this for each epoch.
const AHEAD_MAX: u64 = 16 * EPOCH_SEQ_JUMP;

pub(super) async fn received(api: &Api, caller: &Caller, received: Received) -> Result<(), ProtocolError> {
    let conversation = ConversationId::from_slice(&received.conversation)?;
    moved(api, caller, conversation, ReceiptKind::Received, Seq(received.seq)).await
}

pub(super) async fn read(api: &Api, caller: &Caller, read: Read) -> Result<(), ProtocolError> {
    let conversation = ConversationId::from_slice(&read.conversation)?;
    moved(api, caller, conversation, ReceiptKind::Read, Seq(read.seq)).await
}

/// Raises a watermark (see [`Moved::rows`]): any order and repetition ends at the same mark.
async fn moved(
    api: &Api,
    caller: &Caller,
    conversation: ConversationId,
    kind: ReceiptKind,
    seq: Seq,
) -> Result<(), ProtocolError> {
    if seq == Seq::ZERO {
        return Err(ProtocolError::invalid("seq must be that of an entry, from 1"));
    }
    let mut view = match api.memberships.view(caller, conversation).await {
        // Who was a member has read up to its leaving: its own devices are told.
        Err(error) if error.code == ErrorCode::NotFound => api.memberships.current(caller, conversation).await?,
        view => view?,
    };
    if seq > view.head_seq() {
        view = api.memberships.advanced(&view).await?;
    }
    let head = view.head_seq();
    if seq > head {
        return Err(match seq.0 - head.0 <= AHEAD_MAX {
            true => {
                let message = "there is no entry with this seq yet: say it again";
                ProtocolError::retry(ErrorCode::Unavailable, message, 1_000)
            }
            false => ProtocolError::invalid(format!("seq is far beyond that of the last entry, {head}")),
        });
    }
    let own_devices_only = kind == ReceiptKind::Read && !privacy::shares_read_receipts(api, caller.account).await?;
    let moved_us = api.services.now_us();
    let moved = Moved { account: caller.account, device: caller.device, kind, seq, moved_us, own_devices_only };
    let (watermark, own) = moved.rows(&view);
    // Flow 09: the database knows that the entries were received.
    // Flow 15: or, by the same line, that they were read.
    api.services.messages.write(watermark.into_iter().collect()).await.map_err(errors::from_port)?;

    let record = Record {
        conversation: conversation.to_bytes(),
        account: caller.account.to_bytes(),
        device: caller.device.to_bytes(),
        accepted_us: moved_us,
        body: Some(record::Body::Watermark(WatermarkMoved { kind: kind.into(), seq: seq.0, own_devices_only })),
    };
    // Flow 10: the receipt is on the bus, and the device need not say it again.
    // Flow 16: likewise for read.
    send::append(api, conversation, vec![record.encode_to_bytes()]).await?;
    // Behind the append: a device that finds the mark in the inbox takes it for told, and does not tell it again.
    api.services.directory.write(own.into_iter().collect()).await.map_err(errors::from_port)?;
    api.services.metrics.receipts.inc();
    Ok(())
}

pub(super) async fn list(api: &Api, caller: &Caller, list: ListReceipts) -> Result<ReceiptList, ProtocolError> {
    let id = ConversationId::from_slice(&list.conversation)?;
    let conversation = membership::load(api.services.messages.as_ref(), id).await.map_err(errors::from_port)?;
    if conversation.role(caller.account).is_none() {
        return Err(errors::not_found("conversation"));
    }
    let scan = Scan::all(tables::WATERMARKS, id.to_bytes(), ROWS_MAX);
    let rows = api.services.messages.scan(scan).await.map_err(errors::from_port)?;
    let receipts = Receipts::from_rows(&rows).map_err(errors::from_port)?;
    let shares_read = privacy::shares_read_receipts(api, caller.account).await?;
    let read_or_hidden = |seq: Seq| if shares_read { seq.0 } else { 0 };
    let members = conversation.present().map(|(account, _)| {
        let marks = receipts.marks(&conversation, account);
        MemberReceipt {
            account: account.to_bytes(),
            received_seq: marks.received.0,
            read_seq: if account == caller.account { marks.read.0 } else { read_or_hidden(marks.read) },
        }
    });
    let by_all = |kind| receipts.lowest_of_others(&conversation, caller.account, kind);
    Ok(ReceiptList {
        members: members.collect(),
        received_by_all_seq: by_all(ReceiptKind::Received).0,
        read_by_all_seq: read_or_hidden(by_all(ReceiptKind::Read)),
    })
}
