//! Certificates from an authority (RFC 8555) that asks on the listener itself whether a name leads here (TLS-ALPN-01, RFC 8737):
//! no other port is needed.
//!
//! Account, key and certificate are files in a folder of the data folder, one for each authority and names, so a restart asks
//! nobody.

use super::TlsMetrics;
use super::certificates::{Certificate, Certificates, Validity};
use crate::config::Acme;
use crate::exit::Failure;
use crate::folder;
use hudhud_ports::Clock;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Who may look at keys: their owner alone.
const FILE_MODE: u32 = 0o600;
/// A certificate is renewed when this part of its time is left.
const RENEWED_AT_LEFT: i64 = 3;
/// The longest time between two looks at the certificate.
const LOOK_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// After a failure. Doubled after each further one: authorities refuse who fails more than five times an hour.
const RETRY_FIRST: Duration = Duration::from_secs(2 * 60);
const RETRY_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// How long an authority may take to look at a challenge, and then to give the certificate.
const AUTHORITY_TIMEOUT: Duration = Duration::from_secs(60);

/// Of the hash that is the name of a folder, in digits.
const FOLDER_NAME_BYTES: usize = 16;
const ACCOUNT: &str = "account.json";
/// The certificate and those that lead to its authority, in a folder of [`folder_of`].
pub const CERTIFICATE: &str = "certificate.pem";
/// Its key.
pub const KEY: &str = "key.pem";

/// Why there is no new certificate. The message says what to do.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    /// The authority refused, or was not reached.
    #[error("{0}")]
    Authority(#[from] instant_acme::Error),
    /// The authority would have it in another way.
    #[error("the authority offers no TLS-ALPN-01 for {0}: choose another directory")]
    NoChallenge(String),
    /// The authority looked, and was not convinced.
    #[error("the authority did not find this server at {0}: its port 443 has to lead to this listener")]
    NotFound(String),
    /// What the authority wants to see can't be made.
    #[error("a challenge's certificate can't be made: {0}; look at tls.acme.domains")]
    Challenge(#[from] rcgen::Error),
    /// Nor shown.
    #[error("a challenge's certificate can't be shown: {0}")]
    Shown(#[from] rustls::Error),
    /// The certificate can't be used.
    #[error("{0}")]
    Certificate(String),
    /// It can't be kept.
    #[error("{0}: check the data folder")]
    File(#[from] io::Error),
}

/// Keeps the certificate that is shown a valid one.
pub struct Renewal {
    acme: Acme,
    folder: PathBuf,
    certificates: Arc<Certificates>,
    clock: Arc<dyn Clock>,
    metrics: TlsMetrics,
    /// Of the certificate that is shown.
    validity: Option<Validity>,
}

/// Where a certificate for these names of this authority is kept. What was kept for another authority or other names is neither
/// used nor lost.
pub fn folder_of(acme: &Acme, folder: &Path) -> PathBuf {
    let asked = [std::slice::from_ref(&acme.directory), &acme.domains].concat().join(" ");
    folder.join(&blake3::hash(asked.as_bytes()).to_hex()[..FOLDER_NAME_BYTES])
}

impl Renewal {
    /// Shows the certificate that was kept, if there is one.
    pub fn start(
        acme: Acme,
        folder: &Path,
        certificates: Arc<Certificates>,
        clock: Arc<dyn Clock>,
        metrics: TlsMetrics,
    ) -> Result<Self, Failure> {
        let folder = folder_of(&acme, folder);
        let made = folder::make(&folder);
        made.map_err(|source| Failure::Folder { path: folder.clone(), source })?;
        let mut renewal = Self { acme, folder, certificates, clock, metrics, validity: None };
        if let (Ok(certificate), Ok(key)) = (renewal.read(CERTIFICATE), renewal.read(KEY)) {
            match renewal.certificates.read(&certificate, &key) {
                Ok(certificate) => renewal.show(&certificate),
                // Another one is ordered at once.
                Err(why) => tracing::warn!(why, "the certificate that was kept can't be used"),
            }
        }
        Ok(renewal)
    }

    /// Orders a certificate whenever the one that is shown is about to end.
    pub async fn run(mut self) {
        let mut retry = RETRY_FIRST;
        loop {
            let wait = self.left();
            if !wait.is_zero() {
                tokio::time::sleep(wait.min(LOOK_INTERVAL)).await;
                continue;
            }
            let ordered = self.order().await;
            self.certificates.end_challenges();
            match ordered {
                Ok(certificate) => {
                    self.show(&certificate);
                    self.metrics.acme_orders.inc();
                    tracing::info!(valid_to_s = certificate.validity().to, "the authority gave a certificate");
                    retry = RETRY_FIRST;
                    // One that is due at once, by this clock, is not asked for again and again.
                    tokio::time::sleep(RETRY_FIRST).await;
                }
                Err(error) => {
                    self.metrics.acme_failures.inc();
                    let next = retry.as_secs();
                    tracing::warn!(%error, next_attempt_s = next, "no certificate from the authority");
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// The time until another certificate is due.
    fn left(&self) -> Duration {
        let Some(Validity { from, to }) = self.validity else { return Duration::ZERO };
        let due = to - (to - from) / RENEWED_AT_LEFT;
        let now = i64::try_from(self.clock.now_us() / 1_000_000).unwrap_or(i64::MAX);
        Duration::from_secs(u64::try_from(due - now).unwrap_or_default())
    }

    fn show(&mut self, certificate: &Certificate) {
        self.validity = Some(certificate.validity());
        self.certificates.show(certificate);
    }

    async fn order(&self) -> Result<Certificate, OrderError> {
        let account = self.account().await?;
        let names: Vec<_> = self.acme.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let name = authorization.identifier().to_string();
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge = challenge.ok_or_else(|| OrderError::NoChallenge(name.clone()))?;
            let digest = challenge.key_authorization().digest();
            self.challenge(&name, digest.as_ref())?;
            challenge.set_ready().await?;
        }
        let policy = RetryPolicy::default().timeout(AUTHORITY_TIMEOUT);
        if order.poll_ready(&policy).await? != OrderStatus::Ready {
            return Err(OrderError::NotFound(self.acme.domains.join(", ")));
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&policy).await?;
        let certificate = self.certificates.read(chain.as_bytes(), key.as_bytes()).map_err(OrderError::Certificate)?;
        self.keep(KEY, key.as_bytes())?;
        self.keep(CERTIFICATE, chain.as_bytes())?;
        Ok(certificate)
    }

    /// The account at the authority: the one that was kept, or a new one.
    async fn account(&self) -> Result<Account, OrderError> {
        let builder = match &self.acme.authority_file {
            Some(file) => Account::builder_with_root(file)?,
            None => Account::builder()?,
        };
        let kept = self.read(ACCOUNT).ok().and_then(|kept| serde_json::from_slice::<AccountCredentials>(&kept).ok());
        if let Some(credentials) = kept {
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact: Vec<_> = self.acme.contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&new, self.acme.directory.clone(), None).await?;
        self.keep(ACCOUNT, &serde_json::to_vec(&credentials).expect("credentials are JSON"))?;
        Ok(account)
    }

    /// Shows what an authority wants to see at a name (RFC 8737 §3).
    fn challenge(&self, name: &str, digest: &[u8]) -> Result<(), OrderError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let certificate = params.self_signed(&key)?.der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        self.certificates.challenge(name, certificate, key)?;
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.folder.join(name))
    }

    /// Keeps a file: all of it or what was there before.
    fn keep(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, new) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(FILE_MODE).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(new, path)
    }
}
