//! The certificate that is shown, and those that an authority asks for.

use super::{ACME_TLS, TlsMetrics};
use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A certificate and its key, read and compared.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    validity: Validity,
    names: Vec<String>,
}

/// From when to when a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: i64,
    /// The last one.
    pub to: i64,
}

/// What is shown to whom.
#[derive(Debug)]
pub struct Certificates {
    provider: Arc<CryptoProvider>,
    metrics: TlsMetrics,
    shown: RwLock<Option<Arc<CertifiedKey>>>,
    /// By name. As many as names are being asked for.
    challenges: RwLock<BTreeMap<String, Arc<CertifiedKey>>>,
}

impl Certificate {
    /// When it is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The names that it is for.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl Certificates {
    /// None yet.
    pub fn new(provider: Arc<CryptoProvider>, metrics: TlsMetrics) -> Self {
        Self { provider, metrics, shown: RwLock::default(), challenges: RwLock::default() }
    }

    /// Reads a certificate with those that lead to its authority, and its key, in PEM. An error says what is wrong with them.
    pub fn read(&self, certificates: &[u8], key: &[u8]) -> Result<Certificate, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the certificate is not PEM: {error}"))?;
        let first = chain.first().ok_or("there is no certificate in PEM")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(first)
            .map_err(|error| format!("the certificate can't be read: {error}"))?;
        let validity = parsed.validity();
        let names = crate::doctor::names(&parsed);
        let validity = Validity { from: validity.not_before.timestamp(), to: validity.not_after.timestamp() };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key is not PEM: {error}"))?;
        let key = CertifiedKey::from_der(chain, key, &self.provider)
            .map_err(|error| format!("certificate and key do not go together: {error}"))?;
        Ok(Certificate { key: Arc::new(key), validity, names })
    }

    /// Shows this one from now on.
    pub fn show(&self, certificate: &Certificate) {
        *self.shown.write() = Some(certificate.key.clone());
        self.metrics.tls_certificate_expiry_seconds.set(certificate.validity.to);
    }

    /// Shows this one to an authority that asks for a name's. It is not compared with its key: what an authority wants to find
    /// in it makes it invalid for everybody else.
    pub fn challenge(
        &self,
        name: &str,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), rustls::Error> {
        let key = self.provider.key_provider.load_private_key(key)?;
        let certified = CertifiedKey::new(vec![certificate], key);
        self.challenges.write().insert(name.to_owned(), Arc::new(certified));
        Ok(())
    }

    /// The authority has asked.
    pub fn end_challenges(&self) {
        self.challenges.write().clear();
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 8737 §4: the authority offers this protocol and no other.
        let is_challenge = hello.alpn().is_some_and(|protocols| protocols.eq([ACME_TLS]));
        match (is_challenge, hello.server_name()) {
            (true, Some(name)) => self.challenges.read().get(name).cloned(),
            (true, None) => None,
            (false, _) => self.shown.read().clone(),
        }
    }
}
