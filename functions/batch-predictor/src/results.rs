//! Writes the results of a file: predictions that become visible when complete, rejected rows, a summary or a reason.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::available_parallelism;

use bytes::Bytes;
use chrono::NaiveDate;
use dataset::{EncodedRows, FileReport, PredictionsWriter, RejectedRow, Rows, WriteError};
use futures::stream::{self, StreamExt, TryStreamExt};
use model::chain;
use model::outcome::duration_min;
use model::rejection::RejectionCounts;
use model::{Bundle, Performance, PredictionBatch, Rules, Target};
use monitoring::days::{DayProfile, DayProfiles};
use registry::layout;
use serde_json::{Value, json};
use store::{Condition, ETag, ObjectKey, PART_BYTES_MIN, Store, StoreError, Upload, json};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::keys::Dropped;
use crate::profiles::{count, fill};
use crate::{Ended, FileOutcome};

/// Limit of the rejected rows that are written with their details, to bound the memory; all are counted.
const REJECTED_ROWS_MAX: usize = 1_000_000;

pub(crate) struct Results<'a> {
    store: &'a dyn Store,
    dropped: &'a Dropped,
    bundle: Arc<Bundle>,
    predictions: ObjectKey,
    /// Batches that are being predicted, in their order.
    running: VecDeque<JoinHandle<Result<Predicted, WriteError>>>,
    writer: PredictionsWriter,
    upload: Box<dyn Upload>,
    part: Vec<u8>,
    rejected: Vec<RejectedRow>,
    counts: RejectionCounts,
    flags: BTreeMap<&'static str, u64>,
    rows: u64,
    performance: Performance,
    /// Around which the pickups are expected.
    expected: NaiveDate,
    days: DayProfiles,
}

/// Profiles that are written at once.
const PROFILES_AT_ONCE: usize = 8;

/// A batch that is predicted.
struct Predicted {
    rows: Rows,
    predictions: PredictionBatch,
    encoded: EncodedRows,
    days: DayProfiles,
}

