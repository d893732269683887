//! Reads both deployments as comparable facts: `kind.name.attribute = value`. Names are those of the template in snake
//! case; references have one form, `{data_bucket.arn}`; lists are sorted if their order has no meaning.

mod sam;
mod terraform;

use std::collections::BTreeMap;

use serde_json::Value;

pub use sam::{of_sam, template};
pub use terraform::of_terraform;

/// The facts of a deployment.
pub type Facts = BTreeMap<String, String>;

/// Returns the facts whose names begin with `prefix`, without that prefix.
pub fn about<'a>(facts: &'a Facts, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let of = facts.range(prefix.to_string()..).take_while(move |(name, _)| name.starts_with(prefix));
    of.map(move |(name, value)| (&name[prefix.len()..], value.as_str()))
}

/// Returns one fact.
pub fn fact<'a>(facts: &'a Facts, name: &str) -> &'a str {
    facts.get(name).unwrap_or_else(|| panic!("the deployment has no {name}"))
}

/// Splits a list that [`Collected::list`] joined.
pub fn items(list: &str) -> Vec<&str> {
    list.split(" | ").filter(|item| !item.is_empty()).collect()
}

/// The facts found so far.
#[derive(Default)]
struct Collected {
    facts: Facts,
}

impl Collected {
    fn put(&mut self, name: String, value: impl Into<String>) {
        let value = value.into();
        // An absent value and an empty one are the same.
        if !value.is_empty() {
            let before = self.facts.insert(name.clone(), value);
            assert!(before.is_none(), "{name} is defined twice");
        }
    }

    fn list(&mut self, name: String, mut values: Vec<String>) {
        values.sort_unstable();
        self.put(name, values.join(" | "));
    }

    /// Adds the fields of a document by their path.
    fn tree(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    self.tree(&format!("{name}.{field}"), value);
                }
            }
            Value::Array(values) => {
                for (at, value) in values.iter().enumerate() {
                    self.tree(&format!("{name}.{at}"), value);
                }
            }
            other => self.put(name.to_string(), scalar(other)),
        }
    }
}

/// Formats a number, a boolean or a text.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Fails on fields that the comparison does not read, since it could not compare them.
fn closed(what: &str, value: &Value, known: &[&str]) {
    for field in value.as_object().into_iter().flatten().map(|(field, _)| field) {
        assert!(known.contains(&field.as_str()), "{what}: the comparison does not read {field}");
    }
}

/// Returns the elements of a list, or a single value as a list.
fn many(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().collect(),
        one => vec![one],
    }
}

/// Turns `TripsQueue` into `trips_queue`.
pub fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, c) in name.chars().enumerate() {
        if c.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
