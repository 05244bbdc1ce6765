//! Defaults, a file, the environment, flags: each goes before the one before it. Every value is held against
//! [`super::keys`] where it comes from, so that a mistake is named with its place.

use super::keys::{self, Key, Section};
use super::kind;
use super::{Config, ConfigError};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use toml::de::DeTable;
use toml::{Table, Value};

/// What a secret's file may hold, in bytes.
const VALUE_BYTES_MAX: u64 = 64 * 1_024;

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A line of a file, from 1.
    File(String, usize),
    /// A variable of the environment.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl Display for Origin {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name, line) => write!(to, "{name}:{line}"),
            Self::Variable(name) => to.write_str(name),
            Self::Flag(name) => to.write_str(name),
        }
    }
}

/// What was chosen so far, and where.
#[derive(Default)]
pub struct Layers {
    chosen: Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// Lays a file over it.
    pub fn read(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        self.file(&text, &path.display().to_string())
    }

    /// Lays the text of a file over it.
    pub fn file(&mut self, text: &str, name: &str) -> Result<(), ConfigError> {
        let line = |offset: usize| text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1;
        let refuse = |error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            // The parser's messages have more lines than one.
            let message = error.message().trim_end().replace('\n', ", ");
            ConfigError::at(Origin::File(name.to_owned(), line(start)), message)
        };
        let mut lines = BTreeMap::new();
        places("", DeTable::parse(text).map_err(refuse)?.get_ref(), &mut |path, offset| {
            lines.insert(path, line(offset));
        });
        let table: Table = toml::from_str(text).map_err(refuse)?;
        let origin = |path: &str| Origin::File(name.to_owned(), lines.get(path).copied().unwrap_or(1));
        for (key, value) in table {
            self.take(&key, &key, value, &origin)?;
        }
        Ok(())
    }

    /// Lays the variables of an environment over it. Names that are not meant for this program are passed over.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) -> Result<(), ConfigError> {
        let ours = variables.into_iter().filter(|(name, _)| name.starts_with("HUDHUD_"));
        for (name, text) in ours.collect::<BTreeMap<_, _>>() {
            let origin = Origin::Variable(name.clone());
            let Some((path, is_file)) = meant(&name).map_err(|message| ConfigError::at(origin.clone(), message))?
            else {
                continue;
            };
            let text = if is_file { contents(&text, &origin)? } else { text };
            let value = match keys::find(&path) {
                Some(key) => key.kind.read(&text),
                None => kind::inline(&text).unwrap_or_else(|| text.into()),
            };
            self.take(&path, &path, value, &|_| origin.clone())?;
        }
        Ok(())
    }

    /// Lays a flag over it.
    pub fn flag(&mut self, flag: &'static str, path: &str, value: Value) -> Result<(), ConfigError> {
        self.take(path, path, value, &|_| Origin::Flag(flag))
    }

    /// The configuration, all of it.
    pub fn finish(mut self) -> Result<Config, ConfigError> {
        self.whole()?;
        let mut all = Table::try_from(Config::default()).expect("a configuration is a table");
        lay_over("", &mut all, self.chosen);
        let config: Config = all.try_into().map_err(|error: toml::de::Error| ConfigError::Invalid {
            origin: None,
            message: error.message().to_owned(),
        })?;
        config
            .agree()
            .map_err(|(path, message)| ConfigError::Invalid { origin: self.origins.get(&path).cloned(), message })?;
        Ok(config)
    }

    /// Takes what is at a path. In a list of sections `place` has the number of the item, and `path` has not.
    fn take(
        &mut self,
        path: &str,
        place: &str,
        value: Value,
        origin: &dyn Fn(&str) -> Origin,
    ) -> Result<(), ConfigError> {
        let at = origin(place);
        if let Some(key) = keys::find(path) {
            if let Some(message) = refusal(key, place, &value) {
                return Err(ConfigError::at(at, message));
            }
        } else if let Some(section) = keys::section(path) {
            check_section(section, &value, origin).map_err(|(at, message)| ConfigError::at(at, message))?;
            if let Value::Table(table) = value {
                self.section(path);
                self.origins.insert(path.to_owned(), at);
                for (name, value) in table {
                    let path = format!("{path}.{name}");
                    self.take(&path, &path, value, origin)?;
                }
                return Ok(());
            }
        } else {
            return Err(ConfigError::at(at, unknown(path)));
        }
        self.origins.insert(path.to_owned(), at);
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        self.section(section).insert(name.to_owned(), value);
        Ok(())
    }

    /// The table of a section among what was chosen.
    fn section(&mut self, path: &str) -> &mut Table {
        path.split('.').filter(|part| !part.is_empty()).fold(&mut self.chosen, |table, part| {
            let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            inner.as_table_mut().expect("sections are tables")
        })
    }

    /// Every section that was chosen has what it needs.
    fn whole(&mut self) -> Result<(), ConfigError> {
        for section in keys::SECTIONS.iter().filter(|section| !section.many) {
            let Some(origin) = self.origins.get(section.name).cloned() else { continue };
            let table = self.section(section.name);
            if let Some(name) = section.needs.iter().find(|name| !table.contains_key(**name)) {
                return Err(ConfigError::at(origin, format!("{} has no {name}", section.name)));
            }
        }
        Ok(())
    }
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut layers = Layers::default();
        layers.read(path)?;
        layers.finish()
    }

    /// Reads the text of a file of this name.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let mut layers = Layers::default();
        layers.file(text, name)?;
        layers.finish()
    }

    /// Refuses what fits its type and cannot work, in a configuration of whatever origin.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |message| Err(ConfigError::Invalid { origin: None, message });
        let all = Value::try_from(self).expect("a configuration is a table");
        for section in keys::SECTIONS.iter().filter(|section| !section.many) {
            let parts = section.name.split('.').filter(|part| !part.is_empty());
            let values = parts.into_iter().try_fold(&all, |values, part| values.get(part));
            for key in section.keys {
                if let Some(value) = values.and_then(|values| values.get(key.name()))
                    && let Some(message) = refusal(key, key.path, value)
                {
                    return refuse(message);
                }
            }
        }
        match self.agree() {
            Ok(()) => self.settings().map(drop),
            Err((_, message)) => refuse(message),
        }
    }
}

