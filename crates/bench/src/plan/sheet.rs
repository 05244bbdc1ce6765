//! The sheet: the model's cells computed from inputs and a profile.

use super::formula::Formula;
use super::inputs::Inputs;
use super::model::{RESULTS, SECTIONS};
use super::operations::OPERATIONS;
use super::profile::{ERROR, Measured};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How far an input is moved to see what moves with it.
pub const NUDGE: f64 = 0.1;

/// A sheet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sheet {
    /// What was given.
    pub inputs: Vec<Line>,
    /// What was measured.
    pub measured: Vec<Line>,
    /// What follows, in sections.
    pub sections: Vec<(String, Vec<Line>)>,
    /// How results move with what they are made of, the most first.
    pub sensitivity: BTreeMap<String, Vec<Move>>,
}

/// A value of a sheet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// As in formulas.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Of the value.
    pub unit: String,
    /// Its formula, or where the value comes from.
    pub from: String,
    /// How far off it may be by what was measured, as a share of it. What is assumed has no error: it is a choice.
    pub error: f64,
    /// Names of measured values in it that are used beyond what they were measured at.
    pub extrapolated: Vec<String>,
}

/// How a result moves when something else does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Move {
    /// What is moved.
    pub name: String,
    /// The result's change when it is a tenth less, as a share of it.
    pub less: f64,
    /// And a tenth more.
    pub more: f64,
}

impl Sheet {
    /// A cell by its name.
    pub fn cell(&self, name: &str) -> Option<&Line> {
        self.sections.iter().flat_map(|(_, lines)| lines).find(|line| line.name == name)
    }
}

type Values = BTreeMap<String, f64>;

/// Computes a sheet.
pub fn compute(inputs: &Inputs, measured: &[Measured]) -> Result<Sheet, String> {
    inputs.check()?;
    let given = given(inputs, measured);
    let formulas = formulas()?;
    let values = evaluate(&formulas, &given);
    let strayed = strayed(measured, &values);
    let ingredients = ingredients(&formulas);
    let nudged = |name: &str, factor: f64| {
        let mut given = given.clone();
        given.entry(name.to_owned()).and_modify(|value| *value *= factor);
        evaluate(&formulas, &given)
    };
    let off: Vec<Values> = measured.iter().map(|measured| nudged(measured.name, 1.0 + ERROR)).collect();
    let error = |name: &str| {
        let value = values[name];
        let shares = off.iter().map(|off| if value == 0.0 { 0.0 } else { off[name] / value - 1.0 });
        shares.map(|share| share * share).sum::<f64>().sqrt()
    };
    let mut sections = Vec::new();
    for section in SECTIONS {
        let line = |cell: &super::model::Cell| Line {
            name: cell.name.to_owned(),
            value: values[cell.name],
            unit: cell.unit.to_owned(),
            from: cell.formula.to_owned(),
            error: error(cell.name),
            extrapolated: ingredients[cell.name].intersection(&strayed).map(|name| (*name).to_owned()).collect(),
        };
        sections.push((section.title.to_owned(), section.cells.iter().map(line).collect()));
    }
    let sensitivity = RESULTS.iter().map(|result| {
        let moved = |name: &String| {
            let share = |factor| nudged(name, factor)[*result] / values[*result] - 1.0;
            Move { name: name.clone(), less: share(1.0 - NUDGE), more: share(1.0 + NUDGE) }
        };
        let mut moves: Vec<Move> = given.keys().map(moved).collect();
        moves.retain(|moved| moved.less != 0.0 || moved.more != 0.0);
        moves.sort_by(|a, b| span(b).total_cmp(&span(a)));
        ((*result).to_owned(), moves)
    });
    Ok(Sheet {
        inputs: inputs.iter().map(|(input, value)| plain(input.name, value, input.unit, input.source)).collect(),
        measured: measured
            .iter()
            .map(|found| Line { error: ERROR, ..plain(found.name, found.value, found.unit, &found.source) })
            .collect(),
        sensitivity: sensitivity.collect(),
        sections,
    })
}

