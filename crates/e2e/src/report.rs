//! What came of many rounds, for people and for programs.

use crate::fault::Fault;
use crate::fleet::Tally;
use crate::rounds::Outcome;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A sum of outcomes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// How long it took.
    pub lasted: Duration,
    /// Runs of several rounds, each with new people and an empty disk. The checker looked at the end of each.
    pub runs: u32,
    tally: Tally,
    /// Times until everybody got through again, in ascending order.
    recoveries: BTreeMap<Fault, Vec<Duration>>,
    violations: Vec<String>,
}

impl Report {
    /// Adds what came of one run.
    pub fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.tally += outcome.tally;
        self.violations.extend(outcome.violations);
        for round in outcome.rounds {
            let recoveries = self.recoveries.entry(round.fault).or_default();
            let at = recoveries.partition_point(|other| *other <= round.recovery);
            recoveries.insert(at, round.recovery);
        }
    }

    /// Rounds so far.
    pub fn rounds(&self) -> usize {
        self.recoveries.values().map(Vec::len).sum()
    }

    /// Whether everything was as it must be.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// For programs. Times are in milliseconds.
    pub fn to_json(&self) -> Value {
        let fault = |(fault, recoveries): (&Fault, &Vec<Duration>)| {
            let (median, most) = (millis(middle(recoveries)), millis(recoveries.last().copied().unwrap_or_default()));
            (
                fault.name().to_owned(),
                json!({ "rounds": recoveries.len(), "recovery_ms": { "p50": median, "max": most } }),
            )
        };
        json!({
            "seconds": self.lasted.as_secs(),
            "runs": self.runs,
            "rounds": self.rounds(),
            "messages": {
                "written": self.tally.written,
                "accepted": self.tally.accepted,
                "stored_on_devices": self.tally.stored,
            },
            "faults": self.recoveries.iter().map(fault).collect::<serde_json::Map<_, _>>(),
            "violations": self.violations,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { written, accepted, stored } = self.tally;
        writeln!(f, "{} rounds in {} runs, {} s", self.rounds(), self.runs, self.lasted.as_secs())?;
        writeln!(f, "messages: {written} written, {accepted} accepted, {stored} times stored on a device")?;
        writeln!(f, "{:<16} {:>6}  {:>12}  {:>12}", "fault", "rounds", "recovery p50", "longest")?;
        for (fault, recoveries) in &self.recoveries {
            let most = recoveries.last().copied().unwrap_or_default();
            let (median, most) = (millis(middle(recoveries)), millis(most));
            writeln!(f, "{fault:<16} {:>6}  {median:>9} ms  {most:>9} ms", recoveries.len())?;
        }
        writeln!(f, "violations: {}", self.violations.len())?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "  {violation}"))
    }
}

fn middle(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::Round;

    #[test]
    fn a_report_sums_up_what_several_runs_brought() {
        let round = |fault, ms| Round { fault, note: String::new(), recovery: Duration::from_millis(ms) };
        let mut report = Report::default();
        let tally = Tally { written: 10, accepted: 9, stored: 54 };
        let rounds = vec![round(Fault::Kill, 900), round(Fault::Slow, 5), round(Fault::Kill, 100)];
        report.add(Outcome { rounds, tally, violations: Vec::new() });
        assert!(report.is_good());
        let violations = vec!["guarantee 2: shown twice".to_owned()];
        report.add(Outcome { rounds: vec![round(Fault::Kill, 300)], tally, violations });
        assert!(!report.is_good());
        let json = report.to_json();
        assert_eq!(json["faults"]["kill -9"], json!({ "rounds": 3, "recovery_ms": { "p50": 300, "max": 900 } }));
        assert_eq!((&json["rounds"], &json["messages"]["accepted"]), (&json!(4), &json!(18)));
        let text = report.to_string();
        assert!(text.starts_with("4 rounds in 2 runs") && text.contains("  guarantee 2: shown twice"), "{text}");
    }
}
