//! The history of a failure as a person reads it: when, who, what, of that which the violation is about.
//!
//! A trace holds everything; here is what concerns the message or the conversation, what happened to those who took part, and
//! what the weather was meanwhile.

use crate::check::Violation;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

/// Rows about the thing itself: the first ones tell how it began, the last ones how it went wrong.
const FIRST_MAX: usize = 10;
const LAST_MAX: usize = 30;
/// Rows about the life of those who took part, and about the weather: the last ones.
const LIVES_MAX: usize = 20;
/// Characters of what happened in one row.
const WHAT_MAX: usize = 120;

/// What a guarantee says, in short. `docs/simulation.md` has them in full.
pub fn promise(guarantee: u8) -> &'static str {
    match guarantee {
        1 => "an accepted message reaches every member's device",
        2 => "no device shows a message twice",
        3 => "messages of one device in one conversation keep their order",
        4 => "all members of a conversation see one order",
        5 => "receipts only climb",
        6 => "a cursor never passes an entry that the device did not store, and never goes back",
        7 => "nobody holds an entry from before or after their membership",
        8 => "delivered means stored on the device",
        9 => "whatever was composed is in the log once, or was refused",
        10 => "after faults end, all devices of an account agree",
        11 => "`Accepted` survives every crash and loss of power",
        12 => "the loss of a region loses at most what its replication had not copied",
        _ => "nothing panics, gives up or makes no sense",
    }
}

/// One line of the trace.
type Line<'a> = (Duration, &'a str);

/// The history of a violation, as a table.
pub fn table<'a>(lines: impl Iterator<Item = Line<'a>>, violation: &Violation, at: Duration) -> String {
    let focus = Focus::new(violation);
    let mut lines: Vec<Line<'a>> = lines.take_while(|(when, _)| *when <= at).collect();
    // What was done at the very moment comes before it was seen.
    lines.dedup();
    let about: Vec<usize> = (0..lines.len()).filter(|&n| focus.concerns(lines[n].1)).collect();
    let left_out = about.len().saturating_sub(FIRST_MAX + LAST_MAX);
    let about: Vec<usize> = match left_out {
        0 => about,
        _ => about[..FIRST_MAX].iter().chain(&about[FIRST_MAX + left_out..]).copied().collect(),
    };
    let mut involved: BTreeSet<&str> = about.iter().map(|&n| who(lines[n].1)).collect();
    involved.extend(focus.devices.iter().map(String::as_str));
    let first = about.first().copied().unwrap_or(0);
    let lives = (first..lines.len()).filter(|n| !about.contains(n) && is_life(lines[*n].1, &involved));
    let lives: Vec<usize> = lives.collect();
    let lives = &lives[lives.len().saturating_sub(LIVES_MAX)..];

    let mut rows: BTreeSet<usize> = about.iter().chain(lives).copied().collect();
    let gap = (left_out > 0).then(|| about[FIRST_MAX]);
    let mut table = Table::new(rows.iter().map(|&n| who(lines[n].1)));
    for n in std::mem::take(&mut rows) {
        if gap == Some(n) {
            table.row("", "", &format!("… {left_out} more lines: --trace shows them"));
        }
        let (when, line) = lines[n];
        table.row(&seconds(when), who(line), &what(line, &focus));
    }
    table.row(&seconds(at), "✗", &format!("guarantee {}: {}", violation.guarantee, violation.what));
    table.text
}

fn seconds(at: Duration) -> String {
    format!("{:.3}", at.as_secs_f64())
}

struct Table {
    width: usize,
    text: String,
}

impl Table {
    fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut table = Self { width: names.map(str::len).max().unwrap_or(0).max(3), text: String::new() };
        table.row("second", "who", "what");
        table
    }

    fn row(&mut self, when: &str, who: &str, what: &str) {
        let width = self.width;
        writeln!(self.text, "  {when:>8}  {who:<width$}  {what}").expect("a String takes everything");
    }
}

