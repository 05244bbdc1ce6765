//! What each figure is meant to be, on two cores with the load beside the server, and what others need.

use crate::report::{Report, Row, TLS, cell, label};
use std::fmt::Write as _;

/// Parameters that make a row one of another kind: only a target that names them is about it.
const OF_ANOTHER_KIND: [&str; 2] = ["read", TLS];

/// A bound of a figure.
struct Target {
    workload: &'static str,
    with: &'static [(&'static str, &'static str)],
    figure: &'static str,
    at_most: f64,
    /// Other servers' figures of the same kind. Empty where nobody has one.
    others: &'static str,
}

const fn target(
    workload: &'static str,
    with: &'static [(&'static str, &'static str)],
    figure: &'static str,
    at_most: f64,
) -> Target {
    Target { workload, with, figure, at_most, others: "" }
}

const MEMORY_OF_OTHERS: &str = "NATS core 19-22, Tinode 37, Prosody 46-50, ejabberd 59-80 KiB";
const ONE_IN_FLIGHT_OF_OTHERS: &str = "bare relay 27, NATS core 55, ejabberd 340, Tinode 2,500";
const EIGHT_IN_FLIGHT_OF_OTHERS: &str = "bare relay 4, NATS core 8, ejabberd 250, Tinode 1,900";

const TARGETS: &[Target] = &[
    target("idle", &[("connections", "1000")], "empty_server_mib", 60.0),
    target("idle", &[("connections", "1000")], "ready_after_ms", 1_000.0),
    Target {
        others: MEMORY_OF_OTHERS,
        ..target("idle", &[("connections", "1000")], "resident_per_connection_kib", 5.0)
    },
    Target {
        others: MEMORY_OF_OTHERS,
        ..target("idle", &[("connections", "10000")], "resident_per_connection_kib", 5.0)
    },
    Target {
        others: MEMORY_OF_OTHERS,
        ..target("idle", &[("connections", "19000")], "resident_per_connection_kib", 5.0)
    },
    target("idle", &[("connections", "10000"), (TLS, "true")], "resident_per_connection_kib", 16.0),
    Target {
        others: ONE_IN_FLIGHT_OF_OTHERS,
        ..target("pairs", &[("pairs", "1000"), ("window", "1")], "server_cpu_us_per_message", 60.0)
    },
    Target {
        others: EIGHT_IN_FLIGHT_OF_OTHERS,
        ..target("pairs", &[("pairs", "1000"), ("window", "8")], "server_cpu_us_per_message", 30.0)
    },
    target("half of maximum", &[], "delivered_p50_above_fsync_ms", 3.0),
    target("half of maximum", &[], "delivered_p99_ms", 25.0),
    target("half of maximum", &[], "delivered_p999_ms", 60.0),
    target("group", &[("receipts", "false")], "server_cpu_us_per_delivery", 10.0),
    target("group", &[("receipts", "false")], "last_member_p99_ms", 100.0),
    target("group", &[("pairs", "100")], "pairs_p99_ratio", 1.2),
    target("backlog", &[("users", "1000")], "drained_s", 3.0),
    target("backlog", &[("users", "1")], "drained_s", 10.0),
    target("backlog", &[("users", "1")], "memory_grown_at_most_mib", 32.0),
    target("reconnect storm", &[], "all_resumed_s", 30.0),
    target("restart after kill -9", &[], "ready_again_after_ms", 5_000.0),
    target("growth", &[], "cpu_ratio", 1.15),
];

impl Target {
    fn is_of(&self, row: &Row) -> bool {
        let has = |(name, value): &(&str, &str)| row.parameters.get(*name).is_some_and(|found| found == value);
        let named = |kind: &&str| self.with.iter().any(|(name, _)| name == kind);
        let strange = |kind: &&str| row.parameters.contains_key(*kind) && !named(kind);
        row.workload == self.workload && self.with.iter().all(has) && !OF_ANOTHER_KIND.iter().any(strange)
    }
}

/// The targets beside what was measured, as a table in Markdown.
pub fn table(report: &Report) -> String {
    let mut table = "| workload | figure | target | measured | | others |\n|---|---|---:|---:|---|---|\n".to_owned();
    for target in TARGETS {
        let found = report.rows.iter().filter(|row| target.is_of(row));
        let found = found.filter_map(|row| Some((row.title(), *row.figures.get(target.figure)?)));
        for (title, value) in found {
            let held = if value <= target.at_most { "held" } else { "**missed**" };
            let [bound, value] = [target.at_most, value].map(|value| cell(target.figure, value));
            let (label, others) = (label(target.figure), target.others);
            writeln!(table, "| {title} | {label} | ≤ {bound} | {value} | {held} | {others} |")
                .expect("a string takes everything");
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Machine;

    /// A bound is held up to itself, and only rows that it is about are told.
    #[test]
    fn a_target_stands_beside_what_was_measured() {
        let machine = Machine {
            cores: 2,
            processor: String::new(),
            kernel: String::new(),
            fsync_p50_ms: 0.1,
            fsync_p99_ms: 1.0,
            load_average: 0.0,
        };
        let pairs = |window, cpu| {
            Row::new("pairs")
                .parameter("pairs", 1_000)
                .parameter("window", window)
                .figure("server_cpu_us_per_message", cpu)
        };
        let idle = Row::new("idle").parameter("connections", 10_000).parameter(TLS, true);
        let idle = idle.figure("resident_per_connection_kib", 15.0);
        let rows = vec![pairs(1, 60.0), pairs(8, 30.1), pairs(8, 99.0).parameter("read", true), pairs(2, 1.0), idle];
        let table = table(&Report { machine, rows });
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(lines[0].contains("| ≤ 16.0 KiB | 15.0 KiB | held |"), "{table}");
        assert!(lines[1].contains("| ≤ 60.0 µs | 60.0 µs | held | bare relay 27"), "{table}");
        assert!(lines[2].contains("| ≤ 30.0 µs | 30.1 µs | **missed** | bare relay 4"), "{table}");
    }
}
