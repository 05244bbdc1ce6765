//! `hudhud doctor`: measures what a server needs of its machine, before or while it runs, and says what to do about what is
//! missing. It changes nothing: what it writes to measure the disk is removed again.

mod certificates;
mod clock;
mod disk;
mod port;
mod proxy;
mod system;

use crate::config::Config;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// A server runs like this, and less well than it could.
    Warn,
    /// A server does not start like this, or loses what it promised.
    Fail,
}

/// What one look found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was measured.
    pub measured: String,
    /// What to do; empty where nothing is to be done.
    pub advice: String,
}

impl Finding {
    fn ok(check: &'static str, measured: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, measured: measured.into(), advice: String::new() }
    }

    fn warn(check: &'static str, measured: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, measured: measured.into(), advice: advice.into() }
    }

    fn fail(check: &'static str, measured: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, measured: measured.into(), advice: advice.into() }
    }
}

impl Display for Finding {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        write!(to, "{verdict:<5} {:<12} {}", self.check, self.measured)?;
        match self.advice.as_str() {
            "" => Ok(()),
            advice => write!(to, "\n{:<18} {advice}", ""),
        }
    }
}

pub(crate) use certificates::names;

/// Looks at everything that this configuration needs. With the URL that clients use, through whatever stands before the
/// server, at that too; `authority` is a certificate that is trusted there beside the usual ones.
pub async fn examine(config: &Config, public_url: Option<&str>, authority: Option<&Path>) -> Vec<Finding> {
    let watch = clock::Watch::start();
    let mut findings = port::examine(config).to_vec();
    findings.extend(disk::examine(config));
    findings.extend(system::examine(config));
    findings.extend(watch.examine(config));
    let host =
        public_url.and_then(|url| url.parse::<axum::http::Uri>().ok()).and_then(|url| url.host().map(str::to_owned));
    findings.extend(certificates::examine(config, host.as_deref()).await);
    if let Some(url) = public_url {
        findings.extend(proxy::examine(config, url, authority).await);
    }
    findings
}
