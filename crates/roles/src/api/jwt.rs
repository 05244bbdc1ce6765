//! JSON Web Tokens (RFC 7519) of backends that the operator trusts, for embedding: who they say it is.
//!
//! The algorithm is the one of the configured key, never the one that a token asks for (RFC 8725 §3.1). Times are
//! compared with the runtime's clock, so the library's own checks of them are off.

use crate::services::Services;
use crate::settings::{JwtIssuer, JwtKey};
use hudhud_proto::v1::ErrorCode;
use hudhud_proto::{AccountId, ProtocolError};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

/// The longest token that is looked at.
const JWT_BYTES_MAX: usize = 8 * 1024;
/// The longest subject.
const SUBJECT_BYTES_MAX: usize = 255;
/// How far the clocks of a backend and this server may be apart, in seconds.
const LEEWAY_S: f64 = 60.0;
/// The shortest secret (RFC 7518 §3.2: as long as the hash).
const SECRET_BYTES_MIN: usize = 32;

/// Who a token says it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Subject {
    /// The account of the issuer's subject.
    pub(super) account: AccountId,
    /// The handle that the issuer wishes for it, unchecked.
    pub(super) handle: Option<String>,
    /// The name that the issuer wishes for it, unchecked.
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    /// Seconds since the Unix epoch, with a fraction or not (RFC 7519 §2).
    exp: f64,
    nbf: Option<f64>,
    handle: Option<String>,
    preferred_username: Option<String>,
    name: Option<String>,
}

/// Before the signature is checked: whose key to check it with.
#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

/// Says what is wrong with an issuer's settings, so that a server tells it when it starts.
pub fn check_issuer(issuer: &JwtIssuer) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("JWT issuer {:?}: {what}", issuer.issuer));
    match &issuer.key {
        _ if issuer.issuer.is_empty() || issuer.audience.is_empty() => wrong("issuer and audience must not be empty"),
        // A public key taken for a secret: whoever reads it could sign.
        JwtKey::Hs256(secret) if secret.starts_with(b"-----BEGIN") => wrong("an HS256 secret is no PEM file"),
        JwtKey::Hs256(secret) if secret.len() < SECRET_BYTES_MIN => wrong("an HS256 secret has 32 bytes at least"),
        key => decoding_key(key).map(|_| ()).or_else(|error| wrong(&format!("its key can't be read: {error}"))),
    }
}

