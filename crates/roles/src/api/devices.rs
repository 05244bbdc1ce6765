//! Devices: each log-in of an account on one machine, with tokens and cursors of its own.

use super::{Api, Caller, errors, rows, tokens};
use crate::tables;
use bytes::{BufMut, Bytes, BytesMut};
use hudhud_ports::{Order, Scan, Write};
use hudhud_proto::limits::{DEVICES_MAX, INBOX_ROWS_MAX, PAGE_ROWS_MAX};
use hudhud_proto::v1::{Device, DeviceList, DeviceRow, ErrorCode, RemoveDevice};
use hudhud_proto::{AccountId, DeviceId, ProtocolError};
use std::time::Duration;

/// A device younger than this counts even if it has no token: its log-in may be half written.
const YOUNG: Duration = Duration::from_secs(60);
/// Devices read at once: more than there may be, as log-ins at the same moment may each see room for one.
const SCANNED_MAX: usize = 2 * DEVICES_MAX;

/// The caller's devices, oldest first.
pub(super) async fn list(api: &Api, caller: &Caller) -> Result<DeviceList, ProtocolError> {
    let connected = api.sessions.of_accounts(&[caller.account]).await.map_err(errors::from_port)?;
    let mut devices = all(api, caller.account).await?;
    devices.sort_by_key(|(device, row, _)| (row.created_us, *device));
    let devices = devices.into_iter().map(|(device, row, _)| Device {
        device: device.to_bytes(),
        name: row.name,
        created_us: row.created_us,
        connected: connected.iter().any(|session| session.device == device),
        current: device == caller.device,
    });
    Ok(DeviceList { devices: devices.collect() })
}

/// Logs one of the caller's devices out: its tokens are revoked, its connections closed.
pub(super) async fn remove(api: &Api, caller: &Caller, m: RemoveDevice) -> Result<(), ProtocolError> {
    let device = DeviceId::from_slice(&m.device)?;
    match forget(api, caller.account, device).await? {
        true => Ok(()),
        false => Err(errors::not_found("device")),
    }
}

/// Logs a device out and deletes what is kept of it. Says whether there was anything.
pub(super) async fn forget(api: &Api, account: AccountId, device: DeviceId) -> Result<bool, ProtocolError> {
    // The row first: a token that is made meanwhile finds it gone. A second try finds what a first one left. The session after
    // the tokens: it tells where the connection is that is to be closed.
    let was_there = rows::remove(api, tables::device(account, device)).await?;
    let revoked = tokens::revoke_where(api, account, |token| token.is_of(device)).await?;
    rows::remove(api, tables::session(account, device)).await?;
    for _ in 0..INBOX_ROWS_MAX.div_ceil(PAGE_ROWS_MAX) {
        let cursors = cursors(api, account, device).await?;
        if cursors.is_empty() {
            break;
        }
        // Need not be durable: what is left is a row that nobody reads, as a device's id is never used again.
        api.services.directory.write(cursors).await.map_err(errors::from_port)?;
    }
    Ok(was_there || revoked > 0)
}

/// Deletions of up to a page of a device's cursors.
async fn cursors(api: &Api, account: AccountId, device: DeviceId) -> Result<Vec<Write>, ProtocolError> {
    let mut to = BytesMut::from(&device.as_bytes()[..]);
    to.put_bytes(0xff, 16);
    let scan = Scan {
        table: tables::CURSORS,
        partition: account.to_bytes(),
        from: device.to_bytes(),
        to: Some(to.freeze()),
        order: Order::Ascending,
        limit: PAGE_ROWS_MAX,
    };
    let rows = api.services.directory.scan(scan).await.map_err(errors::from_port)?;
    let key =
        |sort: &Bytes| hudhud_ports::Key { table: tables::CURSORS, partition: account.to_bytes(), sort: sort.clone() };
    Ok(rows.iter().map(|row| tables::delete(key(&row.sort), row.version.saturating_add(1))).collect())
}

/// Whether an account has this device.
pub(super) async fn exists(api: &Api, account: AccountId, device: DeviceId) -> Result<bool, ProtocolError> {
    let row = api.services.directory.get(tables::device(account, device)).await.map_err(errors::from_port)?;
    Ok(row.is_some())
}

/// Checks that an account may have one more device. Returns the writes that clear those away that nobody can use any
/// more, as all their tokens have expired: otherwise who loses devices for long enough could not log in again.
pub(super) async fn room_for_one(
    api: &Api,
    account: AccountId,
    live_tokens: &[tokens::Listed],
) -> Result<Vec<Write>, ProtocolError> {
    let now_us = api.services.now_us();
    let is_young = |row: &DeviceRow| now_us.saturating_sub(row.created_us) < YOUNG.as_micros() as u64;
    let (used, dead): (Vec<_>, Vec<_>) = all(api, account)
        .await?
        .into_iter()
        .partition(|(device, row, _)| is_young(row) || live_tokens.iter().any(|token| token.is_of(*device)));
    if used.len() >= DEVICES_MAX {
        let message =
            format!("an account has at most {DEVICES_MAX} devices: log out on one, or remove one from another");
        return Err(ProtocolError::new(ErrorCode::Limit, message));
    }
    let mut deletions = Vec::new();
    for (device, _, version) in dead {
        deletions.push(tables::delete(tables::device(account, device), rows::version_after(api, version)));
        let session = tables::session(account, device);
        if let Some(row) = api.services.directory.get(session.clone()).await.map_err(errors::from_port)? {
            deletions.push(tables::delete(session, rows::version_after(api, row.version)));
        }
    }
    Ok(deletions)
}

