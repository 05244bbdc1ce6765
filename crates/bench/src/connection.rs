//! One WebSocket that speaks the protocol and keeps nothing: a load generator's device.
//!
//! Frames that are ready are read together and answered in one write, as good clients do.

use crate::account::Account;
use crate::destination::{Destination, Stream};
use anyhow::{Context as _, bail};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use hudhud_proto::Encoding;
use hudhud_proto::v1::{self, ClientFrame, ServerFrame, client_frame::Command, server_frame::Event};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long an answer may take. A server that needs longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that are made at the same time.
const CONNECTING_MAX: usize = 64;
/// Frames that are taken at once.
const FRAMES_TOGETHER_MAX: usize = 256;
/// Connections from one source address: each has as many ports as the kernel lends (ip_local_port_range).
const CONNECTIONS_PER_SOURCE: usize = 8_000;
/// Bytes read at once, and held by each connection.
const READ_BYTES: usize = 2 * 1_024;

/// A connection.
pub struct Connection {
    socket: WebSocketStream<Stream>,
    requests: u64,
}

/// Where the n-th connection of a measurement comes from: addresses of the loopback network, so that ports do not run out.
pub fn source(n: usize) -> IpAddr {
    let host = 1 + u8::try_from(n / CONNECTIONS_PER_SOURCE).unwrap_or(u8::MAX - 1);
    Ipv4Addr::new(127, 0, 0, host).into()
}

/// A connection with a session for each account, in their order. `first` is the number of the first one's source.
pub async fn connect(server: &Destination, first: usize, accounts: &[Account]) -> anyhow::Result<Vec<Connection>> {
    let opening =
        accounts.iter().enumerate().map(|(n, account)| Connection::resume(server, source(first + n), account));
    stream::iter(opening).buffered(CONNECTING_MAX).try_collect().await
}

impl Connection {
    /// Connects from an address of this machine.
    pub async fn open(server: &Destination, source: IpAddr) -> anyhow::Result<Self> {
        let stream = timeout(PATIENCE, server.open(source)).await.context("the server opens no connection")??;
        let mut request = server.url().into_client_request().expect("an address makes a URL");
        let subprotocol = HeaderValue::from_static(Encoding::Protobuf.subprotocol());
        request.headers_mut().insert("sec-websocket-protocol", subprotocol);
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let (socket, _) = timeout(PATIENCE, opening).await.context("the server does not answer a handshake")??;
        Ok(Self { socket, requests: 0 })
    }

    /// Connects and opens a session.
    pub async fn resume(server: &Destination, source: IpAddr, account: &Account) -> anyhow::Result<Self> {
        let mut connection = Self::open(server, source).await?;
        let hello = v1::Hello { token: account.token.clone(), client: "bench".to_owned(), ..Default::default() };
        match connection.ask(hello.into()).await? {
            Event::Welcome(_) => Ok(connection),
            other => bail!("no welcome: {other:?}"),
        }
    }

    /// Puts a command behind what is to be sent. Returns the number of the request.
    pub async fn feed(&mut self, command: Command) -> anyhow::Result<u64> {
        self.requests += 1;
        let frame = ClientFrame { request: self.requests, command: Some(command) };
        self.socket.feed(Message::Binary(Encoding::Protobuf.encode_client(&frame))).await?;
        Ok(self.requests)
    }

    /// Sends what was fed.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.socket.flush().await?)
    }

    /// Sends a command and waits for its answer. An error that the server answers is one; pushes are dropped.
    pub async fn ask(&mut self, command: Command) -> anyhow::Result<Event> {
        let request = self.feed(command).await?;
        self.flush().await?;
        loop {
            let frame = timeout(PATIENCE, self.next()).await.context("the server does not answer")??;
            match frame.event.context("a frame without an event")? {
                _ if frame.request != request => {}
                Event::Error(error) => bail!("the server says: {}", error.message),
                event => return Ok(event),
            }
        }
    }

    /// Waits for a frame and takes all that are there. Pings are answered. Cancel-safe: nothing is lost when dropped.
    pub async fn receive(&mut self, events: &mut Vec<(u64, Event)>) -> anyhow::Result<()> {
        let mut next = Some(self.next().await?);
        while let Some(frame) = next {
            match frame.event.context("a frame without an event")? {
                Event::Ping(_) => {
                    self.feed(v1::Pong::default().into()).await?;
                    self.flush().await?;
                }
                event => events.push((frame.request, event)),
            }
            next = match events.len() < FRAMES_TOGETHER_MAX {
                true => self.next().now_or_never().transpose()?,
                false => None,
            };
        }
        Ok(())
    }

    /// Keeps the connection alive and takes what comes, for good.
    pub async fn stay(mut self) -> anyhow::Result<()> {
        let mut events = Vec::new();
        loop {
            events.clear();
            self.receive(&mut events).await?;
        }
    }

    async fn next(&mut self) -> anyhow::Result<ServerFrame> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(Encoding::Protobuf.decode_server(&bytes)?),
                Some(Ok(Message::Close(why))) => bail!("the server closed the connection: {why:?}"),
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed)) | None => bail!("the connection is closed"),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No source address is asked for more ports than it has.
    #[test]
    fn connections_come_from_several_addresses() {
        let addresses: Vec<IpAddr> = [0, 7_999, 8_000, 18_999].map(source).to_vec();
        let expected: [IpAddr; 4] = [1, 1, 2, 3].map(|host| Ipv4Addr::new(127, 0, 0, host).into());
        assert_eq!(addresses, expected);
    }
}
