//! What operators decided of an account: suspended, or deleted. Asked wherever somebody comes in.

use super::{Api, errors, rows};
use crate::tables;
use hudhud_proto::v1::{ErrorCode, StandingRow};
use hudhud_proto::{AccountId, ProtocolError};

/// What was decided; none where nothing was.
pub(super) async fn load(api: &Api, account: AccountId) -> Result<Option<StandingRow>, ProtocolError> {
    rows::get(api, tables::standing(account)).await
}

/// Whether somebody who proved to be this account may come in. Nobody else is told: a suspended account answers strangers as it
/// always did.
pub(super) async fn check(api: &Api, account: AccountId) -> Result<(), ProtocolError> {
    match load(api, account).await? {
        Some(row) if row.deleted => Err(errors::unauthenticated()),
        Some(row) if row.suspended => Err(suspended()),
        _ => Ok(()),
    }
}

fn suspended() -> ProtocolError {
    ProtocolError::new(ErrorCode::Suspended, "this account is suspended: ask the operators of this server")
}
