//! Access tokens: 256 random bits that only the client has. The server keeps their hash.
//!
//! A token is two rows. The one under its hash lets it in, the one under its account lists it to its owner. Revoking deletes
//! the first before the second, so that a crash between leaves a token that is listed and dead, never one that lives
//! unseen. Whatever rests on a token or a password that may go meanwhile is written first and checked after, and
//! revoking looks again until nothing is left: neither can slip past the other.

use super::{Api, Caller, devices, errors, input, rows, standing};
use crate::session::{Post, Recipient};
use crate::tables;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hudhud_ports::{Error, ErrorKind, Payload, Runtime, Scan, Write};
use hudhud_proto::limits::{TOKEN_VALID_S_MAX, TOKENS_MAX};
use hudhud_proto::v1::{
    CreateToken, ErrorCode, RevokeToken, TokenCreated, TokenInfo, TokenInfoRow, TokenList, TokenRow,
};
use hudhud_proto::{AccountId, DeviceId, ProtocolError, TokenId};
use std::net::IpAddr;
use std::time::Duration;

/// What a token begins with, so that people and scanners for leaked secrets know one when they see it.
const PREFIX: &str = "hh_";
/// The random part of a token.
const SECRET_BYTES: usize = 32;
/// The random part in base64.
const SECRET_TEXT_BYTES: usize = (SECRET_BYTES * 8).div_ceil(6);
/// Tokens read at once: more than there may be, as log-ins at the same moment may each see room for one.
const SCANNED_MAX: usize = 2 * TOKENS_MAX;
/// How often revoking looks for tokens that were made meanwhile.
const REVOKE_ROUNDS_MAX: usize = 16;

/// A token as its owner's list has it.
pub(super) struct Listed {
    pub(super) id: TokenId,
    pub(super) row: TokenInfoRow,
    version: u64,
}

impl Listed {
    pub(super) fn is_of(&self, device: DeviceId) -> bool {
        self.row.device == device.as_bytes()[..]
    }
}

/// A token that was just made, and the writes that make it valid.
pub(super) struct Made {
    pub(super) id: TokenId,
    pub(super) text: String,
    pub(super) expires_us: u64,
    pub(super) writes: [Write; 2],
}

/// Who holds this token, if operators let its account in. Two reads.
pub(super) async fn authenticate(api: &Api, token: &str, address: IpAddr) -> Result<Caller, ProtocolError> {
    let hash = hash(PREFIX, token).ok_or_else(errors::unauthenticated)?;
    let row: Option<TokenRow> = rows::get(api, tables::token(&hash)).await?;
    let row = row.filter(|row| row.expires_us > api.services.now_us()).ok_or_else(errors::unauthenticated)?;
    let account = AccountId::from_slice(&row.account)?;
    standing::check(api, account).await?;
    Ok(Caller {
        account,
        device: DeviceId::from_slice(&row.device)?,
        token: TokenId::from_slice(&row.id)?,
        address,
        session: None,
    })
}

/// Another token for the caller's device.
pub(super) async fn create(api: &Api, caller: &Caller, m: CreateToken) -> Result<TokenCreated, ProtocolError> {
    let label = input::name("label", &m.label)?;
    let valid = match m.valid_s {
        0 => api.services.settings.token_valid,
        seconds => Duration::from_secs(seconds),
    };
    if valid > Duration::from_secs(TOKEN_VALID_S_MAX) {
        return Err(ProtocolError::invalid(format!("valid_s is at most {TOKEN_VALID_S_MAX}, ten years")));
    }
    let (_, mut writes) = room_for_one(api, caller.account).await?;
    let made = make(api, caller.account, caller.device, label, valid);
    writes.extend(made.writes);
    api.services.write_directory_durably(writes).await.map_err(errors::from_port)?;
    let parent = tables::account_token(caller.account, caller.token);
    let parent: Option<TokenInfoRow> = rows::get(api, parent).await?;
    if parent.is_none() || !devices::exists(api, caller.account, caller.device).await? {
        revoke_where(api, caller.account, |token| token.id == made.id).await?;
        return Err(errors::unauthenticated());
    }
    Ok(TokenCreated { id: made.id.to_bytes(), token: made.text, expires_us: made.expires_us })
}