/// Who this token says it is, if a trusted backend signed it for this server and its time is now. `Unauthenticated` says
/// what is wrong: the developer of the backend reads it.
pub(super) fn verify(services: &Services, jwt: &str) -> Result<Subject, ProtocolError> {
    if jwt.len() > JWT_BYTES_MAX {
        return Err(refused("it is longer than 8 KiB"));
    }
    let header = jsonwebtoken::decode_header(jwt).map_err(|error| refused(why(&error)))?;
    if header.crit.is_some() {
        return Err(refused("its header has critical extensions, and this server knows none (RFC 7515 §4.1.11)"));
    }
    let claimed: Issuer = jsonwebtoken::dangerous::insecure_decode_claims(jwt).map_err(|error| refused(why(&error)))?;
    // An issuer that changes its key is listed twice for a while.
    let mut outcome = Err(refused("its issuer (`iss`) is not trusted here"));
    for issuer in services.settings.jwt_issuers.iter().filter(|issuer| issuer.issuer == claimed.iss) {
        outcome = verify_with(issuer, services.now_us(), jwt);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn verify_with(issuer: &JwtIssuer, now_us: u64, jwt: &str) -> Result<Subject, ProtocolError> {
    if let Err(error) = check_issuer(issuer) {
        tracing::warn!(error, "a JWT could not be checked");
        return Err(ProtocolError::new(ErrorCode::Internal, "this issuer is not set up correctly on the server"));
    }
    let (algorithm, key) = decoding_key(&issuer.key).expect("just checked");
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[&issuer.issuer]);
    validation.set_audience(&[&issuer.audience]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let claims = match jsonwebtoken::decode::<Claims>(jwt, &key, &validation) {
        Ok(token) => token.claims,
        Err(error) => return Err(refused(why(&error))),
    };
    let now_s = now_us as f64 / 1e6;
    if claims.exp + LEEWAY_S <= now_s {
        return Err(refused("it has expired (`exp`)"));
    }
    if claims.nbf.is_some_and(|nbf| nbf - LEEWAY_S > now_s) {
        return Err(refused("it is not valid yet (`nbf`)"));
    }
    if claims.sub.is_empty() || claims.sub.len() > SUBJECT_BYTES_MAX {
        return Err(refused("its subject (`sub`) must have 1 to 255 bytes"));
    }
    Ok(Subject {
        account: AccountId::of_subject(&claims.iss, &claims.sub),
        handle: claims.handle.or(claims.preferred_username),
        name: claims.name,
    })
}

fn decoding_key(key: &JwtKey) -> Result<(Algorithm, DecodingKey), Error> {
    Ok(match key {
        JwtKey::Hs256(secret) => (Algorithm::HS256, DecodingKey::from_secret(secret)),
        JwtKey::Rs256(pem) => (Algorithm::RS256, DecodingKey::from_rsa_pem(pem)?),
        JwtKey::Es256(pem) => (Algorithm::ES256, DecodingKey::from_ec_pem(pem)?),
        JwtKey::EdDsa(pem) => (Algorithm::EdDSA, DecodingKey::from_ed_pem(pem)?),
    })
}

fn refused(why: &str) -> ProtocolError {
    ProtocolError::new(ErrorCode::Unauthenticated, format!("this JSON Web Token is not accepted: {why}"))
}

fn why(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            "it is not signed with the algorithm that was agreed on"
        }
        ErrorKind::InvalidAudience => "it is for another audience (`aud`)",
        ErrorKind::InvalidIssuer => "its issuer (`iss`) is not trusted here",
        ErrorKind::MissingRequiredClaim(_) => "it must have `iss`, `sub`, `aud` and `exp`",
        _ => "it is not a JSON Web Token with `iss`, `sub`, `aud` and `exp`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{self, BEGIN_US};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};
    use std::sync::Arc;

    const ISSUER: &str = "https://shop.example";
    const SECRET: &[u8] = b"a secret of thirty-two bytes: ok";
    /// Public keys, and tokens that were signed with their private keys and these thrown away.
    const RS256: (&str, &str) =
        (include_str!("../../testdata/jwt/rs256.pem"), include_str!("../../testdata/jwt/rs256.jwt"));
    const ES256: (&str, &str) =
        (include_str!("../../testdata/jwt/es256.pem"), include_str!("../../testdata/jwt/es256.jwt"));

    fn issuer(key: JwtKey) -> JwtIssuer {
        JwtIssuer { issuer: ISSUER.into(), audience: "hudhud".into(), key }
    }

    fn verify_with_keys(keys: Vec<JwtKey>, jwt: &str) -> Result<Subject, ProtocolError> {
        let mut services = testing::services();
        let settings = Arc::make_mut(&mut services.settings);
        settings.jwt_issuers = keys.into_iter().map(issuer).collect();
        verify(&services, jwt)
    }

    fn hs256() -> JwtKey {
        JwtKey::Hs256(SECRET.to_vec())
    }

    /// The claims of a good token, with these changed; null takes one away.
    fn claims(changes: Value) -> Value {
        let now_s = BEGIN_US / 1_000_000;
        let mut claims = json!({ "iss": ISSUER, "aud": "hudhud", "sub": "customer-7", "exp": now_s + 3_600 });
        for (name, value) in changes.as_object().expect("changes are an object") {
            claims[name] = value.clone();
            if value.is_null() {
                claims.as_object_mut().expect("claims are an object").remove(name);
            }
        }
        claims
    }

    fn signed(header: &Header, claims: &Value, secret: &[u8]) -> String {
        encode(header, claims, &EncodingKey::from_secret(secret)).expect("signed")
    }

    /// Asserts what becomes of a token whose claims are changed so: accepted (an empty `why`), or refused because of this.
    #[track_caller]
    fn check(changes: Value, why: &str) {
        let outcome = verify_with_keys(vec![hs256()], &signed(&Header::default(), &claims(changes), SECRET));
        match (outcome, why) {
            (Ok(subject), "") => assert_eq!(subject.account, AccountId::of_subject(ISSUER, "customer-7")),
            (Err(error), why) if !why.is_empty() => {
                assert_eq!(error.code, ErrorCode::Unauthenticated);
                assert!(error.message.contains(why), "{error}");
            }
            (outcome, _) => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn each_kind_of_key_accepts_what_it_signed() {
        // The key pair of RFC 8032 §7.1, test 1.
        let private =
            STANDARD.decode("MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g").expect("base64");
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
        let private = EncodingKey::from_ed_der(&private);
        let signed_eddsa = encode(&Header::new(Algorithm::EdDSA), &claims(json!({})), &private).expect("signed");
        let eddsa = JwtKey::EdDsa(public.into());
        let subject = Subject { account: AccountId::of_subject(ISSUER, "customer-7"), handle: None, name: None };
        for (key, jwt) in [
            (JwtKey::Rs256(RS256.0.into()), RS256.1.trim()),
            (JwtKey::Es256(ES256.0.into()), ES256.1.trim()),
            (eddsa, &signed_eddsa),
            (hs256(), &signed(&Header::default(), &claims(json!({})), SECRET)),
        ] {
            assert_eq!(verify_with_keys(vec![key], jwt), Ok(subject.clone()));
        }
    }

    #[test]
    fn times_are_the_runtimes_with_a_minute_of_leeway() {
        let now_s = BEGIN_US / 1_000_000;
        check(json!({ "exp": now_s + 1 }), "");
        check(json!({ "exp": now_s - 59 }), "");
        check(json!({ "exp": (now_s - 59) as f64 + 0.5 }), "");
        check(json!({ "exp": now_s - 60 }), "expired");
        check(json!({ "exp": -1 }), "exp");
        check(json!({ "nbf": now_s + 60 }), "");
        check(json!({ "nbf": now_s + 61 }), "not valid yet");
        check(json!({ "exp": null }), "exp");
        check(json!({ "exp": "tomorrow" }), "exp");
    }

    #[test]
    fn it_is_from_a_trusted_issuer_for_this_audience_about_somebody() {
        check(json!({ "aud": "somebody-else" }), "audience");
        check(json!({ "aud": ["somebody-else", "hudhud"] }), "");
        check(json!({ "aud": null }), "aud");
        check(json!({ "iss": "https://evil.example" }), "issuer");
        check(json!({ "iss": [ISSUER] }), "iss");
        check(json!({ "iss": null }), "iss");
        check(json!({ "sub": null }), "sub");
        check(json!({ "sub": "" }), "1 to 255 bytes");
        check(json!({ "sub": "s".repeat(256) }), "1 to 255 bytes");
    }

    #[test]
    fn a_public_key_is_never_taken_for_a_secret() {
        let forged = signed(&Header::default(), &claims(json!({})), RS256.0.as_bytes());
        let error = verify_with_keys(vec![JwtKey::Rs256(RS256.0.into())], &forged).expect_err("forged");
        assert!(error.message.contains("algorithm"), "{error}");
        // Nor where the operator mistakes it for one.
        let error = verify_with_keys(vec![JwtKey::Hs256(RS256.0.into())], &forged).expect_err("forged");
        assert_eq!(error.code, ErrorCode::Internal);
    }

    #[test]
    fn a_token_does_not_choose_its_algorithm() {
        let unsigned = |alg: &str| {
            let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "typ": "JWT" }).to_string());
            format!("{header}.{}.", URL_SAFE_NO_PAD.encode(claims(json!({})).to_string()))
        };
        for alg in ["none", "None", "nOnE", "HS256", "HS512", "RS256"] {
            for key in [hs256(), JwtKey::Rs256(RS256.0.into())] {
                let error = verify_with_keys(vec![key], &unsigned(alg)).expect_err(alg);
                assert_eq!(error.code, ErrorCode::Unauthenticated);
            }
        }
        let hs512 = signed(&Header::new(Algorithm::HS512), &claims(json!({})), SECRET);
        assert!(verify_with_keys(vec![hs256()], &hs512).is_err());
    }

    #[test]
    fn what_was_changed_or_is_no_token_is_refused() {
        let good = signed(&Header::default(), &claims(json!({})), SECRET);
        let (head, _) = good.rsplit_once('.').expect("three parts");
        let (header, _) = head.split_once('.').expect("three parts");
        let other = URL_SAFE_NO_PAD.encode(claims(json!({ "sub": "customer-8" })).to_string());
        let (_, signature) = good.rsplit_once('.').expect("three parts");
        let long = format!("{good}{}", "A".repeat(JWT_BYTES_MAX));
        for bad in ["", ".", "..", "a.b.c", head, &format!("{header}.{other}.{signature}"), &long] {
            let error = verify_with_keys(vec![hs256()], bad).expect_err("refused");
            assert_eq!(error.code, ErrorCode::Unauthenticated, "{bad}");
        }
        let critical = Header { crit: Some(vec!["b64".into()]), ..Header::default() };
        let error = verify_with_keys(vec![hs256()], &signed(&critical, &claims(json!({})), SECRET));
        assert!(error.expect_err("refused").message.contains("critical"));
    }

    #[test]
    fn an_issuer_may_change_its_key() {
        let good = signed(&Header::default(), &claims(json!({})), SECRET);
        let old = JwtKey::Hs256(vec![1; 32]);
        assert!(verify_with_keys(vec![old.clone()], &good).is_err());
        assert!(verify_with_keys(vec![old, hs256()], &good).is_ok());
    }

    #[test]
    fn settings_that_can_not_work_are_told() {
        let said = |key| check_issuer(&issuer(key)).expect_err("refused");
        assert!(said(JwtKey::Hs256(vec![1; 31])).contains("32 bytes"));
        assert!(said(JwtKey::Hs256(RS256.0.into())).contains("PEM"));
        assert!(said(JwtKey::Rs256(b"nonsense".to_vec())).contains("can't be read"));
        let nobody = JwtIssuer { audience: String::new(), ..issuer(hs256()) };
        assert!(check_issuer(&nobody).expect_err("refused").contains("empty"));
        for key in [hs256(), JwtKey::Rs256(RS256.0.into()), JwtKey::Es256(ES256.0.into())] {
            assert_eq!(check_issuer(&issuer(key)), Ok(()));
        }
    }
}
