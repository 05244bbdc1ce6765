//! A session with a cluster, and what of the cluster's settings must be right.

use super::failure::{Effect, of_answer, of_request};
use super::{ENGINE, Url, schema};
use hudhud_ports::{Error, ErrorKind, Result};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::DefaultRetryPolicy;
use scylla::statement::Consistency;
use std::sync::Arc;
use std::time::Duration;

/// How long a request may take, with whatever the driver repeats of it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Copies in a region from which on the loss of power everywhere at once within ten seconds is not thought of.
const COPIES_DURABLE: u32 = 3;

pub(super) async fn connect(url: &Url) -> Result<Session> {
    let nearby = DefaultPolicy::builder().prefer_datacenter(url.datacenter.clone()).token_aware(true);
    // Elsewhere `LOCAL_QUORUM` would mean the quorum of another region.
    let nearby = nearby.permit_dc_failover(false).build();
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .load_balancing_policy(nearby)
        .retry_policy(Arc::new(DefaultRetryPolicy::new()))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&url.servers)
        .connection_timeout(CONNECT_TIMEOUT)
        .default_execution_profile_handle(profile.into_handle())
        .keyspaces_to_fetch([&url.keyspace]);
    if let Some((user, password)) = &url.user {
        builder = builder.user(user, password);
    }
    builder.build().await.map_err(|error| Error::new(ErrorKind::Unavailable, ENGINE, "connect").because(error))
}

/// Refuses a cluster on which a write that was acknowledged could be lost with the power.
pub(super) async fn check_durability(session: &Session, url: &Url) -> Result<()> {
    const OP: &str = "open";
    let refused = |cause: String| Err(Error::new(ErrorKind::Invalid, ENGINE, OP).because(cause));
    let copies = schema::replication(session, url).await?.unwrap_or_default();
    let (keyspace, datacenter) = (&url.keyspace, &url.datacenter);
    match copies.get(datacenter) {
        None | Some(0) => {
            return refused(format!(
                "keyspace {keyspace} has no copies in {datacenter}: name it in replication, and migrate"
            ));
        }
        Some(copies) if *copies >= COPIES_DURABLE => return Ok(()),
        Some(_) => {}
    }
    const SETTING: &str = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";
    let answer = session.query_unpaged(SETTING, ()).await.map_err(|error| of_request(OP, Effect::None, error))?;
    let answer = answer.into_rows_result().map_err(|error| of_answer(OP, error))?;
    let sync = answer.maybe_first_row::<(String,)>().map_err(|error| of_answer(OP, error))?;
    match sync.as_ref().map(|(sync,)| sync.as_str()) {
        Some("group" | "batch") => Ok(()),
        other => refused(format!(
            "keyspace {keyspace} has fewer than {COPIES_DURABLE} copies in {datacenter}, and commitlog_sync is {}: an \
             acknowledged write could be lost with the power. Keep {COPIES_DURABLE} copies, or set `commitlog_sync: group`",
            other.unwrap_or("unknown")
        )),
    }
}
