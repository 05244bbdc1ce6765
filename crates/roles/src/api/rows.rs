//! Rows of the directory that people change: written durably, with versions that win whatever the clock does.

use super::{Api, errors};
use crate::tables;
use hudhud_ports::{Claim, ErrorKind, Key, Row};
use hudhud_proto::v1::ErrorCode;
use hudhud_proto::{Message, ProtocolError};

/// How long a client waits until it repeats a change that lost to the clock, in milliseconds.
const CLOCK_RETRY_MS: u32 = 1_000;

/// A row's message and version.
pub(super) type Versioned<M> = (M, u64);

/// The message in a row, if the row is there.
pub(super) async fn get<M: Message>(api: &Api, key: Key) -> Result<Option<M>, ProtocolError> {
    Ok(get_versioned(api, key).await?.map(|(message, _)| message))
}

/// The message in a row and the row's version, if the row is there.
pub(super) async fn get_versioned<M: Message>(api: &Api, key: Key) -> Result<Option<Versioned<M>>, ProtocolError> {
    let row = api.services.directory.get(key).await.map_err(errors::from_port)?;
    row.map(|row| read(&row)).transpose()
}

/// The message in a row that was scanned, and its version.
pub(super) fn read<M: Message>(row: &Row) -> Result<Versioned<M>, ProtocolError> {
    Ok((tables::read(row).map_err(errors::from_port)?, row.version))
}

/// Now, but later than a version that must lose: the clock may have gone back since it was written. The version right
/// behind that one stays free for [`refine`].
pub(super) fn version_after(api: &Api, version: u64) -> u64 {
    api.services.now_us().max(version.saturating_add(2))
}

/// Inserts a row if there is none, and returns what is there now. Of any number of callers with the same row, one message
/// is what all of them get.
pub(super) async fn claim<M: Message>(api: &Api, key: Key, message: M) -> Result<M, ProtocolError> {
    let write = tables::put(key, &message, api.services.now_us());
    let claim = match api.services.directory.claim(write.clone()).await {
        // It may have been won: asking again tells.
        Err(error) if error.kind() == ErrorKind::Timeout => api.services.directory.claim(write).await,
        outcome => outcome,
    };
    match claim.map_err(errors::from_port)? {
        Claim::Won => Ok(message),
        Claim::Taken(row) => Ok(read(&row)?.0),
    }
}

/// Writes a row over what is there. Durable when it returns, or an error: a row that was deleted when the clock showed
/// a later time than now is seen to stay deleted, which nobody must take for done.
pub(super) async fn replace(api: &Api, key: Key, message: &impl Message) -> Result<(), ProtocolError> {
    let directory = &api.services.directory;
    let before = directory.get(key.clone()).await.map_err(errors::from_port)?;
    let version = before.as_ref().map_or_else(|| api.services.now_us(), |row| version_after(api, row.version));
    let write = tables::put(key.clone(), message, version);
    api.services.write_directory_durably(vec![write]).await.map_err(errors::from_port)?;
    if before.is_some() || directory.get(key).await.map_err(errors::from_port)?.is_some() {
        return Ok(());
    }
    Err(ProtocolError::retry(ErrorCode::Unavailable, "this changed a moment ago, try again", CLOCK_RETRY_MS))
}

/// Writes the same in other words over what was read at this version. Durable when it returns; but whatever changed the row
/// since then, or does at the same time, stays: this has a version that no change has, and that is lower.
pub(super) async fn refine(
    api: &Api,
    key: Key,
    message: &impl Message,
    read_version: u64,
) -> Result<(), ProtocolError> {
    let write = tables::put(key, message, read_version.saturating_add(1));
    api.services.write_directory_durably(vec![write]).await.map_err(errors::from_port)
}

/// Deletes a row. Durable when it returns. Says whether it was there.
pub(super) async fn remove(api: &Api, key: Key) -> Result<bool, ProtocolError> {
    let Some(row) = api.services.directory.get(key.clone()).await.map_err(errors::from_port)? else { return Ok(false) };
    let write = tables::delete(key, version_after(api, row.version));
    api.services.write_directory_durably(vec![write]).await.map_err(errors::from_port)?;
    Ok(true)
}
