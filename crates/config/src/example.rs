//! The commented file, made from the schema, and the ranges that the schema states.

use serde::de::value::{Error, MapDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Value;

use crate::{Config, Problem};

const HEADER: &str = "\
# Dokuei configuration. Every key is shown; a key that is left out has the default that `dokuei config example` prints.
# Each can also be set by an environment variable, which wins: DOKUEI__SECTION__KEY, for example DOKUEI__DICOM__AE_TITLE.
";

const WIDTH: usize = 118;

/// `config` as a commented TOML file.
pub(crate) fn render(config: &Config) -> String {
    let schema = Config::schema();
    let values = serde_json::to_value(config).unwrap_or_default();
    let mut text = HEADER.to_owned();
    for (section, names) in sections() {
        let description = section_schema(&schema, section);
        text.push('\n');
        push_comment(&mut text, description.get("description"), "");
        text.push_str(&format!("[{section}]\n"));
        for name in names {
            let key = &description["properties"][*name];
            push_comment(&mut text, key.get("description"), &range_in_words(key));
            match &values[section][*name] {
                // Not set: shown as it would look.
                Value::Null => text.push_str(&format!("# {name} = {}\n", literal(&key["examples"][0]))),
                value => text.push_str(&format!("{name} = {}\n", literal(value))),
            }
        }
    }
    text
}

/// Every number outside of the range that its schema states.
pub(crate) fn values_out_of_range(config: &Config) -> Vec<Problem> {
    let schema = Config::schema();
    let values = serde_json::to_value(config).unwrap_or_default();
    let mut problems = Vec::new();
    for (section, names) in sections() {
        for name in names {
            let key = &section_schema(&schema, section)["properties"][*name];
            let Some(value) = values[section][*name].as_u64() else { continue };
            let too_small = key["minimum"].as_u64().is_some_and(|minimum| value < minimum);
            let too_large = key["maximum"].as_u64().is_some_and(|maximum| value > maximum);
            if too_small || too_large {
                problems.push(Problem::new(
                    format!("{section}.{name}"),
                    format!("must be{}", range_in_words(key).to_lowercase()),
                ));
            }
        }
    }
    problems
}

fn section_schema<'a>(schema: &'a Value, section: &str) -> &'a Value {
    let reference = schema["properties"][section]["$ref"].as_str().unwrap_or_default();
    schema.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null)
}

fn range_in_words(key: &Value) -> String {
    match (key["minimum"].as_u64(), key["maximum"].as_u64()) {
        (Some(minimum), Some(maximum)) => format!(" From {minimum} to {maximum}."),
        _ => String::new(),
    }
}

/// A JSON value as it is written in TOML.
fn literal(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| "\"\"".to_owned(), |value| value.to_string())
}

fn push_comment(text: &mut String, description: Option<&Value>, addition: &str) {
    let words = format!("{}{addition}", description.and_then(Value::as_str).unwrap_or_default());
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// The sections and their keys in the order in which the types declare them, which the schema forgets.
pub(crate) fn sections() -> Vec<(&'static str, &'static [&'static str])> {
    let mut sections = Vec::new();
    // Cannot fail: every section has a default for every key.
    let _ = Config::deserialize(Recorder { section: None, sections: &mut sections });
    sections
}

/// Answers each struct with nothing, after noting which fields it asks for.
struct Recorder<'a> {
    section: Option<&'static str>,
    sections: &'a mut Vec<(&'static str, &'static [&'static str])>,
}

impl<'de> Deserializer<'de> for Recorder<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.section {
            None => visitor.visit_map(Sections { names: fields.iter(), current: "", sections: self.sections }),
            Some(section) => {
                self.sections.push((section, fields));
                visitor.visit_map(MapDeserializer::<_, Error>::new(std::iter::empty::<(&str, &str)>()))
            }
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("a section must be a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

struct Sections<'a> {
    names: std::slice::Iter<'static, &'static str>,
    current: &'static str,
    sections: &'a mut Vec<(&'static str, &'static [&'static str])>,
}

impl<'de> MapAccess<'de> for Sections<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.names.next() else { return Ok(None) };
        self.current = name;
        seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Recorder { section: Some(self.current), sections: self.sections })
    }
}