/// Why a value is not possible.
fn refusal(key: &Key, place: &str, value: &Value) -> Option<String> {
    let allowed = || key.kind.allowed();
    match key.kind.fits(value) {
        true => None,
        false if key.kind.is_secret() => Some(format!("{place} is not possible; it must be {}", allowed())),
        false => Some(format!("{place} is {}; it must be {}", shown(value), allowed())),
    }
}

/// A section is a table; a section that may come many times is a list of tables which have every key.
fn check_section(section: &Section, value: &Value, origin: &dyn Fn(&str) -> Origin) -> Result<(), (Origin, String)> {
    let name = section.name;
    let names = || section.keys.iter().map(Key::name).collect::<Vec<_>>().join(", ");
    if !section.many {
        return match value {
            Value::Table(_) => Ok(()),
            _ => Err((origin(name), format!("{name} is a section of the keys {}", names()))),
        };
    }
    let items = value.as_array().filter(|items| items.iter().all(Value::is_table));
    let Some(items) = items else {
        return Err((origin(name), format!("{name} is a list of sections of the keys {}", names())));
    };
    for (number, item) in items.iter().filter_map(Value::as_table).enumerate() {
        let place = format!("{name}[{number}]");
        for (found, value) in item {
            let place = format!("{place}.{found}");
            let path = format!("{name}.{found}");
            let message = match keys::find(&path) {
                Some(key) => refusal(key, &place, value),
                None => Some(unknown(&path)),
            };
            if let Some(message) = message {
                return Err((origin(&place), message));
            }
        }
        if let Some(key) = section.keys.iter().find(|key| !item.contains_key(key.name())) {
            return Err((
                origin(&place),
                format!("{place} has no {}; it must have {}", key.name(), key.kind.allowed()),
            ));
        }
    }
    Ok(())
}

