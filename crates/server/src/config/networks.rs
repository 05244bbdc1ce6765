//! Lists of networks, as the configuration names proxies.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Addresses (`10.0.0.7`) and networks (`10.0.0.0/8`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address is in one of them. An IPv4 address that is mapped into IPv6 counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl TryFrom<Vec<String>> for Networks {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let parse = |text: String| {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| text.parse()).map_err(|_| {
                format!("{text:?} is neither an address (10.0.0.7, ::1) nor a network (10.0.0.0/8, fd00::/8)")
            })
        };
        texts.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Networks> for Vec<String> {
    fn from(networks: Networks) -> Self {
        networks.0.iter().map(IpNet::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses and networks hold what they should, mapped addresses too.
    #[test]
    fn networks_contain_their_addresses() {
        let networks = Networks::try_from(vec!["10.0.0.0/8".to_owned(), "::1".to_owned()]).expect("valid");
        for (address, inside) in
            [("10.9.8.7", true), ("::ffff:10.9.8.7", true), ("::1", true), ("::2", false), ("11.0.0.1", false)]
        {
            assert_eq!(networks.contains(address.parse().expect("an address")), inside, "{address}");
        }
        assert!(Networks::try_from(vec!["everybody".to_owned()]).is_err());
    }
}