/// What a violation is about.
struct Focus {
    /// Messages (`M7`) and entries (`C2/5`).
    things: BTreeSet<String>,
    conversations: BTreeSet<String>,
    devices: BTreeSet<String>,
}

impl Focus {
    fn new(violation: &Violation) -> Self {
        let mut focus = Self { things: BTreeSet::new(), conversations: BTreeSet::new(), devices: BTreeSet::new() };
        let texts = violation.words.iter().chain([&violation.what]);
        for name in texts.flat_map(|text| names(text)) {
            match Name::of(name) {
                Some(Name::Thing) => _ = focus.things.insert(name.to_owned()),
                Some(Name::Conversation) => _ = focus.conversations.insert(name.to_owned()),
                Some(Name::Device) => _ = focus.devices.insert(name.to_owned()),
                None => {}
            }
            if let Some((conversation, _)) = name.split_once('/') {
                focus.conversations.insert(conversation.to_owned());
            }
        }
        focus
    }

    /// Whether a line is about it: it names the thing, or it is the conversation's on a device that is named. Where nothing is
    /// named but the conversation, every line that names that.
    fn concerns(&self, line: &str) -> bool {
        if names(line).any(|name| self.things.contains(name)) {
            return true;
        }
        let is_everybodys = self.things.is_empty() && self.devices.is_empty();
        let is_named = |name: &str| {
            self.conversations.contains(name)
                || name.split_once('/').is_some_and(|(of, _)| self.conversations.contains(of))
        };
        (is_everybodys || self.devices.contains(who(line))) && names(line).any(is_named)
    }
}

enum Name {
    Thing,
    Conversation,
    Device,
}

impl Name {
    fn of(name: &str) -> Option<Self> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if name.strip_prefix('M').is_some_and(is_number) {
            return Some(Self::Thing);
        }
        if let Some(rest) = name.strip_prefix('C') {
            return match rest.split_once('/') {
                Some((conversation, seq)) if is_number(conversation) && is_number(seq) => Some(Self::Thing),
                None if is_number(rest) => Some(Self::Conversation),
                _ => None,
            };
        }
        let (person, number) = name.split_once('.')?;
        let is_person = !person.is_empty() && person.bytes().all(|byte| byte.is_ascii_lowercase());
        (is_person && is_number(number)).then_some(Self::Device)
    }
}

/// The words of a line that may be names, without a full stop at their end.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '/' || c == '_';
    line.split(move |c| !is_name(c)).map(|word| word.trim_end_matches('.')).filter(|word| !word.is_empty())
}

/// Whose doing a line is: the device or server that it begins with, or what else there is.
fn who(line: &str) -> &str {
    let first = line.split(' ').next().unwrap_or_default();
    match first {
        "weather:" => "weather",
        "a" => "network",
        "the" if line.starts_with("the bus") => "bus",
        "messages" | "directory" => "disk",
        "the" | "faults" => "world",
        name if name.bytes().any(|byte| byte.is_ascii_digit()) => name,
        _ => "world",
    }
}

/// Whether a line is about the life of somebody who takes part, or about the weather: no frame, no row, no record.
fn is_life(line: &str, involved: &BTreeSet<&str>) -> bool {
    const TRAFFIC: &[&str] =
        &["says", "got", "stored", "read", "committed", "pushed", "staged", "put", "took", "was answered", "failed"];
    if names(line).any(|name| matches!(Name::of(name), Some(Name::Thing | Name::Conversation))) {
        return false;
    }
    match who(line) {
        "weather" | "disk" | "bus" | "world" => true,
        "network" => false,
        name => {
            let rest = line.get(name.len() + 1..).unwrap_or_default();
            involved.contains(name) && !TRAFFIC.iter().any(|word| rest.starts_with(word))
        }
    }
}

