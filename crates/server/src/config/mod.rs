//! What an operator chooses: a file, then the environment, then flags; each goes before the one before it. Everything has
//! a default, so no file is needed.
//!
//! [`Config`] is the file's shape, and [`keys`] describes it to people and checks it. Durations and sizes are numbers whose
//! name ends in their unit.

mod file;
mod issuers;
pub mod keys;
mod kind;
mod layers;
mod limits;
mod networks;
mod page;
mod peers;
#[cfg(test)]
mod tests;
mod tls;

pub use file::ConfigError;
pub use issuers::{Algorithm, JwtIssuer};
pub use kind::Kind;
pub use layers::{Layers, Origin};
pub use limits::{Limits, Rate, Rates};
pub use networks::Networks;
pub use page::{default_file, page};
pub use peers::Peers;
pub use tls::{Acme, Source, Tls};

use hudhud_roles::settings::{self, PasswordCost, Settings};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be chosen.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where WebSockets and HTTP are served. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of the embedded engines.
    pub data: PathBuf,
    /// What this process does.
    pub roles: Vec<Role>,
    /// This gateway's name, unique in the cluster.
    pub gateway: String,
    /// Shards of the bus, fixed when the data folder is made.
    pub shards: u32,
    /// Over how long a stop spreads its goodbyes, in milliseconds, so that clients do not all come back at once.
    pub drain_ms: u64,
    /// Origins whose pages may connect, beside those that this server's own host serves.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// What trusted proxies say before anything else.
    pub proxy_protocol: ProxyProtocol,
    /// Whether the listener speaks TLS.
    pub tls: Tls,
    /// What those who run the server see of it, and where.
    pub operators: Operators,
    /// Which products keep the data.
    pub engines: Engines,
    /// The other processes.
    pub peers: Peers,
    /// Who may register.
    pub registration: Registration,
    /// Backends whose JWTs log in.
    pub jwt_issuers: Vec<JwtIssuer>,
    /// What is logged, and how.
    pub log: Log,
    /// Limits of this process.
    pub limits: Limits,
    /// Limits per time.
    pub rates: Rates,
}

/// A role, as design and documentation name them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Holds the sockets.
    Gateway,
    /// Carries out commands.
    Api,
    /// Sequences and fans out.
    Dispatcher,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Api, Self::Dispatcher];
}

/// Whether trusted proxies begin each connection with the PROXY protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// They begin with what the client said.
    Off,
    /// They begin with the client's address, in version 1 or 2.
    On,
}

/// The listener for those who run the server, and for their machines.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operators {
    /// Where it listens, for nobody else to reach. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether `GET /metrics` answers.
    pub metrics: bool,
}

/// The URL of each engine; none means the embedded one in the data folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engines {
    /// The database of conversations.
    pub messages: Option<String>,
    /// The database of accounts.
    pub directory: Option<String>,
    /// The message bus.
    pub bus: Option<String>,
    /// The cache.
    pub cache: Option<String>,
}

/// Who may register, and for how long a log-in lasts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registration {
    /// Who may register.
    pub mode: RegistrationMode,
    /// How long an access token lives, in seconds.
    pub token_valid_s: u64,
    /// Memory of one password hash (argon2id), in KiB.
    pub password_memory_kib: u32,
    /// Passes of one password hash.
    pub password_passes: u32,
}

/// Who may register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationMode {
    /// Anybody.
    Open,
    /// Whoever has an invite.
    Invite,
    /// Nobody.
    Closed,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// Which events, in the syntax of tracing's `EnvFilter`.
    pub filter: String,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8_080)),
            data: "hudhud-data".into(),
            roles: Role::ALL.to_vec(),
            gateway: "gateway-1".into(),
            shards: 16,
            drain_ms: 3_000,
            allowed_origins: Vec::new(),
            trusted_proxies: Networks::default(),
            proxy_protocol: ProxyProtocol::Off,
            tls: Tls::default(),
            operators: Operators::default(),
            engines: Engines::default(),
            peers: Peers::default(),
            registration: Registration::default(),
            jwt_issuers: Vec::new(),
            log: Log::default(),
            limits: Limits::default(),
            rates: Rates::default(),
        }
    }
}

impl Default for Operators {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8_081)), metrics: true }
    }
}

impl Default for Registration {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            mode: RegistrationMode::Open,
            token_valid_s: settings.token_valid.as_secs(),
            password_memory_kib: settings.password.memory_kib,
            password_passes: settings.password.passes,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info,fjall=warn,lsm_tree=warn".into() }
    }
}

impl Config {
    /// Whether this process has a role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// What the roles are to know of it. Reads the keys of the JWT issuers from their files.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let jwt_issuers = self.jwt_issuers.iter().map(JwtIssuer::load).collect::<Result<_, _>>()?;
        Ok(Settings {
            registration: match self.registration.mode {
                RegistrationMode::Open => settings::Registration::Open,
                RegistrationMode::Invite => settings::Registration::Invite,
                RegistrationMode::Closed => settings::Registration::Closed,
            },
            token_valid: Duration::from_secs(self.registration.token_valid_s),
            password: PasswordCost {
                memory_kib: self.registration.password_memory_kib,
                passes: self.registration.password_passes,
            },
            jwt_issuers,
            ping_interval: Duration::from_millis(self.limits.ping_interval_ms),
            hello_timeout: Duration::from_millis(self.limits.hello_timeout_ms),
            outbox_frames_max: self.limits.outbox_frames_max,
            buffer_bytes_max: self.limits.buffer_bytes_max,
            rates: self.rates.settings(),
            ..Settings::default()
        })
    }

    /// Refuses values that are possible each for itself and not together. Names the key to blame.
    fn agree(&self) -> Result<(), (String, String)> {
        let (chosen, default) = (&self.limits, Limits::default());
        let limits = |limits: &Limits| {
            [
                ("connections_max", limits.connections_max),
                ("connections_per_address_max", limits.connections_per_address_max),
                ("connections_per_account_max", limits.connections_per_account_max),
                ("unauthenticated_max", limits.unauthenticated_max),
                ("unauthenticated_per_address_max", limits.unauthenticated_per_address_max),
            ]
        };
        let (chosen, default) = (limits(chosen), limits(&default));
        for (part, whole) in [(1, 0), (2, 0), (3, 0), (4, 3), (4, 1)] {
            // A default gives way to what was chosen.
            let both = [part, whole].iter().all(|&at| chosen[at] != default[at]);
            if both && chosen[part].1 > chosen[whole].1 {
                let [(part, many), (whole, fewer)] = [chosen[part], chosen[whole]];
                let message = format!(
                    "limits.{part} is {many}, more than limits.{whole}, which is {fewer}: lower it, or raise that"
                );
                return Err((format!("limits.{part}"), message));
            }
        }
        self.tls.chosen()?;
        self.agree_on_peers()?;
        let mut issuers: Vec<&str> = self.jwt_issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
        issuers.sort_unstable();
        if let Some(pair) = issuers.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("jwt_issuers has {:?} twice: one key would be used, and not the other", pair[0]);
            return Err(("jwt_issuers".to_owned(), message));
        }
        Ok(())
    }
}

/// Whether this is what browsers send in `Origin`: a scheme and an authority, without a path.
fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', '@', ' '])
    })
}