/// The caller's tokens, oldest first.
pub(super) async fn list(api: &Api, caller: &Caller) -> Result<TokenList, ProtocolError> {
    let now_us = api.services.now_us();
    let mut tokens = listed(api, caller.account).await?;
    tokens.retain(|token| token.row.expires_us > now_us);
    tokens.sort_by_key(|token| (token.row.created_us, token.id));
    let tokens = tokens.into_iter().map(|token| TokenInfo {
        id: token.id.to_bytes(),
        device: token.row.device,
        label: token.row.label,
        created_us: token.row.created_us,
        expires_us: token.row.expires_us,
        current: token.id == caller.token,
    });
    Ok(TokenList { tokens: tokens.collect() })
}

/// Revokes one of the caller's tokens.
pub(super) async fn revoke(api: &Api, caller: &Caller, m: RevokeToken) -> Result<(), ProtocolError> {
    let id = TokenId::from_slice(&m.id)?;
    match revoke_where(api, caller.account, |token| token.id == id).await? {
        0 => Err(errors::not_found("token")),
        _ => Ok(()),
    }
}

/// Revokes the caller's own token, and forgets its device if that was the last one.
pub(super) async fn log_out(api: &Api, caller: &Caller) -> Result<(), ProtocolError> {
    revoke_where(api, caller.account, |token| token.id == caller.token).await?;
    let others = listed(api, caller.account).await?;
    match others.iter().any(|token| token.is_of(caller.device)) {
        true => Ok(()),
        false => devices::forget(api, caller.account, caller.device).await.map(|_| ()),
    }
}

/// Revokes every token of an account that is one of these, those included that are made while it runs, and closes their
/// connections. Durable when it returns. Says how many there were.
pub(super) async fn revoke_where(
    api: &Api,
    account: AccountId,
    which: impl Fn(&Listed) -> bool + Send,
) -> Result<usize, ProtocolError> {
    let mut revoked = 0;
    for _ in 0..REVOKE_ROUNDS_MAX {
        let mut tokens = listed(api, account).await?;
        tokens.retain(&which);
        if tokens.is_empty() {
            return Ok(revoked);
        }
        revoke_these(api, account, &tokens).await?;
        revoked += tokens.len();
    }
    let message = "new tokens are made faster than they are revoked, try again";
    Err(ProtocolError::retry(ErrorCode::Unavailable, message, 1_000))
}

async fn revoke_these(api: &Api, account: AccountId, tokens: &[Listed]) -> Result<(), ProtocolError> {
    let mut dead = Vec::with_capacity(tokens.len());
    let mut unlisted = Vec::with_capacity(tokens.len());
    let mut posts = Vec::with_capacity(tokens.len());
    for token in tokens {
        let [entrance, listing] = deletion(api, account, token)?;
        dead.push(entrance);
        unlisted.push(listing);
        let device = DeviceId::from_slice(&token.row.device)?;
        posts.push(Post { payload: Payload::Revoked(token.id), to: vec![Recipient::Device(account, device)] });
    }
    api.services.write_directory_durably(dead).await.map_err(errors::from_port)?;
    // Between the two writes: if this fails, the tokens are still listed, and revoking them again closes the connections.
    api.sessions.deliver(posts).await;
    api.services.write_directory_durably(unlisted).await.map_err(errors::from_port)
}

