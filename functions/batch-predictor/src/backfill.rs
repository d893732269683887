//! Backfill: one object of a walk over many, which is predicted unless the present champions have predicted it.
//!
//! The state machine (`Backfill` in template.yaml) lists a prefix and sends one request for each object; `tripcast
//! backfill` sends the same for the files of a directory. What has its summary is left as it is, so that a second walk
//! goes on where the first one ended. An answer is short, as Step Functions collects those of all objects.

use model::{Classified, Month};
use platform::event::{EventError, ObjectCreated};
use platform::lambda::Deadline;
use registry::ModelError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Condition, StoreError};

use crate::keys::Dropped;
use crate::results::summarised;
use crate::{BatchPredictor, FileOutcome, PredictError};

/// Characters of an explanation that are kept.
const DETAIL_CHARS_MAX: usize = 200;

/// A request to predict one object, if its month lies in a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillRequest {
    /// The object.
    pub object: ObjectCreated,
    /// The first month to predict; files without a month in their names are predicted only if no span is given.
    pub from: Option<Month>,
    /// The last month to predict.
    pub to: Option<Month>,
    /// Whether profiles of its days are replaced; an event's request leaves those that are there.
    pub profiles: Condition,
}

/// How an object of a backfill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillOutcome {
    /// Its predictions are complete.
    Predicted,
    /// The present champions have predicted this object before.
    Unchanged,
    /// It is no file of trips, or not of these months.
    Outside,
    /// It was removed before it was read.
    Gone,
    /// It can never be predicted; the quarantine holds the reason.
    Refused,
    /// There is no champion.
    NoModel,
}

/// The answer to a [`BackfillRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfilled {
    /// How it ended.
    pub outcome: BackfillOutcome,
    /// The key of the object.
    pub key: String,
    /// Rows predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Rows rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<u64>,
    /// The stable name of the error, if it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// The beginning of the reason, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Backfilled {
    fn new(object: &ObjectCreated, outcome: BackfillOutcome) -> Self {
        let key = object.key.clone();
        Self { outcome, key, rows: None, rejected: None, error_type: None, detail: None }
    }

    fn from_outcome(object: &ObjectCreated, outcome: &FileOutcome) -> Self {
        let failed = |outcome, error_type: &str, detail: &str| Self {
            error_type: Some(error_type.into()),
            detail: Some(detail.chars().take(DETAIL_CHARS_MAX).collect()),
            ..Self::new(object, outcome)
        };
        match outcome {
            FileOutcome::Predicted { rows, rejected, .. } => Self {
                rows: Some(*rows),
                rejected: Some(*rejected),
                ..Self::new(object, BackfillOutcome::Predicted)
            },
            FileOutcome::Refused { error_type, detail, .. } => {
                failed(BackfillOutcome::Refused, error_type, detail)
            }
            FileOutcome::NoModel { .. } => {
                let why = ModelError::NoChampion;
                failed(BackfillOutcome::NoModel, why.error_type(), &why.to_string())
            }
            FileOutcome::Gone { .. } => Self::new(object, BackfillOutcome::Gone),
            FileOutcome::Ignored { .. } => Self::new(object, BackfillOutcome::Outside),
        }
    }
}

impl BackfillOutcome {
    /// Returns whether somebody has to look at the object.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Refused | Self::NoModel)
    }
}

/// Returns the request in an event, or none if it is an event of another kind:
/// `{"backfill": {"bucket": ..., "key": ..., "etag": ..., "from": "2023-01", "to": "2024-10"}}`; the last three may be null.
///
/// # Errors
/// [`EventError`] for a request without a bucket or a key, with an invalid month, or with unknown fields.
pub fn backfill_request(event: &Value) -> Result<Option<BackfillRequest>, EventError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        bucket: String,
        key: String,
        etag: Option<String>,
        from: Option<Month>,
        to: Option<Month>,
    }
    let Some(request) = event.get("backfill") else { return Ok(None) };
    let Ok(Fields { bucket, key, etag, from, to }) = Fields::deserialize(request) else {
        return Err(EventError::new(
            "{\"backfill\": {\"bucket\", \"key\", \"etag\", \"from\": \"yyyy-mm\", \"to\": \"yyyy-mm\"}}",
            event,
        ));
    };
    // S3 lists ETags in quotes.
    let etag = etag.map(|etag| etag.trim_matches('"').to_string());
    let object = ObjectCreated { bucket, key, version: None, etag };
    Ok(Some(BackfillRequest { object, from, to, profiles: Condition::IfAbsent }))
}