impl<'a> Results<'a> {
    pub(crate) async fn begin(
        store: &'a dyn Store,
        dropped: &'a Dropped,
        bundle: Arc<Bundle>,
        expected: NaiveDate,
    ) -> Result<Results<'a>, Ended> {
        let predictions = dropped.predictions(&bundle.id())?;
        Ok(Self {
            store,
            dropped,
            running: VecDeque::new(),
            writer: PredictionsWriter::new(
                dropped.folder(),
                dropped.name(),
                dropped.month(),
                &bundle.id(),
                &bundle.versions(),
            )?,
            upload: store.upload(&predictions).await?,
            bundle,
            predictions,
            part: Vec::new(),
            rejected: Vec::new(),
            counts: RejectionCounts::default(),
            flags: BTreeMap::new(),
            rows: 0,
            performance: Performance::new(Target::Duration),
            expected,
            days: DayProfiles::default(),
        })
    }

    /// Begins to predict rows, beside those before them and the reading of the next.
    pub(crate) async fn add(&mut self, rows: Rows) -> Result<(), Ended> {
        if self.running.len() >= available_parallelism().map_or(1, usize::from) {
            self.finish_first().await?;
        }
        let (bundle, encoder) = (Arc::clone(&self.bundle), self.writer.encoder());
        let (expected, month) = (self.expected, self.dropped.month());
        self.running.push_back(spawn_blocking(move || {
            let predictions = bundle.predict(&rows.trips);
            let encoded = encoder.encode(&rows, &predictions)?;
            let days = count(&rows, Some(&predictions), month, expected);
            Ok(Predicted { rows, predictions, encoded, days })
        }));
        Ok(())
    }

    /// Waits for all batches that are being predicted.
    pub(crate) async fn finish_running(&mut self) -> Result<(), Ended> {
        while !self.running.is_empty() {
            self.finish_first().await?;
        }
        Ok(())
    }

    /// Appends the first of the batches that are being predicted, and uploads a part as soon as it is large enough.
    async fn finish_first(&mut self) -> Result<(), Ended> {
        let Some(first) = self.running.pop_front() else { return Ok(()) };
        let Predicted { rows, predictions, encoded, days } =
            first.await.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))?;
        self.count(&rows, &predictions);
        self.days.merge(&days);
        self.writer.append(encoded)?;
        self.part.append(&mut self.writer.take());
        if self.part.len() >= PART_BYTES_MIN {
            self.upload.part(Bytes::from(std::mem::take(&mut self.part))).await?;
        }
        Ok(())
    }

    fn count(&mut self, rows: &Rows, predicted: &PredictionBatch) {
        self.rows += rows.trips.len() as u64;
        for (row, trip) in rows.trips.iter().enumerate() {
            trip.flags().for_each(|flag| *self.flags.entry(flag).or_default() += 1);
            let actual = duration_min(trip.pickup, rows.outcomes[row].dropoff);
            if let Some(actual) = actual.filter(|actual| Rules::judges(*actual)) {
                let interval = (predicted.lower_min[row], predicted.upper_min[row]);
                self.performance.add(predicted.duration_min[row], Some(interval), actual);
            }
        }
        rows.rejected.iter().for_each(|row| self.counts.add(row.rejection.reason));
        let room = REJECTED_ROWS_MAX - self.rejected.len();
        self.rejected.extend(rows.rejected.iter().take(room).cloned());
    }

    /// Writes the rejected rows, completes the upload, then writes the summary: where it exists, all else does.
    pub(crate) async fn complete(
        mut self,
        etag: &ETag,
        taxi: &str,
        report: &FileReport,
        profiles: &Condition,
    ) -> Result<FileOutcome, Ended> {
        if !self.rejected.is_empty() {
            let rejected = dataset::rejected::to_parquet(&self.rejected)?;
            self.store.put(&self.dropped.rejected()?, Bytes::from(rejected), Condition::Always).await?;
        }
        self.write_profiles(taxi, profiles).await?;
        let (summary, key) = (self.summary(etag, taxi, report), self.dropped.summary(&self.bundle.id())?);
        withdraw(self.store, &key, etag).await?;
        let mut last = std::mem::take(&mut self.part);
        last.append(&mut self.writer.finish()?);
        self.upload.part(Bytes::from(last)).await?;
        self.upload.complete().await?;
        json::write(self.store, &key, &summary, Condition::Always).await?;
        Ok(FileOutcome::Predicted {
            key: self.dropped.key().to_string(),
            predictions: self.predictions.to_string(),
            rows: self.rows,
            rejected: self.counts.total(),
            unusable: report.unusable_values(),
        })
    }

    /// Writes the profile of each day, also of the days of its month without rows: they belong to the file alone, so that another prediction
    /// of it replaces them, unless `condition` keeps those that are there. Trips of other taxis than the models' are not watched.
    async fn write_profiles(&mut self, taxi: &str, condition: &Condition) -> Result<(), StoreError> {
        if self.dropped.taxi().is_some_and(|of_file| of_file != taxi) {
            return Ok(());
        }
        fill(&mut self.days, self.dropped.month());
        let (store, bundle) = (self.store, self.bundle.id());
        let days = std::mem::take(&mut self.days).0.into_iter().map(|(day, profile)| {
            let key = layout::profile_of_file(day, self.dropped.below());
            let profile = DayProfile { day, bundle: Some(bundle.clone()), profile };
            async move {
                match json::write_line(store, &key?, &profile, condition.clone()).await {
                    Err(StoreError::Precondition { .. }) | Ok(_) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        });
        stream::iter(days).buffer_unordered(PROFILES_AT_ONCE).try_collect().await
    }

    /// Aborts the upload. If that fails, the bucket's lifecycle rule removes the parts.
    pub(crate) async fn abandon(self) {
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(key = %self.predictions, error_message = chain(&error), "the upload was not aborted");
        }
    }

    // Contains no time and no run, so that a repeat writes the same bytes.
    fn summary(&self, etag: &ETag, taxi: &str, report: &FileReport) -> Value {
        let judged = self.performance.metrics();
        let other = self.dropped.taxi().filter(|of_file| *of_file != taxi);
        if let Some(of_file) = other {
            tracing::warn!(key = %self.dropped.key(), of_file, of_models = taxi, "predicted by models of other taxis");
        }
        json!({
            "source": {"key": self.dropped.key(), "etag": etag},
            "predictions": self.predictions,
            "bundle": self.bundle.id(),
            "versions": self.bundle.versions(),
            "taxi": {"of_file": self.dropped.taxi(), "of_models": taxi},
            "rows": self.rows + self.counts.total(),
            "predicted": self.rows,
            "rejected": self.counts,
            "flags": self.flags,
            "columns": report,
            "month": self.dropped.month(),
            "metrics": (judged.rows > 0).then(|| json!({"rules": Rules::Course, "duration": judged})),
        })
    }
}

/// Returns the ETag of the object that the summary under `key` is of; none if there is no summary that can be read, which
/// is then written again.
pub(crate) async fn summarised(store: &dyn Store, key: &ObjectKey) -> Result<Option<String>, StoreError> {
    let summary: Value = match json::read(store, key).await {
        Ok(Some((summary, _))) => summary,
        Ok(None) | Err(StoreError::Document { .. }) => return Ok(None),
        Err(source) => return Err(source),
    };
    Ok(summary["source"]["etag"].as_str().map(String::from))
}

/// Replaces the summary of another object's predictions, which are about to be replaced, by one of none: a run that ends before it has
/// written its own summary must not leave that of others.
async fn withdraw(store: &dyn Store, summary: &ObjectKey, etag: &ETag) -> Result<(), StoreError> {
    if summarised(store, summary).await?.is_none_or(|summarised| summarised == etag.0) {
        return Ok(());
    }
    let none = json!({"source": {"etag": null}, "replacing": etag});
    json::write(store, summary, &none, Condition::Always).await.map(drop)
}

/// Writes the reason for refusing a whole file to the quarantine.
pub(crate) async fn write_error_report(
    store: &dyn Store,
    dropped: &Dropped,
    why: &Value,
) -> Result<(), StoreError> {
    json::write(store, &dropped.error()?, why, Condition::Always).await.map(drop)
}
