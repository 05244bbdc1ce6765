//! The set of measurements behind docs/benchmarks.md, each on a server of its own with an empty folder.

use crate::destination::Transport;
use crate::workload::{backlog, group, growth, idle, pairs, restart, slow, storm};
use crate::{Measurement, Workload};
use anyhow::bail;

/// The workloads in the order of the page: as they are called on the command line, and in rows.
const WORKLOADS: [(&str, &str); 9] = [
    ("idle", "idle"),
    ("pairs", "pairs"),
    ("half-of-maximum", "half of maximum"),
    ("group", "group"),
    ("backlog", "backlog"),
    ("storm", "reconnect storm"),
    ("slow", "slow readers"),
    ("growth", "growth"),
    ("restart", "restart after kill -9"),
];

/// All of it, in the order of the page.
pub fn full() -> Vec<Measurement> {
    let pairs =
        |window, read| pairs::Options { read, warm_up_s: 5.0, ..pairs::Options::closed_loop(1_000, window, 15.0) };
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
    let plain = |workload| Measurement { workload, over: Transport::Plain };
    let tls = |workload| Measurement { workload, over: Transport::Tls };
    vec![
        plain(Workload::Idle(idle(1_000))),
        plain(Workload::Idle(idle(10_000))),
        plain(Workload::Idle(idle(19_000))),
        tls(Workload::Idle(idle(10_000))),
        plain(Workload::Pairs(pairs(1, false))),
        plain(Workload::Pairs(pairs(8, false))),
        plain(Workload::Pairs(pairs(8, true))),
        plain(Workload::HalfOfMaximum(pairs(8, false))),
        plain(Workload::Group(group(false, 0))),
        plain(Workload::Group(group(true, 0))),
        plain(Workload::Group(group(false, 100))),
        plain(Workload::Backlog(backlog::Options { users: 1_000, messages: 20 })),
        plain(Workload::Backlog(backlog::Options { users: 1, messages: 100_000 })),
        plain(Workload::Storm(storm::Options { connections: 10_000, jitter_s: 5.0 })),
        plain(Workload::Slow(slow::Options { readers: 1_000, posts_per_s: 5.0, pairs: 100, seconds: 15.0 })),
        plain(Workload::Growth(growth::Options { few: 10_000, many: 10_000_000, pairs: 1_000, seconds: 15.0 })),
        plain(Workload::Restart(restart::Options { mebibytes: 1_024, payload_bytes: 200 })),
    ]
}

/// Those of some workloads, in the order of the page.
pub fn only(names: &[String]) -> anyhow::Result<Vec<Measurement>> {
    let known = WORKLOADS.map(|(name, _)| name);
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("the set has no workload {unknown:?}: it has {}", known.join(", "));
    }
    let mut chosen = full();
    chosen.retain(|measurement| names.iter().any(|name| name == measurement.workload.name()));
    Ok(chosen)
}

/// Where the rows of a workload stand on the page, whatever it was told. Others come behind.
pub fn place(row: &str) -> usize {
    WORKLOADS.iter().position(|(_, title)| *title == row).unwrap_or(WORKLOADS.len())
}

impl Workload {
    /// As it is called on the command line.
    fn name(&self) -> &'static str {
        WORKLOADS[match self {
            Self::Idle(_) => 0,
            Self::Pairs(_) => 1,
            Self::HalfOfMaximum(_) => 2,
            Self::Group(_) => 3,
            Self::Backlog(_) => 4,
            Self::Storm(_) => 5,
            Self::Slow(_) => 6,
            Self::Growth(_) => 7,
            Self::Restart(_) => 8,
        }]
        .0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Subcommand as _;

    /// What `--only` takes is what the command line calls each workload, and the set has all of them.
    #[test]
    fn workloads_are_called_as_on_the_command_line() {
        let commands = Workload::augment_subcommands(clap::Command::new("bench"));
        let called: Vec<_> = commands.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(called, WORKLOADS.map(|(name, _)| name));
        for name in called {
            let chosen = only(&[name.to_owned()]).expect(name);
            assert!(!chosen.is_empty() && chosen.iter().all(|chosen| chosen.workload.name() == name), "{name}");
        }
        let error = only(&["idle".to_owned(), "idel".to_owned()]).map(drop).expect_err("there is none");
        assert!(error.to_string().contains("no workload \"idel\": it has idle, pairs"), "{error}");
    }
}
