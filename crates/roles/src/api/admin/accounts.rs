//! Accounts and their devices.

use super::{Ask, Page, on_behalf_of, page, reason, roster};
use crate::api::{Api, accounts, changes, devices, errors, rows, standing, tokens};
use crate::session::{Post, Recipient};
use crate::tables;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hudhud_ports::Payload;
use hudhud_proto::limits::{INBOX_ROWS_MAX, PAGE_ROWS_MAX};
use hudhud_proto::v1::{AccountRow, ErrorCode, HandleRow, InboxRow, LastSeenRow, PasswordRow, StandingRow};
use hudhud_proto::{AccountId, ConversationId, DeviceId, Handle, ProtocolError};
use serde::Serialize;
use std::time::Duration;

/// The random part of a password for one log-in: 120 bits.
const ONCE_BYTES: usize = 15;
/// How long such a password waits.
const ONCE_VALID: Duration = Duration::from_secs(24 * 3_600);
/// Accounts that are read at once.
const LOADS_AT_ONCE: usize = 32;

/// How an account stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Active,
    /// Nobody comes in.
    Suspended,
    /// What was of it is gone.
    Deleted,
}

/// An account as lists have it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its id.
    pub id: String,
    /// Empty where it logs in by a backend and chose none, or was deleted.
    pub handle: String,
    /// What others see.
    pub display_name: String,
    /// In microseconds since the Unix epoch.
    pub created_us: u64,
    /// How it stands.
    pub state: State,
    /// Why, in the words of an operator.
    pub reason: String,
    /// Since when it stands so; 0 where nothing was ever decided.
    pub since_us: u64,
}

/// All that operators see of an account.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// As lists have it.
    #[serde(flatten)]
    pub account: Account,
    /// When it was last seen, in microseconds since the Unix epoch; 0: never.
    pub last_seen_us: u64,
    /// Whether it logs in by a password, or by a trusted backend.
    pub has_password: bool,
    /// Its devices.
    pub devices: usize,
    /// Those that are connected now.
    pub connected_devices: usize,
    /// The conversations in its inbox.
    pub conversations: usize,
}

/// A device of an account.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its id.
    pub id: String,
    /// What its owner called it.
    pub name: String,
    /// When it logged in, in microseconds since the Unix epoch.
    pub created_us: u64,
    /// Whether it is connected now.
    pub connected: bool,
}

/// A conversation in an account's inbox.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// The conversation.
    pub conversation: String,
    /// `direct` or `group`.
    pub kind: &'static str,
    /// The last entry's number.
    pub head_seq: u64,
    /// When it was made, in microseconds since the Unix epoch.
    pub activity_us: u64,
}

/// A password for one log-in.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Once {
    /// Shown here and never again.
    pub password: String,
    /// Until when it logs in, in microseconds since the Unix epoch.
    pub expires_us: u64,
}

/// The account that somebody means: by its id, or by `@` and its handle.
pub async fn find(api: &Api, text: &str) -> Result<AccountId, ProtocolError> {
    let Some(handle) = text.strip_prefix('@') else {
        let wrong = |_| ProtocolError::invalid("an account is 22 characters of an id, or @ and a handle");
        return text.parse().map_err(wrong);
    };
    let handle: Handle = handle.parse()?;
    let row: Option<HandleRow> = rows::get(api, tables::handle(&handle)).await?;
    Ok(AccountId::from_slice(&row.ok_or_else(|| errors::not_found("account"))?.account)?)
}

/// All accounts, by their ids.
pub async fn list(api: &Api, ask: &Ask) -> Result<Page<Account>, ProtocolError> {
    let (limit, after) = (ask.limit()?, ask.after::<AccountId>()?);
    let after = after.as_ref().map(|after| &after.as_bytes()[..]);
    let found = roster::rows_after(api, tables::ROSTER, after, limit + 1).await?;
    let ids: Vec<AccountId> = found.iter().map(|row| AccountId::from_slice(&row.sort)).collect::<Result<_, _>>()?;
    let loaded = stream::iter(ids.iter().copied()).map(|id| load(api, id)).buffered(LOADS_AT_ONCE);
    // A row without an account is of a registration that broke off.
    let items: Vec<Account> = loaded.try_collect::<Vec<_>>().await?.into_iter().take(limit).flatten().collect();
    let next_cursor = (ids.len() > limit).then(|| ids[limit - 1].to_string());
    Ok(Page { items, next_cursor })
}

/// One account.
pub async fn show(api: &Api, id: AccountId) -> Result<Details, ProtocolError> {
    let account = load(api, id).await?.ok_or_else(|| errors::not_found("account"))?;
    let seen: Option<LastSeenRow> = rows::get(api, tables::last_seen(id)).await?;
    let devices = devices(api, id).await?;
    Ok(Details {
        account,
        last_seen_us: seen.map_or(0, |row| row.time_us),
        has_password: rows::get::<PasswordRow>(api, tables::password(id)).await?.is_some(),
        connected_devices: devices.iter().filter(|device| device.connected).count(),
        devices: devices.len(),
        conversations: inbox(api, id).await?.len(),
    })
}

