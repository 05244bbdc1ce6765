//! The lists that operators see, of a data folder from before there were any: filled once, at the first start of this version.

use crate::Failure;
use crate::safekeeping::blocking;
use hudhud_engines::Embedded;
use hudhud_ports::Database;
use hudhud_roles::Services;
use hudhud_roles::api::admin::{self, Old};

/// Fills them if they are not complete. Other engines than the embedded ones are younger than the lists.
pub async fn complete(services: &Services, embedded: Option<&Embedded>) -> Result<(), Failure> {
    let Some(embedded) = embedded.cloned() else { return Ok(()) };
    if admin::is_indexed(services).await? {
        return Ok(());
    }
    let found = blocking(move || -> Result<Vec<Old>, Failure> {
        let moment = embedded.freeze()?;
        let mut found = Vec::new();
        for row in moment.directory.rows(Database::Directory) {
            let row = row?;
            if let Some(value) = &row.value {
                found.extend(Old::of(&row.table, &row.partition, &row.sort, value));
            }
        }
        Ok(found)
    });
    let found = found.await?;
    if !found.is_empty() {
        tracing::info!(rows = found.len(), "accounts and invites are put into the lists that operators see");
    }
    Ok(admin::index(services, found.into_iter().map(Ok)).await?)
}
