//! Every table of the two databases: partition, sort key, value, version.
//!
//! This is the whole schema. Each access of the roles is one read of one partition or one versioned write, which is what a
//! replicated, hash-sharded, leaderless database does well. `docs/tables.md` holds the same on paper for Cassandra.
//!
//! Numbers in keys are big-endian, so that bytes sort as numbers. "time" is microseconds since the Unix epoch.

use bytes::{BufMut, Bytes, BytesMut};
use hudhud_ports::{Compaction, Consistency, Database, Key, Row, Table, Tuning, Write};
use hudhud_proto::{AccountId, ConversationId, DeviceId, Handle, Message, MessageId, Seq, TokenId};
use std::time::Duration;

const DAY_S: u64 = 24 * 3_600;
/// A day of message ids, in milliseconds.
pub const DAY_MS: u64 = DAY_S * 1_000;
/// How long a report is kept, in days: since it was made, or since it was resolved.
pub const REPORT_DAYS: u64 = 90;
/// Sequence numbers in one partition of a timeline: bounds a partition to some MiB.
const TIMELINE_PARTITION_SEQS: u64 = 4_096;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $database:ident, $ttl:expr, $compaction:ident, $consistency:ident;)*) => {
        $($(#[$doc])* pub const $name: &Table = &Table {
            name: $text,
            database: Database::$database,
            ttl: $ttl,
            tuning: Tuning { compaction: Compaction::$compaction, consistency: Consistency::$consistency },
        };)*

        /// Every table.
        pub const ALL: &[&Table] = &[$($name),*];
    };
}

tables! {
    /// (conversation, day of the message id) → message id, `a` → `AcceptedRow`; version: time of acceptance.
    /// The same → message id, `s` → `SequencedRow`; version: position.
    ACCEPTED = "accepted", Messages, Some(Duration::from_secs(7 * DAY_S)), WrittenOnce, Region;
    /// (conversation, seq / 4,096) → seq → `Entry`; version: position.
    TIMELINE = "timeline", Messages, None, WrittenOnce, Region;
    /// conversation → `h` → `HeadRow`; version: position.
    /// conversation → `m`, account → `MemberRow`; version: position. In one partition with the head, so that a change of
    /// members and the head that counts it are one atomic write, and a replay never sees one without the other.
    CONVERSATION = "conversation", Messages, None, Mixed, Region;
    /// conversation → account, received or read → `SeqRow`; version: the seq, which makes it a maximum without a read.
    WATERMARKS = "watermarks", Messages, None, Overwritten, Region;

    /// account → conversation, `h` → `InboxHeadRow`; version: position.
    /// account → conversation, `p` → `PreferencesRow`; version: time.
    /// account → conversation, `r` → `SeqRow`, how far the account has read; version: the seq.
    INBOX = "inbox", Directory, None, Mixed, Region;
    /// account → device, conversation → `SeqRow`, stored on the device; version: the seq.
    CURSORS = "cursors", Directory, None, Overwritten, Region;
    /// account → device → `SessionRow`; version: time of connection or of its last change, even; odd once
    /// it has ended, which does not delete it.
    SESSIONS = "sessions", Directory, None, Mixed, Region;
    /// gateway → `lease` → `LeaseRow`; version: time.
    GATEWAYS = "gateways", Directory, None, Mixed, Region;
    /// account → `account` → `AccountRow`; version: time.
    /// account → `password` → `PasswordRow`; version: time.
    /// account → `used`, time of the password → `PasswordUsedRow`; claimed.
    /// account → `standing` → `StandingRow`; version: time.
    ACCOUNTS = "accounts", Directory, None, ReadMostly, Region;
    /// handle → `account` → `HandleRow`; claimed.
    HANDLES = "handles", Directory, None, ReadMostly, World;
    /// account → device → `DeviceRow`; version: time.
    DEVICES = "devices", Directory, None, ReadMostly, Region;
    /// hash of the token → `token` → `TokenRow`; version: time.
    TOKENS = "tokens", Directory, None, ReadMostly, Region;
    /// account → token id → `TokenInfoRow`; version: time.
    ACCOUNT_TOKENS = "account_tokens", Directory, None, ReadMostly, Region;
    /// account → `privacy` → `PrivacyRow`; version: time.
    PRIVACY = "privacy", Directory, None, ReadMostly, Region;
    /// account → blocked account → `BlockRow`; version: time.
    BLOCKS = "blocks", Directory, None, ReadMostly, Region;
    /// account → contact → `ContactRow`; version: time.
    CONTACTS = "contacts", Directory, None, ReadMostly, Region;
    /// account → `last_seen` → `LastSeenRow`; version: time.
    LAST_SEEN = "last_seen", Directory, None, Overwritten, Region;
    /// code → `invite` → `InviteRow`; version: time.
    INVITES = "invites", Directory, None, ReadMostly, Region;
    /// conversation → code → `InviteRow`; version: time.
    CONVERSATION_INVITES = "conversation_invites", Directory, None, ReadMostly, Region;
    /// code → `invite` → `RegistrationInviteRow`; version: time. Used up by a claim of (code, `used`).
    REGISTRATION_INVITES = "registration_invites", Directory, None, ReadMostly, World;

    /// first byte of the account → account → `ListedRow`; version: time. Every account, for operators: 256 partitions.
    ROSTER = "roster", Directory, None, ReadMostly, Region;
    /// first byte of the code → code → `ListedRow`; version: time. Every invite to the server, likewise: 64 partitions.
    SERVER_INVITES = "server_invites", Directory, None, ReadMostly, Region;
    /// `all` → hash of the token → `AdminTokenRow`; version: time.
    ADMIN_TOKENS = "admin_tokens", Directory, None, ReadMostly, Region;
    /// day → report → `ReportRow`; version: time.
    REPORTS = "reports", Directory, Some(Duration::from_secs(REPORT_DAYS * DAY_S)), WrittenOnce, Region;
}

