//! Both deployments as facts that compare: `kind.name.attribute = value`. Names are those of the template in snake case;
//! references are written alike, `{data_bucket.arn}`; lists are sorted where their order means nothing.

mod sam;
mod terraform;

use std::collections::BTreeMap;

use serde_json::Value;

pub use sam::{of_sam, template};
pub use terraform::of_terraform;

/// What a deployment makes, fact by fact.
pub type Facts = BTreeMap<String, String>;

/// Facts of `kind` and `name`, or of everything that begins so.
pub fn about<'a>(facts: &'a Facts, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let of = facts.range(prefix.to_string()..).take_while(move |(name, _)| name.starts_with(prefix));
    of.map(move |(name, value)| (&name[prefix.len()..], value.as_str()))
}

/// One fact.
pub fn fact<'a>(facts: &'a Facts, name: &str) -> &'a str {
    facts.get(name).unwrap_or_else(|| panic!("the deployment does not say {name}"))
}

/// A list that was put together by [`Collected::list`].
pub fn items(list: &str) -> Vec<&str> {
    list.split(" | ").filter(|item| !item.is_empty()).collect()
}

/// Facts as they are found.
#[derive(Default)]
struct Collected {
    facts: Facts,
}

impl Collected {
    fn put(&mut self, name: String, value: impl Into<String>) {
        let value = value.into();
        // What is not said and what is said to be nothing are the same.
        if !value.is_empty() {
            let before = self.facts.insert(name.clone(), value);
            assert!(before.is_none(), "{name} is said twice");
        }
    }

    fn list(&mut self, name: String, mut values: Vec<String>) {
        values.sort_unstable();
        self.put(name, values.join(" | "));
    }

    /// The fields of a document, by their path.
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

/// A number, a truth value or a text as text.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Fails on fields that the comparison does not read: what it passed by, it could not hold.
fn closed(what: &str, value: &Value, known: &[&str]) {
    for field in value.as_object().into_iter().flatten().map(|(field, _)| field) {
        assert!(known.contains(&field.as_str()), "{what}: the comparison does not read {field}");
    }
}

/// One or many as many.
fn many(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().collect(),
        one => vec![one],
    }
}

/// `TripsQueue` as `trips_queue`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, c) in name.chars().enumerate() {
        if c.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
