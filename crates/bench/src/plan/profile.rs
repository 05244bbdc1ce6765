//! What was measured, as the model needs it: figures of a report, under the names that formulas use.

use crate::report::{Report, Row, TLS};

/// How far off a measured value is taken to be at another load.
pub const ERROR: f64 = 0.15;

/// A measured value.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// As in formulas.
    pub name: &'static str,
    /// Of its value.
    pub unit: &'static str,
    /// The value.
    pub value: f64,
    /// Which figure of which workload it is.
    pub source: String,
    /// The cell or input that says how far it is stretched, and how far it was measured.
    pub up_to: (&'static str, f64),
}

/// Takes the measured values from a report.
pub fn read(report: &Report) -> Result<Vec<Measured>, String> {
    let cores = ("node_cores", report.machine.cores as f64);
    let idle = largest(report, "idle", "connections")?;
    let connections = ("node_connections", parameter(idle, "connections").unwrap_or_default());
    let pairs = find(report, "pairs", &[("window", "1")], "read")?;
    let storm = largest(report, "reconnect storm", "connections")?;
    let stored = largest(report, "restart after kill -9", "payload_bytes")?;
    let group = find(report, "group", &[("receipts", "true")], "pairs")?;
    let messages = ("node_messages", figure(stored, "messages")?);
    let value = |name, unit, row: &Row, named: &str, up_to| {
        let value = figure(row, named)?;
        Ok::<_, String>(Measured { name, unit, value, source: format!("{named} of {}", row.title()), up_to })
    };
    let mut all = vec![
        value("memory_mib_empty", "MiB", idle, "empty_server_mib", connections)?,
        value("memory_kib", "KiB a connection", idle, "memory_per_connection_kib", connections)?,
        value("cpu_us_message", "µs a message", pairs, "server_cpu_us_per_message", cores)?,
        value("cpu_us_delivery", "µs a delivery", group, "server_cpu_us_per_delivery", cores)?,
        value("cpu_us_connect", "µs a connection", storm, "server_cpu_us_per_connection", cores)?,
        value("disk_bytes", "bytes a message", stored, "disk_bytes_per_message", messages)?,
    ];
    let idle_us = figure(idle, "idle_cores")? * 1e6 / parameter(idle, "connections").unwrap_or(1.0);
    all.push(Measured {
        name: "cpu_us_idle",
        unit: "µs a second and connection",
        value: idle_us,
        source: format!("idle_cores of {}", idle.title()),
        up_to: connections,
    });
    let [without, with] = [find(report, "pairs", &[("window", "8")], "read")?, read_too(report)?];
    let read = figure(with, "server_cpu_us_per_message")? - figure(without, "server_cpu_us_per_message")?;
    all.push(Measured {
        name: "cpu_us_read",
        unit: "µs a receipt",
        value: read.max(0.0),
        source: format!("server_cpu_us_per_message of {} less that without read receipts", with.title()),
        up_to: cores,
    });
    Ok(all)
}

fn read_too(report: &Report) -> Result<&Row, String> {
    let mut read = rows(report, "pairs").filter(|row| row.parameters.contains_key("read") && is(row, "window", "8"));
    read.next().ok_or_else(|| missing("pairs --window 8 --read"))
}

/// The row of a workload with these parameters, and without another.
fn find<'a>(report: &'a Report, workload: &str, with: &[(&str, &str)], without: &str) -> Result<&'a Row, String> {
    let without = rows(report, workload).filter(|row| !row.parameters.contains_key(without));
    let mut found = without.filter(|row| with.iter().all(|(name, value)| is(row, name, value)));
    found.next().ok_or_else(|| {
        let options: String = with.iter().map(|(name, value)| format!(" --{name} {value}")).collect();
        missing(&format!("{workload}{options}"))
    })
}

/// The row of a workload with most of something.
fn largest<'a>(report: &'a Report, workload: &str, of: &str) -> Result<&'a Row, String> {
    let most = rows(report, workload)
        .max_by(|a, b| parameter(a, of).unwrap_or(0.0).total_cmp(&parameter(b, of).unwrap_or(0.0)));
    most.ok_or_else(|| missing(workload))
}

/// The rows of a workload. Not those over TLS: that ends in front of the servers that are planned.
fn rows<'a>(report: &'a Report, workload: &str) -> impl Iterator<Item = &'a Row> {
    report.rows.iter().filter(move |row| row.workload == workload && !row.parameters.contains_key(TLS))
}

fn is(row: &Row, name: &str, value: &str) -> bool {
    row.parameters.get(name).is_some_and(|found| found == value)
}

fn parameter(row: &Row, name: &str) -> Option<f64> {
    row.parameters.get(name)?.parse().ok()
}

fn figure(row: &Row, name: &str) -> Result<f64, String> {
    let found = row.figures.get(name).copied().filter(|value| value.is_finite() && *value >= 0.0);
    found.ok_or_else(|| {
        format!("the profile has no {name} of {}: measure anew with `bench set --json FILE`", row.title())
    })
}

fn missing(workload: &str) -> String {
    format!("the profile has no workload \"{workload}\": measure with `bench set --json FILE`")
}
