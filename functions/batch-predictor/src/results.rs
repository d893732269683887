//! Writes the results of a file: predictions that become visible when complete, rejected rows, a summary or a reason.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::available_parallelism;

use bytes::Bytes;
use chrono::NaiveDate;
use dataset::{EncodedRows, FileReport, PredictionsWriter, RejectedRow, RejectedWriter, Rows, WriteError};
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

pub(crate) struct Results<'a> {
    store: &'a dyn Store,
    dropped: &'a Dropped,
    bundle: Arc<Bundle>,
    predictions: ObjectKey,
    /// Batches that are being predicted, in their order.
    running: VecDeque<JoinHandle<Result<Predicted, WriteError>>>,
    writer: PredictionsWriter,
    upload: InParts,
    /// From the first rejected row on.
    rejected: Option<Rejected>,
    counts: RejectionCounts,
    flags: BTreeMap<&'static str, u64>,
    rows: u64,
    performance: Performance,
    /// Around which the pickups are expected.
    expected: NaiveDate,
    days: DayProfiles,
}

/// An object that is uploaded in parts as its bytes come.
struct InParts {
    /// None once it was completed.
    upload: Option<Box<dyn Upload>>,
    part: Vec<u8>,
}

impl InParts {
    async fn begin(store: &dyn Store, key: &ObjectKey) -> Result<Self, StoreError> {
        Ok(Self { upload: Some(store.upload(key).await?), part: Vec::new() })
    }

