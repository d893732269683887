//! The batch predictor reads a Parquet object of trips and writes an object of predictions.
//!
//! [`BatchPredictor::handle`] decodes the event; [`BatchPredictor::predict`] predicts one file, and
//! [`BatchPredictor::backfill`] one of many, unless it is done; [`BatchPredictor::audit`] says which are. [`pinned`] reads it in
//! ranges of one pinned version, the models predict it row group by row group, and [`results`] uploads the predictions
//! in parts that become visible only when complete. A file that can never be predicted ends with an error report in the
//! quarantine. Only what may succeed later is an error, which Lambda retries and then sends to the failure queue.
//!
//! Deliberately absent: Lambda's event shapes (`platform::event`), and Parquet (`dataset`).

pub mod audit;
pub mod backfill;
pub mod config;
mod error;
pub mod keys;
mod pinned;
pub mod profiles;
mod results;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataset::{Columns, ReadOptions, Rows, Step, TripReader};
use lambda_runtime::LambdaEvent;
use model::{Bundle, Month, chain};
use monitoring::days::median_day;
use platform::event::{ObjectCreated, objects_created};
use platform::lambda::{Deadline, today};
use platform::telemetry::{Dimension, Metric, emit, emit_by};
use registry::{ModelError, Models};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Condition, ETag, Store, StoreError};

use backfill::{Backfilled, backfill_request};
use error::Ended;
pub use error::PredictError;
use keys::Dropped;
use pinned::PinnedObject;
use results::Results;

/// Time kept to abort the upload before the deadline.
const RESERVE: Duration = Duration::from_secs(10);
/// Objects under one key that are predicted by one event at most, where one replaces the other all the while.
const REPLACED_MAX: usize = 5;

/// How an error report says that there was no champion.
const NO_MODEL: &str = "no_model";

/// How a file ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum FileOutcome {
    /// Its predictions are complete.
    Predicted {
        /// The key of the file.
        key: String,
        /// The key of the predictions.
        predictions: String,
        /// Rows predicted.
        rows: u64,
        /// Rows rejected.
        rejected: u64,
        /// Values that could not be used, by column; they count as missing.
        unusable: BTreeMap<&'static str, u64>,
    },
    /// It can never be predicted; the quarantine holds the reason.
    Refused {
        /// The key of the file.
        key: String,
        /// The stable name of the error.
        error_type: String,
        /// The reason, for people.
        detail: String,
    },
    /// There is no champion; the quarantine holds this reason.
    NoModel {
        /// The key of the file.
        key: String,
    },
    /// It was removed before it was read.
    Gone {
        /// The key of the file.
        key: String,
    },
    /// It does not lie below `incoming/` of the bucket of trips.
    Ignored {
        /// The key of the object.
        key: String,
    },
}

/// The response to an event.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// How each file of an S3 event ended.
    Files(Vec<FileOutcome>),
    /// How the object of a backfill ended.
    Backfilled(Backfilled),
}

/// The batch predictor with its ports; clones share them.
#[derive(Debug, Clone)]
pub struct BatchPredictor {
    data: Arc<dyn Store>,
    bucket: Option<String>,
    models: Models,
    taxi: String,
    options: ReadOptions,
    /// Whether profiles of days are replaced. A backfill leaves those that are there: they state what was predicted when
    /// the days were new, and that is what the monitor judges.
    profiles: Condition,
}

impl BatchPredictor {
    /// Creates a predictor of the files on `data`, which is `bucket` if it is one, with models of `taxi`.
    pub fn new(data: Arc<dyn Store>, bucket: Option<String>, models: Models, taxi: String) -> Self {
        let (options, profiles) = (ReadOptions::default(), Condition::Always);
        Self { data, bucket, models, taxi, options, profiles }
    }

    /// Reads files by these options.
    #[must_use]
    pub fn reading(self, options: ReadOptions) -> Self {
        Self { options, ..self }
    }

