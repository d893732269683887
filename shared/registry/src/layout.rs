//! Where things lie in the bucket of trips and in that of models: one place for every prefix and key.
//!
//! Predictions lie below Hive's partitions `bundle=` and `month=`, since SQL engines read every object below a prefix; what is no
//! Parquet file of predictions lies elsewhere.

use chrono::NaiveDate;
use model::month::TaxiMonth;
use store::{ObjectKey, StoreError};

/// Training data that triggers nothing.
pub const HISTORY: &str = "history/";
/// Dropped files, which trigger a prediction; labelled ones are training data, too.
pub const INCOMING: &str = "incoming/";
/// Predictions of dropped files.
pub const PREDICTIONS: &str = "predictions/";
/// What was predicted of each file, counted.
pub const SUMMARIES: &str = "summaries/";
/// Rejected rows, and the reasons for files that were refused whole.
pub const QUARANTINE: &str = "quarantine/";
/// What challengers would have answered, day by day.
pub const ANSWERS: &str = "answers/";
/// Records of retrainings, in the bucket of models.
pub const RUNS: &str = "runs/";
/// The month of a file whose name says none, as Hive writes a partition without a value.
const NO_MONTH: &str = "__HIVE_DEFAULT_PARTITION__";
const RECORD: &str = "/run.json";

/// Where a month may lie that is learned from, the place that is preferred first.
pub fn training_months(month: &TaxiMonth) -> [String; 2] {
    [HISTORY, INCOMING].map(|folder| format!("{folder}{}", month.file_name()))
}

/// Where the predictions by `bundle` of the dropped file `below` (its key below [`INCOMING`]) go.
///
/// # Errors
/// [`StoreError::Key`] if the key is too long.
pub fn predictions(bundle: &str, month: Option<model::Month>, below: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{PREDICTIONS}{}", partitions(bundle, month, below)))
}

/// Where the summary of those predictions goes.
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

/// Where the rejected rows of the dropped file `below` go.
///
/// # Errors
/// [`StoreError::Key`] if the key is too long.
pub fn rejected(below: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{QUARANTINE}{below}"))
}

/// Where the reason goes if the dropped file `below` was refused whole.
///
/// # Errors
/// [`StoreError::Key`] if the key is too long.
pub fn error(below: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{QUARANTINE}{below}.error.json"))
}

/// Where the answers of challengers to one event go.
///
/// # Errors
/// [`StoreError::Key`] if the event's name is too long.
pub fn answers(day: NaiveDate, event: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{ANSWERS}{day}/{event}.jsonl"))
}

/// Where the record of a retraining lies.
///
/// # Errors
/// [`StoreError::Key`] if its name is too long.
pub fn run(name: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(format!("{RUNS}{name}{RECORD}"))
}

/// The name of the retraining whose record lies at `key`; none for another object.
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
        assert_eq!(text(answers("2021-03-15".parse().unwrap(), "e")), "answers/2021-03-15/e.jsonl");
    }

    #[test]
    fn a_run_is_found_by_its_name_and_by_nothing_else() {
        assert_eq!(run_name(&run("2021-03-15-a").unwrap()), Some("2021-03-15-a"));
        for other in ["runs/2021-03-15-a/notes.txt", "history/run.json"] {
            assert_eq!(run_name(&ObjectKey::new(other).unwrap()), None, "{other}");
        }
    }
}
