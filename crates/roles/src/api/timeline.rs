//! Reading a conversation's log, as far as the caller was a member.

use super::{Api, Caller, errors};
use crate::conversation::contains;
use crate::tables;
use hudhud_ports::{Order, Scan};
use hudhud_proto::limits::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use hudhud_proto::v1::{Content, Entry, EntryPage, Fetch, HeadRow, MemberRow, Span, entry};
use hudhud_proto::{ConversationId, ProtocolError, Seq};

pub(super) async fn fetch(api: &Api, caller: &Caller, fetch: Fetch) -> Result<EntryPage, ProtocolError> {
    let conversation = ConversationId::from_slice(&fetch.conversation)?;
    let (head, member) = own_rows(api, caller, conversation).await?;
    let limit = match fetch.limit {
        0 => PAGE_ENTRIES_MAX,
        limit => limit.min(PAGE_ENTRIES_MAX),
    };
    let order = if fetch.backward { Order::Descending } else { Order::Ascending };
    let from = match (fetch.backward, fetch.from_seq) {
        (true, 0) => head.seq,
        (true, seq) => seq.min(head.seq),
        (false, seq) => seq.max(1),
    };
    let mut page = Page { entries: Vec::new(), bytes: 0, limit: limit as usize };
    let mut ranges = visible(&member.visible, &head.lost, (Seq(from), Seq(head.seq)), order).into_iter();
    let mut more = false;
    for (first, last) in ranges.by_ref() {
        more = read_range(api, conversation, (first, last), order, &mut page).await?;
        if more || page.is_full() {
            break;
        }
    }
    let more = more || ranges.next().is_some();
    let mut entries = page.entries;
    if fetch.backward {
        entries.reverse();
    }
    let head_seq = member.visible.last().map_or(0, |span| if span.to == 0 { head.seq } else { span.to });
    Ok(EntryPage { entries, more, head_seq })
}

/// The head and the caller's own row: who never was a member learns nothing.
async fn own_rows(
    api: &Api,
    caller: &Caller,
    conversation: ConversationId,
) -> Result<(HeadRow, MemberRow), ProtocolError> {
    let messages = &api.services.messages;
    // The head first: a member's row that is older than the head would show entries behind a removal.
    let head = messages.get(tables::head(conversation)).await.map_err(errors::from_port)?;
    let member = messages.get(tables::member(conversation, caller.account)).await.map_err(errors::from_port)?;
    let (Some(head), Some(member)) = (head, member) else {
        return Err(errors::not_found("conversation"));
    };
    Ok((tables::read(&head).map_err(errors::from_port)?, tables::read(&member).map_err(errors::from_port)?))
}

/// The ranges of seqs, both ends included, that lie in `spans` but not in `lost`, and at or behind `from` in the direction of
/// the walk.
fn visible(spans: &[Span], lost: &[Span], (from, head): (Seq, Seq), order: Order) -> Vec<(Seq, Seq)> {
    let ends = |span: &Span| (span.from, if span.to == 0 { head.0 } else { span.to.min(head.0) });
    let mut ranges: Vec<_> = spans
        .iter()
        .flat_map(|span| without(ends(span), lost))
        .map(|(first, last)| match order {
            Order::Ascending => (first.max(from.0), last),
            Order::Descending => (first, last.min(from.0)),
        })
        .filter(|(first, last)| first <= last)
        .map(|(first, last)| (Seq(first), Seq(last)))
        .collect();
    if order == Order::Descending {
        ranges.reverse();
    }
    debug_assert!(ranges.iter().all(|(first, _)| spans.iter().any(|span| contains(span, *first))));
    ranges
}

/// What is left of a range.
fn without((first, last): (u64, u64), lost: &[Span]) -> Vec<(u64, u64)> {
    let mut left = Vec::new();
    let mut rest = first;
    for gap in lost.iter().filter(|gap| gap.to >= first && gap.from <= last) {
        left.push((rest, gap.from - 1));
        rest = gap.to + 1;
    }
    left.push((rest, last));
    left.retain(|(first, last)| first <= last);
    left
}

struct Page {
    entries: Vec<Entry>,
    bytes: usize,
    limit: usize,
}

impl Page {
    fn is_full(&self) -> bool {
        self.entries.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }
}

/// Reads a range partition by partition until it ends or the page is full. Returns whether some of it is left.
async fn read_range(
    api: &Api,
    conversation: ConversationId,
    (mut first, mut last): (Seq, Seq),
    order: Order,
    page: &mut Page,
) -> Result<bool, ProtocolError> {
    while first <= last {
        let edge = if order == Order::Ascending { first } else { last };
        let (partition_first, partition_last) = tables::timeline_partition_span(edge);
        let scan = Scan {
            table: tables::TIMELINE,
            partition: tables::timeline_partition(conversation, edge),
            from: tables::seq_sort(first.max(partition_first)),
            to: Some(tables::seq_sort(last.min(partition_last))),
            order,
            limit: page.limit - page.entries.len(),
        };
        let rows = api.services.messages.scan(scan).await.map_err(errors::from_port)?;
        for row in rows {
            let entry: Entry = tables::read(&row).map_err(errors::from_port)?;
            match order {
                Order::Ascending => first = Seq(entry.seq + 1),
                Order::Descending => last = Seq(entry.seq.saturating_sub(1)),
            }
            page.bytes += payload_bytes(&entry);
            page.entries.push(entry);
            if page.is_full() {
                return Ok(first <= last);
            }
        }
        match order {
            Order::Ascending => first = Seq(partition_last.0 + 1),
            Order::Descending if partition_first.0 == 0 => return Ok(false),
            Order::Descending => last = Seq(partition_first.0 - 1),
        }
    }
    Ok(false)
}

fn payload_bytes(entry: &Entry) -> usize {
    match &entry.body {
        Some(entry::Body::Content(Content { payload, .. })) => payload.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spans: &[(u64, u64)], from: u64, order: Order, expected: &[(u64, u64)]) {
        let spans: Vec<_> = spans.iter().map(|&(from, to)| Span { from, to }).collect();
        let ranges: Vec<_> =
            visible(&spans, &[], (Seq(from), Seq(100)), order).iter().map(|(a, b)| (a.0, b.0)).collect();
        assert_eq!(ranges, expected);
    }

    #[test]
    fn what_was_lost_with_a_log_is_not_looked_for() {
        let lost = [Span { from: 10, to: 19 }, Span { from: 40, to: 49 }];
        assert_eq!(without((1, 100), &lost), [(1, 9), (20, 39), (50, 100)]);
        assert_eq!(without((15, 45), &lost), [(20, 39)]);
        assert_eq!(without((12, 18), &lost), []);
        assert_eq!(without((20, 39), &lost), [(20, 39)]);
    }

    #[test]
    fn only_the_time_of_membership_is_visible() {
        check(&[(1, 0)], 1, Order::Ascending, &[(1, 100)]);
        check(&[(1, 0)], 40, Order::Ascending, &[(40, 100)]);
        check(&[(1, 10), (30, 0)], 5, Order::Ascending, &[(5, 10), (30, 100)]);
        check(&[(1, 10), (30, 40)], 50, Order::Ascending, &[]);
        check(&[(1, 10), (30, 0)], 100, Order::Descending, &[(30, 100), (1, 10)]);
        check(&[(1, 10), (30, 0)], 20, Order::Descending, &[(1, 10)]);
        check(&[], 1, Order::Ascending, &[]);
    }
}
