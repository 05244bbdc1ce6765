//! `docs/metrics.md` against the metrics that there are.

use crate::server::{PASSWORD, Server};
use hudhud_roles::metrics::Metrics;
use hudhud_server::BusMetrics;
use hudhud_server::http::HttpMetrics;
use hudhud_server::tls::TlsMetrics;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// What the page says of a metric.
#[derive(Debug, PartialEq)]
pub struct Documented {
    pub kind: String,
    pub labels: BTreeSet<String>,
}

/// The metrics of the page, by their names in queries: those of counters end in `_total`.
pub fn documented() -> BTreeMap<String, Documented> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `hudhud_"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, unit, labels, meaning] = cells[..] else { panic!("five columns: {row}") };
        assert!(!unit.is_empty() && !meaning.is_empty(), "{row}");
        let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (name.trim_matches('`').to_owned(), Documented { kind: kind.to_owned(), labels })
    })
    .collect()
}

/// Every metric is on the page with its type, and nothing else.
#[test]
fn the_page_has_every_metric() {
    let all = [Metrics::KINDS, HttpMetrics::KINDS, TlsMetrics::KINDS, BusMetrics::KINDS].concat();
    let registered: BTreeMap<_, _> = all
        .into_iter()
        .map(|(name, kind)| match kind {
            kind if kind.contains("Counter") => (format!("hudhud_{name}_total"), "counter"),
            kind if kind.contains("Histogram") => (format!("hudhud_{name}"), "histogram"),
            kind if kind.contains("Gauge") => (format!("hudhud_{name}"), "gauge"),
            other => panic!("{name} is a {other}: say here how that is called"),
        })
        .collect();
    let documented = documented();
    let page: BTreeMap<_, _> = documented.iter().map(|(name, row)| (name.clone(), row.kind.as_str())).collect();
    assert_eq!(page, registered);
}

/// What a running server writes down has the labels that the page says.
#[tokio::test(flavor = "multi_thread")]
async fn labels_are_those_of_the_page() {
    let server = Server::with(|config| {
        config.rates.accounts_per_address = hudhud_server::config::Rate { burst: 1, interval_ms: 60_000 }
    })
    .await;
    server.register("alice").await;
    let refused = server.post("register", None, json!({ "handle": "bobby", "password": PASSWORD })).await;
    assert_eq!(refused.status, 429, "so that every family has a member");
    let documented = documented();
    let mut seen = BTreeSet::new();
    for line in server.watch("/metrics").await.text().lines().filter(|line| !line.starts_with('#')) {
        let (sample, _) = line.split_once(' ').expect("a name and a value");
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
            let base = name.strip_suffix(suffix)?;
            documented.contains_key(base).then_some(base)
        });
        let name = base.unwrap_or(name);
        let row = documented.get(name).unwrap_or_else(|| panic!("{name} is not on the page"));
        let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
        let labels: BTreeSet<_> = labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le").collect();
        assert_eq!(labels, row.labels, "{line}");
        seen.insert(name.to_owned());
    }
    let missing: Vec<_> = documented.keys().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "never written down: {missing:?}");
    server.stop().await;
}
