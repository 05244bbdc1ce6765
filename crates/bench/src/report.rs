//! Figures: as JSON for programs, as a table for people.

use crate::{set, targets};
use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::path::Path;

/// The parameter of a row that was measured over TLS.
pub const TLS: &str = "tls";

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The workload.
    pub workload: String,
    /// What it was told, by name.
    pub parameters: BTreeMap<String, String>,
    /// What was measured; the unit ends the name.
    pub figures: BTreeMap<String, f64>,
}

/// The machine that measured and was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that may be used.
    pub cores: usize,
    /// The processor, as it names itself.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// Half of the fdatasync calls after 4 KiB into a file of fixed size are shorter, in milliseconds.
    pub fsync_p50_ms: f64,
    /// 99 of 100 are shorter, in milliseconds.
    pub fsync_p99_ms: f64,
    /// What the kernel said was running or waiting for a core in the minute before (proc(5), loadavg).
    pub load_average: f64,
}

/// All measurements of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What.
    pub rows: Vec<Row>,
}

impl Row {
    /// A row without figures.
    pub fn new(workload: &str) -> Self {
        Self { workload: workload.to_owned(), parameters: BTreeMap::new(), figures: BTreeMap::new() }
    }

    /// With a parameter.
    pub fn parameter(mut self, name: &str, value: impl Display) -> Self {
        self.parameters.insert(name.to_owned(), value.to_string());
        self
    }

    /// With a figure.
    pub fn figure(mut self, name: &str, value: f64) -> Self {
        self.figures.insert(name.to_owned(), value);
        self
    }

    /// The workload and what it was told, in a line.
    pub fn title(&self) -> String {
        let mut title = self.workload.clone();
        for (n, (name, value)) in self.parameters.iter().enumerate() {
            let before = if n == 0 { ": " } else { ", " };
            write!(title, "{before}{} {value}", name.replace('_', " ")).expect("a string takes everything");
        }
        title
    }
}

impl Report {
    /// Reads one.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report of this program", path.display()))
    }

    /// Writes it down.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("numbers and strings become JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("{} can't be written", path.display()))
    }

    /// With the rows of the workloads that were measured anew replaced by those, all in the order of the set.
    pub fn replaced_by(mut self, newer: Self) -> anyhow::Result<Self> {
        let kind = |machine: &Machine| (machine.cores, machine.processor.clone());
        let (before, now) = (kind(&self.machine), kind(&newer.machine));
        ensure!(before == now, "the figures to replace are of another machine: {before:?}, this one is {now:?}");
        self.rows.retain(|row| newer.rows.iter().all(|newer| newer.workload != row.workload));
        self.rows.extend(newer.rows);
        self.rows.sort_by_key(|row| set::place(&row.workload));
        Ok(Self { machine: newer.machine, rows: self.rows })
    }

    /// As a table in Markdown, a figure a line.
    pub fn markdown(&self) -> String {
        let Machine { cores, processor, kernel, fsync_p50_ms, fsync_p99_ms, load_average } = &self.machine;
        let mut text = format!(
            "{cores} cores of {processor}, Linux {kernel}; fdatasync p50 {}, p99 {}; load average before the run {load_average:.1}.\n\n\
             {}\nEverything that was measured:\n\n| workload | figure | |\n|---|---|---:|\n",
            cell("p50_ms", *fsync_p50_ms),
            cell("p99_ms", *fsync_p99_ms),
            targets::table(self),
        );
        for row in &self.rows {
            for (n, (name, value)) in row.figures.iter().enumerate() {
                let title = if n == 0 { row.title() } else { String::new() };
                let (label, cell) = (label(name), cell(name, *value));
                writeln!(text, "| {title} | {label} | {cell} |").expect("a string takes everything");
            }
        }
        text
    }

    /// How another report differs: rows and figures that both have, the other in percent of this one.
    pub fn compare(&self, other: &Self) -> String {
        let mut text = "| workload | figure | before | after | |\n|---|---|---:|---:|---:|\n".to_owned();
        for row in &self.rows {
            let Some(after) = other.rows.iter().find(|other| other.title() == row.title()) else { continue };
            let both = row.figures.iter().filter_map(|(name, before)| Some((name, *before, *after.figures.get(name)?)));
            for (n, (name, before, after)) in both.enumerate() {
                let title = if n == 0 { row.title() } else { String::new() };
                let change =
                    if before == 0.0 { String::new() } else { format!("{:+.0}%", (after / before - 1.0) * 100.0) };
                let (label, before, after) = (label(name), cell(name, before), cell(name, after));
                writeln!(text, "| {title} | {label} | {before} | {after} | {change} |")
                    .expect("a string takes everything");
            }
        }
        text
    }
}

