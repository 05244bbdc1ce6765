//! The servers behind a balancer: each is one by itself, as who gets which connection does not depend on what they share.

use hudhud_e2e::overload::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long it may take until a server has noticed what was done to its connections.
const NOTICED_MAX: Duration = Duration::from_secs(30);

/// Where TLS ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tls {
    /// At the balancer.
    Ended,
    /// At the servers.
    PassedThrough,
}

/// An authority of the test's own, and what it vouches for.
pub struct Certified {
    /// The authority, in PEM.
    pub authority: String,
    /// The certificate for `localhost`.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Both in one file.
    pub both: PathBuf,
}

/// Servers, and the folder that they are in.
pub struct Servers {
    /// Those that run.
    pub all: Vec<Server>,
    /// What clients trust.
    pub certified: Certified,
    /// Where TLS ends.
    pub tls: Tls,
    folder: TempDir,
}

impl Certified {
    fn in_folder(folder: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("random")).expect("sound");
        let key = KeyPair::generate().expect("random");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &authority).expect("sound").pem();
        let key = key.serialize_pem();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        Self {
            authority: authority.as_ref().pem(),
            both: write("both.pem", &format!("{certificate}{key}")),
            certificate: write("certificate.pem", &certificate),
            key: write("key.pem", &key),
        }
    }
}

impl Servers {
    /// Starts so many, with further variables in their environment.
    pub async fn start(tls: Tls, count: usize, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certified = Certified::in_folder(folder.path());
        let started = (0..count).map(|n| {
            let (certified, home) = (&certified, folder.path().join(n.to_string()));
            async move {
                std::fs::create_dir(&home).expect("made");
                let change = |command: &mut std::process::Command| {
                    // The balancer alone comes from there.
                    command.env("HUDHUD_TRUSTED_PROXIES", "127.0.0.1");
                    // As by default, which the configurations are made for.
                    command.env("HUDHUD_DRAIN_MS", "3000");
                    if tls == Tls::PassedThrough {
                        command.env("HUDHUD_PROXY_PROTOCOL", "on");
                        command.env("HUDHUD_TLS__CERTIFICATE_FILE", &certified.certificate);
                        command.env("HUDHUD_TLS__KEY_FILE", &certified.key);
                    }
                    command.envs(variables.iter().copied());
                };
                Server::with(&home, "", change).await
            }
        });
        let all = futures_util::future::join_all(started).await;
        Self { all, certified, tls, folder }
    }

    /// For what belongs to them.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The WebSockets that each has, once they are so many in all.
    pub async fn sockets(&self, in_all: usize) -> Vec<usize> {
        let deadline = Instant::now() + NOTICED_MAX;
        loop {
            let mut counts = Vec::new();
            for server in &self.all {
                counts.push(usize::try_from(server.metric("hudhud_connections").await).expect("not below 0"));
            }
            if counts.iter().sum::<usize>() == in_all {
                return counts;
            }
            assert!(Instant::now() < deadline, "{counts:?} are not {in_all} WebSockets");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
