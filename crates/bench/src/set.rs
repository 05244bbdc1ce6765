//! The set of measurements behind docs/benchmarks.md, each on a server of its own with an empty folder.

use crate::Workload;
use crate::workload::{backlog, group, growth, idle, pairs, restart, slow, storm};

/// All of it, in the order of the page.
pub fn full() -> Vec<Workload> {
    let pairs = |window, read| pairs::Options {
        pairs: 1_000,
        processes: 1,
        window,
        rate: None,
        payload_bytes: 200,
        read,
        warm_up_s: 5.0,
        seconds: 15.0,
    };
    let idle = |connections| idle::Options { connections, processes: 2 };
    let group = |receipts, pairs| group::Options {
        members: 1_024,
        posts_per_s: 5.0,
        receipts,
        pairs,
        pairs_per_s: 500.0,
        warm_up_s: 3.0,
        seconds: 15.0,
    };
    vec![
        Workload::Idle(idle(1_000)),
        Workload::Idle(idle(10_000)),
        Workload::Idle(idle(19_000)),
        Workload::Pairs(pairs(1, false)),
        Workload::Pairs(pairs(8, false)),
        Workload::Pairs(pairs(8, true)),
        Workload::HalfOfMaximum(pairs(8, false)),
        Workload::Group(group(false, 0)),
        Workload::Group(group(true, 0)),
        Workload::Group(group(false, 100)),
        Workload::Backlog(backlog::Options { users: 1_000, messages: 20 }),
        Workload::Backlog(backlog::Options { users: 1, messages: 100_000 }),
        Workload::Storm(storm::Options { connections: 10_000, jitter_s: 5.0 }),
        Workload::Slow(slow::Options { readers: 1_000, posts_per_s: 5.0, pairs: 100, seconds: 15.0 }),
        Workload::Growth(growth::Options { few: 10_000, many: 10_000_000, pairs: 1_000, seconds: 15.0 }),
        Workload::Restart(restart::Options { mebibytes: 1_024, payload_bytes: 200 }),
    ]
}