fn span(moved: &Move) -> f64 {
    (moved.more - moved.less).abs()
}

fn plain(name: &str, value: f64, unit: &str, from: &str) -> Line {
    let [name, unit, from] = [name, unit, from].map(ToOwned::to_owned);
    Line { name, value, unit, from, error: 0.0, extrapolated: Vec::new() }
}

fn given(inputs: &Inputs, measured: &[Measured]) -> Values {
    let inputs = inputs.iter().map(|(input, value)| (input.name.to_owned(), value));
    let measured = measured.iter().map(|found| (found.name.to_owned(), found.value));
    inputs.chain(measured).chain(OPERATIONS.iter().flat_map(|operations| operations.counts())).collect()
}

fn formulas() -> Result<Vec<(&'static str, Formula)>, String> {
    let cells = SECTIONS.iter().flat_map(|section| section.cells);
    cells.map(|cell| Ok((cell.name, Formula::parse(cell.formula)?))).collect()
}

fn evaluate(formulas: &[(&'static str, Formula)], given: &Values) -> Values {
    let mut values = given.clone();
    for (name, formula) in formulas {
        let value = formula.value(&|name: &str| values.get(name).copied().unwrap_or(f64::NAN));
        values.insert((*name).to_owned(), value);
    }
    values
}

/// What each cell is made of in the end, by the names that are no cells.
fn ingredients(formulas: &[(&'static str, Formula)]) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut found: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for (cell, formula) in formulas {
        let mut made_of = BTreeSet::new();
        for name in formula.names() {
            match found.get(name) {
                Some(inner) => made_of.extend(inner.iter().cloned()),
                None => {
                    made_of.insert(name.to_owned());
                }
            }
        }
        found.insert(cell, made_of);
    }
    found
}

/// The measured values that are used beyond what they were measured at.
fn strayed(measured: &[Measured], values: &Values) -> BTreeSet<String> {
    let strays = measured.iter().filter(|found| values.get(found.up_to.0).is_some_and(|used| *used > found.up_to.1));
    strays.map(|found| found.name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(cores: f64) -> Vec<Measured> {
        let values = [
            ("memory_mib_empty", 50.0),
            ("memory_kib", 4.0),
            ("cpu_us_message", 40.0),
            ("cpu_us_delivery", 10.0),
            ("cpu_us_connect", 500.0),
            ("cpu_us_idle", 1.0),
            ("cpu_us_read", 20.0),
            ("disk_bytes", 800.0),
        ];
        let found =
            |(name, value)| Measured { name, unit: "", value, source: String::new(), up_to: ("node_cores", cores) };
        values.into_iter().map(found).collect()
    }

    fn sheet(assignments: &[&str], cores: f64) -> Sheet {
        let mut inputs = Inputs::default();
        for assignment in assignments {
            inputs.set(assignment).expect(assignment);
        }
        compute(&inputs, &measured(cores)).expect("a sheet")
    }

    #[track_caller]
    fn check(sheet: &Sheet, name: &str, expected: f64) {
        let found = sheet.cell(name).expect(name).value;
        assert!((found - expected).abs() <= expected.abs() * 1e-9, "{name}: {found}, not {expected}");
    }

    /// Every name in a formula is an input, a measured value, a count, or a cell above.
    #[test]
    fn every_cell_has_a_value() {
        for line in sheet(&[], 64.0).sections.iter().flat_map(|(_, lines)| lines) {
            assert!(line.value.is_finite() && line.value > 0.0, "{}: {}", line.name, line.value);
        }
    }

    /// A small deployment, computed by hand.
    #[test]
    fn cells_are_what_a_person_computes() {
        let sheet = sheet(
            &[
                "daily_users=864000",
                "messages_per_day=8640000",
                "peak_factor=2",
                "concurrency=0.5",
                "devices_per_user=1",
                "group_share=0.5",
                "group_members=11",
                "read_share=0.5",
                "deliveries_per_receipt=1",
                "connects_per_device=1",
                "regions=2",
                "regions_lost=1",
                "database_regions=1",
                "message_days=10",
            ],
            64.0,
        );
        // 100 messages a second on average, 200 at peak: 100 to one device, 100 to ten.
        check(&sheet, "messages_per_s", 200.0);
        check(&sheet, "deliveries_per_s", 100.0 + 1_000.0);
        check(&sheet, "read_per_s", 550.0);
        check(&sheet, "connections", 432_000.0);
        check(&sheet, "connects_per_s", 20.0);
        check(&sheet, "bus_appends_per_s", 200.0 + 1_100.0 + 550.0);
        check(&sheet, "database_writes_per_s", 600.0 + 1_500.0 + 2_200.0 + 1_100.0 + 60.0);
        check(&sheet, "database_reads_per_s", 600.0 + 400.0 + 1_100.0 + 550.0 + 80.0);
        check(&sheet, "message_cores", (200.0 * 40.0 + 900.0 * 10.0) / 1e6);
        check(&sheet, "server_cores", 0.017 + 0.011 + (10_000.0 + 432_000.0) / 1e6);
        check(&sheet, "server_memory_gib", (50.0 + 432_000.0 * 4.0 / 1_024.0) / 1_024.0);
        check(&sheet, "gateway_nodes", 1.0);
        check(&sheet, "database_ops_per_s", 5_460.0 * 3.0 + 2_730.0 * 2.0);
        check(&sheet, "database_tib", 86.4e6 * 800.0 * 3.0 / 1_099_511_627_776.0);
        check(&sheet, "nodes", 5.0);
    }

    /// Twice the users need twice the memory, and no other messages.
    #[test]
    fn memory_follows_connections_and_cpu_follows_messages() {
        let [one, two] = ["daily_users=1M", "daily_users=2M"].map(|users| sheet(&[users, "messages_per_day=1G"], 64.0));
        check(&two, "connections", 2.0 * one.cell("connections").expect("a cell").value);
        check(&two, "message_cores", one.cell("message_cores").expect("a cell").value);
    }

    /// A cell of one measured value is as far off as that; one of none is exact.
    #[test]
    fn errors_are_those_of_what_was_measured() {
        let sheet = sheet(&[], 64.0);
        let error = |name| sheet.cell(name).expect(name).error;
        assert_eq!(error("messages_per_s"), 0.0);
        assert!((error("database_tib") - ERROR).abs() < 1e-9);
        // Two parts that are off by chance are together less far off than each.
        let both = error("message_cores");
        assert!(both > ERROR * 0.7 && both < ERROR, "{both}");
    }

    /// Where a node has more cores than were measured, all that follows from CPU says so, and nothing else does.
    #[test]
    fn what_is_beyond_the_measured_is_extrapolated() {
        let few = sheet(&[], 2.0);
        let stretched = |name| few.cell(name).expect(name).extrapolated.clone();
        assert_eq!(stretched("message_cores"), ["cpu_us_delivery", "cpu_us_message"]);
        assert_eq!(stretched("messages_per_s"), Vec::<String>::new());
        let many = sheet(&[], 64.0);
        assert!(many.cell("nodes").expect("a cell").extrapolated.is_empty());
    }

    /// What a result is proportional to moves it by as much; the largest come first.
    #[test]
    fn sensitivity_is_the_change_that_follows_a_change() {
        let sheet = sheet(&[], 64.0);
        let moves = &sheet.sensitivity["dispatcher_nodes"];
        let of = |name: &str| moves.iter().find(|moved| moved.name == name).expect(name);
        assert!((of("messages_per_day").more - 0.1).abs() < 0.03 && (of("messages_per_day").less + 0.1).abs() < 0.03);
        assert!((of("node_cores").more + 0.1 / 1.1).abs() < 0.03);
        assert!(moves.windows(2).all(|pair| span(&pair[0]) >= span(&pair[1])));
        assert!(moves.iter().all(|moved| moved.name != "media_share"));
    }
}
