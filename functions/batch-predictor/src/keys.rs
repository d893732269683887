//! Where the results of a file go: functions of its key and the bundle alone, so that a repeat overwrites itself.

use model::Month;
use store::{ObjectKey, StoreError};

/// What triggers a prediction.
pub const INCOMING: &str = "incoming/";

/// A dropped file by its key below `incoming/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    key: ObjectKey,
    below: String,
}

impl Dropped {
    /// The file with this key; none if it does not lie below `incoming/`, or is a folder's placeholder.
    pub fn new(key: &str) -> Option<Self> {
        let below = key.strip_prefix(INCOMING).filter(|below| !below.is_empty() && !below.ends_with('/'))?;
        Some(Self { key: ObjectKey::new(key).ok()?, below: below.to_string() })
    }

    /// Its key.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The last part of its key without the ending: `green_tripdata_2021-03`.
    pub fn name(&self) -> &str {
        let file = self.below.rsplit('/').next().unwrap_or(&self.below);
        file.strip_suffix(".parquet").unwrap_or(file)
    }

    /// The month in its name, as in `<taxi>_tripdata_<yyyy-mm>.parquet`.
    pub fn month(&self) -> Option<Month> {
        self.name().rsplit_once('_')?.1.parse().ok()
    }

    /// The taxis in its name.
    pub fn taxi(&self) -> Option<&str> {
        self.name().split_once("_tripdata_").map(|(taxi, _)| taxi)
    }

    /// Where its predictions by `bundle` go.
    pub fn predictions(&self, bundle: &str) -> Result<ObjectKey, StoreError> {
        ObjectKey::new(format!("predictions/{bundle}/{}", self.below))
    }

    /// Where the summary of its predictions by `bundle` goes.
    pub fn summary(&self, bundle: &str) -> Result<ObjectKey, StoreError> {
        ObjectKey::new(format!("predictions/{bundle}/{}.summary.json", self.below))
    }

    /// Where its rejected rows go.
    pub fn rejected(&self) -> Result<ObjectKey, StoreError> {
        ObjectKey::new(format!("quarantine/{}", self.below))
    }

    /// Where the reason goes if it was refused as a whole.
    pub fn error(&self) -> Result<ObjectKey, StoreError> {
        ObjectKey::new(format!("quarantine/{}.error.json", self.below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_lie_where_the_contract_says() {
        let dropped = Dropped::new("incoming/a b/green_tripdata_2021-03.parquet").unwrap();
        let text = |key: Result<ObjectKey, StoreError>| key.unwrap().to_string();
        assert_eq!(text(dropped.predictions("ab12")), "predictions/ab12/a b/green_tripdata_2021-03.parquet");
        assert_eq!(
            text(dropped.summary("ab12")),
            "predictions/ab12/a b/green_tripdata_2021-03.parquet.summary.json"
        );
        assert_eq!(text(dropped.rejected()), "quarantine/a b/green_tripdata_2021-03.parquet");
        assert_eq!(text(dropped.error()), "quarantine/a b/green_tripdata_2021-03.parquet.error.json");
        assert_eq!((dropped.name(), dropped.month()), ("green_tripdata_2021-03", "2021-03".parse().ok()));
        assert_eq!(dropped.taxi(), Some("green"));
        assert_eq!(Dropped::new("incoming/mine.parquet").unwrap().month(), None);
    }

    #[test]
    fn only_what_lies_below_incoming_is_a_dropped_file() {
        for other in ["incoming/", "incoming/folder/", "history/x.parquet", "predictions/ab/x", "incoming"] {
            assert_eq!(Dropped::new(other), None, "{other}");
        }
    }
}
