//! Where an engine's servers are: `scheme://user:password@host:port,host:port/name?key=value&key=value`.

use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// What a URL names. It may hold a password, so nothing shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name and a password.
    pub(crate) user: Option<(String, String)>,
    /// Some of the servers, each with its port.
    pub(crate) servers: Vec<String>,
    /// What is behind the servers, without its slash.
    pub(crate) name: String,
    choices: BTreeMap<String, String>,
}

impl Address {
    /// Reads what stands behind the scheme's colon.
    pub(crate) fn parse(rest: &str, port: u16) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").ok_or("it must go on with `//` and a server")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (servers, name) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, servers) = match servers.rsplit_once('@') {
            Some((user, servers)) => (Some(user), servers),
            None => (None, servers),
        };
        let user = user.map(|user| user.split_once(':').ok_or("the user has no password: `user:password@`"));
        let user = match user.transpose()? {
            Some((user, password)) => Some((decoded(user)?, decoded(password)?)),
            None => None,
        };
        let servers: Vec<String> =
            servers.split(',').map(|server| with_port(server, port)).collect::<Result<_, _>>()?;
        let mut choices = BTreeMap::new();
        for choice in query.split('&').filter(|choice| !choice.is_empty()) {
            let (key, value) = choice.split_once('=').ok_or_else(|| format!("{choice:?} must be a key=value"))?;
            if choices.insert(key.to_owned(), decoded(value)?).is_some() {
                return Err(format!("{key} is there twice"));
            }
        }
        Ok(Self { user, servers, name: decoded(name)?, choices })
    }

    /// A choice, taken out.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        self.choices.remove(key)
    }

    /// Refuses what nobody took out.
    pub(crate) fn finish(self, known: &str) -> Result<(), String> {
        match self.choices.keys().next() {
            Some(key) => Err(format!("there is no key {key:?}; there are {known}")),
            None => Ok(()),
        }
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| "a percent-encoded part is not UTF-8".to_owned())?;
    Ok(text.into_owned())
}

/// The last colon begins a port, unless it is inside an IPv6 address.
fn with_port(server: &str, port: u16) -> Result<String, String> {
    let (host, chosen) = match server.rsplit_once(':') {
        Some((host, chosen)) if !chosen.ends_with(']') => (host, Some(chosen)),
        _ => (server, None),
    };
    if host.is_empty() {
        return Err("a server is missing: `host:port`, more of them with commas".to_owned());
    }
    let port = match chosen {
        Some(chosen) => chosen.parse().map_err(|_| format!("{chosen:?} is no port"))?,
        None => port,
    };
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read() {
        let mut address = Address::parse("//me:p%40ss@one,two:7,[::1]:8/things?at=x%20y", 5).expect("valid");
        assert_eq!(address.user, Some(("me".to_owned(), "p@ss".to_owned())));
        assert_eq!((address.servers.join(" "), address.name.as_str()), ("one:5 two:7 [::1]:8".to_owned(), "things"));
        assert_eq!((address.take("at").as_deref(), address.take("at")), (Some("x y"), None));
        assert_eq!(address.finish("at"), Ok(()));
    }

    #[test]
    fn mistakes_are_named_without_the_password() {
        for (rest, expected) in [
            ("one", "must go on with `//`"),
            ("//", "a server is missing"),
            ("//one,", "a server is missing"),
            ("//one:x", "\"x\" is no port"),
            ("//secret@one", "has no password"),
            ("//one?a", "\"a\" must be a key=value"),
            ("//one?a=1&a=2", "a is there twice"),
            ("//me:%ff@one", "not UTF-8"),
        ] {
            let error = Address::parse(rest, 5).err().expect(rest);
            assert!(error.contains(expected) && !error.contains("secret"), "{rest}: {error}");
        }
        let address = Address::parse("//one?colour=red", 5).expect("valid");
        assert_eq!(address.finish("size"), Err("there is no key \"colour\"; there are size".to_owned()));
    }
}
