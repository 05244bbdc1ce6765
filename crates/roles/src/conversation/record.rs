//! Records of the bus, as types that cannot be wrong.

use hudhud_proto::v1::{self, ReceiptKind, record, submit};
use hudhud_proto::{AccountId, ConversationId, DeviceId, IdError, Message, MessageId, Seq};

/// A record that asks for an entry.
#[derive(Clone, PartialEq, Debug)]
pub struct Submission {
    /// Who.
    pub account: AccountId,
    /// On which device.
    pub device: DeviceId,
    /// When an api accepted it, in microseconds since the Unix epoch.
    pub accepted_us: u64,
    /// Its idempotency id.
    pub message: MessageId,
    /// It says that it may be a repetition.
    pub resend: bool,
    /// The two accounts of a direct chat.
    pub direct: Option<(AccountId, AccountId)>,
    /// What the entry shall hold.
    pub body: submit::Body,
}

impl Submission {
    /// Sixteen bytes that two bodies share only if they are the same.
    pub fn body_hash(&self) -> [u8; 16] {
        let body = v1::Submit { body: Some(self.body.clone()), ..Default::default() };
        let mut hash = [0; 16];
        hash.copy_from_slice(&blake3::hash(&body.encode_to_vec()).as_bytes()[..16]);
        hash
    }
}

/// A record that says that a watermark moved.
#[derive(Clone, PartialEq, Debug)]
pub struct Moved {
    /// Whose.
    pub account: AccountId,
    /// The device that said so.
    pub device: DeviceId,
    /// Which of the two.
    pub kind: ReceiptKind,
    /// To where.
    pub seq: Seq,
    /// When the device said so, in microseconds since the Unix epoch.
    pub moved_us: u64,
    /// Nobody but the account's own devices may learn it.
    pub own_devices_only: bool,
}

/// A record of the bus.
#[derive(Clone, PartialEq, Debug)]
pub enum Decoded {
    /// See there.
    Submission(Submission),
    /// See there.
    Moved(Moved),
}

/// Bytes on the bus that no api of any version wrote.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not protobuf of the schema.
    #[error("not a record: {0}")]
    Protobuf(#[from] hudhud_proto::DecodeError),
    /// An id has the wrong length.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A field that every record of its kind has is missing.
    #[error("the record has no {0}")]
    Missing(&'static str),
}

/// Reads a record.
pub fn decode(bytes: &[u8]) -> Result<(ConversationId, Decoded), RecordError> {
    let record = v1::Record::decode_from_slice(bytes)?;
    let conversation = ConversationId::from_slice(&record.conversation)?;
    let account = AccountId::from_slice(&record.account)?;
    let device = DeviceId::from_slice(&record.device)?;
    let decoded = match record.body.ok_or(RecordError::Missing("body"))? {
        record::Body::Submit(submit) => {
            let direct = match submit.direct_accounts.as_slice() {
                [one, other] => Some((AccountId::from_slice(one)?, AccountId::from_slice(other)?)),
                _ => None,
            };
            Decoded::Submission(Submission {
                account,
                device,
                accepted_us: record.accepted_us,
                message: MessageId::from_slice(&submit.message_id)?,
                resend: submit.resend,
                direct,
                body: submit.body.ok_or(RecordError::Missing("body of the entry"))?,
            })
        }
        record::Body::Watermark(moved) => Decoded::Moved(Moved {
            account,
            device,
            kind: moved.kind.as_known().ok_or(RecordError::Missing("known kind of receipt"))?,
            seq: Seq(moved.seq),
            moved_us: record.accepted_us,
            own_devices_only: moved.own_devices_only,
        }),
    };
    Ok((conversation, decoded))
}
