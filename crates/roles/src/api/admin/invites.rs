//! Invites to the server.

use super::{Ask, Page, page, roster};
use crate::api::{Api, errors, registration, rows};
use crate::settings::Registration;
use crate::tables;
use bytes::Bytes;
use hudhud_proto::limits::INVITE_VALID_S_MAX;
use hudhud_proto::v1::{ErrorCode, RegistrationInviteRow};
use hudhud_proto::{AccountId, ProtocolError};
use serde::Serialize;
use std::time::Duration;

/// An invite for one person.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invite {
    /// Whoever has it may register.
    pub code: String,
    /// The account that made it; none where operators did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// In microseconds since the Unix epoch.
    pub expires_us: u64,
    /// The account that was made with it; none while nobody used it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
}

/// Makes an invite, which lives for so long or for 7 days.
pub async fn create(api: &Api, valid: Option<Duration>) -> Result<Invite, ProtocolError> {
    if api.services.settings.registration == Registration::Closed {
        let why = "registration is closed on this server: an invite would be of no use";
        return Err(ProtocolError::new(ErrorCode::Conflict, why));
    }
    let valid = valid.unwrap_or(registration::VALID);
    if valid.is_zero() || valid > Duration::from_secs(INVITE_VALID_S_MAX) {
        return Err(ProtocolError::invalid(format!("validS is 1 to {INVITE_VALID_S_MAX}, a year")));
    }
    let made = registration::make(&api.services, Bytes::new(), valid).await.map_err(errors::from_port)?;
    Ok(Invite { code: made.code, created_by: None, expires_us: made.expires_us, used_by: None })
}

/// The invites that have not expired, by their codes.
pub async fn list(api: &Api, ask: &Ask) -> Result<Page<Invite>, ProtocolError> {
    let (limit, now_us) = (ask.limit()?, api.services.now_us());
    let mut after = ask.cursor.clone().map(String::into_bytes);
    let mut items = Vec::new();
    while items.len() <= limit {
        let found = roster::rows_after(api, tables::SERVER_INVITES, after.as_deref(), limit + 1).await?;
        for row in &found {
            let code = String::from_utf8_lossy(&row.sort).into_owned();
            match load(api, &code).await?.filter(|invite| invite.expires_us > now_us) {
                Some(invite) => items.push(invite),
                None => drop(rows::remove(api, tables::server_invite(&code)).await?),
            }
        }
        match found.last() {
            Some(last) if found.len() > limit => after = Some(last.sort.to_vec()),
            _ => break,
        }
    }
    Ok(page(items, limit, |invite| invite.code.clone()))
}

/// Makes an invite worth nothing.
pub async fn revoke(api: &Api, code: &str) -> Result<(), ProtocolError> {
    let was_there = rows::remove(api, tables::registration_invite(code)).await?;
    rows::remove(api, tables::server_invite(code)).await?;
    match was_there {
        true => Ok(()),
        false => Err(errors::not_found("invite")),
    }
}

async fn load(api: &Api, code: &str) -> Result<Option<Invite>, ProtocolError> {
    let row: Option<RegistrationInviteRow> = rows::get(api, tables::registration_invite(code)).await?;
    let used: Option<RegistrationInviteRow> = rows::get(api, tables::registration_invite_used(code)).await?;
    let account = |bytes: &Bytes| AccountId::from_slice(bytes).ok().map(|id| id.to_string());
    Ok(row.map(|row| Invite {
        code: code.to_owned(),
        created_by: account(&row.created_by),
        expires_us: row.expires_us,
        used_by: used.and_then(|used| account(&used.created_by)),
    }))
}
