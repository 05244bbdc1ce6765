//! The configuration for people: the default file, and the page of the documentation. Both are made of [`keys`].

use super::Config;
use super::keys::{self, Key, Section};
use std::fmt::Write as _;
use toml::{Table, Value};

const COLUMNS_MAX: usize = 120;

/// The default file, with a comment at every key.
pub fn default_file() -> String {
    let mut file = "## Hudhud's configuration. Every key is here with its default; take the \"# \" off to change one.\n\
                    ## The environment (HUDHUD_LISTEN=...) goes before this file, and flags (--listen ...) before both.\n"
        .to_owned();
    let defaults = Defaults::new();
    for section in keys::SECTIONS {
        file.push('\n');
        comment(&mut file, section.about);
        match (section.name, section.many) {
            ("", _) => {}
            (name, false) => file.push_str(&format!("# [{name}]\n")),
            (name, true) => file.push_str(&format!("# [[{name}]]\n")),
        }
        for key in section.keys {
            comment(&mut file, key.about);
            let value = defaults.get(key).unwrap_or_else(|| key.example.to_owned());
            file.push_str(&format!("# {} = {value}\n", key.name()));
        }
    }
    file
}

/// `docs/configuration.md`.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let defaults = Defaults::new();
    for section in keys::SECTIONS {
        let title = match (section.name, section.many) {
            ("", _) => "Before the first section".to_owned(),
            (name, false) => format!("`[{name}]`"),
            (name, true) => format!("`[[{name}]]`"),
        };
        write!(page, "\n## {title}\n\n").expect("strings take everything");
        if !section.about.is_empty() {
            page.push_str(&wrapped(section.about, ""));
            page.push('\n');
        }
        if section.many {
            page.push_str(&wrapped(&many(section), ""));
            page.push('\n');
        }
        page.push_str("| key | what it does | it must be | unit | default | environment | flag |\n");
        page.push_str("|---|---|---|---|---|---|---|\n");
        for key in section.keys {
            let default = match (defaults.get(key), section.many) {
                (Some(value), _) => format!("`{value}`"),
                (None, _) if section.needs.contains(&key.name()) => "none: it is needed".to_owned(),
                (None, _) => "none".to_owned(),
            };
            let variable = if section.many { String::new() } else { format!("`{}`", key.variable()) };
            let flag = if key.flag.is_empty() { String::new() } else { format!("`{}`", key.flag) };
            let cells =
                [&format!("`{}`", key.name()), key.about, &key.kind.allowed(), key.unit, &default, &variable, &flag];
            let cells = cells.map(|cell| match cell {
                "" => " ".to_owned(),
                cell => format!(" {} ", cell.replace('|', "\\|")),
            });
            writeln!(page, "|{}|", cells.join("|")).expect("strings take everything");
        }
    }
    page
}

const INTRODUCTION: &str = "\
# Configuration

Made by `hudhud config doc`; a test holds this page to the program. `hudhud config default` prints the same as a file
with comments, `hudhud config check` says whether a configuration is valid, with the line of what is not.

Nothing has to be chosen. What is chosen goes in this order, each before the one before it: the default, the file
(`--config` or `HUDHUD_CONFIG`), the environment, flags.

In the environment every key is a variable: `HUDHUD_`, then the key in capitals, with two underscores for a dot. Lists
are separated by commas, or written as in the file; rates are written as in the file. With `_FILE` behind its name a
variable names a file that holds the value, for secrets: `HUDHUD_ENGINES__MESSAGES_FILE=/run/secrets/messages`. A name
that differs little from one of these is refused; other names that begin with `HUDHUD_` are passed over.

A configuration that is not valid ends the program with exit code 2.
";

fn many(section: &Section) -> String {
    format!("All of them together are `{}`, a list as in the file.", keys::variable(section.name))
}

/// What is there without a choice.
struct Defaults(Table);

impl Defaults {
    fn new() -> Self {
        Self(Table::try_from(Config::default()).expect("a configuration is a table"))
    }

    fn get(&self, key: &Key) -> Option<String> {
        let (section, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        let parts = section.split('.').filter(|part| !part.is_empty());
        let value = parts.into_iter().try_fold(&self.0, |table, part| table.get(part)?.as_table())?.get(name);
        value.map(Value::to_string)
    }
}

fn comment(file: &mut String, text: &str) {
    file.push_str(&wrapped(text, "## "));
}

/// Lines of words, each with a prefix.
fn wrapped(text: &str, prefix: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && prefix.len() + line.len() + 1 + word.len() > COLUMNS_MAX {
            lines.push_str(&format!("{prefix}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push_str(&format!("{prefix}{line}\n"));
    }
    lines
}
