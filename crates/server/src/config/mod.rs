//! What an operator chooses: a file, then the environment, then flags; each goes before the one before it. Everything has
//! a default, so no file is needed.
//!
//! [`Config`] is the file's shape, and `default.toml` beside this file describes it to people. Durations and sizes are
//! numbers whose name ends in their unit.

mod file;
mod issuers;
mod limits;
mod networks;

pub use file::ConfigError;
pub use issuers::{Algorithm, JwtIssuer};
pub use limits::{Limits, Rate, Rates};
pub use networks::Networks;

use hudhud_roles::settings::{self, PasswordCost, Settings};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The default file, with a comment at every key.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// Everything that can be chosen.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where WebSockets and HTTP are served. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of the embedded engines.
    pub data: PathBuf,
    /// What this process does. All roles run in one process for now.
    pub roles: Vec<Role>,
    /// This gateway's name, unique in the cluster.
    pub gateway: String,
    /// Shards of the bus, fixed when the data folder is made.
    pub shards: u32,
    /// Whether `GET /metrics` answers.
    pub metrics: bool,
    /// Over how long a stop spreads its goodbyes, in milliseconds, so that clients do not all come back at once.
    pub drain_ms: u64,
    /// Origins whose pages may connect, beside those that this server's own host serves.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// Which products keep the data.
    pub engines: Engines,
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
            metrics: true,
            drain_ms: 3_000,
            allowed_origins: Vec::new(),
            trusted_proxies: Networks::default(),
            engines: Engines::default(),
            registration: Registration::default(),
            jwt_issuers: Vec::new(),
            log: Log::default(),
            limits: Limits::default(),
            rates: Rates::default(),
        }
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

    /// Refuses what fits its type and cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, why: &str| Err(ConfigError::Value { key: key.to_owned(), why: why.to_owned() });
        if Role::ALL.iter().any(|role| !self.roles.contains(role)) {
            return refuse("roles", "all roles run in one process for now: list them all, or leave it out");
        }
        if self.gateway.is_empty() || self.gateway.len() > 64 {
            return refuse("gateway", "a name has 1 to 64 bytes");
        }
        if !(1..=4_096).contains(&self.shards) {
            return refuse("shards", "1 to 4096 shards are possible");
        }
        if let Some(origin) = self.allowed_origins.iter().find(|origin| !is_origin(origin)) {
            return refuse("allowed_origins", &format!("{origin:?} is no origin; one looks like https://chat.example"));
        }
        if self.log.filter.parse::<tracing_subscriber::EnvFilter>().is_err() {
            return refuse("log.filter", "this is no filter; examples are info and hudhud_roles=debug,info");
        }
        self.limits.check()?;
        self.rates.check()?;
        self.settings().map(drop)
    }
}

/// Whether this is what browsers send in `Origin`: a scheme and an authority, without a path.
fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', '@', ' '])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default file says what the defaults are: as it is, and with every key that is commented out taken in.
    #[test]
    fn the_default_file_is_the_defaults() {
        assert_eq!(Config::parse(DEFAULT_FILE, "default.toml").expect("valid"), Config::default());
        let taken_in: String = DEFAULT_FILE
            .lines()
            .filter(|line| !line.starts_with("## "))
            .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
            .collect();
        let mut config = Config::parse(&taken_in, "default.toml").expect("valid");
        config.engines = Engines::default();
        config.jwt_issuers.clear();
        assert_eq!(config, Config::default());
    }

    /// Nothing that can be chosen is missing from the default file.
    #[test]
    fn the_default_file_has_every_key() {
        let config = toml::Table::try_from(Config::default()).expect("a table");
        for (key, value) in config {
            let is_there = |key: &str| DEFAULT_FILE.lines().any(|line| line.trim_start_matches("# ").starts_with(key));
            assert!(is_there(&format!("{key} =")) || is_there(&format!("[{key}]")) || is_there(&format!("[[{key}]]")));
            for key in value.as_table().into_iter().flat_map(toml::Table::keys) {
                assert!(is_there(&format!("{key} =")), "{key} is not in default.toml");
            }
        }
    }

    /// What cannot work is refused with the key that is to blame.
    #[test]
    fn values_that_cannot_work_are_refused() {
        for (file, key) in [
            ("roles = [\"api\"]", "roles"),
            ("shards = 0", "shards"),
            ("gateway = \"\"", "gateway"),
            ("allowed_origins = [\"chat.example\"]", "allowed_origins"),
            ("log.filter = \"a=b=c\"", "log.filter"),
            ("limits.connections_max = 0", "limits.connections_max"),
            ("limits.unauthenticated_max = 0", "limits.unauthenticated_max"),
            ("limits.buffer_bytes_max = 1000", "limits.buffer_bytes_max"),
            ("rates.sends = { burst = 0, interval_ms = 1 }", "rates.sends"),
        ] {
            let error = Config::parse(file, "x.toml").expect("valid TOML").check().expect_err(file);
            assert!(error.to_string().starts_with(key), "{error}");
        }
    }
}
