//! The way from outside: whether the URL that clients use leads to this server, through whatever stands before it.

use super::Finding;
use crate::config::Config;
use crate::reach;
use axum::http::header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hudhud_proto::Encoding;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::lookup_host;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn examine(config: &Config, url: &str, authority: Option<&Path>) -> Vec<Finding> {
    const CHECK: &str = "public url";
    let uri = url.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let Some(uri) = uri.filter(|uri| uri.host().is_some()) else {
        return vec![Finding::fail(
            CHECK,
            format!("{url} is not asked"),
            "give one that begins with http:// or https://",
        )];
    };
    let mut findings = Vec::new();
    let host = uri.host().expect("it was looked at").trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let addresses: Vec<SocketAddr> = match lookup_host((host.as_str(), port)).await {
        Ok(found) => found.collect(),
        Err(error) => return vec![Finding::fail(CHECK, format!("{host}: {error}"), "check the name in the DNS")],
    };
    match ask(&uri, authority, "/openapi.json", false).await {
        Ok(StatusCode::OK) => findings.push(Finding::ok(CHECK, format!("{url} leads to a server"))),
        Ok(status) => findings.push(Finding::fail(
            CHECK,
            format!("{url}/openapi.json answers {status}"),
            "check what the proxy passes on",
        )),
        Err(error) => {
            return vec![Finding::fail(CHECK, format!("{url}: {error}"), "start the server and the proxy before this")];
        }
    }
    findings.push(websocket(ask(&uri, authority, "/v1/ws", true).await));
    findings.push(forwarded(config, &addresses));
    findings
}

fn websocket(answer: Result<StatusCode, String>) -> Finding {
    const CHECK: &str = "websocket";
    let advice = "let the proxy pass the headers Upgrade and Connection on, over HTTP/1.1";
    match answer {
        Ok(StatusCode::SWITCHING_PROTOCOLS) => Finding::ok(CHECK, "GET /v1/ws becomes a WebSocket"),
        Ok(status) => Finding::fail(CHECK, format!("GET /v1/ws is answered with {status}"), advice),
        Err(error) => Finding::fail(CHECK, format!("GET /v1/ws: {error}"), advice),
    }
}

/// Behind a proxy all clients have its address, unless it is trusted to say whose request it is.
fn forwarded(config: &Config, addresses: &[SocketAddr]) -> Finding {
    const CHECK: &str = "forwarded";
    let direct = addresses.iter().any(|address| address.port() == config.listen.port());
    let proxies = Vec::<String>::from(config.trusted_proxies.clone());
    match (direct, proxies.as_slice()) {
        (true, _) => Finding::ok(CHECK, "no proxy in between: the port is the server's own"),
        (false, []) => Finding::fail(
            CHECK,
            "a proxy is in between and trusted_proxies is empty: all clients count as one address, with its limits",
            "put the proxy's address into trusted_proxies, and let it set X-Forwarded-For",
        ),
        (false, proxies) => Finding::ok(CHECK, format!("X-Forwarded-For of {} is believed", proxies.join(", "))),
    }
}

async fn ask(uri: &Uri, authority: Option<&Path>, path: &str, upgrade: bool) -> Result<StatusCode, String> {
    let exchange = async {
        let stream = reach::connect(uri, authority).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection.with_upgrades());
        let host = uri.authority().map_or("", |it| it.as_str());
        let mut request = Request::get(path).header(HOST, host);
        if upgrade {
            // Any 16 bytes in base64 are a key.
            let key = "aHVkaHVkLWRvY3Rvci0xNg==";
            request = request
                .header(CONNECTION, "Upgrade")
                .header(UPGRADE, "websocket")
                .header(SEC_WEBSOCKET_VERSION, "13")
                .header(SEC_WEBSOCKET_PROTOCOL, Encoding::Protobuf.subprotocol())
                .header(SEC_WEBSOCKET_KEY, key);
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string());
        connection.abort();
        answer.map(|answer| answer.status())
    };
    let late = |_| format!("no answer within {ANSWER_TIMEOUT:?}");
    tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.map_err(late)?
}
