//! `cassandra://user:password@host:port,host:port/keyspace?datacenter=dc1&replication=dc1:3,dc2:3`

use crate::address::Address;
use std::collections::BTreeMap;

const PORT: u16 = 9_042;
const NAME_BYTES_MAX: usize = 48;

/// Which keyspace of which cluster, seen from which of its datacentres.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    pub(super) servers: Vec<String>,
    pub(super) user: Option<(String, String)>,
    pub(super) keyspace: String,
    pub(super) datacenter: String,
    /// Copies in each datacentre, where a keyspace is to be made.
    pub(super) replication: BTreeMap<String, u32>,
}

impl Url {
    /// Reads what stands behind `cassandra:`.
    ///
    /// # Errors
    /// What is wrong with it, without what may be secret.
    pub fn parse(rest: &str) -> Result<Self, String> {
        let mut address = Address::parse(rest, PORT)?;
        let keyspace = std::mem::take(&mut address.name);
        if !is_keyspace(&keyspace) {
            return Err(format!(
                "{keyspace:?} is no keyspace: it is behind the servers and a slash, begins with a letter and has at most \
                 {NAME_BYTES_MAX} of a-z, 0-9 and _"
            ));
        }
        let datacenter = address.take("datacenter").filter(|name| is_datacenter(name));
        let datacenter = datacenter.ok_or("it must say which datacentre this process is in: ?datacenter=dc1")?;
        let mut replication = BTreeMap::new();
        for copies in address.take("replication").iter().flat_map(|all| all.split(',')) {
            let found = copies.split_once(':').and_then(|(name, count)| Some((name, count.parse::<u32>().ok()?)));
            match found {
                Some((name, count)) if is_datacenter(name) && (1..=9).contains(&count) => {
                    replication.insert(name.to_owned(), count);
                }
                _ => {
                    return Err(format!("replication has {copies:?}; it is copies by datacentre, such as dc1:3,dc2:3"));
                }
            }
        }
        if !replication.is_empty() && !replication.contains_key(&datacenter) {
            return Err(format!("replication leaves out {datacenter}, where this process is"));
        }
        let (servers, user) = (address.servers.clone(), address.user.clone());
        address.finish("datacenter, replication")?;
        Ok(Self { servers, user, keyspace, datacenter, replication })
    }
}

/// It goes into statements as it is.
fn is_keyspace(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn is_datacenter(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b == b'_' || b == b'-' || b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_keyspace_and_datacentre() {
        let url = Url::parse("//one,two:1/things?datacenter=dc1&replication=dc1:3,dc2:2").expect("valid");
        assert_eq!((url.keyspace.as_str(), url.datacenter.as_str()), ("things", "dc1"));
        assert_eq!(url.servers, ["one:9042", "two:1"]);
        assert_eq!(url.replication, BTreeMap::from([("dc1".to_owned(), 3), ("dc2".to_owned(), 2)]));
    }

    #[test]
    fn mistakes_are_named() {
        for (rest, expected) in [
            ("//one?datacenter=dc1", "\"\" is no keyspace"),
            ("//one/Things?datacenter=dc1", "\"Things\" is no keyspace"),
            ("//one/a;drop?datacenter=dc1", "is no keyspace"),
            ("//one/things", "which datacentre"),
            ("//one/things?datacenter=d'c", "which datacentre"),
            ("//one/things?datacenter=dc1&replication=3", "replication has \"3\""),
            ("//one/things?datacenter=dc1&replication=dc1:0", "replication has \"dc1:0\""),
            ("//one/things?datacenter=dc1&replication=dc2:3", "leaves out dc1"),
            ("//one/things?datacenter=dc1&consistency=one", "no key \"consistency\""),
        ] {
            let error = Url::parse(rest).err().expect(rest);
            assert!(error.contains(expected), "{rest}: {error}");
        }
    }
}