async fn all(api: &Api, account: AccountId) -> Result<Vec<(DeviceId, DeviceRow, u64)>, ProtocolError> {
    let scan = Scan::all(tables::DEVICES, account.to_bytes(), SCANNED_MAX);
    let rows = api.services.directory.scan(scan).await.map_err(errors::from_port)?;
    let device = |row: &hudhud_ports::Row| {
        let (info, version) = rows::read(row)?;
        Ok((DeviceId::from_slice(&row.sort)?, info, version))
    };
    rows.iter().map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Fixture, PASSWORD};
    use hudhud_ports::{Payload, Store};
    use hudhud_proto::ConversationId;
    use hudhud_proto::v1::{LoggedIn, SeqRow};

    async fn remove_one(fixture: &Fixture, caller: &Caller, device: DeviceId) -> Result<(), ProtocolError> {
        remove(&fixture.api, caller, RemoveDevice { device: device.to_bytes() }).await
    }

    /// Logs in until the account has as many devices as it may. Takes the time that this takes.
    async fn fill(fixture: &Fixture, handle: &str) -> Vec<LoggedIn> {
        let mut logged_in = Vec::new();
        for _ in 1..DEVICES_MAX {
            fixture.clock.advance(Duration::from_secs(30));
            logged_in.push(fixture.log_in(handle, PASSWORD).await.expect("within the limit"));
        }
        fixture.clock.advance(Duration::from_secs(60));
        logged_in
    }

    #[tokio::test]
    async fn the_list_shows_what_is_connected_and_what_asks() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        fixture.clock.advance(Duration::from_secs(1));
        let phone = fixture.connect(&fixture.device("alice").await).await;
        let devices = list(&fixture.api, &alice).await.expect("listed").devices;
        let seen: Vec<_> =
            devices.iter().map(|d| (d.device.clone(), d.name.as_str(), d.connected, d.current)).collect();
        let expected =
            [(alice.device.to_bytes(), "laptop", false, true), (phone.device.to_bytes(), "phone", true, false)];
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_removed_device_is_out_and_leaves_nothing() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let phone = fixture.connect(&fixture.device("alice").await).await;
        let cursor = |device| tables::cursor(alice.account, device, ConversationId::new([8; 16]));
        for device in [alice.device, phone.device] {
            let write = tables::put(cursor(device), &SeqRow { seq: 7, ..Default::default() }, 7);
            fixture.store.write(vec![write]).await.expect("written");
        }
        remove_one(&fixture, &alice, phone.device).await.expect("removed");
        assert_eq!(fixture.delivered_to(&phone), [Payload::Revoked(phone.token)]);
        assert_eq!(list(&fixture.api, &alice).await.expect("listed").devices.len(), 1);
        assert_eq!(tokens::list(&fixture.api, &alice).await.expect("listed").tokens.len(), 1);
        assert_eq!(fixture.store.get(cursor(phone.device)).await.expect("read"), None);
        assert!(
            fixture.store.get(cursor(alice.device)).await.expect("read").is_some(),
            "another device's cursors stay"
        );
        assert_eq!(remove_one(&fixture, &alice, phone.device).await, Err(errors::not_found("device")));
    }

    #[tokio::test]
    async fn a_device_of_somebody_else_is_not_there() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        assert_eq!(remove_one(&fixture, &alice, bob.device).await, Err(errors::not_found("device")));
        assert_eq!(list(&fixture.api, &bob).await.expect("listed").devices.len(), 1);
    }

    #[tokio::test]
    async fn removing_goes_on_where_a_crash_ended_it() {
        let fixture = Fixture::new().await;
        let (alice, phone) = (fixture.account("alice").await, fixture.device("alice").await);
        rows::remove(&fixture.api, tables::device(alice.account, phone.device)).await.expect("the first step");
        remove_one(&fixture, &alice, phone.device).await.expect("its token was still there");
        assert_eq!(tokens::list(&fixture.api, &alice).await.expect("listed").tokens.len(), 1);
    }

    #[tokio::test]
    async fn an_account_has_so_many_devices_and_is_told_what_to_do() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let others = fill(&fixture, "alice").await;
        let error = fixture.log_in("alice", PASSWORD).await.expect_err("one too many");
        assert_eq!(error.code, ErrorCode::Limit);
        assert!(error.message.contains("16") && error.message.contains("remove one"), "{error}");
        let one = DeviceId::from_slice(&others[0].device).expect("an id");
        remove_one(&fixture, &alice, one).await.expect("removed");
        fixture.log_in("alice", PASSWORD).await.expect("room again");
    }

    #[tokio::test]
    async fn who_lost_all_devices_gets_in_once_their_tokens_have_expired() {
        let fixture = Fixture::new().await;
        fixture.account("alice").await;
        fill(&fixture, "alice").await;
        fixture.clock.advance(fixture.services.settings.token_valid);
        let logged_in = fixture.log_in("alice", PASSWORD).await.expect("the others are dead");
        let caller = fixture.caller(&logged_in.token).await.expect("valid");
        assert_eq!(list(&fixture.api, &caller).await.expect("listed").devices.len(), 1);
    }
}
