//! Certificates from an authority: Pebble, the small one that Let's Encrypt's makers test clients with. `scripts/deps e2e`
//! installs it.

use crate::server::Server;
use crate::tls::{Authority, get};
use hudhud_server::Config;
use hudhud_server::config::Acme;
use serde_json::json;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Killed when dropped.
struct Pebble {
    child: Child,
    folder: TempDir,
    api: SocketAddr,
    management: SocketAddr,
}

async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    listener.local_addr().expect("it is bound")
}

impl Pebble {
    /// Asks at this port whether a name leads there. Strict: it refuses whatever a later one will refuse.
    async fn start(challenged: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new();
        authority.certify(folder.path());
        std::fs::write(folder.path().join("authority.pem"), authority.pem()).expect("written");
        let (api, management) = (free_port().await, free_port().await);
        let config = json!({ "pebble": {
            "listenAddress": api.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": "certificate.pem",
            "privateKey": "key.pem",
            "httpPort": 1,
            "tlsPort": challenged.port(),
            "externalAccountBindingRequired": false,
        } });
        std::fs::write(folder.path().join("pebble.json"), config.to_string()).expect("written");
        let log = File::create(folder.path().join("log")).expect("written");
        let mut command = Command::new("pebble");
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.args(["-config", "pebble.json", "-strict"]).env("PEBBLE_VA_NOSLEEP", "1");
        let child = command.stdout(log.try_clone().expect("a file")).stderr(log).spawn();
        let pebble =
            Self { child: child.expect("pebble is there: scripts/deps e2e installs it"), folder, api, management };
        while get(pebble.api, &pebble.authority(), "/dir").await.is_err() {
            tokio::task::yield_now().await;
        }
        pebble
    }

    /// Who vouches for Pebble itself.
    fn authority(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("authority.pem")).expect("it was made")
    }

    /// Who vouches for the certificates that it gives.
    async fn root(&self) -> String {
        get(self.management, &self.authority(), "/roots/0").await.expect("it answers").text().to_owned()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        // An error means that it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn acme(listen: SocketAddr, directory: String, authority_file: &Path) -> impl FnOnce(&mut Config) + use<> {
    let acme = Acme {
        domains: vec!["localhost".to_owned()],
        contact: Some("mailto:admin@example.org".to_owned()),
        directory,
        authority_file: Some(authority_file.to_owned()),
    };
    move |config| {
        config.listen = listen;
        config.tls.acme = Some(acme);
    }
}

/// Waits for one of these metrics.
async fn until<'a>(server: &Server, metrics: &[&'a str]) -> &'a str {
    loop {
        let page = server.watch("/metrics").await;
        if let Some(seen) = metrics.iter().find(|metric| page.text().lines().any(|line| line == **metric)) {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

/// A certificate is asked for, given and shown; the next start shows it without asking.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_gives_a_certificate() {
    let listen = free_port().await;
    let pebble = Pebble::start(listen).await;
    let configure = || {
        let directory = format!("https://localhost:{}/dir", pebble.api.port());
        acme(listen, directory, &pebble.folder.path().join("authority.pem"))
    };
    let server = Server::with(configure()).await;
    // A failure would be tried again after minutes.
    let seen = until(&server, &["hudhud_acme_orders_total 1", "hudhud_acme_failures_total 1"]).await;
    assert_eq!(seen, "hudhud_acme_orders_total 1");
    let root = pebble.root().await;
    assert_eq!(get(listen, &root, "/").await.expect("a certificate for localhost").status, 200);
    let configure = configure();
    let folder = server.stop().await;
    drop(pebble);
    let server = Server::again(folder, configure).await;
    assert_eq!(get(listen, &root, "/").await.expect("the certificate that was kept").status, 200);
    assert!(server.watch("/metrics").await.text().contains("hudhud_acme_failures_total 0"));
    server.stop().await;
}

/// An authority that is not there is seen in the metrics, and the server runs all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (nobody, any) = (free_port().await, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, Authority::new().pem()).expect("written");
    let server = Server::with(acme(any, format!("https://localhost:{}/dir", nobody.port()), &file)).await;
    until(&server, &["hudhud_acme_failures_total 1"]).await;
    assert_eq!(server.watch("/readyz").await.status, 200);
    server.stop().await;
}