/// A row of [`ACCEPTED`], as it was accepted.
pub fn accepted(conversation: ConversationId, message: MessageId) -> Key {
    accepted_part(conversation, message, b'a')
}

/// A row of [`ACCEPTED`], as it was sequenced. A sort key of its own: its versions are positions.
pub fn sequenced(conversation: ConversationId, message: MessageId) -> Key {
    accepted_part(conversation, message, b's')
}

fn accepted_part(conversation: ConversationId, message: MessageId, part: u8) -> Key {
    let partition = accepted_partition(conversation, message.unix_ms().unwrap_or(0));
    Key { table: ACCEPTED, partition, sort: join(message.as_bytes(), &[part]) }
}

/// The partition of [`ACCEPTED`] that holds the message ids of the day of this time, in milliseconds since the Unix epoch.
pub fn accepted_partition(conversation: ConversationId, unix_ms: u64) -> Bytes {
    let mut partition = BytesMut::with_capacity(20);
    partition.put_slice(conversation.as_bytes());
    partition.put_u32(u32::try_from(unix_ms / DAY_MS).unwrap_or(u32::MAX));
    partition.freeze()
}

/// What a sort key of [`ACCEPTED`] names: a message, as it was accepted or as it was decided.
pub fn accepted_sort(sort: &[u8]) -> Option<(MessageId, AcceptedPart)> {
    let (part, message) = sort.split_last()?;
    let part = match part {
        b'a' => AcceptedPart::Accepted,
        b's' => AcceptedPart::Sequenced,
        _ => return None,
    };
    Some((MessageId::from_slice(message).ok()?, part))
}

/// Which of the two rows of a message in [`ACCEPTED`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcceptedPart {
    /// As it was accepted.
    Accepted,
    /// As it was decided.
    Sequenced,
}

/// The partition of [`TIMELINE`] that holds a seq.
pub fn timeline_partition(conversation: ConversationId, seq: Seq) -> Bytes {
    join(conversation.as_bytes(), &(seq.0 / TIMELINE_PARTITION_SEQS).to_be_bytes())
}

/// The seqs that are in the same partition of [`TIMELINE`] as this one, first and last.
pub fn timeline_partition_span(seq: Seq) -> (Seq, Seq) {
    let first = seq.0 / TIMELINE_PARTITION_SEQS * TIMELINE_PARTITION_SEQS;
    (Seq(first), Seq(first + (TIMELINE_PARTITION_SEQS - 1)))
}

/// The sort key of a seq.
pub fn seq_sort(seq: Seq) -> Bytes {
    Bytes::copy_from_slice(&seq.0.to_be_bytes())
}

/// A row of [`TIMELINE`].
pub fn timeline(conversation: ConversationId, seq: Seq) -> Key {
    Key { table: TIMELINE, partition: timeline_partition(conversation, seq), sort: seq_sort(seq) }
}

/// The head's row of [`CONVERSATION`].
pub fn head(conversation: ConversationId) -> Key {
    single(CONVERSATION, conversation.as_bytes(), "h")
}

/// A member's row of [`CONVERSATION`].
pub fn member(conversation: ConversationId, account: AccountId) -> Key {
    Key { table: CONVERSATION, partition: conversation.to_bytes(), sort: join(b"m", account.as_bytes()) }
}

/// What a sort key of [`CONVERSATION`] names: the head (`None`) or a member.
pub fn conversation_sort(sort: &[u8]) -> Option<Option<AccountId>> {
    match sort.split_first()? {
        (b'h', []) => Some(None),
        (b'm', account) => Some(Some(AccountId::from_slice(account).ok()?)),
        _ => None,
    }
}

