//! The network between clients and server: a proxy that passes bytes on, slowly or not at all, in each direction by itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes that are passed on at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// The same on a slow way, and how long each takes: some 20 KiB a second.
const SLOW_CHUNK_BYTES: usize = 1024;
const SLOW_CHUNK_TIME: Duration = Duration::from_millis(50);
/// How long the proxy waits after it could not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One direction of every connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Bytes go through.
    Open,
    /// They go through after a while, a few at a time.
    Slow,
    /// Nothing goes through, not even the end of the connection, and nobody is told. What was sent meanwhile arrives once it
    /// is open again, as TCP has it.
    Shut,
}

#[derive(Clone, Copy, Debug)]
struct Weather {
    up: Way,
    down: Way,
    cuts: u64,
}

/// A proxy in front of one server. Ends with the runtime.
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
}

impl Proxy {
    /// Starts to pass everything on to a server.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let weather = watch::Sender::new(Weather { up: Way::Open, down: Way::Open, cuts: 0 });
        tokio::spawn(accept(listener, server, weather.subscribe()));
        Ok(Self { address, weather })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the ways of all connections: from clients to the server, and back.
    pub fn set(&self, up: Way, down: Way) {
        self.weather.send_modify(|weather| (weather.up, weather.down) = (up, down));
    }

    /// Cuts every connection there is.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, weather: watch::Receiver<Weather>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(connect(client, server, weather.clone()))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connect(client: TcpStream, server: SocketAddr, weather: watch::Receiver<Weather>) {
    let cuts = weather.borrow().cuts;
    // The client sees the end of its connection, as with every balancer whose server is away.
    let Ok(upstream) = TcpStream::connect(server).await else { return };
    for stream in [&client, &upstream] {
        // A delay of ours is one that nobody asked for. An error means that the connection is gone, which shows below.
        stream.set_nodelay(true).ok();
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    let mut cut = weather.clone();
    tokio::select! {
        biased;
        // An error means that the test has ended.
        _ = cut.wait_for(|weather| weather.cuts > cuts) => {}
        _ = relay(from_client, to_server, weather.clone(), |weather| weather.up) => {}
        _ = relay(from_server, to_client, weather, |weather| weather.down) => {}
    }
}

/// Passes one direction on until it ends or breaks.
async fn relay(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    way: impl Fn(&Weather) -> Way,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let slow = way(&weather.borrow()) == Way::Slow;
        let room = if slow { SLOW_CHUNK_BYTES } else { CHUNK_BYTES };
        let bytes = from.read(&mut buffer[..room]).await?;
        if slow {
            tokio::time::sleep(SLOW_CHUNK_TIME).await;
        }
        weather.wait_for(|weather| way(weather) != Way::Shut).await.map_err(io::Error::other)?;
        if bytes == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..bytes]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says everything twice, behind a proxy.
    async fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = Proxy::start(listener.local_addr().expect("bound")).await.expect("a free port");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&[byte[0]; 2]).await.is_ok() {}
            }
        });
        let client = TcpStream::connect(proxy.address()).await.expect("it listens");
        (proxy, client)
    }

    async fn answer(client: &mut TcpStream) -> io::Result<[u8; 2]> {
        let mut answer = [0; 2];
        client.read_exact(&mut answer).await.map(|_| answer)
    }

    #[tokio::test]
    async fn what_was_sent_while_a_way_was_shut_arrives_later() {
        for (up, down) in [(Way::Shut, Way::Open), (Way::Open, Way::Shut), (Way::Slow, Way::Slow)] {
            let (proxy, mut client) = echo().await;
            client.write_all(b"a").await.expect("sent");
            assert_eq!(answer(&mut client).await.expect("answered"), *b"aa");
            proxy.set(up, down);
            client.write_all(b"b").await.expect("sent");
            if up == Way::Shut || down == Way::Shut {
                let silence = tokio::time::timeout(Duration::from_millis(100), answer(&mut client)).await;
                assert!(silence.is_err(), "it went through {up:?} and {down:?}");
                proxy.set(Way::Open, Way::Open);
            }
            assert_eq!(answer(&mut client).await.expect("answered"), *b"bb");
        }
    }

    #[tokio::test]
    async fn a_cut_ends_the_connections_that_are_there_and_no_others() {
        let (proxy, mut client) = echo().await;
        client.write_all(b"a").await.expect("sent");
        assert_eq!(answer(&mut client).await.expect("answered"), *b"aa");
        proxy.cut();
        answer(&mut client).await.expect_err("it is cut");
        let mut other = TcpStream::connect(proxy.address()).await.expect("it listens");
        other.write_all(b"b").await.expect("sent");
        assert_eq!(answer(&mut other).await.expect("answered"), *b"bb");
    }
}
