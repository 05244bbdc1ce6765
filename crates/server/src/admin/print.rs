//! Answers as people read them: tables, and records of name and value.

use jiff::Timestamp;
use serde_json::Value;

/// How an answer looks.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Each field in a line.
    Record,
    /// These words.
    Done(&'static str),
    /// A table.
    Accounts,
    /// Likewise.
    Devices,
    /// Likewise.
    Memberships,
    /// Likewise.
    Members,
    /// Likewise.
    Invites,
    /// Likewise.
    Refusals,
    /// Likewise.
    Reports,
    /// Likewise.
    Tokens,
}

impl Shape {
    /// Whether it has items.
    pub fn is_list(self) -> bool {
        !matches!(self, Self::Record | Self::Done(_))
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Record | Self::Done(_) => &[],
            Self::Accounts => &["id", "handle", "displayName", "state", "createdUs"],
            Self::Devices => &["id", "name", "connected", "createdUs"],
            Self::Memberships => &["conversation", "kind", "headSeq", "activityUs"],
            Self::Members => &["account", "role"],
            Self::Invites => &["code", "createdBy", "usedBy", "expiresUs"],
            Self::Refusals => &["id", "waitMs"],
            Self::Reports => &["id", "createdUs", "category", "account", "conversation", "reporter", "text"],
            Self::Tokens => &["id", "label", "scopes", "createdUs", "expiresUs"],
        }
    }
}

/// One answer.
pub fn one(shape: &Shape, answer: &Value) -> String {
    if let Shape::Done(words) = shape {
        return (*words).to_owned();
    }
    let mut rows = Vec::new();
    flatten("", answer, &mut rows);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

/// The items of a list, under a line that names the columns.
pub fn table(shape: &Shape, items: &[Value]) -> String {
    let columns = shape.columns();
    let head: Vec<String> = columns.iter().map(|name| title(name).to_uppercase()).collect();
    let row = |item: &Value| columns.iter().map(|name| cell(name, &item[*name])).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(items.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Objects in objects become names with a dot; all else is a value.
fn flatten(prefix: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let path = if prefix.is_empty() { title(name) } else { format!("{prefix}.{name}") };
        match value {
            Value::Object(fields) if !fields.contains_key("burst") => flatten(&path, value, rows),
            value => rows.push((path, cell(name, value))),
        }
    }
}

/// A field's name for people: without the unit that its value is printed without.
fn title(name: &str) -> String {
    name.strip_suffix("Us").unwrap_or(name).to_owned()
}

fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Number(number) if name.ends_with("Us") => time(number.as_i64().unwrap_or(0)),
        Value::String(text) => plain(text),
        Value::Array(items) => items.iter().map(|item| cell("", item)).collect::<Vec<_>>().join(","),
        Value::Object(rate) if rate.contains_key("burst") => {
            format!("{} at once, then one each {} ms", rate["burst"], rate.get("interval_ms").unwrap_or(&Value::Null))
        }
        other => other.to_string(),
    }
}

/// What somebody else wrote, safe to print.
fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.is_empty() { "-".into() } else { text }
}

fn time(us: i64) -> String {
    match Timestamp::from_microsecond(us) {
        Ok(at) if us > 0 => at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        _ => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Columns stand under their names, times are times, and what others wrote moves no cursor.
    #[test]
    fn answers_are_tables() {
        let items = [json!({ "id": "a", "label": "x\u{1b}[2J", "scopes": ["accounts:read", "limits:read"],
            "createdUs": 0, "expiresUs": 1_795_300_000_000_000_u64 })];
        let expected = "ID  LABEL  SCOPES                     CREATED  EXPIRES\n\
                        a   x [2J  accounts:read,limits:read  -        2026-11-21 22:26:40Z\n";
        assert_eq!(table(&Shape::Tokens, &items), expected);
        let record = json!({ "code": "abc", "expiresUs": 0, "rates": { "sends": { "burst": 5, "interval_ms": 9 } } });
        let expected = "code         abc\nexpires      -\nrates.sends  5 at once, then one each 9 ms\n";
        assert_eq!(one(&Shape::Record, &record), expected);
    }
}
