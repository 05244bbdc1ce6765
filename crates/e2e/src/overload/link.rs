//! Connections from addresses of one's own choice: the loopback network has sixteen million.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// Where a connection comes from, and how much of what the server says the kernel holds for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Source {
    /// The address; the system's choice where there is none.
    pub address: Option<Ipv4Addr>,
    /// The receive buffer, in bytes; the system's choice where there is none.
    pub receive_bytes: Option<u32>,
}

impl Source {
    /// One of 250 addresses of the loopback network, none of them that of honest people.
    pub fn foreign(n: usize) -> Self {
        let last = u8::try_from(n % 250 + 1).expect("at most 250");
        Self { address: Some(Ipv4Addr::new(127, 0, 9, last)), receive_bytes: None }
    }

    /// Connects.
    pub async fn connect(self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(address) = self.address {
            socket.bind(SocketAddr::from((address, 0)))?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Lets this process open as many files as the system allows, and returns how many that is.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Refused only where it is as high already.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
