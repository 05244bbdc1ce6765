//! What is planned for: every input by name, with its unit, its default and where that comes from.

use std::fmt::Display;

/// An input.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// As in formulas and on the command line.
    pub name: &'static str,
    /// Of its value.
    pub unit: &'static str,
    /// The value, unless another is given.
    pub default: f64,
    /// The least and the most that makes sense.
    pub range: (f64, f64),
    /// Where the default comes from.
    pub source: &'static str,
}

const fn input(name: &'static str, unit: &'static str, default: f64, range: (f64, f64), source: &'static str) -> Input {
    Input { name, unit, default, range, source }
}

const SHARE: (f64, f64) = (0.0, 1.0);
/// A share that something is divided by.
const SOME: (f64, f64) = (0.01, 1.0);
const COUNT: (f64, f64) = (1.0, 1e12);

/// All of them, in the order of the sheet.
pub const INPUTS: &[Input] = &[
    input("daily_users", "users", 1e9, COUNT, "the scale to design for"),
    input("messages_per_day", "messages", 1e11, COUNT, "the scale to design for"),
    input("peak_factor", "", 3.0, (1.0, 100.0), "the scale to design for: 3.5 M/s at peak, 1.16 M/s on average"),
    input("concurrency", "of daily users", 0.3, SHARE, "assumed: connected at the same time at peak"),
    input("devices_per_user", "devices", 1.3, (1.0, 10.0), "assumed: a telephone, and for every third a computer"),
    input("group_share", "of messages", 0.25, SHARE, "assumed: the rest are direct"),
    input("group_members", "members", 10.0, (2.0, 1_024.0), "assumed: mean over messages, not over groups"),
    input("read_share", "of deliveries", 0.9, SHARE, "assumed: read receipts can be turned off"),
    input(
        "deliveries_per_receipt",
        "deliveries",
        2.0,
        (1.0, 1_000.0),
        "assumed: a receipt is a watermark, so one covers what arrived together",
    ),
    input("payload_bytes", "bytes", 200.0, (1.0, 65_536.0), "as measured"),
    input("connects_per_device", "a day", 20.0, (0.0, 10_000.0), "assumed: networks change, telephones sleep"),
    input("push_share", "of deliveries", 0.2, SHARE, "assumed: notifications that are not coalesced"),
    input("media_share", "of messages", 0.05, SHARE, "assumed: images and voice notes, a few videos"),
    input("media_bytes", "bytes", 300_000.0, (1.0, 1e10), "assumed: mean over images, voice notes, videos"),
    input("media_days", "days", 30.0, (1.0, 36_500.0), "assumed: devices keep what they fetched"),
    input("media_copies", "copies", 1.5, (1.0, 10.0), "assumed: erasure coding of an object store"),
    input("message_days", "days", 30.0, (1.0, 36_500.0), "assumed: devices keep what they fetched"),
    input("bus_hours", "hours", 24.0, (1.0, 8_760.0), "assumed: a dispatcher may be behind for a day"),
    input("regions", "regions", 3.0, (1.0, 50.0), "assumed"),
    input("regions_lost", "regions", 1.0, (0.0, 49.0), "assumed: the others take over its users"),
    input("database_regions", "regions", 2.0, (1.0, 50.0), "assumed: the home of a conversation and one more"),
    input("database_replicas", "copies a region", 3.0, (1.0, 10.0), "docs/tables.md: replication factor 3"),
    input("bus_replicas", "copies", 3.0, (1.0, 10.0), "docs/tables.md: acks=all, 2 of 3"),
    input("node_cores", "cores", 16.0, (1.0, 1_024.0), "assumed: a usual machine"),
    input("node_gib", "GiB", 64.0, (1.0, 65_536.0), "assumed: a usual machine"),
    input("node_gbit_per_s", "Gbit/s", 10.0, (0.1, 1_000.0), "assumed: a usual machine"),
    input(
        "node_connections_max",
        "connections",
        1e6,
        (100.0, 1e8),
        "assumed: descriptors, and the storm when it fails",
    ),
    input("socket_kib", "KiB", 4.5, (0.0, 1_024.0), "the kernel's part of an idle TCP connection, measured once"),
    input("frame_bytes", "bytes", 150.0, (0.0, 10_000.0), "assumed: an entry's fields, WebSocket, TLS, TCP/IP"),
    input("record_bytes", "bytes", 150.0, (0.0, 10_000.0), "assumed: what the bus keeps beside a payload"),
    input("database_quorum", "replicas", 2.0, (1.0, 10.0), "docs/tables.md: reads at LOCAL_QUORUM ask 2 of 3"),
    input("cpu_use_max", "of cores", 0.5, SOME, "assumed: at peak, so that latencies stay"),
    input("memory_use_max", "of memory", 0.7, SOME, "assumed"),
    input("network_use_max", "of bandwidth", 0.5, SOME, "assumed"),
    input("disk_use_max", "of a disk", 0.6, SOME, "assumed: compaction needs room"),
    input(
        "gateway_cpu_share",
        "of CPU",
        0.6,
        SHARE,
        "assumed: sockets, frames and the api; the rest is the dispatcher's",
    ),
    input(
        "database_node_ops_per_s",
        "operations/s",
        50_000.0,
        COUNT,
        "assumed: one replica's, 16 cores, mostly writes",
    ),
    input("database_node_tib", "TiB", 8.0, (0.01, 1_000.0), "assumed: what can be replaced within a day"),
    input("bus_node_records_per_s", "records/s", 300_000.0, COUNT, "assumed: one replica's, batched"),
    input("bus_node_tib", "TiB", 8.0, (0.01, 1_000.0), "assumed"),
    input("cache_entry_bytes", "bytes", 250.0, (1.0, 1e6), "assumed: an account's sessions and what an entry costs"),
];

