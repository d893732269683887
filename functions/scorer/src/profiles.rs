//! Counts what was predicted, as profiles that the monitor reads: one object for each day and minute of an environment,
//! `profiles/stream/<day>/<request id>.json`. The rows are not kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::Utc;
use model::time::new_york;
use model::trip::select;
use model::{Reason, chain};
use monitoring::days::{DayProfile, DayProfiles, DayRows, Source};
use platform::telemetry::Metric;
use registry::layout;
use store::{Condition, Store, StoreError, json};
use tokio::sync::Mutex;

use crate::observers::{Budget, EndedBatch, Observer};

/// Time between two objects of an environment, at least.
const INTERVAL: Duration = Duration::from_secs(60);

/// An observer that counts batches and stores the counts now and then.
#[derive(Debug, Clone)]
pub struct ProfileWriter {
    store: Arc<dyn Store>,
    pending: Arc<Mutex<Pending>>,
}

/// What is counted and not yet stored.
#[derive(Debug)]
struct Pending {
    days: DayProfiles,
    /// The bundle that predicted the rows; none if there are only rejections.
    bundle: Option<String>,
    /// Request id of the last event that is counted.
    event: String,
    since: Instant,
}

impl ProfileWriter {
    /// Creates an observer that writes to `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let since = Instant::now();
        let pending = Pending { days: DayProfiles::default(), bundle: None, event: String::new(), since };
        Self { store, pending: Arc::new(Mutex::new(pending)) }
    }

    /// Stores what has been counted. What could not be stored stays, and is stored with what comes next.
    ///
    /// # Errors
    /// The first [`StoreError`].
    pub async fn flush(&self) -> Result<(), StoreError> {
        let mut pending = self.pending.lock().await;
        self.flush_pending(&mut pending).await
    }

    async fn flush_pending(&self, pending: &mut Pending) -> Result<(), StoreError> {
        while let Some((day, profile)) = pending.days.0.first_key_value() {
            let key = layout::profile_of_messages(*day, &pending.event)?;
            let stored = DayProfile { day: *day, bundle: pending.bundle.clone(), profile: profile.clone() };
            // Another attempt of the same event writes the same rows.
            match json::write_line(&*self.store, &key, &stored, Condition::IfAbsent).await {
                Ok(_) | Err(StoreError::Precondition { .. }) => drop(pending.days.0.pop_first()),
                Err(error) => return Err(error),
            }
        }
        pending.since = Instant::now();
        pending.bundle = None;
        Ok(())
    }
}

#[async_trait]
impl Observer for ProfileWriter {
    fn failures(&self) -> Metric {
        Metric::ProfileFailures
    }

    async fn observe(&self, batch: EndedBatch<'_>, _: Budget) -> Result<Vec<(Metric, f64)>, String> {
        let not_stored = |error: StoreError| format!("a profile was not stored: {}", chain(&error));
        let bundle = batch.predicted.map(|predicted| predicted.bundle.id());
        let mut pending = self.pending.lock().await;
        let is_other = bundle.is_some() && pending.bundle.is_some() && pending.bundle != bundle;
        // The counts of two bundles are two profiles.
        let flushed = if is_other { self.flush_pending(&mut pending).await } else { Ok(()) };
        pending.days.merge(&counted(batch));
        pending.bundle = bundle.or(pending.bundle.take());
        pending.event = batch.event.into();
        flushed.map_err(not_stored)?;
        if pending.since.elapsed() >= INTERVAL {
            self.flush_pending(&mut pending).await.map_err(not_stored)?;
        }
        Ok(Vec::new())
    }
}

/// Counts the messages of a batch that have ended.
fn counted(batch: EndedBatch<'_>) -> DayProfiles {
    let now = Utc::now().naive_utc();
    let today = new_york(now).unwrap_or(now).date();
    let rejections = batch.rejected.iter().filter(|(at, _)| batch.outcomes.is_cleared(*at));
    let rejected: Vec<(u64, Reason)> = rejections.map(|(at, reason)| (*at as u64, *reason)).collect();
    let Some(predicted) = batch.predicted else {
        let (trips, positions) = (&[], &[]);
        let rows = DayRows { trips, positions, rejected: &rejected, outcomes: None, predictions: None };
        return DayProfiles::from_rows(&rows, Source::Stream, today);
    };
    let acknowledged = predicted.requests.iter().map(|(at, _)| batch.outcomes.is_cleared(*at));
    let rows: Vec<usize> =
        acknowledged.enumerate().filter_map(|(row, is_cleared)| is_cleared.then_some(row)).collect();
    let positions: Vec<u64> = rows.iter().map(|row| predicted.requests[*row].0 as u64).collect();
    let (trips, predictions) = (select(&predicted.trips, &rows), predicted.predictions.select(&rows));
    let rows = DayRows {
        trips: &trips,
        positions: &positions,
        rejected: &rejected,
        outcomes: None,
        predictions: Some(&predictions),
    };
    DayProfiles::from_rows(&rows, Source::Stream, today)
}
