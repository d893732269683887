//! Configuration by environment variables, which each function declares in one list and reads once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// A variable that a function reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its meaning, with its unit.
    pub meaning: &'static str,
    /// The value if it is not set; a variable without a default must be set.
    pub default: Option<&'static str>,
}

/// Why a function cannot be configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// Every variable that must be set but is not.
    #[error("environment variables are not set: {}", list(.0))]
    Missing(Vec<Variable>),
    /// The value of a variable is invalid.
    #[error("environment variable {name}={value:?}: expected {meaning} ({detail})")]
    Value {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What the variable means.
        meaning: &'static str,
        /// Why the value is invalid.
        detail: String,
    },
}

fn list(missing: &[Variable]) -> String {
    missing.iter().map(|one| format!("{} ({})", one.name, one.meaning)).collect::<Vec<_>>().join(", ")
}

/// The values of the variables of a function.
#[derive(Debug, Clone)]
pub struct Env {
    values: BTreeMap<&'static str, (&'static str, String)>,
}

impl Env {
    /// Reads `variables` from the environment of this process.
    ///
    /// # Errors
    /// [`EnvError::Missing`], which names every missing variable. An empty value counts as missing.
    pub fn of_process(variables: &[Variable]) -> Result<Self, EnvError> {
        #[allow(clippy::disallowed_methods)] // here, and nowhere else
        Self::from_lookup(variables, |name| std::env::var(name).ok())
    }

    /// Reads `variables` from `lookup`.
    ///
    /// # Errors
    /// As [`Env::of_process`].
    pub fn from_lookup(
        variables: &[Variable],
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, EnvError> {
        let (mut values, mut missing) = (BTreeMap::new(), Vec::new());
        for variable in variables {
            let set = lookup(variable.name).filter(|value| !value.is_empty());
            match set.or_else(|| variable.default.map(String::from)) {
                Some(value) => drop(values.insert(variable.name, (variable.meaning, value))),
                None => missing.push(*variable),
            }
        }
        if missing.is_empty() { Ok(Self { values }) } else { Err(EnvError::Missing(missing)) }
    }

    /// Parses the value of `name`, which was declared.
    ///
    /// # Errors
    /// [`EnvError::Value`] if it is not a valid `T`; the value of a name that was not declared is an empty text.
    pub fn get<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<T, EnvError> {
        let (meaning, value) = self
            .values
            .get(name)
            .map_or(("a variable that is declared", ""), |(meaning, value)| (*meaning, value));
        value.parse().map_err(|error: T::Err| EnvError::Value {
            name,
            value: value.to_string(),
            meaning,
            detail: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: [Variable; 3] = [
        Variable { name: "STORE", meaning: "where models are", default: None },
        Variable { name: "QUEUE", meaning: "where answers go", default: None },
        Variable { name: "SECONDS", meaning: "seconds between polls", default: Some("30") },
    ];

    fn env(set: &[(&str, &str)]) -> Result<Env, EnvError> {
        Env::from_lookup(&VARIABLES, |name| {
            set.iter().find(|(set, _)| *set == name).map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn all_missing_variables_are_named_at_once() {
        let error = env(&[("QUEUE", "")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "environment variables are not set: STORE (where models are), QUEUE (where answers go)"
        );
    }

    #[test]
    fn a_knob_has_a_default_and_a_bad_value_is_named() {
        let set = [("STORE", "s"), ("QUEUE", "q")];
        assert_eq!(env(&set).unwrap().get::<u64>("SECONDS"), Ok(30));
        let bad = env(&[set[0], set[1], ("SECONDS", "soon")]).unwrap().get::<u64>("SECONDS").unwrap_err();
        assert_eq!(
            bad.to_string(),
            "environment variable SECONDS=\"soon\": expected seconds between polls (invalid digit found in string)"
        );
    }
}
