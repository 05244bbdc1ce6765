//! Sending: verify, store, append; then the message is safe and the sender gets its first tick.

use super::{Api, Caller, errors, membership, profiles};
use crate::conversation::{Conversation, policy};
use crate::tables;
use bytes::Bytes;
use futures_util::future::try_join;
use hudhud_ports::ErrorKind;
use hudhud_proto::limits::{CONTENT_TYPE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use hudhud_proto::v1::{Accepted, AcceptedRow, Content, ErrorCode, Record, Send, Submit, record, submit};
use hudhud_proto::{AccountId, ConversationId, Message, MessageId, ProtocolError, Shard};

/// How old a message may be when it is sent first, in milliseconds: its device was offline.
const MESSAGE_AGE_MS_MAX: u64 = 90 * 24 * 3_600 * 1_000;
/// How far ahead of the server's clock a message id may be, in milliseconds.
const MESSAGE_AHEAD_MS_MAX: u64 = 24 * 3_600 * 1_000;

/// Where a message goes.
struct Destination {
    conversation: ConversationId,
    /// Both accounts, where the conversation is a direct chat.
    direct: Option<(AccountId, AccountId)>,
}

pub(super) async fn send_one(api: &Api, caller: &Caller, send: Send) -> Result<Accepted, ProtocolError> {
    let answers = self::send(api, caller, vec![send]).await;
    answers.into_iter().next().expect("one answer per message")
}

/// Sends messages to one conversation in their order. What a rule forbids is answered for itself; what an engine can't do now
/// is answered for that message and all behind it.
pub(super) async fn send(api: &Api, caller: &Caller, sends: Vec<Send>) -> Vec<Result<Accepted, ProtocolError>> {
    let count = sends.len();
    let verified = match verify_batch(api, caller, &sends).await {
        Ok(destination) => destination,
        Err(error) => return vec![Err(error); count],
    };
    let mut answers = Vec::with_capacity(count);
    let mut accepted = Vec::with_capacity(count);
    for send in sends {
        match verify(api, send) {
            Ok(submit) => {
                let message = submit.0;
                answers.push(Ok(message));
                accepted.push(submit);
            }
            Err(error) => answers.push(Err(error)),
        }
    }
    let submits = accepted
        .into_iter()
        .map(|(_, mut submit)| {
            if let Some((one, other)) = verified.direct {
                submit.direct_accounts = vec![one.to_bytes(), other.to_bytes()];
            }
            submit
        })
        .collect();
    let outcome = submit(api, caller, verified.conversation, submits).await;
    let mut times = outcome.map(Vec::into_iter);
    answers
        .into_iter()
        .map(|answer| {
            let message = answer?;
            match &mut times {
                Ok(times) => Ok(Accepted {
                    conversation: verified.conversation.to_bytes(),
                    message_id: message.to_bytes(),
                    accepted_us: times.next().expect("one time per accepted message"),
                }),
                Err(error) => Err(error.clone()),
            }
        })
        .collect()
}

/// Stores submissions and puts them on the bus, in order. Returns when each was accepted, in microseconds since the Unix
/// epoch, once all survive any crash.
pub(super) async fn submit(
    api: &Api,
    caller: &Caller,
    conversation: ConversationId,
    submits: Vec<Submit>,
) -> Result<Vec<u64>, ProtocolError> {
    if submits.is_empty() {
        return Ok(Vec::new());
    }
    let mut times = Vec::with_capacity(submits.len());
    let mut rows = Vec::with_capacity(submits.len());
    let mut records = Vec::with_capacity(submits.len());
    for submit in submits {
        let message = MessageId::from_slice(&submit.message_id)?;
        let accepted_us = api.acceptance_time_us();
        let record = Record {
            conversation: conversation.to_bytes(),
            account: caller.account.to_bytes(),
            device: caller.device.to_bytes(),
            accepted_us,
            body: Some(record::Body::Submit(submit)),
        };
        times.push(accepted_us);
        records.push(record.encode_to_bytes());
        let row = AcceptedRow { record: record.into() };
        rows.push(tables::put(tables::accepted(conversation, message), &row, accepted_us));
    }
    let limit = api.services.settings.call_timeout;
    // Flow 03: the message is stored. Nothing waits for the disk yet: the append below does, for all at once.
    let stored = api.services.runtime.timeout(limit, api.services.messages.write(rows)).await;
    stored.unwrap_or_else(|| Err(timed_out("store a message"))).map_err(errors::from_port)?;
    // Flow 04: it is on the bus. When this returns it survives any crash, and the sender gets its first tick.
    append(api, conversation, records).await?;
    api.services.metrics.accepted.inc_by(times.len() as u64);
    Ok(times)
}

/// Appends records of a conversation to its shard.
pub(super) async fn append(api: &Api, conversation: ConversationId, records: Vec<Bytes>) -> Result<(), ProtocolError> {
    let bus = &api.services.bus;
    let shard = Shard::of(conversation, bus.shards());
    let appended = api.services.runtime.timeout(api.services.settings.call_timeout, bus.append(shard, records)).await;
    appended.unwrap_or_else(|| Err(timed_out("append"))).map_err(errors::from_port)?;
    Ok(())
}

fn timed_out(op: &'static str) -> hudhud_ports::Error {
    hudhud_ports::Error::new(ErrorKind::Timeout, "api", op)
}

/// What all messages of a batch share: the caller's rate, and that it may write there.
async fn verify_batch(api: &Api, caller: &Caller, sends: &[Send]) -> Result<Destination, ProtocolError> {
    let first = sends.first().ok_or_else(|| ProtocolError::invalid("there is no message"))?;
    api.limiter.sends(caller, sends.len() as u32)?;
    let destination = match (first.conversation.as_ref(), first.direct_with.as_ref()) {
        ([], peer) => {
            let peer = AccountId::from_slice(peer)?;
            meet_peer(api, caller, peer).await?;
            return checked(api, caller, sends, direct(caller, peer));
        }
        (conversation, []) => existing(api, caller, ConversationId::from_slice(conversation)?).await?,
        _ => return Err(ProtocolError::invalid("give either `conversation` or `direct_with`, not both")),
    };
    if let Some((one, other)) = destination.direct {
        let peer = if one == caller.account { other } else { one };
        not_blocked_by(api, caller, peer).await?;
        takes_messages(api, caller, peer).await?;
    }
    checked(api, caller, sends, destination)
}

/// The destination, if it is that of all messages and takes so many more.
fn checked(api: &Api, caller: &Caller, sends: &[Send], destination: Destination) -> Result<Destination, ProtocolError> {
    let same = |send: &Send| destination_id(caller, send).is_ok_and(|id| id == destination.conversation);
    if !sends.iter().all(same) {
        return Err(ProtocolError::invalid("one batch goes to one conversation"));
    }
    api.limiter.conversation(destination.conversation, sends.len() as u32)?;
    Ok(destination)
}

/// The conversation that a message goes to.
fn destination_id(caller: &Caller, send: &Send) -> Result<ConversationId, ProtocolError> {
    match send.conversation.as_ref() {
        [] => Ok(ConversationId::direct(caller.account, AccountId::from_slice(&send.direct_with)?)),
        conversation => Ok(ConversationId::from_slice(conversation)?),
    }
}

fn direct(caller: &Caller, peer: AccountId) -> Destination {
    Destination { conversation: ConversationId::direct(caller.account, peer), direct: Some((caller.account, peer)) }
}

async fn existing(api: &Api, caller: &Caller, id: ConversationId) -> Result<Destination, ProtocolError> {
    let view = api.memberships.view(caller, id).await?;
    if let Some(peer) = view.peer(caller.account) {
        return Ok(direct(caller, peer));
    }
    let content = submit::Body::Content(Content::default());
    if let Err(refused) = policy::check(&view, caller.account, &content) {
        // The view may be old: ask the database before saying no.
        let view: std::sync::Arc<Conversation> = api.memberships.fresh(id).await?;
        policy::check(&view, caller.account, &content).map_err(|_| refused)?;
    }
    Ok(Destination { conversation: id, direct: None })
}

/// That the caller may write to an account that it names. Its own block is told first, which says nothing about the other
/// one and draws no look-up: an outbox with messages to somebody who was blocked since empties at once.
pub(super) async fn meet_peer(api: &Api, caller: &Caller, peer: AccountId) -> Result<(), ProtocolError> {
    not_blocked_by(api, caller, peer).await?;
    profiles::meet(api, caller, peer).await?;
    takes_messages(api, caller, peer).await
}

/// That the caller does not block an account itself.
pub(super) async fn not_blocked_by(api: &Api, caller: &Caller, peer: AccountId) -> Result<(), ProtocolError> {
    match membership::blocks(&api.services, caller.account, peer).await? {
        true => Err(ProtocolError::new(ErrorCode::BlockedByYou, "you blocked this account: unblock it first")),
        false => Ok(()),
    }
}

/// Absent, hidden and blocking accounts answer alike and cost alike.
async fn takes_messages(api: &Api, caller: &Caller, peer: AccountId) -> Result<(), ProtocolError> {
    let account = api.services.directory.get(tables::account(peer));
    let exists = async { Ok(account.await.map_err(errors::from_port)?.is_some()) };
    let (exists, blocks) = try_join(exists, membership::blocks(&api.services, peer, caller.account)).await?;
    match exists && !blocks {
        true => Ok(()),
        false => {
            Err(ProtocolError::new(ErrorCode::RecipientUnavailable, "this account does not take messages from you"))
        }
    }
}

/// What a message must fulfil for itself.
fn verify(api: &Api, send: Send) -> Result<(MessageId, Submit), ProtocolError> {
    let message = verify_message_id(api, &send.message_id)?;
    let content = send.content.into_option().ok_or_else(|| ProtocolError::invalid("the message has no content"))?;
    let content_type = &content.content_type;
    if content_type.is_empty() || content_type.len() > CONTENT_TYPE_BYTES_MAX || !content_type.is_ascii() {
        return Err(ProtocolError::invalid(format!(
            "content_type must be a media type of 1 to {CONTENT_TYPE_BYTES_MAX} ASCII bytes, such as text/plain"
        )));
    }
    if content.payload.is_empty() || content.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(ProtocolError::invalid(format!("a payload has 1 to {PAYLOAD_BYTES_MAX} bytes")));
    }
    let submit = Submit {
        message_id: message.to_bytes(),
        resend: send.resend,
        body: Some(submit::Body::Content(content)),
        ..Default::default()
    };
    Ok((message, submit))
}

/// A message id is a UUIDv7 of about now.
pub(super) fn verify_message_id(api: &Api, bytes: &[u8]) -> Result<MessageId, ProtocolError> {
    let message = MessageId::from_slice(bytes)?;
    let made_ms = message
        .unix_ms()
        .ok_or_else(|| ProtocolError::invalid("message_id must be a UUIDv7 (RFC 9562), as 16 bytes"))?;
    let now_ms = api.services.now_us() / 1_000;
    match made_ms > now_ms + MESSAGE_AHEAD_MS_MAX || made_ms + MESSAGE_AGE_MS_MAX < now_ms {
        true => Err(ProtocolError::invalid(
            "message_id is more than 90 days old or a day ahead: correct the clock by Welcome.server_time_us",
        )),
        false => Ok(message),
    }
}
