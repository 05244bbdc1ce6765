//! Backends whose JWTs log in, with their keys in files: a secret is no part of a configuration that people show around.

use super::ConfigError;
use hudhud_roles::settings::{self, JwtKey};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JwtIssuer {
    /// What its tokens carry as `iss`.
    pub issuer: String,
    /// What they must carry as `aud`.
    pub audience: String,
    /// How they are signed.
    pub algorithm: Algorithm,
    /// The file with the secret (HS256: its bytes, without line ends) or the public key (PEM).
    pub key_file: PathBuf,
}

/// A signature algorithm of RFC 7518 or RFC 8037.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA PKCS#1 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl JwtIssuer {
    /// With its key, read from its file.
    pub(super) fn load(&self) -> Result<settings::JwtIssuer, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: self.key_file.clone(), source };
        let key = std::fs::read(&self.key_file).map_err(unreadable)?;
        let key = match self.algorithm {
            // Editors end files with a line end, and it is no part of a secret.
            Algorithm::Hs256 => JwtKey::Hs256(key.trim_ascii_end().to_vec()),
            Algorithm::Rs256 => JwtKey::Rs256(key),
            Algorithm::Es256 => JwtKey::Es256(key),
            Algorithm::EdDsa => JwtKey::EdDsa(key),
        };
        let issuer = settings::JwtIssuer { issuer: self.issuer.clone(), audience: self.audience.clone(), key };
        let refuse = |why| ConfigError::Invalid { origin: None, message: format!("jwt_issuers: {why}") };
        hudhud_roles::api::check_issuer(&issuer).map_err(refuse)?;
        Ok(issuer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn check(secret: &str) -> Result<(), ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let key_file = folder.path().join("jwt.key");
        std::fs::write(&key_file, secret).expect("written");
        let issuer = JwtIssuer {
            issuer: "https://accounts.example".into(),
            audience: "hudhud".into(),
            algorithm: Algorithm::Hs256,
            key_file,
        };
        Config { jwt_issuers: vec![issuer], ..Config::default() }.check()
    }

    /// A secret is read from its file without the line end; one that is too short is refused before the server starts.
    #[test]
    fn secrets_are_read_from_files() {
        check("a secret of thirty-two bytes, or\n").expect("long enough");
        let error = check("short\n").expect_err("too short");
        assert!(error.to_string().starts_with("jwt_issuers: "), "{error}");
    }

    /// A key file that is not there is named.
    #[test]
    fn a_missing_key_is_named() {
        let file =
            "[[jwt_issuers]]\nissuer = \"i\"\naudience = \"a\"\nalgorithm = \"EdDSA\"\nkey_file = \"/no/such/key\"";
        let error = Config::parse(file, "x.toml").expect("valid TOML").check().expect_err("no key");
        assert!(error.to_string().starts_with("/no/such/key: "), "{error}");
    }
}
