//! Real changes of a history, with which its alarms are compared.

use std::path::Path;

use chrono::NaiveDate;
use monitoring::watch::Signal;
use monitoring::watch::alarms::Alarm;
use serde::Deserialize;

use crate::files;
use crate::output::Failure;

/// Changes of the green taxis, 2023-02 to 2025-07.
const GREEN: &str = include_str!("../../../docs/replay-events.toml");

/// A list of changes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    #[serde(default, rename = "event")]
    all: Vec<Event>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    name: String,
    from: NaiveDate,
    to: NaiveDate,
    signals: Vec<Signal>,
    #[serde(rename = "evidence")]
    _evidence: String,
}

impl Events {
    /// Reads the events of a file, or those of `taxi` that this program knows.
    pub fn new(path: Option<&Path>, taxi: &str) -> Result<Self, Failure> {
        let text = match path {
            Some(path) => String::from_utf8_lossy(&files::read(path)?).into_owned(),
            None if taxi == "green" => GREEN.to_string(),
            None => return Ok(Self::default()),
        };
        let name = path.map_or("docs/replay-events.toml".into(), |path| path.display().to_string());
        toml::from_str(&text).map_err(|error| format!("{name}: {error}").into())
    }

    /// Returns the name of the event that explains an alarm: one of its signal, in whose days the alarm begins.
    pub fn explains(&self, alarm: &Alarm) -> Option<&str> {
        let is_it = |event: &&Event| {
            event.signals.contains(&alarm.signal) && (event.from..=event.to).contains(&alarm.day)
        };
        self.all.iter().find(is_it).map(|event| event.name.as_str())
    }
}
