//! Every limit of the protocol, named, with its unit. Limits of a server's own resources are in its configuration.

/// A frame of either encoding, and the body of an HTTP request.
pub const FRAME_BYTES_MAX: usize = 128 * 1024;
/// The payload of one message.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// The media type of a payload.
pub const CONTENT_TYPE_BYTES_MAX: usize = 127;
/// Entries in one page of a fetch.
pub const PAGE_ENTRIES_MAX: u32 = 200;
/// Bytes of payload in one page of a fetch, above which a page ends early (but holds one entry at least).
pub const PAGE_BYTES_MAX: usize = 512 * 1024;
/// Rows in one page of changes.
pub const PAGE_ROWS_MAX: usize = 500;
/// Members in one page of a list.
pub const PAGE_MEMBERS_MAX: usize = 256;
/// Accounts in one page of blocks or contacts.
pub const PAGE_ACCOUNTS_MAX: usize = 256;
/// Conversations in one inbox.
pub const INBOX_ROWS_MAX: usize = 10_000;
/// Unanswered sends of one connection.
pub const SENDS_IN_FLIGHT_MAX: usize = 256;
/// Sends that one append takes together.
pub const SEND_BATCH_MAX: usize = 64;
/// Members of a group.
pub const GROUP_MEMBERS_MAX: usize = 1_024;
/// The title of a group.
pub const TITLE_BYTES_MAX: usize = 128;
/// A device's name, a token's label, a display name, a contact's alias, a client's name.
pub const NAME_BYTES_MAX: usize = 64;
/// The shortest password.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// The longest password.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Devices of one account.
pub const DEVICES_MAX: usize = 16;
/// Tokens of one account.
pub const TOKENS_MAX: usize = 64;
/// Accounts that one account blocks.
pub const BLOCKS_MAX: usize = 5_000;
/// Contacts of one account.
pub const CONTACTS_MAX: usize = 10_000;
/// Open invites of one group.
pub const INVITES_MAX: usize = 32;
/// Accounts whose presence one connection watches.
pub const WATCHED_MAX: usize = 64;
/// Seconds that an invite lives unless it says otherwise.
pub const INVITE_VALID_S_DEFAULT: u64 = 7 * 24 * 3_600;
/// The longest life of an invite, in seconds.
pub const INVITE_VALID_S_MAX: u64 = 365 * 24 * 3_600;
/// The longest life of a token that is asked for, in seconds: ten years.
pub const TOKEN_VALID_S_MAX: u64 = 10 * 365 * 24 * 3_600;
/// How long "somebody types" lasts, in milliseconds.
pub const TYPING_MS: u64 = 10_000;
/// How long a watch of presences lasts unless it is repeated, in milliseconds.
pub const WATCH_MS: u64 = 120_000;
/// Spans that a member's row keeps: each leave and return makes one; the oldest goes first.
pub const MEMBER_SPANS_MAX: usize = 16;
/// How far the seq jumps with each new epoch of the bus: beyond every seq that the lost tail can have used.
pub const EPOCH_SEQ_JUMP: u64 = 1 << 20;
/// Entries that one report names, and messages that it holds.
pub const REPORT_ENTRIES_MAX: usize = 32;
/// What a reporter has to say.
pub const REPORT_TEXT_BYTES_MAX: usize = 2 * 1024;
/// All that a report holds of messages.
pub const REPORT_CONTENT_BYTES_MAX: usize = 64 * 1024;
/// Why operators did something: closed a conversation, suspended an account, resolved a report.
pub const REASON_BYTES_MAX: usize = 256;
