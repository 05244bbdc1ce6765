//! A WebSocket client that says what a test tells it to.

use crate::server::{Person, Server};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hudhud_proto::v1::{self, ClientFrame, client_frame::Command, server_frame::Event};
use hudhud_proto::{Encoding, ProtocolError};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};

/// After which a test that waits has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
    requests: u64,
    pushes: VecDeque<Event>,
}

/// Opens a WebSocket with these headers.
pub async fn open(
    server: &Server,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
    let mut request = format!("ws://{}/v1/ws", server.address()).into_client_request().expect("a URL");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header"));
    }
    let stream = TcpStream::connect(server.address()).await.expect("the server listens");
    tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| socket)
}

impl Client {
    pub async fn connect(server: &Server, encoding: Encoding) -> Self {
        let socket = open(server, &[("sec-websocket-protocol", encoding.subprotocol())]).await.expect("it opens");
        Self { socket, encoding, requests: 0, pushes: VecDeque::new() }
    }

    /// A connection that has said hello.
    pub async fn of(server: &Server, person: &Person, encoding: Encoding) -> Self {
        let mut client = Self::connect(server, encoding).await;
        let hello =
            v1::Hello { token: person.token.clone(), client: "test".into(), active: true, ..v1::Hello::default() };
        match client.request(Command::Hello(hello)).await {
            Event::Welcome(welcome) => assert_eq!(welcome.limits.frame_bytes_max, 131_072),
            other => panic!("no welcome but {other:?}"),
        }
        client
    }

    /// Gives a command and waits for its answer; keeps what is pushed meanwhile.
    pub async fn request(&mut self, command: Command) -> Event {
        self.requests += 1;
        let frame = ClientFrame { request: self.requests, command: Some(command) };
        self.send(self.encoding.encode_client(&frame)).await;
        loop {
            let frame = self.frame().await;
            let event = frame.event.expect("a frame holds something");
            match frame.request {
                0 => self.pushes.push_back(event),
                request if request == self.requests => return event,
                other => panic!("an answer to {other}, which nobody asked"),
            }
        }
    }

    /// The next push, other than pings.
    pub async fn push(&mut self) -> Event {
        loop {
            let event = match self.pushes.pop_front() {
                Some(event) => event,
                None => {
                    let frame = self.frame().await;
                    assert_eq!(frame.request, 0, "nothing was asked");
                    frame.event.expect("a frame holds something")
                }
            };
            if !matches!(event, Event::Ping(_)) {
                return event;
            }
        }
    }

    async fn frame(&mut self) -> v1::ServerFrame {
        let message = self.message().await;
        let bytes = match (&message, self.encoding) {
            (Message::Binary(bytes), Encoding::Protobuf) => bytes.clone(),
            (Message::Text(text), Encoding::Json) => Bytes::copy_from_slice(text.as_bytes()),
            other => panic!("not a message of this subprotocol: {other:?}"),
        };
        self.encoding.decode_server(&bytes).expect("the server writes frames")
    }

    pub async fn send(&mut self, frame: Bytes) {
        let message = match self.encoding {
            Encoding::Protobuf => Message::Binary(frame),
            Encoding::Json => Message::text(String::from_utf8(frame.to_vec()).expect("JSON is UTF-8")),
        };
        self.socket.send(message).await.expect("it is open");
    }

    pub async fn message(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("it comes in time");
        next.expect("it is open").expect("it is a WebSocket")
    }

    /// Waits for the close, whatever comes before it.
    pub async fn closed(&mut self) -> CloseFrame {
        loop {
            if let Message::Close(frame) = self.message().await {
                return frame.expect("the server says why");
            }
        }
    }
}

/// The error that an event is.
pub fn error(event: Event) -> ProtocolError {
    match event {
        Event::Error(error) => ProtocolError {
            code: error.code.as_known().unwrap_or_default(),
            message: error.message,
            retry_after_ms: error.retry_after_ms,
            connection_number: error.connection_number,
        },
        other => panic!("no error but {other:?}"),
    }
}