    /// Handles one Lambda event: S3's, or a request of a backfill.
    ///
    /// # Errors
    /// The first [`PredictError`]; the other files are predicted all the same.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Answer, PredictError> {
        let deadline = Deadline::from_context(&event.context);
        if let Some(request) = backfill_request(&event.payload)? {
            let started = Instant::now();
            let (answer, outcome) = self.backfill(&request, deadline).await?;
            outcome.iter().for_each(|outcome| log_outcome(outcome, started));
            return Ok(Answer::Backfilled(answer));
        }
        let (mut outcomes, mut failure) = (Vec::new(), None);
        for object in objects_created(&event.payload)? {
            let started = Instant::now();
            match self.predict(&object, deadline).await {
                Ok(outcome) => {
                    log_outcome(&outcome, started);
                    outcomes.push(outcome);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(Answer::Files(outcomes)), Err)
    }

    /// Predicts one dropped file.
    ///
    /// # Errors
    /// [`PredictError`].
    pub async fn predict(
        &self,
        object: &ObjectCreated,
        deadline: Deadline,
    ) -> Result<FileOutcome, PredictError> {
        let key = || object.key.clone();
        let dropped = Dropped::new(&object.key)
            .filter(|_| self.bucket.as_ref().is_none_or(|bucket| *bucket == object.bucket));
        let Some(dropped) = dropped else { return Ok(FileOutcome::Ignored { key: key() }) };
        // Events come late, twice and in any order, and two objects of one key are predicted at once. Whoever ends
        // last must have seen the present object, so each looks once more, and an event of an older object is one of the
        // present one. Both write the same bytes.
        let mut object = object.clone();
        for _ in 1..REPLACED_MAX {
            let (outcome, etag) = self.predict_version(&object, &dropped, deadline).await?;
            let present = match self.data.head(dropped.key()).await {
                Ok(meta) => meta.etag,
                Err(StoreError::NotFound { .. }) => return Ok(outcome),
                Err(source) => return Err(PredictError::Store { key: object.key, source }),
            };
            if etag.is_none_or(|etag| etag == present) && !matches!(outcome, FileOutcome::Gone { .. }) {
                return Ok(outcome);
            }
            tracing::info!(key = object.key, "the object was replaced: predicting the present one");
            (object.etag, object.version) = (Some(present.0), None);
        }
        Ok(self.predict_version(&object, &dropped, deadline).await?.0)
    }

    /// Predicts one object under a key, and returns its ETag, if it was read.
    async fn predict_version(
        &self,
        object: &ObjectCreated,
        dropped: &Dropped,
        deadline: Deadline,
    ) -> Result<(FileOutcome, Option<ETag>), PredictError> {
        let key = || object.key.clone();
        let store_error = |source| PredictError::Store { key: key(), source };
        let bundle = match self.models.bundle().await {
            Ok(bundle) => bundle,
            Err(ModelError::NoChampion) => {
                let why = json!({"outcome": NO_MODEL, "key": object.key, "etag": object.etag, "detail": ModelError::NoChampion.to_string()});
                results::write_error_report(&*self.data, dropped, &why).await.map_err(store_error)?;
                return Ok((FileOutcome::NoModel { key: key() }, None));
            }
            Err(source) => return Err(PredictError::Models { key: key(), source }),
        };
        let source = match PinnedObject::open(&*self.data, object, dropped).await {
            Ok(source) => source,
            Err(StoreError::NotFound { .. } | StoreError::Precondition { .. }) => {
                return Ok((FileOutcome::Gone { key: key() }, None));
            }
            Err(source) => return Err(store_error(source)),
        };
        let etag = source.etag().clone();
        let ended = match self.walk(&source, dropped, bundle, deadline).await {
            Err(Ended::Unreadable(error)) if !error.is_transient() => {
                let (error_type, detail) = (error.error_type().to_string(), chain(&error));
                let why = json!({"outcome": "refused", "key": object.key, "etag": etag, "error_type": error_type, "detail": detail});
                let refused = results::refuse(&*self.data, dropped, &why).await;
                refused.map(|()| FileOutcome::Refused { key: key(), error_type, detail })
            }
            ended => ended,
        };
        match ended {
            Ok(outcome) => Ok((outcome, Some(etag))),
            Err(Ended::Gone) => Ok((FileOutcome::Gone { key: key() }, None)),
            Err(Ended::OutOfTime) => Err(PredictError::OutOfTime { key: key() }),
            Err(Ended::Store(source)) => Err(store_error(source)),
            Err(Ended::Write(source)) => Err(PredictError::Write { key: key(), source }),
            Err(Ended::Unreadable(source)) => Err(PredictError::Read { key: key(), source }),
        }
    }

    async fn walk(
        &self,
        source: &PinnedObject<'_>,
        dropped: &Dropped,
        bundle: Arc<Bundle>,
        deadline: Deadline,
    ) -> Result<FileOutcome, Ended> {
        let mut reader = TripReader::new(source.bytes(), Columns::Labelled, self.options.streamed())?;
        // The upload begins only after the first rows could be read.
        let mut step = next(&mut reader, source).await?;
        let expected = dropped
            .month()
            .and_then(Month::first_day)
            .or_else(|| step.as_ref().and_then(|rows| median_day(&rows.trips)))
            .unwrap_or_else(today);
        let mut results = Results::begin(&*self.data, dropped, bundle, &self.taxi, expected).await?;
        let mut ended = Ok(());
        while let (Some(rows), Ok(())) = (step.take(), &ended) {
            ended = if deadline.left() < RESERVE { Err(Ended::OutOfTime) } else { results.add(rows).await };
            if ended.is_ok() {
                (step, ended) = match next(&mut reader, source).await {
                    Ok(rows) => (rows, Ok(())),
                    Err(error) => (None, Err(error)),
                };
            }
        }
        if ended.is_ok() {
            ended = results.finish_running().await;
        }
        let outcome = match ended {
            Ok(()) => results.complete(source.etag(), &self.taxi, &reader.report(), &self.profiles).await,
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            results.abandon().await;
        }
        outcome
    }
}

/// Returns the next rows, fetching the byte ranges that the reader needs; none at the end.
async fn next(reader: &mut TripReader, source: &PinnedObject<'_>) -> Result<Option<Rows>, Ended> {
    let mut needs = reader.first_need().into_iter().collect();
    loop {
        for (range, bytes) in source.fetch(std::mem::take(&mut needs)).await? {
            reader.supply(range, bytes)?;
        }
        match reader.step()? {
            Step::Need(ranges) => needs = ranges,
            Step::Rows(rows) => return Ok(Some(*rows)),
            Step::Done => return Ok(None),
        }
    }
}

fn log_outcome(outcome: &FileOutcome, started: Instant) {
    let milliseconds = (Metric::FileMilliseconds, started.elapsed().as_secs_f64() * 1e3);
    let notes = json!(outcome);
    tracing::info!(outcome = %notes, "file ended");
    match outcome {
        FileOutcome::Predicted { rows, rejected, unusable, .. } => {
            for (column, values) in unusable {
                let metric = [(Metric::FieldsUnusable, *values as f64)];
                emit_by("batch-predictor", &[(Dimension::Feature, column)], &metric, &notes);
            }
            emit(
                "batch-predictor",
                &[
                    (Metric::FilesPredicted, 1.0),
                    (Metric::RowsPredicted, *rows as f64),
                    (Metric::RowsRejected, *rejected as f64),
                    milliseconds,
                ],
                &notes,
            );
        }
        FileOutcome::Refused { .. } | FileOutcome::NoModel { .. } => {
            emit("batch-predictor", &[(Metric::FilesRefused, 1.0), milliseconds], &notes);
        }
        FileOutcome::Gone { .. } | FileOutcome::Ignored { .. } => (),
    }
}

#[cfg(test)]
mod tests;
