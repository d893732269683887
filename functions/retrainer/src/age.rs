//! How old the champions and the last retraining are. Told twice a day, for alarms look back a week at most and would not
//! notice that a month went by without one.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::Target;
use platform::telemetry::Metric;
use registry::{Registry, RegistryError, layout};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, json};

/// Runs that are looked at, from the last one back: two years of a schedule.
const RUNS_MAX: usize = 24;

/// How old things are, hours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Age {
    /// Of the champion that has served longest; none while there is no champion of durations.
    pub model_hours: Option<f64>,
    /// Since the last retraining that failed in nothing and had something to do; none if there never was one.
    pub retraining_hours: Option<f64>,
}

/// What is read of the record of a run.
#[derive(Deserialize)]
struct Ended {
    started: String,
    nothing_to_do: Option<String>,
    failed: Vec<serde_json::Value>,
}

impl Age {
    /// As of `now`, of the champions and the runs on `models`.
    ///
    /// # Errors
    /// [`RegistryError`] where the store does not answer.
    pub async fn of(models: &Arc<dyn Store>, now: DateTime<Utc>) -> Result<Self, RegistryError> {
        let registry = Registry::new(Arc::clone(models));
        let hours = |since: DateTime<Utc>| (now - since).num_seconds() as f64 / 3600.0;
        let mut ages = Vec::new();
        for target in Target::ALL {
            let since = registry.champion(target).await?.map(|champion| champion.alias.since);
            let since = since.and_then(|since| DateTime::parse_from_rfc3339(&since).ok());
            match since {
                Some(since) => ages.push(hours(since.to_utc())),
                None if target == Target::Duration => break,
                None => (),
            }
        }
        let last = last_retraining(&**models).await.map_err(|source| RegistryError::Store {
            doing: "looking for the last retraining",
            target: Target::Duration,
            source,
        })?;
        Ok(Self { model_hours: ages.into_iter().reduce(f64::max), retraining_hours: last.map(hours) })
    }

    /// What is known, as metrics. Missing data alarms.
    pub fn metrics(&self) -> Vec<(Metric, f64)> {
        let known = [
            (Metric::ModelAgeHours, self.model_hours),
            (Metric::HoursSinceRetraining, self.retraining_hours),
        ];
        known.into_iter().filter_map(|(metric, hours)| Some((metric, hours?))).collect()
    }
}

async fn last_retraining(models: &dyn Store) -> Result<Option<DateTime<Utc>>, StoreError> {
    let runs = models.list(layout::RUNS).await?;
    let records = runs.iter().rev().filter(|meta| layout::run_name(&meta.key).is_some());
    let mut last = None;
    // A run is called after the day that it is as of, which need not be the day on which it ran.
    for meta in records.take(RUNS_MAX) {
        let read = json::read::<Ended>(models, &meta.key).await;
        // A record of an earlier build, or half of one, is none that ended well.
        let Ok(Some((run, _))) = read else { continue };
        let started = DateTime::parse_from_rfc3339(&run.started).ok();
        let ended_well = run.nothing_to_do.is_none() && run.failed.is_empty();
        last = last.max(started.filter(|_| ended_well).map(|started| started.to_utc()));
    }
    Ok(last)
}
