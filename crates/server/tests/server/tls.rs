//! TLS of the public listener, with certificates from files.

use crate::server::{Answer, Server, send_on};
use http_body_util::Full;
use hudhud_server::Config;
use hyper::Request;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority of a test's own, which vouches for `localhost`.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("random")).expect("sound"))
    }

    pub fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    /// Writes another certificate and its key.
    pub fn certify(&self, folder: &Path) {
        let key = KeyPair::generate().expect("random");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("sound");
        std::fs::write(folder.join("certificate.pem"), certificate.pem()).expect("written");
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
    }
}

/// What a client trusts, and which versions and protocols it offers.
pub fn client(authority: &str, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("an authority");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("known versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

pub async fn connect(address: SocketAddr, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

/// Asks over TLS, with HTTP/1.1.
pub async fn get(address: SocketAddr, authority: &str, path: &str) -> std::io::Result<Answer> {
    let stream = connect(address, client(authority, rustls::ALL_VERSIONS, &["http/1.1"])).await?;
    let request = Request::get(path).header("host", "localhost").body(Full::default()).expect("a request");
    Ok(send_on(stream, request).await.expect("an answer"))
}

fn with_files(folder: &Path) -> impl FnOnce(&mut Config) + use<> {
    let files = [folder.join("certificate.pem"), folder.join("key.pem")];
    move |config| {
        let [certificate, key] = files;
        (config.tls.certificate_file, config.tls.key_file) = (Some(certificate), Some(key));
    }
}

/// The certificate that is shown.
async fn shown(server: &Server, authority: &Authority) -> CertificateDer<'static> {
    let stream = connect(server.address(), client(&authority.pem(), rustls::ALL_VERSIONS, &[])).await.expect("TLS");
    stream.get_ref().1.peer_certificates().expect("it shows one")[0].clone().into_owned()
}

/// Both versions, both protocols; whoever speaks plain HTTP is told what to do.
#[tokio::test(flavor = "multi_thread")]
async fn the_listener_speaks_tls() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    authority.certify(folder.path());
    let server = Server::with(with_files(folder.path())).await;
    assert_eq!(server.running.scheme(), "https");
    for (offered, spoken) in [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        for protocol in ["h2", "http/1.1"] {
            let config = client(&authority.pem(), &[offered], &[protocol]);
            let stream = connect(server.address(), config).await.expect("a handshake");
            let connection = stream.get_ref().1;
            assert_eq!(connection.protocol_version(), Some(spoken));
            assert_eq!(connection.alpn_protocol(), Some(protocol.as_bytes()));
        }
    }
    let page = get(server.address(), &authority.pem(), "/").await.expect("a handshake");
    assert!(page.text().contains("This is a Hudhud server"), "{page:?}");
    let plain = server.get("/").await;
    assert!(plain.status == 400 && plain.text().contains("https://"), "{plain:?}");
    assert_eq!(server.watch("/readyz").await.status, 200, "operators are served plain HTTP");
    server.stop().await;
}

/// New files are taken on SIGHUP, broken ones are not.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_again() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    authority.certify(folder.path());
    let server = Server::with(with_files(folder.path())).await;
    let hang_up = || {
        let pid = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().expect("kill runs").success());
    };
    let first = shown(&server, &authority).await;
    authority.certify(folder.path());
    hang_up();
    while shown(&server, &authority).await == first {
        tokio::task::yield_now().await;
    }
    let second = shown(&server, &authority).await;
    // The key of another certificate.
    let key = std::fs::read(folder.path().join("key.pem")).expect("it is there");
    authority.certify(folder.path());
    std::fs::write(folder.path().join("key.pem"), key).expect("written");
    hang_up();
    while !server.watch("/metrics").await.text().contains("hudhud_tls_reload_failures_total 1") {
        tokio::task::yield_now().await;
    }
    assert_eq!(shown(&server, &authority).await, second, "the last one that was whole");
    server.stop().await;
}

/// Files that are not a pair are named at the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_pair_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |folder: tempfile::TempDir| async move {
        let mut config = crate::server::config(&folder);
        with_files(folder.path())(&mut config);
        (hudhud_server::start(config).await.err().expect("the files are wrong"), folder)
    };
    let (failure, folder) = start(folder).await;
    assert!(failure.code() == 2 && failure.to_string().contains("certificate.pem"), "{failure}");
    Authority::new().certify(folder.path());
    std::fs::write(folder.path().join("key.pem"), KeyPair::generate().expect("random").serialize_pem())
        .expect("written");
    let (failure, _) = start(folder).await;
    assert!(failure.code() == 2 && failure.to_string().contains("do not go together"), "{failure}");
}

/// Who begins a handshake and does not end it is not waited for, and has a stranger's place meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_are_not_waited_for() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    authority.certify(folder.path());
    let files = with_files(folder.path());
    let server = Server::with(|config| {
        files(config);
        config.limits.header_timeout_ms = 200;
        config.limits.unauthenticated_per_address_max = 1;
        // Only a place that is given to another ends this one early.
    })
    .await;
    let mut silent = TcpStream::connect(server.address()).await.expect("the server listens");
    assert_eq!(silent.read(&mut [0; 1]).await.expect("a polite close"), 0);
    let metrics = server.watch("/metrics").await;
    assert!(metrics.text().contains("hudhud_tls_handshake_failures_total 1"), "{}", metrics.text());
    let mut first = TcpStream::connect(server.address()).await.expect("the server listens");
    let page = get(server.address(), &authority.pem(), "/").await.expect("it has the address's place for strangers");
    assert_eq!(page.status, 200);
    assert_eq!(first.read(&mut [0; 1]).await.expect("a polite close"), 0);
    server.stop().await;
}