/// The units that end names, as people write them. The longer of two that fit is meant.
const UNITS: [(&str, &str); 5] = [("_ms", "ms"), ("_s", "s"), ("_mib", "MiB"), ("_kib", "KiB"), ("_per_s", "/s")];

/// A unit within a name, where what it is spent on comes behind it.
const MICROSECONDS: &str = "_us_per_";

fn unit(name: &str) -> Option<(String, &'static str)> {
    if let Some((plain, each)) = name.split_once(MICROSECONDS) {
        return Some((format!("{plain} per {each}"), "µs"));
    }
    let fitting = UNITS.iter().filter_map(|(end, unit)| Some((name.strip_suffix(end)?, *unit)));
    fitting.min_by_key(|(plain, _)| plain.len()).map(|(plain, unit)| (plain.to_owned(), unit))
}

/// A figure's name without its unit.
pub fn label(name: &str) -> String {
    unit(name).map_or(name.to_owned(), |(plain, _)| plain).replace('_', " ")
}

/// A figure with its unit.
pub fn cell(name: &str, value: f64) -> String {
    let digits = match value.abs() {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let unit = unit(name).map(|(_, unit)| format!(" {unit}")).unwrap_or_default();
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cpu: f64) -> Report {
        let row = Row::new("pairs")
            .parameter("window", 8)
            .figure("messages_per_s", 12_345.6)
            .figure("cpu_us_per_message", cpu);
        let machine = Machine {
            cores: 2,
            processor: "a processor".to_owned(),
            kernel: "6".to_owned(),
            fsync_p50_ms: 0.131,
            fsync_p99_ms: 1.0,
            load_average: 1.5,
        };
        Report { machine, rows: vec![row] }
    }

    #[test]
    fn a_table_has_a_line_for_each_figure() {
        let table = report(20.25).markdown();
        assert!(
            table.contains("| pairs: window 8 | cpu per message | 20.2 µs |\n|  | messages | 12346 /s |\n"),
            "{table}"
        );
        assert!(table.contains("fdatasync p50 0.13 ms, p99 1.00 ms; load average before the run 1.5."), "{table}");
    }

    #[test]
    fn two_reports_are_compared_by_workload_and_figure() {
        let table = report(20.0).compare(&report(15.0));
        assert!(table.contains("| pairs: window 8 | cpu per message | 20.0 µs | 15.0 µs | -25% |"), "{table}");
    }

    /// A set that is made in pieces is the set: every workload once, as it was measured last.
    #[test]
    fn only_rows_of_workloads_that_were_measured_anew_are_replaced() {
        let set = |rows: &[(&str, f64)]| {
            let row = |(workload, value): &(&str, f64)| Row::new(workload).figure("figure", *value);
            Report { rows: rows.iter().map(row).collect(), ..report(1.0) }
        };
        let before = set(&[("idle", 1.0), ("idle", 2.0), ("pairs", 3.0), ("growth", 4.0)]);
        let after = before.clone().replaced_by(set(&[("group", 5.0), ("idle", 6.0)])).expect("the same machine");
        assert_eq!(after, set(&[("idle", 6.0), ("pairs", 3.0), ("group", 5.0), ("growth", 4.0)]));
        let mut other = set(&[("idle", 6.0)]);
        other.machine.cores = 64;
        let error = before.replaced_by(other).expect_err("another machine");
        assert!(error.to_string().contains("of another machine"), "{error}");
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        report(1.0).write(file.path()).expect("written");
        assert_eq!(Report::read(file.path()).expect("read"), report(1.0));
    }
}