/// Makes a token. It is valid once its writes are durable.
pub(super) fn make(api: &Api, account: AccountId, device: DeviceId, label: String, valid: Duration) -> Made {
    let text = secret(PREFIX, &api.services.runtime);
    let hash = hash(PREFIX, &text).expect("a token has the form of a token");
    let id = TokenId::new(api.services.runtime.random());
    let created_us = api.services.now_us();
    let expires_us = created_us.saturating_add(u64::try_from(valid.as_micros()).unwrap_or(u64::MAX));
    let entrance = TokenRow { account: account.to_bytes(), device: device.to_bytes(), id: id.to_bytes(), expires_us };
    let listing =
        TokenInfoRow { device: device.to_bytes(), label, created_us, expires_us, token_hash: hash.to_vec().into() };
    let writes = [
        tables::put(tables::account_token(account, id), &listing, created_us),
        tables::put(tables::token(&hash), &entrance, created_us),
    ];
    Made { id, text, expires_us, writes }
}

/// The live tokens of an account that may have one more, and the writes that clear expired ones away.
pub(super) async fn room_for_one(api: &Api, account: AccountId) -> Result<(Vec<Listed>, Vec<Write>), ProtocolError> {
    let now_us = api.services.now_us();
    let (live, expired): (Vec<_>, Vec<_>) =
        listed(api, account).await?.into_iter().partition(|token| token.row.expires_us > now_us);
    if live.len() >= TOKENS_MAX {
        let message = format!("an account has at most {TOKENS_MAX} tokens: revoke one");
        return Err(ProtocolError::new(ErrorCode::Limit, message));
    }
    let mut writes = Vec::with_capacity(2 * expired.len());
    for token in &expired {
        writes.extend(deletion(api, account, token)?);
    }
    Ok((live, writes))
}

/// Every token of an account, expired or not.
async fn listed(api: &Api, account: AccountId) -> Result<Vec<Listed>, ProtocolError> {
    let scan = Scan::all(tables::ACCOUNT_TOKENS, account.to_bytes(), SCANNED_MAX);
    let rows = api.services.directory.scan(scan).await.map_err(errors::from_port)?;
    let listed = rows.iter().map(|row| {
        let (info, version) = rows::read(row)?;
        Ok(Listed { id: TokenId::from_slice(&row.sort)?, row: info, version })
    });
    listed.collect()
}

/// The deletions of both rows of a token: the one that lets it in, and the one that lists it.
fn deletion(api: &Api, account: AccountId, token: &Listed) -> Result<[Write; 2], ProtocolError> {
    let corrupt = |_| errors::from_port(Error::new(ErrorKind::Corrupt, "tokens", "a token's hash has 32 bytes"));
    let hash = token.row.token_hash.as_ref().try_into().map_err(corrupt)?;
    let version = rows::version_after(api, token.version);
    let listing = tables::account_token(account, token.id);
    Ok([tables::delete(tables::token(hash), version), tables::delete(listing, version)])
}

/// 256 random bits behind a prefix.
pub(super) fn secret(prefix: &str, runtime: &Runtime) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(runtime.random::<SECRET_BYTES>()))
}

