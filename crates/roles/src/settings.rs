//! What an operator chooses. The server fills it from its configuration; the simulator makes its own.

use std::time::Duration;

/// Who may register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Registration {
    /// Anybody.
    #[default]
    Open,
    /// Whoever has an invite of a member.
    Invite,
    /// Nobody.
    Closed,
}

/// The settings of all roles. Defaults are right for one machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may register.
    pub registration: Registration,
    /// How long an access token lives.
    pub token_valid: Duration,
    /// Cost of a password hash (argon2id, OWASP's second profile: 19 MiB, 2 passes, 1 lane).
    pub password: PasswordCost,
    /// The backends whose JWTs are accepted.
    pub jwt_issuers: Vec<JwtIssuer>,
    /// How often a gateway pings.
    pub ping_interval: Duration,
    /// How long a connection may take until it says who it is.
    pub hello_timeout: Duration,
    /// Frames that wait for a connection before it is marked lagging.
    pub outbox_frames_max: usize,
    /// What waits in memory for all connections together, in bytes: frames to be written, requests to be answered.
    pub buffer_bytes_max: usize,
    /// How long a gateway's lease lives; it renews it three times as often.
    pub lease: Duration,
    /// How long a cached session set lives.
    pub session_cache_ttl: Duration,
    /// Conversations whose state a dispatcher keeps in memory, per shard.
    pub conversations_cached_max: usize,
    /// Records that a dispatcher applies together.
    pub dispatch_batch_max: usize,
    /// How long a dispatcher waits at most until it commits what it applied.
    pub commit_interval: Duration,
    /// How long a port's call may take before it counts as failed.
    pub call_timeout: Duration,
    /// Named limits per time.
    pub rates: Rates,
}

/// Cost of a password hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

/// A backend whose JWTs (RFC 7519) make and log in accounts.
#[derive(Clone, Debug)]
pub struct JwtIssuer {
    /// The `iss` claim.
    pub issuer: String,
    /// The `aud` claim that tokens must carry.
    pub audience: String,
    /// How tokens are signed.
    pub key: JwtKey,
}

/// A verification key.
#[derive(Clone)]
pub enum JwtKey {
    /// HMAC with SHA-256 and a shared secret of at least 32 bytes.
    Hs256(Vec<u8>),
    /// RSA PKCS#1 with SHA-256; the public key in PEM.
    Rs256(Vec<u8>),
    /// ECDSA on P-256; the public key in PEM.
    Es256(Vec<u8>),
    /// Ed25519; the public key in PEM.
    EdDsa(Vec<u8>),
}

impl std::fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hs256(_) => "Hs256(redacted)",
            Self::Rs256(_) => "Rs256(..)",
            Self::Es256(_) => "Es256(..)",
            Self::EdDsa(_) => "EdDsa(..)",
        })
    }
}

/// A rate: so many at once, then one each interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// Then one each.
    pub interval: Duration,
}

/// Every rate limit.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Messages of one device.
    pub sends: Rate,
    /// Messages into one conversation, of all its members together.
    pub sends_per_conversation: Rate,
    /// Other commands of one device.
    pub commands: Rate,
    /// Questions of one account whether another one exists: a handle looked up, an unknown account written to, blocked or
    /// made a contact.
    pub look_ups: Rate,
    /// The same questions from one address.
    pub look_ups_per_address: Rate,
    /// The same questions from everywhere.
    pub look_ups_in_all: Rate,
    /// Log-in attempts at one handle from one address.
    pub log_ins_per_handle: Rate,
    /// Log-in attempts at one handle from all addresses where nobody has logged in with it lately.
    pub log_ins_per_handle_in_all: Rate,
    /// Registrations and log-ins from one address.
    pub accounts_per_address: Rate,
    /// Registrations, and log-ins from where nobody has logged in with that handle lately.
    pub accounts_in_all: Rate,
    /// Invites made, looked at or followed by one account.
    pub invites: Rate,
    /// The same from one address.
    pub invites_per_address: Rate,
    /// The same from everywhere.
    pub invites_in_all: Rate,
    /// People whom one account adds to groups without knowing them: neither a contact nor the other one of a direct chat.
    pub group_adds: Rate,
    /// The same from one address.
    pub group_adds_per_address: Rate,
    /// The same from everywhere.
    pub group_adds_in_all: Rate,
    /// What one account reports to the operators.
    pub reports: Rate,
    /// The same from one address.
    pub reports_per_address: Rate,
    /// The same from everywhere.
    pub reports_in_all: Rate,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            registration: Registration::Open,
            token_valid: Duration::from_secs(180 * 24 * 3_600),
            password: PasswordCost { memory_kib: 19 * 1_024, passes: 2 },
            jwt_issuers: Vec::new(),
            ping_interval: Duration::from_secs(30),
            hello_timeout: Duration::from_secs(60),
            outbox_frames_max: 1_024,
            buffer_bytes_max: 256 * 1_024 * 1_024,
            lease: Duration::from_secs(15),
            session_cache_ttl: Duration::from_secs(300),
            conversations_cached_max: 10_000,
            dispatch_batch_max: 256,
            commit_interval: Duration::from_millis(500),
            call_timeout: Duration::from_secs(5),
            rates: Rates::default(),
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        let every_ms = |burst, ms| Rate { burst, interval: Duration::from_millis(ms) };
        Self {
            sends: every_ms(2_000, 5),
            sends_per_conversation: every_ms(10_000, 1),
            commands: every_ms(2_000, 10),
            look_ups: every_ms(20, 10_000),
            look_ups_per_address: every_ms(1_000, 1_000),
            look_ups_in_all: every_ms(10_000, 5),
            log_ins_per_handle: every_ms(10, 30_000),
            log_ins_per_handle_in_all: every_ms(100, 10_000),
            accounts_per_address: every_ms(60, 1_000),
            accounts_in_all: every_ms(5_000, 10),
            invites: every_ms(20, 10_000),
            invites_per_address: every_ms(1_000, 1_000),
            invites_in_all: every_ms(10_000, 5),
            group_adds: every_ms(100, 30_000),
            group_adds_per_address: every_ms(2_000, 1_000),
            group_adds_in_all: every_ms(20_000, 5),
            reports: every_ms(10, 60_000),
            reports_per_address: every_ms(500, 2_000),
            reports_in_all: every_ms(5_000, 10),
        }
    }
}
