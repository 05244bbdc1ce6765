//! Tokens of operators: made like those of devices, kept apart from them, and never for ever.

use super::{Ask, Page, Scope, page};
use crate::api::{Api, errors, input, rows, tokens};
use crate::tables::{self, ADMIN_TOKENS_PARTITION};
use bytes::Bytes;
use hudhud_ports::{Error, ErrorKind, Scan};
use hudhud_proto::v1::{AdminTokenRow, ErrorCode};
use hudhud_proto::{ProtocolError, TokenId};
use serde::Serialize;
use std::time::Duration;

/// What an admin token begins with.
const PREFIX: &str = "hha_";
/// The longest life of an admin token.
pub const VALID_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Admin tokens of a server.
const TOKENS_MAX: usize = 1_000;

/// Whoever a token names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The token.
    pub token: TokenId,
    /// What it is for.
    pub scopes: Vec<Scope>,
}

/// A token as lists have it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Names it without being it.
    pub id: String,
    /// For people.
    pub label: String,
    /// What it is for.
    pub scopes: Vec<&'static str>,
    /// In microseconds since the Unix epoch.
    pub created_us: u64,
    /// Likewise.
    pub expires_us: u64,
    /// The token itself, in the answer that makes it and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl Holder {
    /// Whether this token is for that.
    pub fn may(&self, needed: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.covers(needed))
    }
}

/// Who holds this token. One read.
pub async fn authenticate(api: &Api, text: &str) -> Result<Holder, ProtocolError> {
    let hash = tokens::hash(PREFIX, text).ok_or_else(refused)?;
    let row: Option<AdminTokenRow> = rows::get(api, tables::admin_token(&hash)).await?;
    let row = row.filter(|row| row.expires_us > api.services.now_us()).ok_or_else(refused)?;
    Ok(Holder { token: TokenId::from_slice(&row.id)?, scopes: scopes(&row) })
}

/// Makes a token. `maker`: whose token asks for it, which can't give more than it has; none for whoever has the data.
pub async fn create(
    api: &Api,
    maker: Option<&Holder>,
    label: &str,
    scopes: &[Scope],
    valid: Duration,
) -> Result<Token, ProtocolError> {
    let label = input::name("label", label)?;
    if scopes.is_empty() {
        return Err(ProtocolError::invalid("scopes: a token is for something, such as accounts:read"));
    }
    if valid.is_zero() || valid > VALID_MAX {
        return Err(ProtocolError::invalid(format!(
            "validS is 1 to {}: tokens of operators expire",
            VALID_MAX.as_secs()
        )));
    }
    if let Some(beyond) = scopes.iter().find(|scope| maker.is_some_and(|maker| !maker.may(**scope))) {
        return Err(errors::forbidden(&format!("your own token is not for {beyond}: it can't make one that is")));
    }
    let now_us = api.services.now_us();
    let found = all(api).await?;
    let expired = found.iter().filter(|(_, row, _)| row.expires_us <= now_us);
    let mut writes: Vec<_> = expired
        .map(|(hash, _, version)| tables::delete(tables::admin_token(hash), version.saturating_add(2)))
        .collect();
    if found.len() - writes.len() >= TOKENS_MAX {
        return Err(ProtocolError::new(ErrorCode::Limit, format!("there are {TOKENS_MAX} tokens already: revoke one")));
    }
    let text = tokens::secret(PREFIX, &api.services.runtime);
    let hash = tokens::hash(PREFIX, &text).expect("a token has the form of a token");
    let mut scopes = scopes.to_vec();
    scopes.sort_unstable();
    scopes.dedup();
    let row = AdminTokenRow {
        id: TokenId::new(api.services.runtime.random()).to_bytes(),
        label,
        scopes: scopes.iter().map(Scope::to_string).collect(),
        created_us: now_us,
        expires_us: now_us.saturating_add(u64::try_from(valid.as_micros()).unwrap_or(u64::MAX)),
    };
    writes.push(tables::put(tables::admin_token(&hash), &row, now_us));
    api.services.write_directory_durably(writes).await.map_err(errors::from_port)?;
    Ok(Token { token: Some(text), ..described(&row)? })
}

/// The tokens that are valid, by their ids.
pub async fn list(api: &Api, ask: &Ask) -> Result<Page<Token>, ProtocolError> {
    let (limit, after) = (ask.limit()?, ask.after::<TokenId>()?.map(|id| id.to_string()));
    let now_us = api.services.now_us();
    let valid = all(api).await?.into_iter().filter(|(_, row, _)| row.expires_us > now_us);
    let mut tokens = valid.map(|(_, row, _)| described(&row)).collect::<Result<Vec<_>, _>>()?;
    tokens.sort_by(|one, other| one.id.cmp(&other.id));
    tokens.retain(|token| after.as_ref().is_none_or(|after| token.id > *after));
    tokens.truncate(limit + 1);
    Ok(page(tokens, limit, |token| token.id.clone()))
}

/// Revokes a token: whoever holds it is refused from then on.
pub async fn revoke(api: &Api, id: TokenId) -> Result<(), ProtocolError> {
    let found = all(api).await?.into_iter().find(|(_, row, _)| row.id == id.as_bytes()[..]);
    let (hash, ..) = found.ok_or_else(|| errors::not_found("token"))?;
    match rows::remove(api, tables::admin_token(&hash)).await? {
        true => Ok(()),
        false => Err(errors::not_found("token")),
    }
}

/// Every token, expired or not: by its hash, with its version.
async fn all(api: &Api) -> Result<Vec<([u8; 32], AdminTokenRow, u64)>, ProtocolError> {
    let scan = Scan::all(tables::ADMIN_TOKENS, Bytes::from_static(ADMIN_TOKENS_PARTITION), 2 * TOKENS_MAX);
    let found = api.services.directory.scan(scan).await.map_err(errors::from_port)?;
    let mut tokens = Vec::with_capacity(found.len());
    for row in &found {
        let (token, version) = rows::read(row)?;
        let corrupt = |_| errors::from_port(Error::new(ErrorKind::Corrupt, "admin", "a token's hash has 32 bytes"));
        tokens.push((row.sort.as_ref().try_into().map_err(corrupt)?, token, version));
    }
    Ok(tokens)
}

fn described(row: &AdminTokenRow) -> Result<Token, ProtocolError> {
    Ok(Token {
        id: TokenId::from_slice(&row.id)?.to_string(),
        label: row.label.clone(),
        scopes: scopes(row).into_iter().map(Scope::name).collect(),
        created_us: row.created_us,
        expires_us: row.expires_us,
        token: None,
    })
}

/// The scopes that this version knows.
fn scopes(row: &AdminTokenRow) -> Vec<Scope> {
    row.scopes.iter().filter_map(|name| name.parse().ok()).collect()
}

fn refused() -> ProtocolError {
    let message =
        "this needs an admin token that is valid: make one with `hudhud admin token create`, on the server's machine";
    ProtocolError::new(ErrorCode::Unauthenticated, message)
}