/// Lets nobody in as this account any more, and closes its connections. It stays where it is: what others write waits.
pub async fn suspend(api: &Api, id: AccountId, why: &str) -> Result<(), ProtocolError> {
    let reason = reason(why)?;
    match existing(api, id).await?.state {
        State::Deleted => return Err(errors::not_found("account")),
        State::Suspended | State::Active => {}
    }
    let row = StandingRow { suspended: true, reason, since_us: api.services.now_us(), ..Default::default() };
    rows::replace(api, tables::standing(id), &row).await?;
    // After the row: whoever registers a connection from now on looks at it once more.
    api.sessions.deliver(vec![Post { payload: Payload::Suspended, to: vec![Recipient::Account(id)] }]).await;
    Ok(())
}

/// Lets it in again, with the tokens that it had.
pub async fn unsuspend(api: &Api, id: AccountId) -> Result<(), ProtocolError> {
    match existing(api, id).await?.state {
        State::Suspended => {
            let row = StandingRow { since_us: api.services.now_us(), ..Default::default() };
            rows::replace(api, tables::standing(id), &row).await
        }
        State::Active => Err(ProtocolError::new(ErrorCode::Conflict, "this account is not suspended")),
        State::Deleted => Err(errors::not_found("account")),
    }
}

/// Puts a password that logs in once in the place of the one that it had, and logs all its devices out.
pub async fn reset_password(api: &Api, id: AccountId) -> Result<Once, ProtocolError> {
    existing(api, id).await?;
    let Some(before) = rows::get::<PasswordRow>(api, tables::password(id)).await? else {
        let why = "this account has no password: a trusted backend logs it in, and resets what it has there";
        return Err(ProtocolError::new(ErrorCode::Conflict, why));
    };
    let password = URL_SAFE_NO_PAD.encode(api.services.runtime.random::<ONCE_BYTES>());
    let hash = api.passwords.hash(password.clone()).await?;
    let changed_us = api.services.now_us().max(before.changed_us.saturating_add(1));
    let once_until_us = changed_us.saturating_add(u64::try_from(ONCE_VALID.as_micros()).unwrap_or(u64::MAX));
    rows::replace(api, tables::password(id), &PasswordRow { hash, changed_us, once_until_us }).await?;
    tokens::revoke_where(api, id, |_| true).await?;
    Ok(Once { password, expires_us: once_until_us })
}

/// Its devices, oldest first.
pub async fn devices(api: &Api, id: AccountId) -> Result<Vec<Device>, ProtocolError> {
    existing(api, id).await?;
    let found = devices::list(api, &on_behalf_of(id)).await?.devices;
    let described = found.into_iter().map(|device| {
        Ok(Device {
            id: DeviceId::from_slice(&device.device)?.to_string(),
            name: device.name,
            created_us: device.created_us,
            connected: device.connected,
        })
    });
    described.collect()
}

/// Logs a device out: its tokens are revoked, its connection is closed.
pub async fn revoke_device(api: &Api, id: AccountId, device: DeviceId) -> Result<(), ProtocolError> {
    match devices::forget(api, id, device).await? {
        true => Ok(()),
        false => Err(errors::not_found("device")),
    }
}

/// The conversations in its inbox, by their ids.
pub async fn conversations(api: &Api, id: AccountId, ask: &Ask) -> Result<Page<Membership>, ProtocolError> {
    let (limit, after) = (ask.limit()?, ask.after::<ConversationId>()?);
    existing(api, id).await?;
    let mut rows = inbox(api, id).await?;
    rows.retain(|row| after.is_none_or(|after| row.conversation[..] > after.as_bytes()[..]));
    rows.truncate(limit + 1);
    let described = rows.into_iter().map(|row| {
        Ok(Membership {
            conversation: ConversationId::from_slice(&row.conversation)?.to_string(),
            kind: super::conversations::kind(row.kind.as_known().unwrap_or_default()),
            head_seq: row.head_seq,
            activity_us: row.activity_us,
        })
    });
    let items = described.collect::<Result<Vec<_>, ProtocolError>>()?;
    Ok(page(items, limit, |item| item.conversation.clone()))
}

/// The whole inbox.
pub(super) async fn inbox(api: &Api, id: AccountId) -> Result<Vec<InboxRow>, ProtocolError> {
    let (mut inbox, mut after) = (Vec::new(), None);
    for _ in 0..=INBOX_ROWS_MAX.div_ceil(PAGE_ROWS_MAX / 2 - 1) {
        let (rows, last) = changes::read(api, id, after).await?;
        inbox.extend(rows.into_iter().map(|(_, row)| row));
        after = last;
        if after.is_none() {
            break;
        }
    }
    Ok(inbox)
}

/// An account that is there, whatever was decided of it.
pub(super) async fn existing(api: &Api, id: AccountId) -> Result<Account, ProtocolError> {
    load(api, id).await?.ok_or_else(|| errors::not_found("account"))
}

async fn load(api: &Api, id: AccountId) -> Result<Option<Account>, ProtocolError> {
    let row: Option<AccountRow> = accounts::load(api, id).await?;
    let standing = standing::load(api, id).await?;
    if row.is_none() && standing.is_none() {
        return Ok(None);
    }
    let (row, standing) = (row.unwrap_or_default(), standing.unwrap_or_default());
    let state = match (standing.deleted, standing.suspended) {
        (true, _) => State::Deleted,
        (false, true) => State::Suspended,
        (false, false) => State::Active,
    };
    Ok(Some(Account {
        id: id.to_string(),
        handle: row.handle,
        display_name: row.display_name,
        created_us: row.created_us,
        state,
        reason: standing.reason,
        since_us: standing.since_us,
    }))
}
