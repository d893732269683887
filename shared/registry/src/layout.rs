//! The layout of the bucket of trips and of that of models: every prefix and key, but for those of [`crate::Registry`].
//!
//! Predictions lie below Hive's partitions `bundle=` and `month=`. SQL engines read every object below a prefix, so
//! other objects lie elsewhere.

use chrono::NaiveDate;
use model::month::TaxiMonth;
use store::{ObjectKey, StoreError};

/// Training data; a new object here starts nothing.
pub const HISTORY: &str = "history/";
/// Dropped files, each of which starts a prediction; labelled ones are training data, too.
pub const INCOMING: &str = "incoming/";
/// Predictions of dropped files.
pub const PREDICTIONS: &str = "predictions/";
/// Summaries of the predictions of each file.
pub const SUMMARIES: &str = "summaries/";
/// Rejected rows, and error reports of files that were refused as a whole.
pub const QUARANTINE: &str = "quarantine/";
/// Kept predictions of messages, with those of challengers, day by day.
pub const ANSWERS: &str = "answers/";
/// Outcomes of what was answered on a day, as JSON Lines.
pub const LABELS: &str = "labels/";
/// Profiles of what was predicted, day by day.
pub const PROFILES: &str = "profiles/";
/// Records of alarms.
pub const ALARMS: &str = "alarms/";
/// Reports of the monitor, day by day.
pub const REPORTS: &str = "reports/";
/// Rows of figures of the monitor, month by month.
pub const METRICS: &str = "metrics/";
/// Requests of the monitor for a retraining; a new object here starts one.
pub const RETRAIN_REQUESTS: &str = "retrain-requests/";
/// Records of retrainings, in the bucket of models.
pub const RUNS: &str = "runs/";
/// What the steps of a retraining hand on, in the bucket of models; kept for a month.
pub const FITS: &str = "fits/";
/// The month of a file whose name has none, as Hive writes a partition without a value.
const NO_MONTH: &str = "__HIVE_DEFAULT_PARTITION__";
const RECORD: &str = "/run.json";

/// Returns the keys where a training month may be, the preferred one first.
pub fn training_months(month: &TaxiMonth) -> [String; 2] {
    [HISTORY, INCOMING].map(|folder| format!("{folder}{}", month.file_name()))
}

/// Returns the key of the predictions by `bundle` of the dropped file `below` (its key below [`INCOMING`]).
///
/// # Errors
/// [`StoreError::Key`] if the key is too long.
pub fn predictions(bundle: &str, month: Option<model::Month>, below: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{PREDICTIONS}{}", partitions(bundle, month, below)))
}

/// Returns the key of the summary of those predictions.
///
/// # Errors
/// [`StoreError::Key`] if the key is too long.
pub fn summary(bundle: &str, month: Option<model::Month>, below: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{SUMMARIES}{}.json", partitions(bundle, month, below)))
}

fn partitions(bundle: &str, month: Option<model::Month>, below: &str) -> String {
    let month = month.map_or(NO_MONTH.into(), |month| month.to_string());
    format!("bundle={bundle}/month={month}/{below}")
}

/// Returns the key of the rejected rows of the dropped file `below`.
///
/// # Errors
/// [`StoreError::Key`] if the key is too long.
pub fn rejected(below: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{QUARANTINE}{below}"))
}

/// Returns the key of the error report of the dropped file `below`, which was refused as a whole.
///
/// # Errors
/// [`StoreError::Key`] if the key is too long.
pub fn error(below: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{QUARANTINE}{below}.error.json"))
}

/// Returns the key of the kept predictions of one event, by its request id.
///
/// # Errors
/// [`StoreError::Key`] if the request id is too long.
pub fn answers(day: NaiveDate, event: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{ANSWERS}{day}/{event}.jsonl"))
}

/// Returns the prefix of the kept predictions of a day.
pub fn answers_of_day(day: NaiveDate) -> String {
    format!("{ANSWERS}{day}/")
}

/// Returns the day of a file of labels, `labels/<day>/<name>.jsonl`.
pub fn day_of_labels(key: &ObjectKey) -> Option<NaiveDate> {
    let (day, name) = key.as_str().strip_prefix(LABELS)?.split_once('/')?;
    day.parse().ok().filter(|_| name.ends_with(".jsonl"))
}

/// Returns the key of the outcomes of what was answered on `day`.
///
/// # Errors
/// Never; a day has a key.
pub fn profile_of_labels(day: NaiveDate) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{PROFILES}labels/{day}.json"))
}

/// Returns the key of the profile of `day` of the dropped file `below`.
///
/// # Errors
/// [`StoreError::Key`] if the key is too long.
pub fn profile_of_file(day: NaiveDate, below: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{PROFILES}batch/{day}/{below}.json"))
}

/// Returns the key of the profile of messages of `day`, by the request id of the last event that it counts.
///
/// # Errors
/// [`StoreError::Key`] if the request id is too long.
pub fn profile_of_messages(day: NaiveDate, event: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{PROFILES}stream/{day}/{event}.json"))
}

/// Returns the key of the profile of all messages of a finished `day`.
///
/// # Errors
/// Never; a day has a key.
pub fn profile_of_day(day: NaiveDate) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{PROFILES}days/stream/{day}.json"))
}

