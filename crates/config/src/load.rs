//! From file and environment to a [`Config`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use serde::Deserialize as _;
use toml::{Table, Value};

use crate::{Config, ConfigError, Problem};

const PREFIX: &str = "DOKUEI__";

pub(crate) fn load(
    path: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    let file = match path {
        Some(path) => File::read(path)?,
        None => File::default(),
    };
    let mut table = file.table.clone();
    let overrides = collect_overrides(environment)?;
    for (key, override_) in &overrides {
        // The environment wins, also over the other way of giving the same secret.
        for sibling in siblings(key) {
            remove(&mut table, &sibling);
        }
        table = overlay(&table, key, override_)?;
    }

    let mut config = Config::deserialize(table)
        .map_err(|cause| ConfigError::Invalid(vec![Problem::new("configuration", cause.message())]))?;
    config.validate().map_err(|error| with_origins(error, &overrides, &file))?;
    config.make_data_dir_absolute()?;
    Ok(config)
}

/// `section.key`, in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    section: String,
    name: String,
}

/// The configuration file, already known to have only known keys with values of the right types.
#[derive(Default)]
struct File {
    name: String,
    text: String,
    table: Table,
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let refused = |error: toml::de::Error| ConfigError::File {
            path: path.to_owned(),
            line: line_of(&text, error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        };
        toml::from_str::<Config>(&text).map_err(refused)?;
        let table = toml::from_str::<Table>(&text).map_err(refused)?;
        let file = Self { name: path.display().to_string(), text, table };
        file.refuse_secrets_given_twice(path)?;
        Ok(file)
    }

    fn refuse_secrets_given_twice(&self, path: &Path) -> Result<(), ConfigError> {
        for (section, values) in &self.table {
            for name in values.as_table().into_iter().flat_map(Table::keys) {
                let key = Key { section: section.clone(), name: format!("{name}_file") };
                if let Some(line) = self.line(&key) {
                    let message =
                        format!("{section}.{name}_file must not be set together with {section}.{name}: remove one");
                    return Err(ConfigError::File { path: path.to_owned(), line, message });
                }
            }
        }
        Ok(())
    }

    /// Where the file sets a key.
    fn line(&self, key: &Key) -> Option<usize> {
        let document = toml::de::DeTable::parse(&self.text).ok()?;
        let section = document.get_ref().get(key.section.as_str())?.get_ref().as_table()?;
        let (name, _) = section.get_key_value(key.name.as_str())?;
        Some(line_of(&self.text, name.span().start))
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

struct Override {
    variable: String,
    value: String,
}

impl Override {
    fn refuse(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::Environment { variable: self.variable.clone(), message: message.into() }
    }
}

fn collect_overrides(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<Key, Override>, ConfigError> {
    let mut overrides = BTreeMap::new();
    for (name, value) in environment {
        let variable = name.to_string_lossy().into_owned();
        let Some(path) = variable.strip_prefix(PREFIX) else { continue };
        let path = path.to_lowercase();
        let value = value.into_string();
        let override_ = Override { value: value.clone().unwrap_or_default(), variable };
        if value.is_err() {
            return Err(override_.refuse("must be valid UTF-8"));
        }
        let key = match path.split("__").collect::<Vec<_>>().as_slice() {
            [section, name] if !section.is_empty() && !name.is_empty() => {
                Key { section: (*section).into(), name: (*name).into() }
            }
            _ => return Err(override_.refuse("must have the form DOKUEI__SECTION__KEY")),
        };
        let message = "sets a key that another variable sets too: remove one";
        let taken: BTreeSet<_> = siblings(&key).into_iter().chain([key.clone()]).collect();
        if taken.iter().any(|key| overrides.contains_key(key)) {
            return Err(override_.refuse(message));
        }
        overrides.insert(key, override_);
    }
    Ok(overrides)
}

/// The keys that give the same secret in the other way: `url` for `url_file`, `url_file` for `url`.
fn siblings(key: &Key) -> Vec<Key> {
    let with_name = |name: String| Key { section: key.section.clone(), name };
    let of_file = key.name.strip_suffix("_file").map(|name| with_name(name.to_owned()));
    of_file.into_iter().chain([with_name(format!("{}_file", key.name))]).collect()
}

fn remove(table: &mut Table, key: &Key) {
    if let Some(Value::Table(section)) = table.get_mut(&key.section) {
        section.remove(&key.name);
    }
}

/// Lays one variable over the table. Its text is taken as it is when the key wants a text, otherwise as a TOML value: so a number in
/// the name of an organisation needs no quotes.
fn overlay(table: &Table, key: &Key, override_: &Override) -> Result<Table, ConfigError> {
    let as_text = with_value(table, key, Value::String(override_.value.clone()));
    let refused = match Config::deserialize(as_text.clone()) {
        Ok(_) => return Ok(as_text),
        Err(refused) => refused,
    };
    let Ok(value) = override_.value.parse::<Value>() else { return Err(override_.refuse(refused.message())) };
    let as_value = with_value(table, key, value);
    match Config::deserialize(as_value.clone()) {
        Ok(_) => Ok(as_value),
        Err(refused) => Err(override_.refuse(refused.message())),
    }
}

fn with_value(table: &Table, key: &Key, value: Value) -> Table {
    let mut table = table.clone();
    let section = table.entry(key.section.clone()).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(key.name.clone(), value);
    }
    table
}

fn with_origins(error: ConfigError, overrides: &BTreeMap<Key, Override>, file: &File) -> ConfigError {
    let ConfigError::Invalid(mut problems) = error else { return error };
    for problem in &mut problems {
        let Some((section, name)) = problem.key.split_once('.') else { continue };
        let key = Key { section: section.to_owned(), name: name.to_owned() };
        problem.origin = match overrides.get(&key) {
            Some(override_) => Some(format!("environment variable {}", override_.variable)),
            None => file.line(&key).map(|line| format!("{}:{line}", file.name)),
        };
    }
    ConfigError::Invalid(problems)
}
