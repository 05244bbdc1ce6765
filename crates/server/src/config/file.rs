//! Reading the file, and telling people what is wrong with it and where.

use super::Config;
use std::path::{Path, PathBuf};

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or not of this shape.
    #[error("{file}:{line}: {message}")]
    Invalid {
        /// Which file.
        file: String,
        /// Where in it, from 1.
        line: usize,
        /// What is wrong, and what was meant perhaps.
        message: String,
    },
    /// A value that cannot work.
    #[error("{key}: {why}")]
    Value {
        /// Which key.
        key: String,
        /// Why not, and what would.
        why: String,
    },
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads the text of a file of this name.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1;
            ConfigError::Invalid { file: file.to_owned(), line, message: explain(error.message()) }
        })
    }
}

/// The parser's message, except that of an unknown key only the nearest known one is named.
fn explain(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else { return message.to_owned() };
    let mut names = rest.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    let nearest = known.iter().map(|name| (strsim::damerau_levenshtein(unknown, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + name.len() / 3 => {
            format!("there is no key {unknown:?}; {name:?} is the nearest")
        }
        _ => format!("there is no key {unknown:?} here; there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let error = Config::parse(text, "hudhud.toml").expect_err("not valid");
        assert_eq!(error.to_string(), expected);
    }

    /// A misspelt key is named with its line and the key that was meant.
    #[test]
    fn a_misspelt_key_is_explained() {
        check(
            "shards = 4\nlisen = \"[::1]:80\"",
            "hudhud.toml:2: there is no key \"lisen\"; \"listen\" is the nearest",
        );
        check("[log]\n\nfromat = \"json\"", "hudhud.toml:3: there is no key \"fromat\"; \"format\" is the nearest");
        check("[log]\ncolour = 1", "hudhud.toml:2: there is no key \"colour\" here; there are format, filter");
    }

    /// Other mistakes come with their line too.
    #[test]
    fn a_wrong_value_has_a_line() {
        let error = Config::parse("\nshards = \"many\"", "hudhud.toml").expect_err("not a number");
        assert!(error.to_string().starts_with("hudhud.toml:2: invalid type: string \"many\""), "{error}");
    }
}
