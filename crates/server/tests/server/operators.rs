//! What people who run a server look at.

use crate::server::Server;
use serde_json::json;

/// A server that runs says so, and says what it counted, to operators alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_watched() {
    let server = Server::start().await;
    assert_eq!(server.watch("/healthz").await.text(), "alive\n");
    assert_eq!(server.watch("/readyz").await.text(), "ready\n");
    server.register("alice").await;
    let metrics = server.watch("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        "hudhud_commands_total{command=\"register\"} 1",
        "hudhud_http_requests_total{status=\"200\"} 1",
        "hudhud_bus_records_total 0",
        "hudhud_bus_syncs_total 0",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line:?} is not in\n{}", metrics.text());
    }
    assert!(metrics.text().ends_with("# EOF\n"));
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(server.get(path).await.status, 404, "{path} is for operators");
    }
    assert_eq!(server.watch("/openapi.json").await.status, 404, "that is for everybody");
    server.stop().await;
}

/// Metrics can be turned off.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_can_be_off() {
    let server = Server::with(|config| config.operators.metrics = false).await;
    assert_eq!(server.watch("/metrics").await.status, 404);
    server.stop().await;
}

/// Whoever finds the server with a browser is told what it is, by a page that can load nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_told_what_this_is() {
    let server = Server::start().await;
    let page = server.get("/").await;
    assert!(page.text().contains("This is a Hudhud server"), "{page:?}");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("access-control-allow-origin"), "");
    server.stop().await;
}

/// Where registration is by invite, the server makes the first one, and only as long as nobody has registered.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_person_gets_an_invite() {
    let by_invite = |config: &mut hudhud_server::Config| {
        config.registration.mode = hudhud_server::config::RegistrationMode::Invite;
    };
    let server = Server::with(by_invite).await;
    let invite = server.running.first_invite().expect("nobody is there").to_owned();
    let without =
        server.post("register", None, json!({ "handle": "alice", "password": crate::server::PASSWORD })).await;
    assert_eq!((without.status, &without.json()["code"]), (403, &json!("ERROR_CODE_REGISTRATION_CLOSED")));
    let body = json!({ "handle": "alice", "password": crate::server::PASSWORD, "invite": invite });
    assert_eq!(server.post("register", None, body).await.status, 200);
    let folder = server.stop().await;
    let server = Server::again(folder, by_invite).await;
    assert_eq!(server.running.first_invite(), None);
    server.stop().await;
}

/// Pages of origins that the operator named may ask, others not.
#[tokio::test(flavor = "multi_thread")]
async fn named_origins_may_ask() {
    let server = Server::with(|config| config.allowed_origins = vec!["https://chat.example".into()]).await;
    for (origin, allowed) in [("https://chat.example", "https://chat.example"), ("https://evil.example", "")] {
        let preflight = hyper::Request::options("/v1/send")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let answer = server.request(preflight.body(Default::default()).expect("a request")).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{answer:?}");
    }
    server.stop().await;
}
