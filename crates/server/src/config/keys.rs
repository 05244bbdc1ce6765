//! Every key of the configuration, once: what it may be and what it does. The default file, `docs/configuration.md`, the names
//! in the environment and the checks all come from here; defaults come from [`super::Config`].

use super::kind::Kind::{self, *};

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Where it is in the file, with dots.
    pub path: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What its number counts; empty where it has none.
    pub unit: &'static str,
    /// The flag of the command line that goes before it; empty where it has none.
    pub flag: &'static str,
    /// A value in the syntax of the file, where there is no default.
    pub example: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// A part of the file with a head of its own.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its name; empty for what is before the first head.
    pub name: &'static str,
    /// Whether it may come many times, as `[[name]]`.
    pub many: bool,
    /// Keys that it has wherever it is there.
    pub needs: &'static [&'static str],
    /// What it is for.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

const ANY: u64 = u32::MAX as u64;
/// 1 TiB: more is a mistake, and sums of such numbers do not overflow.
const BYTES_MAX: u64 = 1 << 40;

const fn key(path: &'static str, kind: Kind, unit: &'static str, about: &'static str) -> Key {
    Key { path, kind, unit, flag: "", example: "", about }
}

const fn rate(path: &'static str, about: &'static str) -> Key {
    key(path, Rate, "at once; ms for each one more", about)
}

impl Key {
    const fn flag(self, flag: &'static str) -> Self {
        Self { flag, ..self }
    }

    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// Its name without its section.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The variable of the environment that sets it.
    pub fn variable(&self) -> String {
        variable(self.path)
    }
}

/// The variable of the environment for a path.
pub fn variable(path: &str) -> String {
    format!("HUDHUD_{}", path.replace('.', "__").to_uppercase())
}

/// The section with a name.
pub fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| !name.is_empty() && section.name == name)
}

/// The key at a path.
pub fn find(path: &str) -> Option<&'static Key> {
    all().find(|key| key.path == path)
}

