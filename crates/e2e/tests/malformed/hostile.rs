//! A connection of somebody who keeps no rule, on a socket without any library.

use crate::frames::Conversation;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// No connection is left open for so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
const CLOSE: u8 = 0x88;
/// What a connection has to be told in the end if nothing was said in between; close codes begin at 1000.
const NO_CODE: u16 = 0;

/// Opens a connection, says everything, and returns with which code the server closed it.
pub async fn hold(server: SocketAddr, from: IpAddr, conversation: &Conversation) -> u16 {
    let held = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let mut stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        upgrade(&mut stream, conversation).await?;
        let (mut read, mut write) = stream.split();
        // Both at once, as answers come before everything is said. Once the server has had enough it stops reading.
        let (_, code) = tokio::join!(write.write_all(&conversation.bytes), close_code(&mut read));
        code
    };
    let held: std::io::Result<u16> = tokio::time::timeout(PATIENCE, held).await.expect("the server ends it");
    held.unwrap_or_else(|error| panic!("{error}, on a connection that ends with {}", conversation.end))
}

async fn upgrade(stream: &mut TcpStream, conversation: &Conversation) -> std::io::Result<()> {
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: {}\r\n\r\n",
        conversation.encoding.subprotocol()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    // The server says nothing after the head until it hears something.
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    Ok(())
}

/// Reads frames up to a close.
async fn close_code(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<u16> {
    let mut bytes = Vec::with_capacity(8 * 1_024);
    loop {
        let mut rest = &bytes[..];
        while let Some((head, payload, behind)) = frame(rest) {
            if head == CLOSE {
                return Ok(payload.first_chunk().map_or(NO_CODE, |code| u16::from_be_bytes(*code)));
            }
            rest = behind;
        }
        let read = bytes.len() - rest.len();
        bytes.drain(..read);
        match stream.read_buf(&mut bytes).await {
            // Cut off while there was still something to read for the server.
            Ok(0) => return Ok(NO_CODE),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(NO_CODE),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The frame that these bytes begin with: its first byte and its payload; and what follows. A server's are not masked.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(2)?;
    let (length, rest) = match head[1] {
        126 => rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?,
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        length => (u64::from(length), rest),
    };
    let (payload, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((head[0], payload, behind))
}
