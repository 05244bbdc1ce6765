//! What a key of the configuration may be.

use super::{Networks, is_origin};
use toml::{Table, Value};

/// The type of a key with what it allows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// Text of so many bytes.
    Text(usize, usize),
    /// One of these.
    Choice(&'static [&'static str]),
    /// Some of these, each once, in any order.
    Subset(&'static [&'static str]),
    /// A whole number, from and to.
    Number(u64, u64),
    /// True or false.
    Switch,
    /// An address with a port.
    Address,
    /// A path.
    Path,
    /// The URL of an engine. It may hold a password: nothing shows it.
    Engine,
    /// A secret of visible ASCII, of at least so many bytes: nothing shows it.
    Secret(usize),
    /// A name or an address of a machine, with a port.
    Place,
    /// Addresses and networks.
    Networks,
    /// Origins of web pages.
    Origins,
    /// Names of hosts, at least one.
    Names,
    /// A filter of log events.
    Filter,
    /// So many at once, then one each interval.
    Rate,
}

const RATE_MAX: u64 = u32::MAX as u64;

impl Kind {
    /// Whether a value is possible.
    pub fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text(min, max) => value.as_str().is_some_and(|text| (min..=max).contains(&text.len())),
            Self::Choice(names) => value.as_str().is_some_and(|text| names.contains(&text)),
            Self::Subset(names) => texts(value).is_some_and(|texts| {
                let is_new = |at: usize| names.contains(&&*texts[at]) && !texts[..at].contains(&texts[at]);
                !texts.is_empty() && (0..texts.len()).all(is_new)
            }),
            Self::Number(min, max) => {
                value.as_integer().is_some_and(|number| u64::try_from(number).is_ok_and(|n| (min..=max).contains(&n)))
            }
            Self::Switch => value.is_bool(),
            Self::Address => value.as_str().is_some_and(|text| text.parse::<std::net::SocketAddr>().is_ok()),
            Self::Path => value.as_str().is_some_and(|text| !text.is_empty() && !text.contains('\0')),
            Self::Engine => {
                value.as_str().is_some_and(|text| text.split_once(':').is_some_and(|(it, _)| !it.is_empty()))
            }
            Self::Secret(min) => {
                value.as_str().is_some_and(|text| text.len() >= min && text.bytes().all(|byte| byte.is_ascii_graphic()))
            }
            Self::Place => value.as_str().is_some_and(is_place),
            Self::Networks => texts(value).is_some_and(|texts| Networks::try_from(texts).is_ok()),
            Self::Origins => texts(value).is_some_and(|texts| texts.iter().all(|text| is_origin(text))),
            Self::Names => {
                texts(value).is_some_and(|texts| !texts.is_empty() && texts.iter().all(|name| !name.is_empty()))
            }
            Self::Filter => value.as_str().is_some_and(|text| text.parse::<tracing_subscriber::EnvFilter>().is_ok()),
            Self::Rate => value.as_table().is_some_and(is_rate),
        }
    }

    /// What is allowed, as the end of "it must be ...".
    pub fn allowed(self) -> String {
        match self {
            Self::Text(min, max) => format!("text of {min} to {max} bytes"),
            Self::Choice(names) => format!("one of {}", quoted(names)),
            Self::Subset(names) => format!("a list of some of {}, each once", quoted(names)),
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
            Self::Switch => "true or false".to_owned(),
            Self::Address => "an address with a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Engine => "the URL of an engine, such as \"embedded:/var/lib/hudhud\"".to_owned(),
            Self::Secret(min) => format!("a secret of {min} visible ASCII characters or more"),
            Self::Place => "a machine and a port, such as \"10.0.0.5:8082\" or \"node-1.example:8082\"".to_owned(),
            Self::Networks => "a list of addresses and networks, such as [\"10.0.0.7\", \"fd00::/8\"]".to_owned(),
            Self::Origins => "a list of origins, such as [\"https://chat.example\"]".to_owned(),
            Self::Names => "a list of names, such as [\"chat.example\"]".to_owned(),
            Self::Filter => "a filter, such as \"info\" or \"hudhud_roles=debug,info\"".to_owned(),
            Self::Rate => format!("{{ burst = 1 to {RATE_MAX}, interval_ms = 1 to {RATE_MAX} }}"),
        }
    }

    /// A value as the environment has it. What is not of this type stays text, and does not fit.
    pub fn read(self, text: &str) -> Value {
        let list = || text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect();
        match self {
            Self::Number(..) => text.trim().parse::<i64>().map_or_else(|_| text.into(), Value::from),
            Self::Switch => text.trim().parse::<bool>().map_or_else(|_| text.into(), Value::from),
            Self::Rate => inline(text).unwrap_or_else(|| text.into()),
            Self::Subset(_) | Self::Networks | Self::Origins | Self::Names if text.trim_start().starts_with('[') => {
                inline(text).unwrap_or_else(|| text.into())
            }
            Self::Subset(_) | Self::Networks | Self::Origins | Self::Names => Value::Array(list()),
            _ => text.into(),
        }
    }

    /// Whether messages may show a value.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Engine | Self::Secret(_))
    }
}

/// A host and a port, as a URL has them.
fn is_place(text: &str) -> bool {
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#']);
    text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A value that is written as in a file.
pub fn inline(text: &str) -> Option<Value> {
    format!("value = {text}").parse::<Table>().ok()?.remove("value")
}

fn is_rate(rate: &Table) -> bool {
    let number = |key| rate.get(key).is_some_and(|value| Kind::Number(1, RATE_MAX).fits(value));
    rate.len() == 2 && number("burst") && number("interval_ms")
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