impl BackfillRequest {
    /// Returns whether the file is to be predicted.
    fn includes(&self, dropped: &Dropped) -> bool {
        let Some(month) = dropped.month() else { return self.from.is_none() && self.to.is_none() };
        self.from.is_none_or(|from| from <= month) && self.to.is_none_or(|to| month <= to)
    }
}

impl BatchPredictor {
    /// Predicts one object of a backfill, unless it is done or not asked for; returns the answer, and how the file ended
    /// if it was opened.
    ///
    /// # Errors
    /// [`PredictError`].
    pub async fn backfill(
        &self,
        request: &BackfillRequest,
        deadline: Deadline,
    ) -> Result<(Backfilled, Option<FileOutcome>), PredictError> {
        let object = &request.object;
        let without_reading = |outcome| Ok((Backfilled::new(object, outcome), None));
        match Dropped::new(&object.key).filter(|dropped| request.includes(dropped)) {
            None => return without_reading(BackfillOutcome::Outside),
            Some(dropped) if self.is_done(&dropped, object).await? => {
                return without_reading(BackfillOutcome::Unchanged);
            }
            Some(_) => (),
        }
        let predictor = Self { profiles: request.profiles.clone(), ..self.clone() };
        let outcome = predictor.predict(object, deadline).await?;
        Ok((Backfilled::from_outcome(object, &outcome), Some(outcome)))
    }

    /// Returns whether the summary of the present champions' predictions exists and is of this object.
    async fn is_done(&self, dropped: &Dropped, object: &ObjectCreated) -> Result<bool, PredictError> {
        let store_error = |source| PredictError::Store { key: object.key.clone(), source };
        // Without models the prediction itself fails, by name.
        let Ok(bundle) = self.models.bundle().await else { return Ok(false) };
        let key = dropped.summary(&bundle.id()).map_err(store_error)?;
        let Some(summarised) = summarised(&*self.data, &key).await.map_err(store_error)? else {
            return Ok(false);
        };
        let present = match self.data.head(dropped.key()).await {
            Ok(meta) => meta.etag.0,
            Err(StoreError::NotFound { .. }) => return Ok(false),
            Err(source) => return Err(store_error(source)),
        };
        Ok(summarised == present && object.etag.as_ref().is_none_or(|etag| *etag == present))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(key: &str, from: Option<&str>, to: Option<&str>) -> BackfillRequest {
        let event =
            json!({"backfill": {"bucket": "trips", "key": key, "etag": "\"ab\"", "from": from, "to": to}});
        backfill_request(&event).unwrap().unwrap()
    }

    #[test]
    fn a_request_names_an_object_and_perhaps_months() {
        let asked = request("incoming/green_tripdata_2023-01.parquet", Some("2023-01"), None);
        assert_eq!(asked.object.etag.as_deref(), Some("ab"), "without the quotes of S3's lists");
        assert_eq!((asked.from, asked.to), ("2023-01".parse().ok(), None));
        assert_eq!(backfill_request(&json!({"Records": []})), Ok(None));
        for bad in [
            json!({"backfill": {"key": "incoming/a"}}),
            json!({"backfill": {"bucket": "b", "key": "incoming/a", "from": "January"}}),
            json!({"backfill": {"bucket": "b", "key": "incoming/a", "until": "2023-01"}}),
            json!({"backfill": null}),
        ] {
            assert!(backfill_request(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_files_of_the_months_asked_for_are_included() {
        let included = |key: &str, from, to| request(key, from, to).includes(&Dropped::new(key).unwrap());
        let march = "incoming/green_tripdata_2023-03.parquet";
        assert!(included(march, Some("2023-03"), Some("2023-03")) && included(march, None, Some("2024-01")));
        assert!(!included(march, Some("2023-04"), None) && !included(march, None, Some("2023-02")));
        assert!(included("incoming/mine.parquet", None, None));
        assert!(!included("incoming/mine.parquet", Some("2023-01"), None), "its month is unknown");
    }
}