/// Which watermark of a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Watermark {
    /// Stored on one of the member's devices.
    Received,
    /// Seen by the member.
    Read,
}

/// A row of [`WATERMARKS`].
pub fn watermark(conversation: ConversationId, account: AccountId, which: Watermark) -> Key {
    let mark = match which {
        Watermark::Received => b'd',
        Watermark::Read => b'r',
    };
    Key { table: WATERMARKS, partition: conversation.to_bytes(), sort: join(account.as_bytes(), &[mark]) }
}

/// The account and the kind that a sort key of [`WATERMARKS`] names.
pub fn watermark_sort(sort: &[u8]) -> Option<(AccountId, Watermark)> {
    let (account, mark) = sort.split_at_checked(16)?;
    let which = match mark {
        b"d" => Watermark::Received,
        b"r" => Watermark::Read,
        _ => return None,
    };
    Some((AccountId::from_slice(account).ok()?, which))
}

/// What a row of [`INBOX`] holds of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum InboxPart {
    /// `InboxHeadRow`.
    Head,
    /// `PreferencesRow`.
    Preferences,
    /// `SeqRow`.
    Read,
}

/// A row of [`INBOX`].
pub fn inbox(account: AccountId, conversation: ConversationId, part: InboxPart) -> Key {
    let part = match part {
        InboxPart::Head => b'h',
        InboxPart::Preferences => b'p',
        InboxPart::Read => b'r',
    };
    Key { table: INBOX, partition: account.to_bytes(), sort: join(conversation.as_bytes(), &[part]) }
}

/// The conversation and the part that a sort key of [`INBOX`] names.
pub fn inbox_sort(sort: &[u8]) -> Option<(ConversationId, InboxPart)> {
    let (conversation, part) = sort.split_at_checked(16)?;
    let part = match part {
        b"h" => InboxPart::Head,
        b"p" => InboxPart::Preferences,
        b"r" => InboxPart::Read,
        _ => return None,
    };
    Some((ConversationId::from_slice(conversation).ok()?, part))
}

/// A row of [`CURSORS`].
pub fn cursor(account: AccountId, device: DeviceId, conversation: ConversationId) -> Key {
    Key { table: CURSORS, partition: account.to_bytes(), sort: join(device.as_bytes(), conversation.as_bytes()) }
}

/// A row of [`SESSIONS`].
pub fn session(account: AccountId, device: DeviceId) -> Key {
    Key { table: SESSIONS, partition: account.to_bytes(), sort: device.to_bytes() }
}

/// A row of [`GATEWAYS`].
pub fn lease(gateway: &str) -> Key {
    single(GATEWAYS, gateway.as_bytes(), "lease")
}

/// A row of [`ACCOUNTS`].
pub fn account(account: AccountId) -> Key {
    single(ACCOUNTS, account.as_bytes(), "account")
}

/// The row of [`ACCOUNTS`] that holds the password's hash.
pub fn password(account: AccountId) -> Key {
    single(ACCOUNTS, account.as_bytes(), "password")
}

/// The row of [`ACCOUNTS`] whose claim uses up a password for one log-in.
pub fn password_used(account: AccountId, changed_us: u64) -> Key {
    Key { table: ACCOUNTS, partition: account.to_bytes(), sort: join(b"used", &changed_us.to_be_bytes()) }
}

/// The row of [`ACCOUNTS`] that holds what operators decided of it.
pub fn standing(account: AccountId) -> Key {
    single(ACCOUNTS, account.as_bytes(), "standing")
}

/// A row of [`ROSTER`].
pub fn roster(account: AccountId) -> Key {
    Key { table: ROSTER, partition: first_byte(account.as_bytes()), sort: account.to_bytes() }
}

/// A row of [`SERVER_INVITES`].
pub fn server_invite(code: &str) -> Key {
    Key { table: SERVER_INVITES, partition: first_byte(code.as_bytes()), sort: Bytes::copy_from_slice(code.as_bytes()) }
}

/// The partition of [`ADMIN_TOKENS`].
pub const ADMIN_TOKENS_PARTITION: &[u8] = b"all";

/// A row of [`ADMIN_TOKENS`].
pub fn admin_token(hash: &[u8; 32]) -> Key {
    Key {
        table: ADMIN_TOKENS,
        partition: Bytes::from_static(ADMIN_TOKENS_PARTITION),
        sort: Bytes::copy_from_slice(hash),
    }
}

/// The partition of [`REPORTS`] of a time, in milliseconds since the Unix epoch.
pub fn reports_partition(unix_ms: u64) -> Bytes {
    let day = u32::try_from(unix_ms / DAY_MS).unwrap_or(u32::MAX);
    Bytes::copy_from_slice(&day.to_be_bytes())
}

