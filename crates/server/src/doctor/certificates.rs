//! The certificate that the server shows, or that an authority is to give it: readable, of its key, for the name that people use,
//! and valid for long enough that somebody notices before it ends.

use super::Finding;
use crate::config::{Acme, Config, Source};
use crate::reach;
use crate::tls::{self, Certificates, TlsMetrics};
use axum::http::{Request, Uri, header::HOST};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::extensions::GeneralName;

const CHECK: &str = "certificate";
const DAY_S: i64 = 24 * 3_600;
/// Less than this is left: somebody should have renewed it by now. Authorities give 90 days, and less soon.
const LEFT_WARN_S: i64 = 14 * DAY_S;
/// How long an authority may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks at what the configuration names. `name`: what clients call the server.
pub(super) async fn examine(config: &Config, name: Option<&str>) -> Vec<Finding> {
    match config.tls.source() {
        Ok(Source::None) => {
            vec![Finding::ok(
                CHECK,
                "none: this listener speaks plain HTTP, and TLS is the business of a proxy before it",
            )]
        }
        Ok(Source::Files { certificate, key }) => vec![of_files(certificate, key, name, now_s())],
        Ok(Source::Acme(acme)) => {
            let folder = tls::acme_folder(acme, &config.data);
            vec![kept(acme, &folder, name, now_s()), authority(acme).await]
        }
        Err(error) => vec![Finding::fail(CHECK, error.to_string(), "mend [tls] of the configuration")],
    }
}

fn of_files(certificate: &Path, key: &Path, name: Option<&str>, now_s: i64) -> Finding {
    let read = |path: &Path| std::fs::read(path).map_err(|error| (path.display().to_string(), error));
    let (pem, key) = match read(certificate).and_then(|pem| Ok((pem, read(key)?))) {
        Ok(both) => both,
        Err((path, error)) => {
            let advice = "let the server's user read it, or mend tls.certificate_file and tls.key_file";
            return Finding::fail(CHECK, format!("{path}: {error}"), advice);
        }
    };
    let renew = "renew it now, and find out why nothing did; the server reads the files again when they change";
    judge(&pem, &key, name, now_s, renew)
}

/// The certificate that an authority gave before.
fn kept(acme: &Acme, folder: &Path, name: Option<&str>, now_s: i64) -> Finding {
    let read = |file: &str| std::fs::read(folder.join(file));
    match (read(tls::ACME_CERTIFICATE), read(tls::ACME_KEY)) {
        (Ok(pem), Ok(key)) => {
            let advice = "the server renews when a third of its time is left: its log says why the authority gave none";
            judge(&pem, &key, name, now_s, advice)
        }
        _ => Finding::warn(
            CHECK,
            format!("none yet for {}", acme.domains.join(", ")),
            "the server orders one when it starts: port 443 of each name has to lead to it from outside",
        ),
    }
}

fn judge(pem: &[u8], key: &[u8], name: Option<&str>, now_s: i64, renew: &str) -> Finding {
    let certificates =
        Certificates::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()), TlsMetrics::unregistered());
    let certificate = match certificates.read(pem, key) {
        Ok(certificate) => certificate,
        Err(why) => {
            return Finding::fail(CHECK, why, "put a certificate and its own key, both in PEM, into the two files");
        }
    };
    let (validity, names) = (certificate.validity(), certificate.names());
    let days = (validity.to - now_s).div_euclid(DAY_S);
    let measured = format!("for {}; {days} days left", names.join(", "));
    if now_s > validity.to {
        return Finding::fail(CHECK, format!("for {}; it ended {} days ago", names.join(", "), -days - 1), renew);
    }
    if now_s < validity.from {
        return Finding::fail(
            CHECK,
            format!("{measured}, and it is not valid yet"),
            "set the clock of this machine right",
        );
    }
    if let Some(name) = name.filter(|name| !names.iter().any(|of| covers(of, name))) {
        return Finding::fail(
            CHECK,
            format!("{measured}; none of these is {name}"),
            "get one for the name that clients use",
        );
    }
    match validity.to - now_s < LEFT_WARN_S {
        true => Finding::warn(CHECK, measured, renew),
        false => Finding::ok(CHECK, measured),
    }
}

