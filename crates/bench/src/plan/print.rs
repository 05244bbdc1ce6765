//! A sheet for people: a table for a terminal, and a page in Markdown.

use super::operations::OPERATIONS;
use super::sheet::{Line, Move, Sheet};
use std::fmt::Write as _;

/// Moves that are told of a result.
const MOVES_TOLD: usize = 8;
/// A value that does not follow from what was measured alone.
const EXTRAPOLATED: &str = "extrapolated";

/// The page.
pub fn page(sheet: &Sheet, command: &str) -> String {
    let mut page =
        format!("```sh\n{command}\n```\n\n## Inputs\n\n| input | value | unit | source |\n|---|---:|---|---|\n");
    for line in &sheet.inputs {
        push(&mut page, &format!("| `{}` | {} | {} | {} |", line.name, number(line.value), line.unit, line.from));
    }
    page.push_str("\n## Measured\n\n| name | value | unit | figure |\n|---|---:|---|---|\n");
    for line in &sheet.measured {
        push(&mut page, &format!("| `{}` | {} | {} | {} |", line.name, number(line.value), line.unit, line.from));
    }
    page.push_str(
        "\n## Engine operations of each event\n\n| event | name | writes | reads | appends |\n|---|---|---|---|---:|\n",
    );
    for each in OPERATIONS {
        let [writes, reads] = [each.writes, each.reads].map(|each| format!("{}: {}", each.len(), each.join(", ")));
        push(&mut page, &format!("| {} | `{}` | {writes} | {reads} | {} |", each.event, each.name, each.appends));
    }
    for (title, lines) in &sheet.sections {
        let _ = write!(page, "\n## {title}\n\n| cell | value | error | | formula |\n|---|---:|---:|---|---|\n");
        for line in lines {
            let (value, error) = (valued(line), error(line));
            push(
                &mut page,
                &format!("| `{}` | {value} | {error} | {} | `{}` |", line.name, stretched(line), line.from),
            );
        }
    }
    page.push_str("\n## What moves the results most\n\nEach input or measured value a tenth less and a tenth more.\n");
    for (result, moves) in &sheet.sensitivity {
        let _ = write!(page, "\n| `{result}` | -10% | +10% | |\n|---|---:|---:|---|\n");
        for moved in moves.iter().take(MOVES_TOLD) {
            let [less, more] = [moved.less, moved.more].map(percent);
            push(&mut page, &format!("| `{}` | {less} | {more} | {} |", moved.name, bar(moved)));
        }
    }
    page
}

/// The table.
pub fn table(sheet: &Sheet) -> String {
    let mut table = String::new();
    for (title, lines) in &sheet.sections {
        push(&mut table, &format!("\n{title}"));
        for line in lines {
            let (value, error, stretched) = (valued(line), error(line), stretched(line));
            push(&mut table, format!("  {:<24} {value:>20} {error:>6}  {stretched}", line.name).trim_end());
        }
    }
    for (result, moves) in &sheet.sensitivity {
        push(&mut table, &format!("\n{result} when an input is a tenth less, a tenth more"));
        for moved in moves.iter().take(MOVES_TOLD) {
            let [less, more] = [moved.less, moved.more].map(percent);
            push(&mut table, &format!("  {:<24} {less:>8} {more:>8}  {}", moved.name, bar(moved)));
        }
    }
    table
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn valued(line: &Line) -> String {
    format!("{} {}", number(line.value), line.unit).trim_end().to_owned()
}

fn error(line: &Line) -> String {
    if line.error == 0.0 { String::new() } else { format!("±{:.0}%", line.error * 100.0) }
}

fn stretched(line: &Line) -> &'static str {
    if line.extrapolated.is_empty() { "" } else { EXTRAPOLATED }
}

fn percent(share: f64) -> String {
    format!("{:+.1}%", share * 100.0)
}

/// A stroke for each percent between the two.
fn bar(moved: &Move) -> String {
    "█".repeat(((moved.more - moved.less).abs() * 100.0).round() as usize)
}

/// Three digits and the thousands' letter: people compare sizes, not digits.
fn number(value: f64) -> String {
    let letters = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")];
    let (unit, letter) = letters.into_iter().find(|(unit, _)| value.abs() >= *unit).unwrap_or((1.0, ""));
    let unit = if letter == "k" { 1e3 } else { unit };
    let scaled = value / unit;
    let digits = match scaled.abs() {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{scaled:.digits$}");
    let text = if digits == 0 { &text } else { text.trim_end_matches('0').trim_end_matches('.') };
    match letter {
        "" => text.to_owned(),
        _ => format!("{text} {letter}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_people_read() {
        for (value, expected) in [
            (0.15, "0.15"),
            (2.0, "2"),
            (59.94, "59.9"),
            (300.0, "300"),
            (1_024.0, "1024"),
            (86_400.0, "86.4 k"),
            (1e9, "1 G"),
            (3_472_222.2, "3.47 M"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
