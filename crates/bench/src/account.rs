//! Accounts, made by JSON Web Tokens of a backend that the server trusts: a log-in by password costs 20 ms of CPU, and ten
//! thousand of them would be the longest part of a measurement.

use crate::connection::{Connection, source};
use crate::destination::Destination;
use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hudhud_proto::v1::{LogInJwt, server_frame::Event};
use hudhud_proto::{AccountId, DeviceId};
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// What the tokens carry as `iss`.
pub const ISSUER: &str = "https://bench.invalid";
/// What they carry as `aud`.
pub const AUDIENCE: &str = "hudhud-bench";
/// How long they are valid.
const VALID: Duration = Duration::from_secs(3_600);
/// Log-ins at the same time.
const TOGETHER: usize = 32;

/// A backend that vouches for people.
#[derive(Clone)]
pub struct Issuer {
    key: EncodingKey,
}

/// One device of one account.
#[derive(Clone)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// Its device.
    pub device: DeviceId,
    /// What opens a session.
    pub token: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    exp: u64,
}

impl Issuer {
    /// With the secret that the server has in its file (HS256).
    pub fn new(secret: &[u8]) -> Self {
        Self { key: EncodingKey::from_secret(secret) }
    }

    /// Makes accounts that nobody had before: `group` and a number name them.
    pub async fn accounts(&self, server: &Destination, group: &str, count: usize) -> anyhow::Result<Vec<Account>> {
        let log_ins = (0..count).map(|n| self.log_in(server, source(n), format!("{group}-{n}")));
        stream::iter(log_ins).buffered(TOGETHER).try_collect().await
    }

    async fn log_in(&self, server: &Destination, from: std::net::IpAddr, subject: String) -> anyhow::Result<Account> {
        let until =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")? + VALID;
        let claims = Claims { iss: ISSUER, aud: AUDIENCE, sub: &subject, exp: until.as_secs() };
        let jwt = jsonwebtoken::encode(&Header::default(), &claims, &self.key)?;
        let mut connection = Connection::open(server, from).await?;
        match connection.ask(LogInJwt { jwt, device_name: "bench".to_owned() }.into()).await? {
            Event::LoggedIn(answer) => Ok(Account {
                id: AccountId::from_slice(&answer.account)?,
                device: DeviceId::from_slice(&answer.device)?,
                token: answer.token,
            }),
            other => bail!("no log-in: {other:?}"),
        }
    }
}
