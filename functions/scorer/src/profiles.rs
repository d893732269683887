//! Counts what was predicted, as profiles that the monitor reads: one object for each day and minute of an environment,
//! `profiles/stream/<day>/<request id>.json`. The rows are not kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::trip::select;
use model::{Reason, chain};
use monitoring::days::{DayProfile, DayProfiles, DayRows, Source};
use platform::lambda::today;
use platform::telemetry::Metric;
use registry::layout;
use store::{Condition, ObjectKey, Store, StoreError, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

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
    /// What is to be stored. It keeps its key, so that an attempt whose response was lost is not counted twice.
    to_store: VecDeque<(ObjectKey, DayProfile)>,
}

impl Pending {
    /// Ends the profiles of what was counted so far.
    fn close(&mut self) -> Result<(), StoreError> {
        let bundle = self.bundle.take();
        while let Some((day, profile)) = self.days.0.pop_first() {
            let key = layout::profile_of_messages(day, &self.event)?;
            self.to_store.push_back((key, DayProfile { day, bundle: bundle.clone(), profile }));
        }
        self.since = Instant::now();
        Ok(())
    }
}

impl ProfileWriter {
    /// Creates an observer that writes to `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let pending = Pending {
            days: DayProfiles::default(),
            bundle: None,
            event: String::new(),
            since: Instant::now(),
            to_store: VecDeque::new(),
        };
        Self { store, pending: Arc::new(Mutex::new(pending)) }
    }

    /// Stores what has been counted. What could not be stored stays, and is stored with what comes next.
    ///
    /// # Errors
    /// The first [`StoreError`].
    pub async fn flush(&self) -> Result<(), StoreError> {
        let mut pending = self.pending.lock().await;
        pending.close()?;
        self.store(&mut pending).await
    }

    async fn store(&self, pending: &mut Pending) -> Result<(), StoreError> {
        while let Some((key, stored)) = pending.to_store.front() {
            match json::write_line(&*self.store, key, stored, Condition::IfAbsent).await {
                // An earlier attempt has written it.
                Ok(_) | Err(StoreError::Precondition { .. }) => drop(pending.to_store.pop_front()),
                Err(error) => return Err(error),
            }
        }
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
        // The counts of two bundles are two profiles.
        if bundle.is_some() && pending.bundle.is_some() && pending.bundle != bundle {
            pending.close().map_err(not_stored)?;
        }
        count(batch, &mut pending.days);
        pending.bundle = bundle.or(pending.bundle.take());
        pending.event = batch.event.into();
        if pending.since.elapsed() >= INTERVAL {
            pending.close().map_err(not_stored)?;
        }
        self.store(&mut pending).await.map_err(not_stored)?;
        Ok(Vec::new())
    }
}

/// Counts the messages of a batch that have ended.
fn count(batch: EndedBatch<'_>, days: &mut DayProfiles) {
    let today = today();
    let rejections = batch.rejected.iter().filter(|(at, _)| batch.outcomes.has_ended(*at));
    let rejected: Vec<(u64, Reason)> = rejections.map(|(at, reason)| (*at as u64, *reason)).collect();
    let Some(predicted) = batch.predicted else {
        let (trips, positions) = (&[], &[]);
        let rows = DayRows { trips, positions, rejected: &rejected, outcomes: None, predictions: None };
        return days.add(&rows, Source::Stream, today);
    };
    let acknowledged = predicted.requests.iter().map(|(at, _)| batch.outcomes.has_ended(*at));
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
    days.add(&rows, Source::Stream, today);
}
