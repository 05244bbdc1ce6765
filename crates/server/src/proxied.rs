//! The PROXY protocol, versions 1 and 2: a proxy's word, before anything else, on whose connection it passes on
//! (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>). Only what the proxy says is read; the rest is the client's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// A line of version 1, in bytes.
const LINE_BYTES_MAX: usize = 107;
/// What follows the head of version 2, in bytes: addresses, and what else a proxy may say, which nobody here asks for.
const REST_BYTES_MAX: usize = 4 * 1_024;
/// Two addresses and two ports, in bytes.
const IPV4_BYTES: usize = 2 * (4 + 2);
const IPV6_BYTES: usize = 2 * (16 + 2);

/// Reads a proxy's word, and nothing behind it. `None` where the proxy speaks for itself, as when it looks whether this server
/// is well, or for somebody who has no address.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == *SIGNATURE {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let mut rest = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]])).min(REST_BYTES_MAX + 1)];
        if rest.len() > REST_BYTES_MAX {
            return Err(wrong("a header of version 2 that is too long"));
        }
        stream.read_exact(&mut rest).await?;
        return version_2(head[0], head[1], &rest);
    }
    if !start.starts_with(WORD) {
        return Err(wrong("no PROXY protocol: proxy_protocol is on, and this proxy does not speak it"));
    }
    let mut line = start.to_vec();
    // A byte at a time: what comes behind the line is not this function's.
    while !line.ends_with(b"\r\n") {
        if line.len() == LINE_BYTES_MAX {
            return Err(wrong("a line of version 1 that is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    let line = std::str::from_utf8(&line).map_err(|_| wrong("a line of version 1 that is no text"))?;
    version_1(line.trim_end_matches("\r\n"))
}

fn version_1(line: &str) -> io::Result<Option<SocketAddr>> {
    let words: Vec<_> = line.split(' ').collect();
    let address = match words[..] {
        ["PROXY", "UNKNOWN", ..] => return Ok(None),
        ["PROXY", "TCP4", source, _, port, _] => source.parse().ok().map(IpAddr::V4).zip(port.parse().ok()),
        ["PROXY", "TCP6", source, _, port, _] => source.parse().ok().map(IpAddr::V6).zip(port.parse().ok()),
        _ => None,
    };
    let (address, port) = address.ok_or_else(|| wrong("a line of version 1 without addresses"))?;
    Ok(Some(SocketAddr::new(address, port)))
}

fn version_2(version_and_command: u8, family: u8, rest: &[u8]) -> io::Result<Option<SocketAddr>> {
    match version_and_command {
        // LOCAL: whatever else is said is not meant.
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(wrong("a header of a version or command that is not known")),
    }
    let short = || wrong("a header of version 2 without addresses");
    match family {
        0x11 => {
            let said = rest.first_chunk::<IPV4_BYTES>().ok_or_else(short)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *said;
            Ok(Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))))
        }
        0x21 => {
            let said = rest.first_chunk::<IPV6_BYTES>().ok_or_else(short)?;
            let (address, rest) = said.split_first_chunk::<16>().ok_or_else(short)?;
            Ok(Some(SocketAddr::new(Ipv6Addr::from(*address).into(), u16::from_be_bytes([rest[16], rest[17]]))))
        }
        // Datagrams, sockets of files, and what is not said.
        _ => Ok(None),
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_2_bytes(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    /// `Ok` is what was said of the client, `Err` that it was refused. Nothing behind the header may be taken.
    async fn check(header: &[u8], expected: Result<Option<&str>, ()>) {
        let sent = [header, b"GET"].concat();
        let mut stream = &sent[..];
        let said = read(&mut stream).await.map_err(drop);
        assert_eq!(said, expected.map(|address| address.map(|text| text.parse().expect("an address"))), "{header:?}");
        if said.is_ok() {
            assert_eq!(stream, b"GET", "{header:?}");
        }
    }

    #[tokio::test]
    async fn version_1_is_a_line() {
        check(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", Ok(Some("192.0.2.1:56324"))).await;
        check(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", Ok(Some("[2001:db8::1]:1"))).await;
        check(b"PROXY UNKNOWN\r\n", Ok(None)).await;
        check(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Ok(None)).await;
        check(b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", Err(())).await;
        check(b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n", Err(())).await;
        check(b"PROXY TCP4 192.0.2.1\r\n", Err(())).await;
        check(&[&b"PROXY TCP4 "[..], &[b'1'; 200]].concat(), Err(())).await;
    }

    #[tokio::test]
    async fn version_2_is_binary() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 1, 187];
        check(&version_2_bytes(0x21, 0x11, &v4), Ok(Some("192.0.2.1:56324"))).await;
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15], v6[33]) = (0x20, 0x01, 9, 7);
        check(&version_2_bytes(0x21, 0x21, &v6), Ok(Some("[2001::9]:7"))).await;
        // What else a proxy may say.
        check(&version_2_bytes(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat()), Ok(Some("192.0.2.1:56324"))).await;
        check(&version_2_bytes(0x20, 0x00, &[]), Ok(None)).await;
        check(&version_2_bytes(0x21, 0x00, &[]), Ok(None)).await;
        check(&version_2_bytes(0x21, 0x11, &v4[..11]), Err(())).await;
        check(&version_2_bytes(0x11, 0x11, &v4), Err(())).await;
        check(&version_2_bytes(0x21, 0x11, &[0; REST_BYTES_MAX + 1]), Err(())).await;
    }

    /// Whoever does not speak it is not taken for a client without an address.
    #[tokio::test]
    async fn silence_and_other_words_are_refused() {
        check(b"GET / HTTP/1.1\r\n", Err(())).await;
        check(b"", Err(())).await;
    }
}
