//! WebSockets over HTTP/2 (RFC 8441), where the balancer takes or passes them.

use crate::client::{Client, Http, State, state};
use crate::product::{Algorithm, Balancer, Product};
use crate::servers::{Servers, Tls};
use hudhud_proto::Encoding;
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::ext::Protocol;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::Ipv4Addr;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

async fn ask(connection: &mut SendRequest<String>, method: Method, path: &str) -> Response<Incoming> {
    let mut request = Request::builder().method(&method).uri(format!("https://localhost{path}")).body(String::new());
    if let (Ok(request), Method::CONNECT) = (&mut request, method) {
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let headers = request.headers_mut();
        headers.insert("sec-websocket-version", "13".parse().expect("a header"));
        let subprotocol = Encoding::Protobuf.subprotocol();
        headers.insert("sec-websocket-protocol", subprotocol.parse().expect("a header"));
    }
    connection.ready().await.expect("connected");
    connection.send_request(request.expect("a request")).await.expect("answered")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_over_http2_reach_the_servers() {
    let _turn = crate::TURN.lock().await;
    for (product, tls) in
        [(Product::HaProxy, Tls::Ended), (Product::HaProxy, Tls::PassedThrough), (Product::Nginx, Tls::PassedThrough)]
    {
        let servers = Servers::start(tls, 1, &[]).await;
        let balancer = Balancer::start(product, Algorithm::RoundRobin, &servers).await;
        let client = Client::speaking(&servers.certified.authority, balancer.address(), "h2");
        let Http(stream) = client.connect(Ipv4Addr::new(127, 0, 8, 1)).await.expect("it listens");
        let (mut connection, driver) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("it speaks HTTP/2");
        tokio::spawn(driver);
        // With its answer comes that WebSockets may be opened.
        assert_eq!(ask(&mut connection, Method::GET, "/openapi.json").await.status(), StatusCode::OK);
        let mut sockets = Vec::new();
        for _ in 0..3 {
            let answer = ask(&mut connection, Method::CONNECT, "/v1/ws").await;
            assert_eq!(answer.status(), StatusCode::OK, "{product:?}, {tls:?}");
            let stream = hyper::upgrade::on(answer).await.expect("it is taken");
            sockets.push(WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await);
        }
        servers.sockets(3).await;
        for socket in &mut sockets {
            assert_eq!(state(socket).await, State::Open);
        }
    }
}
