//! A server on memory engines, made anew for each input so that an input means the same each time.

use hudhud_ports::memory::{self, BusOptions, Local};
use hudhud_proto::v1::{self, client_frame::Command, server_frame::Event};
use hudhud_roles::Services;
use hudhud_roles::api::{Api, Caller, Who};
use hudhud_roles::gateway::Gateway;
use hudhud_roles::metrics::Metrics;
use hudhud_roles::presence::Presence;
use hudhud_roles::session::Sessions;
use hudhud_roles::settings::{JwtIssuer, JwtKey, PasswordCost, Settings};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Where everything comes from.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The issuer of JWTs that this server trusts.
pub const ISSUER: &str = "https://shop.example";
/// 2026-01-01T00:00:00Z, in microseconds since the Unix epoch.
const NOW_US: u64 = 1_767_225_600_000_000;
const SEED: u64 = 7;
const CACHE_BYTES: usize = 64 * 1_024;
const SECRET: &[u8] = b"a secret of thirty-two bytes: ok";
const KEY: &[u8] = include_bytes!("../../roles/testdata/jwt/rs256.pem");

/// An account, and what it talks to.
pub struct World {
    /// All commands.
    pub api: Arc<Api>,
    /// All connections.
    pub gateway: Arc<Gateway>,
    /// Somebody with an account.
    pub alice: Caller,
    /// Hers.
    pub token: String,
}

impl World {
    /// A server that Alice has registered at.
    pub async fn new() -> Self {
        let (runtime, clock) = memory::runtime(NOW_US, SEED);
        let store = Arc::new(memory::Store::new(clock.clone()));
        let local = Arc::new(Local::new());
        let issuer = |key| JwtIssuer { issuer: ISSUER.into(), audience: "hudhud".into(), key };
        let settings = Settings {
            password: PasswordCost { memory_kib: 8, passes: 1 },
            jwt_issuers: vec![issuer(JwtKey::Hs256(SECRET.to_vec())), issuer(JwtKey::Rs256(KEY.to_vec()))],
            ..Settings::default()
        };
        let services = Services {
            messages: store.clone(),
            directory: store,
            bus: Arc::new(memory::Bus::new(BusOptions::default())),
            cache: Arc::new(memory::Cache::new(clock, CACHE_BYTES)),
            gateways: local.clone(),
            runtime,
            settings: Arc::new(settings),
            metrics: Arc::new(Metrics::new().0),
        };
        let sessions = Arc::new(Sessions::new(&services));
        let presence = Arc::new(Presence::new(&services, sessions.clone()));
        let api = Arc::new(Api::new(services.clone(), sessions.clone(), presence.clone()));
        let gateway = Gateway::new(services, api.clone(), sessions, presence, "gateway", "");
        local.register(gateway.reference().clone(), gateway.clone());
        gateway.start().await.expect("memory engines do not fail");
        let register = v1::Register { handle: "alice".into(), password: "correct horse".into(), ..Default::default() };
        let registered = api.handle(&Who::Anonymous(ADDRESS), Command::Register(register)).await;
        let Ok(Event::LoggedIn(v1::LoggedIn { token, .. })) = registered else { panic!("{registered:?}") };
        let alice = api.authenticate(&token, ADDRESS).await.expect("just registered");
        Self { api, gateway, alice, token }
    }
}

/// Runs something with all the tasks that it spawns; those that wait still are dropped at its end.
pub fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
    runtime.block_on(future);
}