/// All keys.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// Everything, in the order of the file.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "",
        many: false,
        needs: &[],
        about: "",
        keys: &[
            key(
                "listen",
                Address,
                "",
                "Where WebSockets and HTTP are served. Port 0 takes a free one. For other machines to \
                reach it, choose [tls] or put a proxy with TLS in front.",
            )
            .flag("--listen"),
            key("data", Path, "", "The folder of the embedded engines: all accounts, conversations and messages.")
                .flag("--data"),
            key(
                "roles",
                Subset(&["gateway", "api", "dispatcher"]),
                "",
                "What this process does: \"gateway\" (holds WebSockets), \"api\" (commands over HTTP), \"dispatcher\" (takes \
                from the bus, puts in order, delivers). All of it, but on engines that processes share: docs/cluster.md.",
            ),
            key("gateway", Text(1, 64), "", "This gateway's name, unique in the cluster.").flag("--gateway"),
            key("shards", Number(1, 4_096), "shards", "Shards of the bus, fixed when the data folder is made.")
                .flag("--shards"),
            key(
                "drain_ms",
                Number(0, 600_000),
                "ms",
                "Over how long a stop spreads its goodbyes, so that clients do not all \
                come back at once.",
            ),
            key(
                "allowed_origins",
                Origins,
                "",
                "Web pages that may connect, beside those that this server's own host \
                serves: \"https://chat.example\".",
            ),
            key(
                "trusted_proxies",
                Networks,
                "",
                "Proxies in front of this server, as addresses or networks. Their \
                X-Forwarded-For says who a client is.",
            ),
            key(
                "proxy_protocol",
                Choice(&["off", "on"]),
                "",
                "\"on\": each connection of a trusted proxy begins with the \
                client's address in the PROXY protocol, version 1 or 2.",
            ),
        ],
    },
    Section {
        name: "tls",
        many: false,
        needs: &[],
        about: "TLS 1.2 and 1.3 at `listen`, with HTTP/1.1 and HTTP/2. The files are read again when they change (looked at \
            once a minute) and on SIGHUP; a pair that is broken is not taken.",
        keys: &[
            key("tls.certificate_file", Path, "", "The certificate and those between it and its authority, in PEM.")
                .example("\"/etc/hudhud/certificate.pem\""),
            key("tls.key_file", Path, "", "The certificate's private key, in PEM.").example("\"/etc/hudhud/key.pem\""),
        ],
    },
    Section {
        name: "tls.acme",
        many: false,
        needs: &["domains"],
        about: "Instead of the files: certificates from an authority that speaks ACME, by TLS-ALPN-01. Account, key and \
            certificate are kept in the data folder, and renewed in time.",
        keys: &[
            key(
                "tls.acme.domains",
                Names,
                "",
                "The names that the certificate is for. Each must lead to this server, from \
                outside at port 443.",
            )
            .example("[\"chat.example\"]"),
            key("tls.acme.contact", Text(1, 512), "", "Who is written to about the certificate.")
                .example("\"mailto:admin@chat.example\""),
            key(
                "tls.acme.directory",
                Text(1, 2_048),
                "",
                "Where the authority's directory is. Choosing it agrees to its \
                terms. Without it: Let's Encrypt.",
            )
            .example("\"https://acme-v02.api.letsencrypt.org/directory\""),
            key(
                "tls.acme.authority_file",
                Path,
                "",
                "The certificate that leads to the directory, in PEM, where that is an \
                authority of your own.",
            )
            .example("\"/etc/hudhud/authority.pem\""),
        ],
    },
    Section {
        name: "operators",
        many: false,
        needs: &[],
        about: "For those who run the server and for their machines: GET /healthz, /readyz (a balancer asks that), /metrics. \
            Nobody logs in there, so let nobody else reach it.",
        keys: &[
            key("operators.listen", Address, "", "Where that is served. Port 0 takes a free one.")
                .flag("--operators-listen"),
            key(
                "operators.metrics",
                Switch,
                "",
                "Whether GET /metrics answers, in the text format of Prometheus. It holds ids of nobody.",
            )
            .flag("--metrics"),
        ],
    },
    Section {
        name: "engines",
        many: false,
        needs: &[],
        about: "Which products keep the data: \"embedded:<folder>\", or \"memory:\" for tests. Without a URL: embedded, in \
            the data folder. Servers of their own: docs/cluster.md.",
        keys: &[
            key("engines.messages", Engine, "", "The database of conversations.")
                .flag("--messages")
                .example("\"embedded:hudhud-data\""),
            key("engines.directory", Engine, "", "The database of accounts.")
                .flag("--directory")
                .example("\"embedded:hudhud-data\""),
            key("engines.bus", Engine, "", "The message bus.").flag("--bus").example("\"embedded:hudhud-data\""),
            key("engines.cache", Engine, "", "The cache of sessions. Without a URL: in the memory of this process.")
                .flag("--cache")
                .example("\"memory:\""),
        ],
    },
    Section {
        name: "peers",
        many: false,
        needs: &[],
        about: "The other processes, where there are some: on a bus that processes share (docs/cluster.md). What goes between \
            them is not encrypted: let it go over a network of their own.",
        keys: &[
            key(
                "peers.secret",
                Secret(32),
                "",
                "What processes of one cluster know each other by: the same for all of them. Best in a file of its own: \
                HUDHUD_PEERS__SECRET_FILE.",
            )
            .example("\"...\""),
            key("peers.listen", Address, "", "Where a gateway takes what other processes push to its connections.")
                .example("\"10.0.0.5:8082\""),
            key("peers.address", Place, "", "What others are told of where that is. Without it: peers.listen.")
                .example("\"node-1.example:8082\""),
        ],
    },
    Section {
        name: "registration",
        many: false,
        needs: &[],
        about: "",
        keys: &[
            key(
                "registration.mode",
                Choice(&["open", "invite", "closed"]),
                "",
                "Who may register: \"open\" (anybody), \
                \"invite\" (whoever a member or an operator invited) or \"closed\" (nobody).",
            )
            .flag("--registration"),
            key("registration.token_valid_s", Number(1, 10_000_000_000), "s", "How long a log-in lasts."),
            key(
                "registration.password_memory_kib",
                Number(64, 4_194_304),
                "KiB",
                "Memory of one password hash (argon2id).",
            ),
            key("registration.password_passes", Number(1, 1_000), "passes", "Passes of one password hash."),
        ],
    },
    Section {
        name: "jwt_issuers",
        many: true,
        needs: &["issuer", "audience", "algorithm", "key_file"],
        about: "Backends of your own whose JSON Web Tokens log in: for embedding chat in another product. One block for each.",
        keys: &[
            key("jwt_issuers.issuer", Text(1, 512), "", "What its tokens carry as iss.")
                .example("\"https://accounts.example\""),
            key("jwt_issuers.audience", Text(1, 512), "", "What they must carry as aud.").example("\"hudhud\""),
            key("jwt_issuers.algorithm", Choice(&["HS256", "RS256", "ES256", "EdDSA"]), "", "How they are signed.")
                .example("\"HS256\""),
            key(
                "jwt_issuers.key_file",
                Path,
                "",
                "The file with the secret (HS256, at least 32 bytes) or the public key (the \
                others, in PEM). A secret has no place in the file of the configuration.",
            )
            .example("\"/etc/hudhud/jwt.key\""),
        ],
    },
    Section {
        name: "log",
        many: false,
        needs: &[],
        about: "Logs go to the standard error. They hold ids, never contents.",
        keys: &[
            key("log.format", Choice(&["text", "json"]), "", "\"text\" for people, \"json\" for programs.")
                .flag("--log-format"),
            key(
                "log.filter",
                Filter,
                "",
                "Which events: error, warn, info, debug, trace; or by module, such as \
                \"hudhud_roles=debug,info\".",
            )
            .flag("--log"),
        ],
    },
    Section {
        name: "limits",
        many: false,
        needs: &[],
        about: "How much this process takes on, and how long it waits.",
        keys: &[
            key(
                "limits.connections_max",
                Number(1, ANY),
                "connections",
                "Connections, at most as many as the system lets \
                this process open files. More are told to come back later.",
            ),
            key(
                "limits.connections_per_address_max",
                Number(1, ANY),
                "connections",
                "Connections of one address; of IPv6 \
                the first 64 bits count. Trusted proxies are free.",
            ),
            key(
                "limits.connections_per_account_max",
                Number(1, ANY),
                "connections",
                "Connections of one account that have a \
                place of their own. More of it count as if nobody had proved anything.",
            ),
            key(
                "limits.unauthenticated_max",
                Number(1, ANY),
                "connections",
                "Connections on which nobody has proved who it \
                is. The oldest makes room for the next.",
            ),
            key("limits.unauthenticated_per_address_max", Number(1, ANY), "connections", "The same of one address."),
            key(
                "limits.header_timeout_ms",
                Number(1, ANY),
                "ms",
                "How long a TLS handshake, a proxy's word and a request's head may take, each.",
            ),
            key("limits.body_timeout_ms", Number(1, ANY), "ms", "How long a request's body may take."),
            key("limits.idle_timeout_ms", Number(1, ANY), "ms", "How long a connection without a request is kept."),
            key("limits.ping_interval_ms", Number(1, ANY), "ms", "How often a WebSocket is pinged."),
            key(
                "limits.hello_timeout_ms",
                Number(1, ANY),
                "ms",
                "How long a WebSocket may take until it says who it is.",
            ),
            key(
                "limits.outbox_frames_max",
                Number(1, ANY),
                "frames",
                "Frames that wait for a WebSocket before it is marked \
                lagging.",
            ),
            key(
                "limits.buffer_bytes_max",
                Number(super::limits::BUFFER_BYTES_MIN as u64, BYTES_MAX),
                "bytes",
                "What waits in \
                memory for all clients together: frames to be written, requests to be answered. One client may hold a 64th of \
                what is free, beside answers, for which a quarter is kept; who does not read that much is told to fetch later.",
            ),
            key(
                "limits.cache_bytes_max",
                Number(0, BYTES_MAX),
                "bytes",
                "What the cache of sessions may take of this \
                process's memory; about 200 bytes for each account that is online.",
            ),
        ],
    },
    Section {
        name: "rates",
        many: false,
        needs: &[],
        about: "Limits per time: so many at once, then one each interval.",
        keys: &[
            rate("rates.sends", "Messages of one device."),
            rate("rates.sends_per_conversation", "Messages into one conversation, of all its members together."),
            rate("rates.commands", "Other commands of one device."),
            rate(
                "rates.look_ups",
                "Questions of one account whether another one exists: a handle looked up, an unknown \
                account written to, blocked or made a contact.",
            ),
            rate("rates.look_ups_per_address", "The same questions from one address."),
            rate("rates.look_ups_in_all", "The same questions from everywhere."),
            rate("rates.log_ins_per_handle", "Log-in attempts at one handle from one address."),
            rate(
                "rates.log_ins_per_handle_in_all",
                "Log-in attempts at one handle from all addresses where nobody has \
                logged in with it lately.",
            ),
            rate("rates.accounts_per_address", "Registrations and log-ins from one address."),
            rate(
                "rates.accounts_in_all",
                "Registrations, and log-ins from where nobody has logged in with that handle \
                lately.",
            ),
            rate("rates.invites", "Invites made, looked at or followed by one account."),
            rate("rates.invites_per_address", "The same from one address."),
            rate("rates.invites_in_all", "The same from everywhere."),
            rate(
                "rates.group_adds",
                "People whom one account adds to groups without knowing them (neither a contact nor the \
                other one of a direct chat).",
            ),
            rate("rates.group_adds_per_address", "The same from one address."),
            rate("rates.group_adds_in_all", "The same from everywhere."),
            rate("rates.reports", "What one account reports to the operators."),
            rate("rates.reports_per_address", "The same from one address."),
            rate("rates.reports_in_all", "The same from everywhere."),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use toml::Table;

    /// Every key that the program has is described, and nothing else is; each default is possible.
    #[test]
    fn the_keys_are_those_of_the_program() {
        let defaults = Table::try_from(Config::default()).expect("a table");
        for section in SECTIONS.iter().filter(|section| !section.many) {
            let none = Table::new();
            let found = match section.name {
                "" => Some(&defaults),
                name => name.split('.').try_fold(&defaults, |table, part| table.get(part)?.as_table()),
            };
            // What is only there when it is chosen needs a key.
            assert!(found.is_some() || !section.needs.is_empty(), "there is no [{}]", section.name);
            let found = found.unwrap_or(&none);
            for key in section.keys {
                match found.get(key.name()) {
                    Some(value) => assert!(key.kind.fits(value), "{} = {value}: {}", key.path, key.kind.allowed()),
                    None => assert!(!key.example.is_empty(), "{} has neither a default nor an example", key.path),
                }
            }
            for name in found.keys().filter(|name| super::section(name).is_none()) {
                assert!(section.keys.iter().any(|key| key.name() == name), "{name} is not in config/keys.rs");
            }
        }
    }
}