/// Returns the prefix of the profiles of a `source`, "batch" or "stream", of `day`.
pub fn profiles_of_day(source: &str, day: NaiveDate) -> String {
    format!("{PROFILES}{source}/{day}/")
}

/// Returns the prefix of all profiles of a `source`: "batch", "stream", or "days/stream" for merged days of messages.
pub fn profiles(source: &str) -> String {
    format!("{PROFILES}{source}/")
}

/// Returns the day of a profile.
pub fn day_of_profile(key: &ObjectKey) -> Option<NaiveDate> {
    let mut parts = key.as_str().strip_prefix(PROFILES)?.split('/');
    parts.find_map(|part| part.trim_end_matches(".json").parse().ok())
}

/// Returns the key of the record of an alarm.
///
/// # Errors
/// [`StoreError::Key`] if the id is too long.
pub fn alarm(id: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{ALARMS}{id}.json"))
}

/// Returns the key of a report of the monitor on `day`; `form` is "json" or "html".
///
/// # Errors
/// [`StoreError::Key`] if a part is too long.
pub fn report(source: &str, day: NaiveDate, form: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{REPORTS}{day}/{source}.{form}"))
}

/// Returns the key of the figures of a month.
///
/// # Errors
/// [`StoreError::Key`] if a part is too long.
pub fn metrics(source: &str, month: model::Month) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{METRICS}month={month}/{source}.parquet"))
}

/// Returns the key of the request to replace a champion.
///
/// # Errors
/// [`StoreError::Key`] if the version is too long.
pub fn retrain_request(version: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{RETRAIN_REQUESTS}requested-{version}.json"))
}

/// Returns the name of the run for a request.
pub fn retrain_request_name(key: &str) -> Option<&str> {
    key.strip_prefix(RETRAIN_REQUESTS)?.strip_suffix(".json")
}

/// Returns the key of the record of a retraining.
///
/// # Errors
/// [`StoreError::Key`] if its name is too long.
pub fn run(name: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{RUNS}{name}{RECORD}"))
}

/// Returns the key of the state of the retraining called `run`, if it is done step by step.
///
/// # Errors
/// [`StoreError::Key`] if the name is too long.
pub fn steps(run: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{FITS}{run}/steps.json"))
}

/// Returns the prefix of what the fits of such a retraining have left.
pub fn fits(run: &str) -> String {
    format!("{FITS}{run}/done/")
}

/// Returns the key of what a fit has left: a document, or an artifact (`bin`).
///
/// # Errors
/// [`StoreError::Key`] if a name is too long.
pub fn fit(run: &str, fit: &str, extension: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{}{fit}.{extension}", fits(run)))
}

/// Returns the name of the retraining whose record has this `key`; none for another object.
pub fn run_name(key: &ObjectKey) -> Option<&str> {
    key.as_str().strip_prefix(RUNS)?.strip_suffix(RECORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_lie_where_the_contract_says() {
        let text = |key: Result<ObjectKey, StoreError>| key.unwrap().to_string();
        let (march, below) = ("2021-03".parse().ok(), "a b/green_tripdata_2021-03.parquet");
        let path = "bundle=ab12/month=2021-03/a b/green_tripdata_2021-03.parquet";
        assert_eq!(text(predictions("ab12", march, below)), format!("predictions/{path}"));
        assert_eq!(text(summary("ab12", march, below)), format!("summaries/{path}.json"));
        let nameless = text(predictions("ab12", None, "mine.parquet"));
        assert_eq!(nameless, "predictions/bundle=ab12/month=__HIVE_DEFAULT_PARTITION__/mine.parquet");
        assert_eq!(text(rejected(below)), "quarantine/a b/green_tripdata_2021-03.parquet");
        assert_eq!(text(error(below)), "quarantine/a b/green_tripdata_2021-03.parquet.error.json");
        let day = "2021-03-15".parse().unwrap();
        assert_eq!(text(profile_of_file(day, "x.parquet")), "profiles/batch/2021-03-15/x.parquet.json");
        assert_eq!(text(profile_of_messages(day, "e")), "profiles/stream/2021-03-15/e.json");
        assert_eq!(text(profile_of_day(day)), "profiles/days/stream/2021-03-15.json");
        for key in
            [profile_of_messages(day, "e"), profile_of_file(day, "2020-01-01/x.parquet"), profile_of_day(day)]
        {
            assert_eq!(day_of_profile(&key.unwrap()), Some(day));
        }
        assert_eq!(text(report("stream", day, "html")), "reports/2021-03-15/stream.html");
        let request = retrain_request("9f3c1a7be2d0").unwrap();
        assert_eq!(retrain_request_name(request.as_str()), Some("requested-9f3c1a7be2d0"));
        assert_eq!(text(answers(day, "e")), "answers/2021-03-15/e.jsonl");
        let day_of = |key: &str| day_of_labels(&ObjectKey::new(key).unwrap());
        assert_eq!(day_of("labels/2021-03-15/a.jsonl"), Some(day));
        assert_eq!(day_of("labels/2021-03-15.jsonl"), None);
    }

    #[test]
    fn a_run_is_found_by_its_name_and_by_nothing_else() {
        assert_eq!(run_name(&run("2021-03-15-a").unwrap()), Some("2021-03-15-a"));
        for other in ["runs/2021-03-15-a/notes.txt", "history/run.json"] {
            assert_eq!(run_name(&ObjectKey::new(other).unwrap()), None, "{other}");
        }
    }
}
