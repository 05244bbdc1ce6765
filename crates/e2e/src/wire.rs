//! A WebSocket that says what the test says, and a balancer in front of the server.

use crate::Journal;
use futures_util::{SinkExt, StreamExt};
use hudhud_proto::v1::{ClientFrame, Hello, ServerFrame, client_frame::Command, server_frame::Event};
use hudhud_proto::{Encoding, v1};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, http::HeaderValue};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// No answer of a server takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection that does nothing by itself.
pub struct Wire {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    encoding: Encoding,
    requests: u64,
    /// What came before it was asked for.
    pushed: Vec<Event>,
}

impl Wire {
    /// Connects.
    pub async fn connect(address: SocketAddr, encoding: Encoding) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("it is a TCP connection");
        Self::on(stream, encoding).await
    }

    /// Opens a WebSocket on a connection.
    pub async fn on(stream: TcpStream, encoding: Encoding) -> Self {
        let url = format!("ws://{}/v1/ws", stream.peer_addr().expect("it is connected"));
        let mut request = url.into_client_request().expect("a URL");
        let subprotocol = HeaderValue::from_static(encoding.subprotocol());
        request.headers_mut().insert("sec-websocket-protocol", subprotocol);
        let stream = MaybeTlsStream::Plain(stream);
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("the server opens it");
        Self { socket, encoding, requests: 0, pushed: Vec::new() }
    }

    /// The socket, for whoever reads and writes frames at the same time.
    pub fn into_socket(self) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
        self.socket
    }

    /// Registers an account on a connection of its own, and opens a session for it.
    pub async fn register(address: SocketAddr, encoding: Encoding, handle: &str) -> (Self, v1::LoggedIn) {
        Self::connect(address, encoding).await.registered(handle).await
    }

    /// Registers an account, and opens a session for it.
    pub async fn registered(mut self, handle: &str) -> (Self, v1::LoggedIn) {
        let register = v1::Register { handle: handle.into(), password: "correct horse".into(), ..Default::default() };
        let Event::LoggedIn(logged_in) = self.ask(Command::Register(register)).await else {
            panic!("{handle} was not registered")
        };
        self.hello(&logged_in.token).await;
        (self, logged_in)
    }

    /// Opens a session.
    pub async fn hello(&mut self, token: &str) -> v1::Welcome {
        let hello = Hello { token: token.into(), client: "e2e".into(), active: true, ..Hello::default() };
        match self.ask(Command::Hello(hello)).await {
            Event::Welcome(welcome) => welcome,
            other => panic!("no welcome: {other:?}"),
        }
    }

    /// Sends a command and returns the number of the request.
    pub async fn say(&mut self, command: Command) -> u64 {
        self.requests += 1;
        let frame = ClientFrame { request: self.requests, command: Some(command) };
        let bytes = self.encoding.encode_client(&frame);
        let message = match self.encoding {
            Encoding::Protobuf => Message::Binary(bytes),
            Encoding::Json => Message::Text(String::from_utf8(bytes.to_vec()).expect("JSON is text").into()),
        };
        self.socket.send(message).await.expect("the server reads");
        self.requests
    }

    /// Sends a command and waits for its answer; pushes that come before are kept for [`Self::pushed`].
    pub async fn ask(&mut self, command: Command) -> Event {
        let request = self.say(command).await;
        self.answer(request).await
    }

    /// Waits for the answer to a request.
    pub async fn answer(&mut self, request: u64) -> Event {
        loop {
            let frame = self.next().await;
            let event = frame.event.expect("every frame has an event");
            match frame.request {
                0 => self.pushed.push(event),
                answered => {
                    assert_eq!(answered, request, "answered out of turn: {event:?}");
                    return event;
                }
            }
        }
    }

    /// The first push that is what is wanted; others are dropped.
    pub async fn pushed<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.event().await) {
                return found;
            }
        }
    }

    /// Whether a send was accepted, in what came until the server closed the connection.
    pub async fn was_accepted(&mut self, request: u64) -> bool {
        while let Some(Ok(message)) = self.socket.next().await {
            let (Message::Binary(bytes), Encoding::Protobuf) = (&message, self.encoding) else { continue };
            let frame = self.encoding.decode_server(bytes).expect("a frame");
            if frame.request == request {
                return matches!(frame.event, Some(Event::Accepted(_)));
            }
        }
        false
    }

    /// Waits until the server closes the connection.
    pub async fn closed(&mut self) {
        let end = async { while let Some(Ok(_)) = self.socket.next().await {} };
        tokio::time::timeout(PATIENCE, end).await.expect("the server closes it in time");
    }

    /// What comes next, asked for or not.
    pub async fn event(&mut self) -> Event {
        match self.pushed.is_empty() {
            false => self.pushed.remove(0),
            true => self.next().await.event.expect("every frame has an event"),
        }
    }

    async fn next(&mut self) -> ServerFrame {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            let message = message.expect("the server says something in time").expect("it is connected");
            match message.expect("it speaks RFC 6455") {
                Message::Binary(bytes) => return self.encoding.decode_server(&bytes).expect("a frame"),
                Message::Text(text) => return self.encoding.decode_server(text.as_bytes()).expect("a frame"),
                Message::Close(why) => panic!("closed: {why:?}"),
                _ => {}
            }
        }
    }
}

/// The smallest load balancer: passes each connection on, and notes when something comes from a client.
pub struct Balancer;

impl Balancer {
    /// Balances over one server. Ends with the runtime.
    pub async fn start(server: SocketAddr, journal: Journal) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let journal = journal.clone();
                tokio::spawn(async move {
                    let upstream = TcpStream::connect(server).await.expect("the server listens");
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = upstream.into_split();
                    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(bytes @ 1..) = tokio::io::AsyncReadExt::read(&mut from_client, &mut buffer).await {
                        journal.note("the balancer passes it on");
                        if to_server.write_all(&buffer[..bytes]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }
}
