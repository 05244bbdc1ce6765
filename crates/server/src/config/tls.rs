//! Whether the server speaks TLS itself, and where its certificates come from.

use super::ConfigError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The directory of Let's Encrypt.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// TLS of the public listener; none where nothing is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate and those that lead to its authority, in PEM.
    pub certificate_file: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    pub key_file: Option<PathBuf>,
    /// Certificates that the server gets itself.
    pub acme: Option<Acme>,
}

/// An authority that gives certificates to who shows that a name is its own (RFC 8555), on the listener itself (RFC 8737).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// The names that the certificate is for. Each must lead to this server's port, from outside to port 443.
    pub domains: Vec<String>,
    /// Who is written to about the certificate: `mailto:...`.
    #[serde(default)]
    pub contact: Option<String>,
    /// Where the authority's directory is. Having it here agrees to its terms.
    #[serde(default = "directory")]
    pub directory: String,
    /// The certificate, in PEM, that leads to the directory, where that is not one of the usual ones.
    #[serde(default)]
    pub authority_file: Option<PathBuf>,
}

fn directory() -> String {
    DIRECTORY.to_owned()
}

/// Where certificates come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Nowhere: the listener speaks plain HTTP.
    None,
    /// From two files.
    Files {
        /// The certificate.
        certificate: &'a Path,
        /// Its key.
        key: &'a Path,
    },
    /// From an authority.
    Acme(&'a Acme),
}

impl Tls {
    /// Where certificates come from.
    pub fn source(&self) -> Result<Source<'_>, ConfigError> {
        self.chosen().map_err(|(_, message)| ConfigError::Invalid { origin: None, message })
    }

    /// The same; what is wrong comes with the key to blame.
    pub(super) fn chosen(&self) -> Result<Source<'_>, (String, String)> {
        let refuse = |key: &str, blamed: &str, why: &str| Err((blamed.to_owned(), format!("{key}: {why}")));
        match (&self.certificate_file, &self.key_file, &self.acme) {
            (None, None, None) => Ok(Source::None),
            (Some(certificate), Some(key), None) => Ok(Source::Files { certificate, key }),
            (None, None, Some(acme)) if acme.domains.is_empty() => {
                refuse("tls.acme.domains", "tls.acme.domains", "a certificate is for one name at least")
            }
            (None, None, Some(acme)) => Ok(Source::Acme(acme)),
            (_, _, Some(_)) => {
                refuse("tls.acme", "tls.acme", "take it out or the two files: certificates come from one place")
            }
            (Some(_), None, None) => {
                refuse("tls.key_file", "tls.certificate_file", "the certificate's private key is missing")
            }
            (None, Some(_), None) => refuse("tls.certificate_file", "tls.key_file", "the key's certificate is missing"),
        }
    }
}
