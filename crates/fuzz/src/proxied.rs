//! The PROXY protocol: what a proxy says before what the client says.

use hudhud_server::proxied;
use std::net::SocketAddr;

/// What was said, and what is left; none where it was refused.
fn read(mut bytes: &[u8]) -> Option<(Option<SocketAddr>, &[u8])> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a machine has threads");
    let said = runtime.block_on(proxied::read(&mut bytes)).ok()?;
    Some((said, bytes))
}

/// Nothing behind the header is taken, and what is there does not change what was said.
pub fn run(bytes: &[u8]) {
    if let Some((said, rest)) = read(bytes) {
        let header = &bytes[..bytes.len() - rest.len()];
        assert_eq!(read(header), Some((said, &[][..])));
        assert_eq!(read(&[header, b"GET / HTTP/1.1"].concat()), Some((said, &b"GET / HTTP/1.1"[..])));
    }
}