    async fn append(&mut self, mut bytes: Vec<u8>) -> Result<(), StoreError> {
        self.part.append(&mut bytes);
        if self.part.len() >= PART_BYTES_MIN {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), StoreError> {
        let part = Bytes::from(std::mem::take(&mut self.part));
        match &mut self.upload {
            Some(upload) => upload.part(part).await,
            None => Ok(()),
        }
    }

    async fn complete(&mut self, mut last: Vec<u8>) -> Result<(), StoreError> {
        self.part.append(&mut last);
        self.send().await?;
        match self.upload.take() {
            Some(upload) => upload.complete().await.map(drop),
            None => Ok(()),
        }
    }
}

/// Rejected rows that are being written.
struct Rejected {
    writer: RejectedWriter,
    upload: InParts,
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
        taxi: &str,
        expected: NaiveDate,
    ) -> Result<Results<'a>, Ended> {
        let predictions = dropped.predictions(&bundle.id())?;
        Ok(Self {
            store,
            dropped,
            running: VecDeque::new(),
            writer: PredictionsWriter::new(dropped.ride_id_prefix(taxi), &bundle.id(), &bundle.versions())?,
            upload: InParts::begin(store, &predictions).await?,
            bundle,
            predictions,
            rejected: None,
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
        self.upload.append(self.writer.take()).await?;
        self.reject(&rows.rejected).await
    }

    async fn reject(&mut self, rows: &[RejectedRow]) -> Result<(), Ended> {
        if rows.is_empty() {
            return Ok(());
        }
        rows.iter().for_each(|row| self.counts.add(row.rejection.reason));
        if self.rejected.is_none() {
            let upload = InParts::begin(self.store, &self.dropped.rejected()?).await?;
            self.rejected = Some(Rejected { writer: RejectedWriter::new()?, upload });
        }
        let Some(Rejected { writer, upload }) = &mut self.rejected else { return Ok(()) };
        writer.append(rows)?;
        Ok(upload.append(writer.take()).await?)
    }

    /// Completes the file of rejected rows.
    async fn complete_rejected(&mut self) -> Result<(), Ended> {
        match &mut self.rejected {
            Some(Rejected { writer, upload }) => Ok(upload.complete(writer.finish()?).await?),
            None => withdraw_rejected(self.store, self.dropped).await,
        }
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
    }

    /// Writes the rejected rows, completes the upload, then writes the summary: where it exists, all else does.
    pub(crate) async fn complete(
        &mut self,
        etag: &ETag,
        taxi: &str,
        report: &FileReport,
        profiles: &Condition,
    ) -> Result<FileOutcome, Ended> {
        self.complete_rejected().await?;
        self.write_profiles(taxi, profiles).await?;
        let (summary, key) = (self.summary(etag, taxi, report), self.dropped.summary(&self.bundle.id())?);
        withdraw(self.store, &key, etag).await?;
        self.upload.complete(self.writer.finish()?).await?;
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

    /// Aborts the uploads that are not complete. If that fails, the bucket's lifecycle rule removes the parts.
    pub(crate) async fn abandon(self) {
        let uploads = [Some(self.upload), self.rejected.map(|rejected| rejected.upload)];
        for upload in uploads.into_iter().flatten().filter_map(|in_parts| in_parts.upload) {
            if let Err(error) = upload.abort().await {
                tracing::warn!(key = %self.dropped.key(), error_message = chain(&error), "an upload was not aborted");
            }
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

/// Replaces the rejected rows of a former object under this key, if there are any, by a file without rows.
async fn withdraw_rejected(store: &dyn Store, dropped: &Dropped) -> Result<(), Ended> {
    let key = dropped.rejected()?;
    match store.head(&key).await {
        Ok(_) => {
            let none = Bytes::from(RejectedWriter::new()?.finish()?);
            Ok(store.put(&key, none, Condition::Always).await.map(drop)?)
        }
        Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes the reason for refusing a whole file to the quarantine, where rejected rows of a former object are withdrawn.
pub(crate) async fn refuse(store: &dyn Store, dropped: &Dropped, why: &Value) -> Result<(), Ended> {
    write_error_report(store, dropped, why).await?;
    withdraw_rejected(store, dropped).await
}

/// Writes the reason why a whole file was not predicted to the quarantine.
pub(crate) async fn write_error_report(
    store: &dyn Store,
    dropped: &Dropped,
    why: &Value,
) -> Result<(), StoreError> {
    json::write(store, &dropped.error()?, why, Condition::Always).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use model::rejection::{Reason, Rejection};
    use store::{Get, MemoryStore};

    use super::*;

    /// Returns rejected rows in batches, as a reader does.
    fn batches(rows: Range<u64>) -> Vec<Vec<RejectedRow>> {
        let detail = |row| format!("PULocationID: expected a whole number, found {row}.5");
        let rejected = |row| RejectedRow { row, rejection: Rejection::new(Reason::InvalidZone, detail(row)) };
        rows.collect::<Vec<_>>()
            .chunks(10_000)
            .map(|rows| rows.iter().map(|row| rejected(*row)).collect())
            .collect()
    }

    /// Ends a file with these rejected rows, and returns what is in the quarantine.
    async fn quarantined(store: &MemoryStore, rows: Range<u64>) -> Bytes {
        let dropped = Dropped::new("incoming/green_tripdata_2021-03.parquet").unwrap();
        let bundle = Arc::new(Bundle::from_bytes(&model::testing::constant_duration(10.0), None).unwrap());
        let mut results = Results::begin(store, &dropped, bundle, "green", NaiveDate::MIN).await.unwrap();
        for rejected in batches(rows) {
            results.add(Rows { rejected, ..Rows::default() }).await.unwrap();
        }
        results.finish_running().await.unwrap();
        let (etag, report) = (ETag("e".into()), FileReport::default());
        results.complete(&etag, "green", &report, &Condition::Always).await.unwrap();
        store.get(&dropped.rejected().unwrap(), Get::default()).await.unwrap().bytes
    }

    #[tokio::test]
    async fn every_rejected_row_is_in_the_quarantine_and_none_of_a_former_object() {
        let store = MemoryStore::default();
        for (rows, is_in_parts) in [(0..1_300_000, true), (3..4, false), (0..0, false)] {
            let mut whole = RejectedWriter::new().unwrap();
            batches(rows.clone()).iter().for_each(|rows| whole.append(rows).unwrap());
            let whole = whole.finish().unwrap();
            assert_eq!(whole.len() > PART_BYTES_MIN, is_in_parts, "{rows:?}: {}", whole.len());
            assert!(quarantined(&store, rows.clone()).await == whole, "{rows:?}");
        }
        // Nor where the file is replaced by one that is refused as a whole.
        let dropped = Dropped::new("incoming/green_tripdata_2021-03.parquet").unwrap();
        let none = quarantined(&store, 0..0).await;
        assert_ne!(quarantined(&store, 0..1).await, none);
        refuse(&store, &dropped, &json!({"outcome": "refused"})).await.unwrap();
        assert_eq!(store.get(&dropped.rejected().unwrap(), Get::default()).await.unwrap().bytes, none);
    }
}