/// What a token is stored under; none for what has not the form of one. A hash without salt or cost is enough for 256
/// random bits.
pub(super) fn hash(prefix: &str, text: &str) -> Option<[u8; 32]> {
    let is_token = text.strip_prefix(prefix).is_some_and(|secret| secret.len() == SECRET_TEXT_BYTES);
    is_token.then(|| *blake3::hash(text.as_bytes()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{ADDRESS, BEGIN_US, Fixture, NOBODY};
    use hudhud_ports::Store;

    async fn create_one(fixture: &Fixture, caller: &Caller) -> Result<TokenCreated, ProtocolError> {
        create(&fixture.api, caller, CreateToken { label: "bot".into(), valid_s: 0 }).await
    }

    #[tokio::test]
    async fn a_token_is_256_random_bits_and_only_its_hash_is_stored() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let made = create_one(&fixture, &alice).await.expect("made");
        let random = made.token.strip_prefix("hh_").expect("a prefix that scanners know");
        assert_eq!(URL_SAFE_NO_PAD.decode(random).expect("base64url").len(), 32);
        let listed = listed(&fixture.api, alice.account).await.expect("listed");
        let listing = listed.iter().find(|token| token.id.to_bytes() == made.id).expect("listed");
        assert_eq!(listing.row.token_hash, blake3::hash(made.token.as_bytes()).as_bytes()[..]);
        let entrance = fixture.store.get(tables::token(blake3::hash(made.token.as_bytes()).as_bytes())).await;
        let entrance = entrance.expect("read").expect("there").value;
        assert!(!entrance.windows(random.len()).any(|bytes| bytes == random.as_bytes()));
    }

    #[tokio::test]
    async fn to_authenticate_is_two_reads() {
        let fixture = Fixture::new().await;
        let made = create_one(&fixture, &fixture.account("alice").await).await.expect("made");
        let before = fixture.store.gets.load(std::sync::atomic::Ordering::SeqCst);
        fixture.caller(&made.token).await.expect("valid");
        assert_eq!(fixture.store.gets.load(std::sync::atomic::Ordering::SeqCst) - before, 2);
    }

    #[tokio::test]
    async fn what_is_no_token_answers_like_a_token_that_is_not_there() {
        let fixture = Fixture::new().await;
        let good = create_one(&fixture, &fixture.account("alice").await).await.expect("made").token;
        let (mut other, upper) = (good.clone(), good.to_uppercase());
        other.replace_range(10..11, if &other[10..11] == "A" { "B" } else { "A" });
        for bad in ["", "hh_", &good[3..], &other, &upper, &format!("{good} "), &"x".repeat(10_000)] {
            assert_eq!(fixture.caller(bad).await.map(|_| ()), Err(errors::unauthenticated()), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_token_lives_as_long_as_it_says_and_is_cleared_away_after() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let made = create(&fixture.api, &alice, CreateToken { valid_s: 60, ..Default::default() }).await.expect("made");
        assert_eq!(made.expires_us, BEGIN_US + 60_000_000);
        fixture.clock.advance(Duration::from_micros(59_999_999));
        fixture.caller(&made.token).await.expect("still valid");
        fixture.clock.advance(Duration::from_micros(1));
        assert!(fixture.caller(&made.token).await.is_err());
        assert_eq!(list(&fixture.api, &alice).await.expect("listed").tokens.len(), 1, "it is listed no more");
        create_one(&fixture, &alice).await.expect("made");
        assert_eq!(listed(&fixture.api, alice.account).await.expect("read").len(), 2, "and gone with the next one");
        let forever = CreateToken { valid_s: u64::MAX, ..Default::default() };
        assert_eq!(create(&fixture.api, &alice, forever).await.map_err(|e| e.code), Err(ErrorCode::Invalid));
    }

    #[tokio::test]
    async fn a_revoked_token_lets_nobody_in_and_its_connection_is_told_to_close() {
        let fixture = Fixture::new().await;
        let alice = fixture.connect(&fixture.account("alice").await).await;
        let phone = fixture.connect(&fixture.device("alice").await).await;
        let made = create_one(&fixture, &phone).await.expect("made");
        revoke(&fixture.api, &alice, RevokeToken { id: made.id.clone() }).await.expect("revoked");
        assert!(fixture.caller(&made.token).await.is_err());
        let id = TokenId::from_slice(&made.id).expect("an id");
        assert_eq!(fixture.delivered_to(&phone), [Payload::Revoked(id)]);
        assert_eq!(fixture.delivered_to(&alice), []);
        let again = revoke(&fixture.api, &alice, RevokeToken { id: made.id }).await;
        assert_eq!(again, Err(errors::not_found("token")));
        assert_eq!(fixture.store.unsynced(), 0, "it survives the loss of power");
    }

    #[tokio::test]
    async fn a_token_of_somebody_else_is_not_there() {
        let fixture = Fixture::new().await;
        let (alice, bob) = (fixture.account("alice").await, fixture.account("bobby").await);
        let theirs = RevokeToken { id: bob.token.to_bytes() };
        assert_eq!(revoke(&fixture.api, &alice, theirs).await, Err(errors::not_found("token")));
        assert_eq!(list(&fixture.api, &bob).await.expect("listed").tokens.len(), 1);
    }

    #[tokio::test]
    async fn the_list_shows_which_one_is_in_use() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        fixture.clock.advance(Duration::from_secs(1));
        let made = create_one(&fixture, &alice).await.expect("made");
        let tokens = list(&fixture.api, &alice).await.expect("listed").tokens;
        let seen: Vec<_> = tokens.iter().map(|token| (token.id.clone(), token.label.as_str(), token.current)).collect();
        assert_eq!(seen, [(alice.token.to_bytes(), "", true), (made.id, "bot", false)]);
        assert!(tokens.iter().all(|token| token.device == alice.device.to_bytes()));
    }

    #[tokio::test]
    async fn an_account_has_so_many_tokens() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        for _ in 1..TOKENS_MAX {
            create_one(&fixture, &alice).await.expect("within the limit");
        }
        let error = create_one(&fixture, &alice).await.expect_err("one too many");
        assert_eq!(error.code, ErrorCode::Limit);
        assert!(error.message.contains("64") && error.message.contains("revoke"), "{error}");
        let listed = list(&fixture.api, &alice).await.expect("listed").tokens;
        let other = listed.iter().find(|token| !token.current).expect("63 others").id.clone();
        revoke(&fixture.api, &alice, RevokeToken { id: other }).await.expect("revoked");
        create_one(&fixture, &alice).await.expect("room again");
    }

    #[tokio::test]
    async fn to_log_out_ends_the_token_and_with_the_last_one_the_device() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let made = create_one(&fixture, &alice).await.expect("made");
        log_out(&fixture.api, &alice).await.expect("logged out");
        assert_eq!(devices::exists(&fixture.api, alice.account, alice.device).await, Ok(true), "the bot needs it");
        let bot = fixture.api.authenticate(&made.token, ADDRESS).await.expect("the bot's token is another one");
        log_out(&fixture.api, &bot).await.expect("logged out");
        assert_eq!(devices::exists(&fixture.api, alice.account, alice.device).await, Ok(false));
        assert!(listed(&fixture.api, alice.account).await.expect("read").is_empty());
    }

    #[tokio::test]
    async fn a_crash_between_the_two_deletions_leaves_no_token_that_lives_unseen() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let made = create_one(&fixture, &alice).await.expect("made");
        let listed = listed(&fixture.api, alice.account).await.expect("read");
        let token = listed.iter().find(|token| token.id.to_bytes() == made.id).expect("listed");
        let [entrance, _] = deletion(&fixture.api, alice.account, token).expect("a hash");
        fixture.store.write(vec![entrance]).await.expect("the first deletion, and the last one before the crash");
        assert!(fixture.caller(&made.token).await.is_err());
        revoke(&fixture.api, &alice, RevokeToken { id: made.id })
            .await
            .expect("it is listed, so it can be revoked again");
    }

    #[tokio::test]
    async fn revoking_works_after_the_clock_went_back() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let listed = listed(&fixture.api, alice.account).await.expect("read");
        let ahead = Listed { version: BEGIN_US + 3_600_000_000, ..listed.into_iter().next().expect("one") };
        let [entrance, listing] = deletion(&fixture.api, alice.account, &ahead).expect("a hash");
        let later = rows::version_after(&fixture.api, ahead.version);
        assert!(later > ahead.version);
        assert_eq!((entrance.version, listing.version), (later, later));
    }

    #[tokio::test]
    async fn nobody_has_no_tokens() {
        let fixture = Fixture::new().await;
        assert_eq!(revoke_where(&fixture.api, NOBODY, |_| true).await, Ok(0));
    }
}
