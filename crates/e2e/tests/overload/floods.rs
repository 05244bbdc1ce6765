//! Honest people go on while others hold connections open. The strict figures are those of `make overload`; here nothing may
//! depend on how fast the machine is.

use hudhud_e2e::Wire;
use hudhud_e2e::overload::{Flood, Kind, Server, Traffic, Usage, raise_open_files};
use hudhud_proto::Encoding;
use hudhud_server::Config;
use std::time::Duration;

/// Sockets on which nobody says who it is.
const UNAUTHENTICATED: usize = 10_000;
/// Connections that trickle.
const TRICKLING: usize = 1_000;
const PAIRS: usize = 8;
const PER_SECOND: u32 = 10;
const WINDOW: Duration = Duration::from_secs(4);
/// How much more processor time a message may cost while there is a flood: trickled bytes and timers cost some.
const COST_MAX: f64 = 8.0;
/// What a connection may cost that says nothing or little.
const CONNECTION_BYTES_MAX: u64 = 32 * 1_024;
/// What a server may grow by for other reasons while it is watched.
const SLACK_BYTES: u64 = 64 * 1_024 * 1_024;
const LIMITS: &str = "\
connections_max = 12000
unauthenticated_max = 10500
unauthenticated_per_address_max = 500
buffer_bytes_max = 33554432
header_timeout_ms = 60000
";

/// What the server spent on each message during a window.
async fn cost(server: &Server, traffic: &Traffic) -> f64 {
    let before = server.usage();
    let window = traffic.window(WINDOW).await;
    assert!(window.delivered > 0, "nothing arrives any more");
    (server.usage().ticks - before.ticks).max(1) as f64 / window.delivered as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_people_go_on_and_newcomers_get_in_during_every_flood() {
    let _turn = crate::TURN.lock().await;
    assert!(raise_open_files() > 12_000, "ulimit -n is too low for this test: it needs 12,000 open files");
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), LIMITS).await;
    let traffic = Traffic::start(server.address(), PAIRS, PER_SECOND).await;
    let alone = cost(&server, &traffic).await;
    for kind in Kind::ALL {
        let count = if kind == Kind::Silent || kind == Kind::SilentWebSocket { UNAUTHENTICATED } else { TRICKLING };
        let Usage { resident_bytes: before, .. } = server.usage();
        let flood = Flood::start(kind, server.address(), count).await;
        let connected = flood.connected();
        let newcomer = format!("newcomer.{}", kind as u8);
        Wire::register(server.address(), Encoding::Protobuf, &newcomer).await;
        let (cost, grown) = (cost(&server, &traffic).await, server.usage().resident_bytes.saturating_sub(before));
        println!("{kind:?}: {connected} of {count}, cost {cost:.3} ({alone:.3} alone), grown by {grown} bytes");
        assert!(connected > count * 9 / 10, "{kind:?}: only {connected} of {count} are there, which is no flood");
        assert!(cost < COST_MAX * alone.max(0.5), "{kind:?}: a message costs {cost} ticks, {alone} alone");
        assert!(grown < count as u64 * CONNECTION_BYTES_MAX + SLACK_BYTES, "{kind:?}: grown by {grown} bytes");
    }
    let config = Config::parse(&format!("[limits]\n{LIMITS}"), "limits").expect("a configuration");
    let (has, may) = (server.usage().resident_bytes, config.limits.memory_bytes_max());
    assert!(has <= may, "it has {has} bytes of memory, and its limits add up to {may}");
    let delivered = traffic.finish().await.expect("all messages of honest people arrive, in their order");
    assert!(delivered > 200, "{delivered} messages are no traffic");
}

/// Where strangers are more than their places, they take those of one another: newcomers still get in, and who is known stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_beyond_all_places_displaces_itself() {
    let _turn = crate::TURN.lock().await;
    raise_open_files();
    let folder = tempfile::tempdir().expect("a folder");
    let limits = "connections_max = 1000\nunauthenticated_max = 900\nunauthenticated_per_address_max = 4";
    let server = Server::start(folder.path(), limits).await;
    let traffic = Traffic::start(server.address(), 2, PER_SECOND).await;
    let flood = Flood::start(Kind::Silent, server.address(), 1_000).await;
    for n in 0..20 {
        Wire::register(server.address(), Encoding::Protobuf, &format!("newcomer{n}")).await;
    }
    assert!(server.metric("hudhud_tcp_displaced_total").await >= 100);
    assert!(server.metric("hudhud_tcp_unauthenticated").await <= 900);
    assert!(server.metric("hudhud_tcp_connections").await <= 1_000);
    assert_eq!(server.metric("hudhud_tcp_refused_total").await, 0);
    drop(flood);
    traffic.finish().await.expect("all messages of honest people arrive, in their order");
}