/// What happened, without who, and of a long list only what matters.
fn what(line: &str, focus: &Focus) -> String {
    let name = who(line);
    let rest = match line.strip_prefix(name) {
        Some(rest) => rest.trim_start_matches([':', ' ']),
        None => line,
    };
    if rest.chars().count() <= WHAT_MAX {
        return rest.to_owned();
    }
    let mut kept = String::new();
    let mut skips = false;
    for (n, part) in rest.split(", ").enumerate() {
        let matters = n == 0 || names(part).any(|name| focus.things.contains(name));
        match (matters, skips) {
            (true, _) if n == 0 => kept += part,
            (true, _) => kept += &format!(", {part}"),
            (false, false) => kept += ", …",
            (false, true) => {}
        }
        skips = !matters;
    }
    match kept.char_indices().nth(WHAT_MAX) {
        Some((end, _)) => format!("{}…", &kept[..end]),
        None => kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(what: &str, words: &[&str]) -> Violation {
        Violation { guarantee: 6, what: what.into(), words: words.iter().map(|&word| word.into()).collect() }
    }

    #[test]
    fn a_history_is_what_concerns_it_and_what_befell_those_who_took_part() {
        let lines = [
            (1, "ann.1 says send M7 to C2 (#3)"),
            (2, "s1 staged M7 of C2 in shard 0"),
            (3, "ben.1 got the entry C3/1 (0) M9 by ann (#0)"),
            (4, "s1 dies"),
            (5, "s2 dies"),
            (6, "weather: Kill"),
            (7, "ben.1 says fetch C2/1 (#4)"),
            (8, "cleo.1 says fetch C2/1 (#4)"),
            (9, "ben.1 lost its connection: None gone"),
            (10, "ann.1 shows M7 in C2 as accepted"),
            (12, "ann.1 says send M7 to C2 again (#9)"),
        ];
        let lines = lines.iter().map(|(at, line)| (Duration::from_secs(*at), *line));
        let violation = violation("ben.1's cursor in C2 is 2, and 1 (M7) is not stored", &["C2"]);
        let history = table(lines, &violation, Duration::from_secs(11));
        let rows: Vec<Vec<&str>> = history.lines().map(|row| row.split_whitespace().take(3).collect()).collect();
        assert_eq!(
            rows,
            [
                ["second", "who", "what"],
                ["1.000", "ann.1", "says"],
                ["2.000", "s1", "staged"],
                ["4.000", "s1", "dies"],
                ["6.000", "weather", "Kill"],
                ["7.000", "ben.1", "says"],
                ["9.000", "ben.1", "lost"],
                ["10.000", "ann.1", "shows"],
                ["11.000", "✗", "guarantee"],
            ]
        );
    }

    #[test]
    fn a_long_history_shows_its_beginning_and_its_end() {
        let lines: Vec<(Duration, String)> =
            (0..100).map(|n| (Duration::from_secs(n), format!("ann.1 says send M7 to C2 (#{n})"))).collect();
        let lines = lines.iter().map(|(at, line)| (*at, line.as_str()));
        let history = table(lines, &violation("M7 is gone", &["M7"]), Duration::from_secs(200));
        assert_eq!(history.lines().count(), 1 + FIRST_MAX + 1 + LAST_MAX + 1);
        assert!(history.contains("… 60 more lines"));
    }

    #[test]
    fn of_a_long_page_only_what_matters_is_shown() {
        let entries: Vec<String> = (1..40).map(|n| format!("C2/{n} ({}) M{n} by ann", n - 1)).collect();
        let line = format!("ben.1 got a page up to 39: {}", entries.join(", "));
        let focus = Focus::new(&violation("M7 is gone", &["M7"]));
        assert_eq!(what(&line, &focus), "got a page up to 39: C2/1 (0) M1 by ann, …, C2/7 (6) M7 by ann, …");
    }

    #[test]
    fn names_are_compared_whole() {
        let focus = Focus::new(&violation("C1 is wrong", &["C1"]));
        assert!(focus.concerns("ann.1 stored C1/3 M2") && !focus.concerns("ann.1 stored C12/3 M2"));
    }
}