/// A row of [`REPORTS`]. Its id is a UUIDv7.
pub fn report(report: MessageId) -> Key {
    let partition = reports_partition(report.unix_ms().unwrap_or(0));
    Key { table: REPORTS, partition, sort: report.to_bytes() }
}

/// A row of [`HANDLES`].
pub fn handle(handle: &Handle) -> Key {
    single(HANDLES, handle.as_str().as_bytes(), "account")
}

/// A row of [`DEVICES`].
pub fn device(account: AccountId, device: DeviceId) -> Key {
    Key { table: DEVICES, partition: account.to_bytes(), sort: device.to_bytes() }
}

/// A row of [`TOKENS`].
pub fn token(hash: &[u8; 32]) -> Key {
    single(TOKENS, hash, "token")
}

/// A row of [`ACCOUNT_TOKENS`].
pub fn account_token(account: AccountId, token: TokenId) -> Key {
    Key { table: ACCOUNT_TOKENS, partition: account.to_bytes(), sort: token.to_bytes() }
}

/// A row of [`PRIVACY`].
pub fn privacy(account: AccountId) -> Key {
    single(PRIVACY, account.as_bytes(), "privacy")
}

/// A row of [`BLOCKS`].
pub fn block(account: AccountId, blocked: AccountId) -> Key {
    Key { table: BLOCKS, partition: account.to_bytes(), sort: blocked.to_bytes() }
}

/// A row of [`CONTACTS`].
pub fn contact(account: AccountId, contact: AccountId) -> Key {
    Key { table: CONTACTS, partition: account.to_bytes(), sort: contact.to_bytes() }
}

/// A row of [`LAST_SEEN`].
pub fn last_seen(account: AccountId) -> Key {
    single(LAST_SEEN, account.as_bytes(), "last_seen")
}

/// A row of [`INVITES`].
pub fn invite(code: &str) -> Key {
    single(INVITES, code.as_bytes(), "invite")
}

/// A row of [`CONVERSATION_INVITES`].
pub fn conversation_invite(conversation: ConversationId, code: &str) -> Key {
    Key {
        table: CONVERSATION_INVITES,
        partition: conversation.to_bytes(),
        sort: Bytes::copy_from_slice(code.as_bytes()),
    }
}

/// A row of [`REGISTRATION_INVITES`].
pub fn registration_invite(code: &str) -> Key {
    single(REGISTRATION_INVITES, code.as_bytes(), "invite")
}

/// The row whose claim uses a registration invite up.
pub fn registration_invite_used(code: &str) -> Key {
    single(REGISTRATION_INVITES, code.as_bytes(), "used")
}

/// A write of a message into a row.
pub fn put(key: Key, value: &impl Message, version: u64) -> Write {
    Write { key, value: Some(value.encode_to_bytes()), version }
}

/// A deletion of a row.
pub fn delete(key: Key, version: u64) -> Write {
    Write { key, value: None, version }
}

/// The message in a row's value.
pub fn read<M: Message>(row: &Row) -> hudhud_ports::Result<M> {
    M::decode_from_slice(&row.value)
        .map_err(|error| hudhud_ports::Error::new(hudhud_ports::ErrorKind::Corrupt, "tables", "decode").because(error))
}

fn single(table: &'static Table, partition: &[u8], sort: &'static str) -> Key {
    Key { table, partition: Bytes::copy_from_slice(partition), sort: Bytes::from_static(sort.as_bytes()) }
}

fn first_byte(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&bytes[..bytes.len().min(1)])
}

fn join(head: &[u8], tail: &[u8]) -> Bytes {
    let mut joined = BytesMut::with_capacity(head.len() + tail.len());
    joined.put_slice(head);
    joined.put_slice(tail);
    joined.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_plain() {
        let mut names: Vec<_> = ALL.iter().map(|table| table.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())));
    }

    #[test]
    fn keys_sort_as_their_numbers() {
        assert!(seq_sort(Seq(255)) < seq_sort(Seq(256)));
        let conversation = ConversationId::new([9; 16]);
        assert!(timeline(conversation, Seq(4_095)).partition < timeline(conversation, Seq(4_096)).partition);
        assert_eq!(timeline_partition_span(Seq(5_000)), (Seq(4_096), Seq(8_191)));
    }

    #[test]
    fn sort_keys_are_read_back() {
        let (account, conversation) = (AccountId::new([3; 16]), ConversationId::new([4; 16]));
        for which in [Watermark::Received, Watermark::Read] {
            let key = watermark(conversation, account, which);
            assert_eq!(watermark_sort(&key.sort), Some((account, which)));
        }
        for part in [InboxPart::Head, InboxPart::Preferences, InboxPart::Read] {
            assert_eq!(inbox_sort(&inbox(account, conversation, part).sort), Some((conversation, part)));
        }
        assert_eq!(inbox_sort(b"short"), None);
    }
}
