//! `kafka://host:port,host:port/topic?replication=3&epoch=1&group=name`

use crate::address::Address;

const PORT: u16 = 9_092;
/// Kafka takes 249; the epoch goes behind it.
const NAME_BYTES_MAX: usize = 200;
/// Copies of every record where the URL does not say.
const REPLICATION: u16 = 3;
const REPLICATION_MAX: u16 = 9;
/// Positions are versions of rows, which have 63 bits.
const EPOCH_MAX: u16 = 0x7fff;

/// Which topic of which cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    pub(super) servers: Vec<String>,
    /// With the epoch: another epoch is another log.
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) epoch: u16,
    /// Copies of every record that there have to be.
    pub(super) replication: u16,
}

impl Url {
    /// Reads what stands behind `kafka:`.
    ///
    /// # Errors
    /// What is wrong with it, without what may be secret.
    pub fn parse(rest: &str) -> Result<Self, String> {
        let mut address = Address::parse(rest, PORT)?;
        if address.user.is_some() {
            return Err("there is no user: without TLS a password would be for everybody to read".to_owned());
        }
        let name = std::mem::take(&mut address.name);
        if !is_name(&name) {
            return Err(format!(
                "{name:?} is no topic: it is behind the servers and a slash, and has at most {NAME_BYTES_MAX} of letters, \
                 digits, `.`, `_` and `-`"
            ));
        }
        let epoch = number(&mut address, "epoch", 1, EPOCH_MAX)?;
        let replication = number(&mut address, "replication", REPLICATION, REPLICATION_MAX)?;
        let topic = format!("{name}-e{epoch}");
        let group = address.take("group").unwrap_or_else(|| topic.clone());
        if !is_name(&group) {
            return Err(format!("{group:?} is no group: it is made of what a topic's name is made of"));
        }
        let servers = address.servers.clone();
        address.finish("epoch, group, replication")?;
        Ok(Self { servers, topic, group, epoch, replication })
    }
}

fn number(address: &mut Address, key: &str, otherwise: u16, max: u16) -> Result<u16, String> {
    let Some(text) = address.take(key) else { return Ok(otherwise) };
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("{key} is {text:?}; it is a number from 1 to {max}"))
}

fn is_name(name: &str) -> bool {
    let is_known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_topic_of_an_epoch() {
        let url = Url::parse("//one,two:1/bus").expect("valid");
        assert_eq!(url.servers, ["one:9092", "two:1"]);
        assert_eq!((url.topic.as_str(), url.group.as_str()), ("bus-e1", "bus-e1"));
        assert_eq!((url.epoch, url.replication), (1, 3));
        let url = Url::parse("//one/bus?epoch=7&replication=1&group=us").expect("valid");
        assert_eq!((url.topic.as_str(), url.group.as_str()), ("bus-e7", "us"));
        assert_eq!((url.epoch, url.replication), (7, 1));
    }

    #[test]
    fn mistakes_are_named() {
        for (rest, expected) in [
            ("//one", "\"\" is no topic"),
            ("//one/a b", "is no topic"),
            ("//me:secret@one/bus", "there is no user"),
            ("//one/bus?epoch=0", "a number from 1 to 32767"),
            ("//one/bus?epoch=70000", "a number from 1 to 32767"),
            ("//one/bus?replication=x", "a number from 1 to 9"),
            ("//one/bus?group=", "is no group"),
            ("//one/bus?acks=1", "no key \"acks\""),
        ] {
            let error = Url::parse(rest).err().expect(rest);
            assert!(error.contains(expected) && !error.contains("secret"), "{rest}: {error}");
        }
    }
}
