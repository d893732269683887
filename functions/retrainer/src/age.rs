//! Ages of the champions and of the last retraining. They are reported twice a day, since alarms look back a week at
//! most and would not notice a month without a retraining.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::Target;
use platform::telemetry::Metric;
use registry::runs::Runs;
use registry::{Registry, RegistryError};
use serde::Serialize;
use store::{Store, StoreError};

/// Maximum number of run records that are read, latest first: two years of a monthly schedule.
const RUNS_MAX: usize = 24;

/// Ages in hours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Age {
    /// Age of the champion that has served longest; none without a duration champion.
    pub model_hours: Option<f64>,
    /// Time since the last retraining that had something to do and did not fail; none if there never was one.
    pub retraining_hours: Option<f64>,
}

impl Age {
    /// Measures the age of the champions and the runs on `models` as of `now`.
    ///
    /// # Errors
    /// [`RegistryError`] if the store cannot be read.
    pub async fn measure(models: &Arc<dyn Store>, now: DateTime<Utc>) -> Result<Self, RegistryError> {
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
        let last = last_retraining(models).await.map_err(|source| RegistryError::Store {
            doing: "looking for the last retraining",
            target: Target::Duration,
            source,
        })?;
        Ok(Self { model_hours: ages.into_iter().reduce(f64::max), retraining_hours: last.map(hours) })
    }

    /// Returns the known ages as metrics. A missing metric raises its alarm.
    pub fn metrics(&self) -> Vec<(Metric, f64)> {
        let known = [
            (Metric::ModelAgeHours, self.model_hours),
            (Metric::HoursSinceRetraining, self.retraining_hours),
        ];
        known.into_iter().filter_map(|(metric, hours)| Some((metric, hours?))).collect()
    }
}

async fn last_retraining(models: &Arc<dyn Store>) -> Result<Option<DateTime<Utc>>, StoreError> {
    let runs = Runs::new(Arc::clone(models));
    let mut last = None;
    // A name begins with the day that the run is as of, which need not be the day on which it ran.
    for name in runs.names().await?.iter().rev().take(RUNS_MAX) {
        // An unreadable record, such as one of another build, does not count as a success.
        let Ok(Some(run)) = runs.status(name).await else { continue };
        last = last.max(run.ended_well().then_some(run.started));
    }
    Ok(last)
}
