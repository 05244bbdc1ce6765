//! What is in `deploy` against the metrics that there are, and against Prometheus' own checker, `promtool`, which `scripts/deps e2e`
//! installs.

use crate::metrics_page::documented;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const ALERTS: &str = include_str!("../../../../docs/alerts.md");

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(deploy().join(folder)).expect("it is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.map(|path| (path.clone(), std::fs::read_to_string(path).expect("text"))).collect()
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(deploy().join("prometheus")).output();
    let output = output.expect("promtool is there: scripts/deps e2e installs it");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
}

/// Every query of a dashboard.
fn queries() -> Vec<String> {
    let mut queries = Vec::new();
    for (path, text) in files("grafana") {
        let dashboard: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for panel in dashboard["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().expect("targets") {
                queries.push(target["expr"].as_str().expect("a query").to_owned());
            }
        }
    }
    assert!(queries.len() > 20, "dashboards ask for something");
    queries
}

/// Words that look like names of metrics or of recorded series.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != ':');
    words.filter(|word| word.starts_with("hudhud_") || word.contains(":hudhud_")).map(str::to_owned).collect()
}

/// Dashboards, rules and tests ask for metrics that there are.
#[test]
fn every_metric_that_is_asked_for_exists() {
    let mut known = BTreeSet::new();
    for (name, row) in documented() {
        match row.kind.as_str() {
            "histogram" => known.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}"))),
            _ => drop(known.insert(name)),
        }
    }
    let recording = std::fs::read_to_string(deploy().join("prometheus/recording.yml")).expect("it is there");
    known.extend(recording.lines().filter_map(|line| Some(line.split_once("record: ")?.1.to_owned())));
    for (path, text) in files("prometheus").into_iter().chain(files("grafana")) {
        let missing: Vec<_> = names(&text).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", path.display());
    }
}

/// Each alert has a section that says what to do, and no section is about nothing.
#[test]
fn every_alert_has_a_runbook() {
    let rules = std::fs::read_to_string(deploy().join("prometheus/alerts.yml")).expect("it is there");
    let alerts: Vec<_> = rules.lines().filter_map(|line| Some(line.split_once("- alert: ")?.1)).collect();
    let sections: Vec<_> = ALERTS.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(!alerts.is_empty() && alerts == sections, "{alerts:?} {sections:?}");
    for alert in alerts {
        let link = format!("runbook: \"docs/alerts.md#{}\"", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert} has no link to its section");
    }
}

/// Prometheus takes the rules, and alerts fire when they should.
#[test]
fn prometheus_takes_the_rules() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "recording.yml", "alerts.yml"]);
    promtool(&["test", "rules", "tests.yml"]);
}

/// Prometheus understands what dashboards ask.
#[test]
fn prometheus_takes_the_queries() {
    let rules: Vec<_> = queries()
        .into_iter()
        .enumerate()
        .map(|(n, query)| {
            let query = query.replace("$__rate_interval", "5m").replace("$instance", ".*");
            serde_json::json!({ "record": format!("query:{n}"), "expr": query })
        })
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("queries.yml");
    // JSON is YAML.
    let rules = serde_json::json!({ "groups": [{ "name": "queries", "rules": rules }] });
    std::fs::write(&file, rules.to_string()).expect("written");
    promtool(&["check", "rules", &file.display().to_string()]);
}
