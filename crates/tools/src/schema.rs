//! The numbers of a protobuf schema. A number that was used once means the same thing for good.

use std::collections::BTreeMap;

/// A field of a message or a value of an enum.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Number {
    /// The message or enum, with its package: `hudhud.v1.Send`.
    pub owner: String,
    /// The number.
    pub number: u32,
    /// What it is, in words of the schema: `repeated bytes members`, or an enum value's name.
    pub meaning: String,
}

impl Number {
    /// As a line of the snapshot.
    pub fn to_line(&self) -> String {
        format!("{} {} {}", self.owner, self.number, self.meaning)
    }

    /// From a line of the snapshot.
    pub fn from_line(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let (owner, number) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        Some(Self { owner, number, meaning: words.next()?.to_owned() })
    }
}

/// Every number in a `.proto` file, in its order. One statement per line, as ours are written.
pub fn numbers(proto: &str) -> Vec<Number> {
    let (mut package, mut owners, mut found) = (String::new(), Vec::<Option<String>>::new(), Vec::new());
    for line in proto.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["package", name] => package = name.trim_end_matches(';').to_owned(),
            ["message" | "enum", name, ..] => owners.push(Some((*name).to_owned())),
            ["oneof", ..] => owners.push(None),
            [.., value] if line.contains(" = ") && !owners.is_empty() => {
                let number = value.trim_end_matches(';').parse();
                if let (Ok(number), Some((meaning, _))) = (number, line.rsplit_once(" = ")) {
                    let owner = std::iter::once(package.as_str()).chain(owners.iter().flatten().map(String::as_str));
                    let owner = owner.collect::<Vec<_>>().join(".");
                    found.push(Number { owner, number, meaning: meaning.to_owned() });
                }
            }
            _ => {}
        }
        if line.ends_with('}') {
            owners.pop();
        }
    }
    found
}

/// The numbers that mean two things, each with both.
pub fn reused<'a>(numbers: impl IntoIterator<Item = &'a Number>) -> Vec<(Number, Number)> {
    let mut first = BTreeMap::new();
    let mut found = Vec::new();
    for number in numbers {
        let seen: &Number = first.entry((&number.owner, number.number)).or_insert(number);
        if seen.meaning != number.meaning {
            found.push((seen.clone(), number.clone()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTO: &str = "package p.v1;\nmessage A {\n  // x = 9\n  repeated bytes a = 1;\n  oneof b {\n    C c = 2;\n  }\n}\n\
                         message Empty {}\nenum E {\n  E_ZERO = 0;\n}\n";

    #[test]
    fn numbers_are_read_with_their_owner() {
        let lines: Vec<_> = numbers(PROTO).iter().map(Number::to_line).collect();
        assert_eq!(lines, ["p.v1.A 1 repeated bytes a", "p.v1.A 2 C c", "p.v1.E 0 E_ZERO"]);
        assert_eq!(lines.iter().filter_map(|line| Number::from_line(line)).collect::<Vec<_>>(), numbers(PROTO));
    }

    #[test]
    fn a_number_with_two_meanings_is_found() {
        let again = PROTO.replace("C c = 2", "string d = 1");
        assert_eq!(reused(&numbers(&again)).len(), 1);
        assert_eq!(reused(&numbers(PROTO)).len(), 0);
    }
}
