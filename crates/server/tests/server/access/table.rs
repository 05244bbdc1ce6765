//! The table in `access.md`, read.

use super::scene::Actor;

const PAGE: &str = include_str!("../access.md");

/// A way in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    Http,
    WebSocket,
}

/// What a command with something in particular is answered.
pub struct Row {
    pub command: String,
    /// What is asked for.
    pub case: String,
    pub ways: Vec<Over>,
    /// `ok` or the name of an error, for each of [`Actor::ALL`].
    pub answers: Vec<String>,
}

impl Over {
    /// Keeps handles of the two ways apart.
    pub fn letter(self) -> char {
        match self {
            Self::Http => 'h',
            Self::WebSocket => 'w',
        }
    }
}

/// All rows.
pub fn read() -> Vec<Row> {
    let lines = PAGE.lines().filter(|line| line.starts_with("| `"));
    lines.map(|line| row(line).unwrap_or_else(|why| panic!("access.md: {why}: {line}"))).collect()
}

fn row(line: &str) -> Result<Row, String> {
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [command, case, over, answers @ ..] = cells.as_slice() else { return Err("too few cells".into()) };
    if answers.len() != Actor::ALL.len() {
        return Err(format!("{} answers, and there are {} actors", answers.len(), Actor::ALL.len()));
    }
    let ways = match *over {
        "both" => vec![Over::Http, Over::WebSocket],
        "HTTP" => vec![Over::Http],
        "WebSocket" => vec![Over::WebSocket],
        other => return Err(format!("{other:?} is no way in: both, HTTP or WebSocket")),
    };
    let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
    Ok(Row { command: command.trim_matches('`').to_owned(), case: (*case).to_owned(), ways, answers })
}