/// Inputs with their values.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    values: Vec<f64>,
}

impl Default for Inputs {
    fn default() -> Self {
        Self { values: INPUTS.iter().map(|input| input.default).collect() }
    }
}

impl Inputs {
    /// Gives an input another value: `name=value`, as on a command line. A value may end in k, M, G or T.
    pub fn set(&mut self, assignment: &str) -> Result<(), String> {
        let Some((name, text)) = assignment.split_once('=') else {
            return Err(format!("{assignment:?} gives no value: write name=value, such as daily_users=1M"));
        };
        let Some(n) = INPUTS.iter().position(|input| input.name == name.trim()) else {
            let near = nearest(name.trim(), INPUTS.iter().map(|input| input.name));
            return Err(format!("there is no input {name:?}: do you mean {near}? `bench plan --inputs` lists them"));
        };
        let value = number(text.trim()).ok_or_else(|| format!("{name}: {text:?} is no number, such as 0.3 or 100k"))?;
        let (least, most) = INPUTS[n].range;
        if !(least..=most).contains(&value) {
            return Err(format!("{name}: {value} is out of its range, from {least} to {most}"));
        }
        self.values[n] = value;
        Ok(())
    }

    /// Whether they agree with each other.
    pub fn check(&self) -> Result<(), String> {
        let value = |name| self.iter().find(|(input, _)| input.name == name).map_or(0.0, |(_, value)| value);
        if value("regions_lost") >= value("regions") {
            return Err("regions_lost: at least one region has to be left, so give fewer than regions".to_owned());
        }
        if value("database_regions") > value("regions") {
            return Err("database_regions: no more than there are regions".to_owned());
        }
        Ok(())
    }

    /// Each with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Input, f64)> {
        INPUTS.iter().zip(self.values.iter().copied())
    }
}

fn number(text: &str) -> Option<f64> {
    let factor = match text.chars().last()? {
        'k' => 1e3,
        'M' => 1e6,
        'G' => 1e9,
        'T' => 1e12,
        _ => 1.0,
    };
    let digits = if factor == 1.0 { text } else { &text[..text.len() - 1] };
    let value: f64 = digits.replace('_', "").parse().ok()?;
    value.is_finite().then_some(value * factor)
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> impl Display {
    known.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(assignment: &str) -> Result<f64, String> {
        let mut inputs = Inputs::default();
        inputs.set(assignment)?;
        inputs.check()?;
        let name = assignment.split_once('=').expect("checked").0;
        Ok(inputs.iter().find(|(input, _)| input.name == name).expect("set").1)
    }

    #[test]
    fn values_are_given_as_people_write_them() {
        for (text, expected) in [
            ("daily_users=2.5M", 2.5e6),
            ("messages_per_day=1_000k", 1e6),
            ("read_share=0", 0.0),
            ("group_members=3", 3.0),
        ] {
            assert_eq!(set(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_input_is_said() {
        for (text, why) in [
            ("daly_users=1", "do you mean daily_users?"),
            ("daily_users", "write name=value"),
            ("daily_users=many", "\"many\" is no number"),
            ("daily_users=", "\"\" is no number"),
            ("daily_users=inf", "no number"),
            ("group_share=1.5", "from 0 to 1"),
            ("group_share=-0.1", "from 0 to 1"),
            ("cpu_use_max=0", "from 0.01 to 1"),
            ("regions_lost=3", "at least one region has to be left"),
            ("database_regions=4", "no more than there are regions"),
        ] {
            let error = set(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    /// Names are distinct, and every default is within its range.
    #[test]
    fn every_default_is_allowed() {
        for input in INPUTS {
            let (least, most) = input.range;
            assert!((least..=most).contains(&input.default), "{}", input.name);
            assert_eq!(INPUTS.iter().filter(|other| other.name == input.name).count(), 1, "{}", input.name);
        }
    }
}
