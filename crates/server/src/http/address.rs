//! Who a client is, for limits per address.

use crate::config::Networks;
use axum::http::{Extensions, HeaderMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Hops that are looked at, from the nearest.
const HOPS_MAX: usize = 16;

/// The other end of a connection; the listener puts it into each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The client's address: the peer's, or, where the peer is a trusted proxy, the nearest hop that is none.
pub fn client(extensions: &Extensions, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let peer = extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    if !trusted.contains(peer) {
        return peer.to_canonical();
    }
    let values = headers.get_all(FORWARDED_FOR).into_iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut client = peer;
    // From the right: each hop was written by the one that is nearer, so the first that is not trusted is the last to be believed.
    for hop in hops.into_iter().rev().take(HOPS_MAX) {
        let Ok(hop) = hop.parse() else { break };
        client = hop;
        if !trusted.contains(client) {
            break;
        }
    }
    client.to_canonical()
}

/// What counts as one address: of IPv6 the first 64 bits, as a household has that many addresses.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let trusted = Networks::try_from(vec!["10.0.0.0/8".to_owned()]).expect("valid");
        let mut extensions = Extensions::new();
        extensions.insert(Peer(SocketAddr::new(peer.parse().expect("an address"), 1)));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().expect("a header"));
        }
        assert_eq!(client(&extensions, &headers, &trusted).to_string(), expected, "{peer} {forwarded:?}");
    }

    /// An IPv6 household is one address, and an IPv4 address that is mapped into IPv6 is that address.
    #[test]
    fn a_network_is_one_address() {
        for (address, expected) in
            [("2001:db8:0:1:ffff::9", "2001:db8:0:1::"), ("::ffff:192.0.2.1", "192.0.2.1"), ("192.0.2.1", "192.0.2.1")]
        {
            assert_eq!(network(address.parse().expect("an address")).to_string(), expected);
        }
    }

    /// Only what trusted proxies wrote is believed, whatever a client writes in front of it.
    #[test]
    fn only_trusted_hops_are_believed() {
        check("192.0.2.1", &["198.51.100.1"], "192.0.2.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:10.0.0.1", &["203.0.113.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["203.0.113.9", "198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1");
    }
}
