//! A thousand members of a group read nothing. They are marked lagging, cost a bounded amount of memory, hold nobody up, and
//! have everything in the end.

use hudhud_e2e::overload::{Server, SlowReaders, Traffic, raise_open_files};
use std::time::Duration;

const READERS: usize = 1_000;
/// More than the kernel and the server keep for a client that does not read.
const MESSAGES: u32 = 64;
const BUFFER_BYTES_MAX: i64 = 32 * 1_024 * 1_024;
/// What else a server may grow by: the kernel's buffers are not its own.
const SLACK_BYTES: u64 = 192 * 1_024 * 1_024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_readers_lag_within_the_bound_and_pull_in_the_end() {
    let _turn = crate::TURN.lock().await;
    raise_open_files();
    let folder = tempfile::tempdir().expect("a folder");
    let limits = format!("connections_max = 2000\nbuffer_bytes_max = {BUFFER_BYTES_MAX}\nping_interval_ms = 120000");
    let server = Server::start(folder.path(), &limits).await;
    let traffic = Traffic::start(server.address(), 4, 10).await;
    let mut slow = SlowReaders::gather(server.address(), READERS).await;
    let before = server.usage();
    let mut waiting_max = 0;
    for _ in 0..MESSAGES / 4 {
        slow.write(4).await;
        waiting_max = waiting_max.max(server.metric("hudhud_buffer_bytes").await);
    }
    let window = traffic.window(Duration::from_secs(3)).await;
    let grown = server.usage().resident_bytes.saturating_sub(before.resident_bytes);
    let dropped = server.metric("hudhud_pushes_lagging_total").await;
    println!("{waiting_max} bytes waited, grown by {grown} bytes, {dropped} pushes dropped, {window:?}");
    assert!(waiting_max <= BUFFER_BYTES_MAX, "{waiting_max} bytes waited");
    assert!(grown < BUFFER_BYTES_MAX as u64 + SLACK_BYTES, "it has grown by {grown} bytes");
    assert!(window.delivered > 0, "others are held up");
    let (lagged, have_all) = slow.read_all().await;
    println!("{lagged} lagged, {have_all} have all");
    assert_eq!(have_all, READERS);
    assert!(lagged > READERS / 2, "only {lagged} were told that they lag: they did not read slowly");
    traffic.finish().await.expect("all messages of honest people arrive, in their order");
}
