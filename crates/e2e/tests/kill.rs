//! A real server process is killed with -9 again and again while real clients write, each with its database on disk. In the
//! end nothing that was accepted is lost, shown twice or out of order: the simulator's checker looks.

mod fleet;
mod process;

use fleet::Fleet;
use hudhud_engines::{Options, Urls};
use process::Server;
use std::time::Duration;

/// Rounds of load and kill.
const ROUNDS: u32 = 10;
/// How long the clients write until the server is killed. Not the same in each round, so that it dies at other moments.
const LOAD: Duration = Duration::from_millis(900);
/// How long the server stays away.
const AWAY: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_server_ten_times_under_load_loses_nothing_and_repeats_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("server");
    let mut server = Server::start(&data).await;
    let mut fleet = Fleet::start(&server, folder.path()).await;
    for round in 0..ROUNDS {
        fleet.write_for(LOAD + Duration::from_millis(u64::from(round) * 37)).await;
        server.kill();
        tokio::time::sleep(AWAY).await;
        server.start_again().await;
    }
    fleet.settle().await;
    let composed = fleet.composed();
    assert!(composed > 50 * u64::from(ROUNDS), "only {composed} messages were written: that is no load");
    server.terminate().await;

    let urls = Urls::all(format!("embedded:{}", data.display()));
    let engines = hudhud_engines::open(&urls, &Options::default(), hudhud_engines::runtime().clock).await;
    let engines = engines.expect("the server has ended");
    let violations = fleet.check(engines.messages.as_ref()).await;
    assert!(violations.is_empty(), "{violations:#?}");
}
