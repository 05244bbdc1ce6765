//! Opening a WebSocket, and getting it wrong.

use crate::client::{Client, error, open};
use crate::server::Server;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hudhud_proto::limits::FRAME_BYTES_MAX;
use hudhud_proto::v1::{self, ErrorCode, client_frame::Command, server_frame::Event};
use hudhud_proto::{Encoding, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

fn refused(opened: Result<impl Sized, tungstenite::Error>) -> (u16, String) {
    match opened {
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).expect("text"))
        }
        Err(other) => panic!("refused otherwise: {other}"),
        Ok(_) => panic!("it was opened"),
    }
}

/// Without a subprotocol, or with an unknown one, both that there are are named.
#[tokio::test(flavor = "multi_thread")]
async fn a_subprotocol_is_asked_for() {
    let server = Server::start().await;
    for headers in [&[][..], &[("sec-websocket-protocol", "mqtt")]] {
        let (status, problem) = refused(open(&server, headers).await);
        assert_eq!(status, 400);
        assert!(problem.contains("hudhud.v1.proto") && problem.contains("hudhud.v1.json"), "{problem}");
    }
    let plain = server.get("/v1/ws").await;
    assert_eq!((plain.status, plain.header("upgrade")), (426, "websocket"));
    server.stop().await;
}

/// A page of another site can't open a connection with a browser's help; one of this host can.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_are_refused() {
    let server = Server::start().await;
    let protocol = ("sec-websocket-protocol", "hudhud.v1.json");
    let (status, problem) = refused(open(&server, &[protocol, ("origin", "https://evil.example")]).await);
    assert_eq!(status, 403, "{problem}");
    let own = format!("http://{}", server.address());
    open(&server, &[protocol, ("origin", &own)]).await.expect("its own page may");
    server.stop().await;
}

/// A connection says hello with a token; without one it may register and log in, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_says_who_it_is() {
    let server = Server::start().await;
    for encoding in Encoding::ALL {
        let mut client = Client::connect(&server, encoding).await;
        let denied = error(client.request(Command::ListDevices(v1::ListDevices::default())).await);
        assert_eq!(denied.code, ErrorCode::Unauthenticated);
        let hello = v1::Hello { token: "nothing".into(), ..Default::default() };
        assert_eq!(error(client.request(Command::Hello(hello)).await).code, ErrorCode::Unauthenticated);
        let handle = format!("alice.{}", encoding.subprotocol().replace("hudhud.", ""));
        let register = v1::Register { handle, password: crate::server::PASSWORD.into(), ..Default::default() };
        let Event::LoggedIn(logged_in) = client.request(Command::Register(register)).await else { panic!("not in") };
        let hello = v1::Hello { token: logged_in.token, ..Default::default() };
        let Event::Welcome(welcome) = client.request(Command::Hello(hello)).await else { panic!("not welcome") };
        assert_eq!(welcome.account, logged_in.account);
    }
    server.stop().await;
}

/// What is no frame is answered with an error, and the connection goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_cannot_be_read_is_answered() {
    let server = Server::start().await;
    let mut client = Client::connect(&server, Encoding::Json).await;
    for (frame, request) in [("{", 0), ("{\"request\":\"4\",\"send\":5}", 4), ("{\"request\":5,\"sned\":{}}", 5)] {
        client.send(Bytes::from(frame)).await;
        let Message::Text(answer) = client.message().await else { panic!("not text") };
        let answer = Encoding::Json.decode_server(answer.as_bytes()).expect("a frame");
        assert_eq!(answer.request, request, "{frame}");
        let ProtocolError { code, .. } = error(answer.event.expect("an error"));
        assert_eq!(code, ErrorCode::Invalid, "{frame}");
    }
    drop(client);
    server.stop().await;
}

/// The wrong kind of message, one that is too long, and text that is no UTF-8 end the connection with a code that says so.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_socket_does_not_take_ends_it() {
    let server = Server::start().await;
    let long = vec![0; FRAME_BYTES_MAX + 1];
    for (encoding, message, code) in [
        (Encoding::Protobuf, Message::text("{}"), 1003),
        (Encoding::Json, Message::binary(vec![8, 1]), 1003),
        (Encoding::Protobuf, Message::binary(long), 1009),
    ] {
        let mut client = Client::connect(&server, encoding).await;
        client.socket.send(message).await.expect("it is open");
        let close = client.closed().await;
        assert_eq!(u16::from(close.code), code, "{close:?}");
        assert!(!close.reason.is_empty());
    }
    server.stop().await;
}

/// Strangers have a bound, and are told so, however much they still have to say.
#[tokio::test(flavor = "multi_thread")]
async fn who_sends_much_before_a_hello_is_closed_with_a_reason() {
    let server = Server::start().await;
    for encoding in Encoding::ALL {
        let client = Client::connect(&server, encoding).await;
        let (mut writing, mut reading) = client.socket.split();
        let flood = tokio::spawn(async move {
            let frame = vec![b' '; FRAME_BYTES_MAX];
            while writing.send(Message::binary(frame.clone())).await.is_ok() {}
        });
        let close = loop {
            let message = reading.next().await.expect("it is closed, not cut").expect("it is a WebSocket");
            if let Message::Close(close) = message {
                break close.expect("the server says why");
            }
        };
        assert_eq!(u16::from(close.code), 1008, "{close:?}");
        assert!(close.reason.contains("65536 bytes before a hello"), "{close:?}");
        flood.abort();
    }
    server.stop().await;
}

/// A client that closes is answered with a close of the same code (RFC 6455 §5.5.1), before the server ends the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_close_is_answered() {
    let server = Server::start().await;
    for encoding in Encoding::ALL {
        let mut client = Client::connect(&server, encoding).await;
        let leaving = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
        client.socket.send(Message::Close(Some(leaving))).await.expect("it is open");
        assert_eq!(client.closed().await.code, CloseCode::Normal);
    }
    server.stop().await;
}
