//! The client and the server over TLS, with a certificate that only an authority of the test's own vouches for.

use hudhud_client::native::{self, Profile, Settings, StartError};
use hudhud_client::{Command, Event, Options};
use hudhud_proto::v1::{Register, client_frame};
use hudhud_server::Config;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::{Path, PathBuf};

/// Writes an authority and a certificate for `localhost`. Returns the files: authority, certificate, key.
fn certify(folder: &Path) -> [PathBuf; 3] {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("random")).expect("sound");
    let key = KeyPair::generate().expect("random");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("sound");
    let files = ["authority.pem", "certificate.pem", "key.pem"].map(|name| folder.join(name));
    for (file, pem) in files.iter().zip([authority.as_ref().pem(), certificate.pem(), key.serialize_pem()]) {
        std::fs::write(file, pem).expect("written");
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_trusts_an_authority_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let [authority, certificate, key] = certify(folder.path());
    let any = ([127, 0, 0, 1], 0).into();
    let mut config = Config { data: folder.path().join("data"), listen: any, drain_ms: 0, ..Config::default() };
    config.operators.listen = any;
    (config.tls.certificate_file, config.tls.key_file) = (Some(certificate), Some(key));
    let server = hudhud_server::start(config).await.expect("a free port");
    let settings = |authorities: PathBuf| Settings {
        server: format!("wss://localhost:{}/v1/ws", server.address().expect("it has every role").port()),
        authorities: Some(authorities),
        options: Options { name: "e2e".into(), active: true },
    };
    let profile = |name| Profile::open(folder.path(), name).expect("a folder").into_storage().expect("a database");

    let (handle, mut events) = native::start(settings(authority), Box::new(profile("alice"))).expect("it starts");
    let register = Register { handle: "alice".into(), password: "correct horse battery".into(), ..Default::default() };
    let command = client_frame::Command::Register(register);
    handle.command(Command::Authenticate { tag: 1, command }).expect("it has nothing else to do");
    while !matches!(events.recv().await.expect("the client runs"), Event::LoggedIn(_)) {}
    drop(events);
    handle.stop().expect("its disk is well");

    let refused = native::start(settings(folder.path().join("key.pem")), Box::new(profile("bob")));
    assert!(matches!(refused, Err(StartError::Server(why)) if why.contains("key.pem")), "a key is no authority");
    server.stop().await;
}