/// Says that there is no such key, and which is the nearest.
fn unknown(path: &str) -> String {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let beside = keys::SECTIONS.iter().filter(|it| it.name == section).flat_map(|it| it.keys).map(Key::name);
    let heads = keys::SECTIONS.iter().filter_map(|it| {
        let (above, name) = it.name.rsplit_once('.').unwrap_or(("", it.name));
        (above == section && !name.is_empty()).then_some(name)
    });
    let known: Vec<&str> = beside.chain(heads).collect();
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 1 + known.len() / 3 => {
            format!("there is no key {name:?}; {known:?} is the nearest")
        }
        _ => format!("there is no key {name:?} here; there are {}", known.join(", ")),
    }
}

/// The path that a variable sets, and whether it names a file with the value. `None` where others use the name: every name
/// that is no mistake in writing one of ours.
fn meant(name: &str) -> Result<Option<(String, bool)>, String> {
    let sections = keys::SECTIONS.iter().map(|section| section.name).filter(|name| !name.is_empty());
    let many = |path: &str| keys::SECTIONS.iter().any(|section| section.many && path.starts_with(section.name));
    let paths = keys::all().map(|key| key.path).filter(|path| !many(path)).chain(sections);
    let known: Vec<(String, &str)> = paths.map(|path| (keys::variable(path), path)).collect();
    for (candidate, is_file) in [(Some(name), false), (name.strip_suffix("_FILE"), true)] {
        if let Some((_, path)) = known.iter().find(|(variable, _)| Some(variable.as_str()) == candidate) {
            return Ok(Some(((*path).to_owned(), is_file)));
        }
    }
    let nearest = known.iter().map(|(variable, _)| (strsim::damerau_levenshtein(name, variable), variable)).min();
    match nearest {
        Some((distance, variable)) if distance <= 2 || (name.contains("__") && distance <= 1 + variable.len() / 3) => {
            Err(format!("there is no such variable; {variable} is the nearest"))
        }
        _ if name.contains("__") => Err("there is no such variable; docs/configuration.md lists them".to_owned()),
        _ => Ok(None),
    }
}

/// What is in the file that a variable names, without the end of its line.
fn contents(path: &str, origin: &Origin) -> Result<String, ConfigError> {
    let path = Path::new(path);
    let size = std::fs::metadata(path).map(|found| found.len());
    let read = match size {
        Ok(size) if size > VALUE_BYTES_MAX => {
            let message = format!("{} has {size} bytes; a value has {VALUE_BYTES_MAX} at most", path.display());
            return Err(ConfigError::at(origin.clone(), message));
        }
        Ok(_) => std::fs::read_to_string(path),
        Err(error) => Err(error),
    };
    let text = read.map_err(|source| ConfigError::at(origin.clone(), format!("{}: {source}", path.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Where every key begins.
fn places(prefix: &str, table: &DeTable<'_>, found: &mut dyn FnMut(String, usize)) {
    for (key, value) in table {
        let path = match prefix {
            "" => key.get_ref().to_string(),
            prefix => format!("{prefix}.{}", key.get_ref()),
        };
        if let Some(items) = value.get_ref().as_array() {
            for (number, item) in items.iter().enumerate() {
                let place = format!("{path}[{number}]");
                if let Some(table) = item.get_ref().as_table() {
                    places(&place, table, found);
                }
                found(place, item.span().start);
            }
        } else if let Some(table) = value.get_ref().as_table() {
            places(&path, table, found);
        }
        found(path, key.span().start);
    }
}

/// Sections are laid over each other key by key, values are replaced.
fn lay_over(section: &str, below: &mut Table, above: Table) {
    for (key, value) in above {
        let path = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if keys::section(&path).is_some() => {
                lay_over(&path, below, above);
            }
            (_, value) => drop(below.insert(key, value)),
        }
    }
}

fn shown(value: &Value) -> String {
    const CHARACTERS_MAX: usize = 100;
    let text = value.to_string();
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