/// The names that a certificate is for.
pub(crate) fn names(parsed: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    let extension = parsed.subject_alternative_name().ok().flatten();
    let names = extension.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress([a, b, c, d]) => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
        GeneralName::IPAddress(bytes) => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        _ => None,
    };
    names.iter().filter_map(name).collect()
}

/// Whether a name in a certificate is this one: itself, or with `*` in the place of its first label (RFC 9525 §6.3).
fn covers(of: &str, name: &str) -> bool {
    match of.strip_prefix("*.") {
        Some(rest) => {
            name.split_once('.').is_some_and(|(first, parent)| !first.is_empty() && parent.eq_ignore_ascii_case(rest))
        }
        None => of.eq_ignore_ascii_case(name),
    }
}

/// Whether the authority's directory answers.
async fn authority(acme: &Acme) -> Finding {
    const CHECK: &str = "acme";
    let advice = "let this machine reach the authority: the way out, the proxy, tls.acme.directory and authority_file";
    match tokio::time::timeout(ANSWER_TIMEOUT, status(acme)).await {
        Ok(Ok(200)) => Finding::ok(CHECK, format!("{} answers", acme.directory)),
        Ok(Ok(status)) => Finding::fail(CHECK, format!("{} answers with {status}", acme.directory), advice),
        Ok(Err(error)) => Finding::fail(CHECK, format!("{}: {error}", acme.directory), advice),
        Err(_) => Finding::fail(CHECK, format!("{}: no answer within {ANSWER_TIMEOUT:?}", acme.directory), advice),
    }
}

async fn status(acme: &Acme) -> Result<u16, String> {
    let uri: Uri = acme.directory.parse().map_err(|_| "it is no URL".to_owned())?;
    let stream = reach::connect(&uri, acme.authority_file.as_deref()).await.map_err(|error| error.to_string())?;
    let shake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shake.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(HOST, host).body(Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.map_err(|error| error.to_string())?).await;
    connection.abort();
    answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
}

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use rcgen::{CertificateParams, KeyPair};

    /// A certificate for these names, whose days are counted from 1 January 2026.
    fn made(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        (params.self_signed(&key).expect("signed").pem(), key.serialize_pem())
    }

    const BEGIN_S: i64 = 1_767_225_600;

    /// Days that are left, names that fit, and keys that belong to another certificate.
    #[test]
    fn a_certificate_is_judged() {
        let (pem, key) = made(&["chat.example", "*.hoopoe.example", "192.0.2.1"]);
        let check = |key: &str, name: Option<&str>, day: i64, expected: Verdict| {
            let found = judge(pem.as_bytes(), key.as_bytes(), name, BEGIN_S + day * DAY_S + 1, "renew");
            assert_eq!(found.verdict, expected, "{name:?} on day {day}: {found}");
        };
        check(&key, None, 1, Verdict::Ok);
        check(&key, None, 75, Verdict::Ok);
        check(&key, None, 76, Verdict::Warn);
        check(&key, None, 89, Verdict::Warn);
        check(&key, None, 90, Verdict::Fail);
        check(&key, None, -1, Verdict::Fail);
        for name in ["chat.example", "CHAT.example", "a.hoopoe.example", "192.0.2.1"] {
            check(&key, Some(name), 1, Verdict::Ok);
        }
        for name in ["example", "hoopoe.example", "a.b.hoopoe.example", "other.example"] {
            check(&key, Some(name), 1, Verdict::Fail);
        }
        let (_, other) = made(&["chat.example"]);
        check(&other, None, 1, Verdict::Fail);
        check("nonsense", None, 1, Verdict::Fail);
    }

    /// Files that can't be read are named.
    #[test]
    fn files_that_are_not_there_are_named() {
        let found = of_files(Path::new("/no/such/certificate.pem"), Path::new("/no/such/key.pem"), None, BEGIN_S);
        assert_eq!(found.verdict, Verdict::Fail);
        assert!(found.measured.contains("/no/such/certificate.pem"), "{found}");
    }
}
