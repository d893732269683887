//! Keys of the results of a file. They depend on its key and the bundle alone, so that a repeat overwrites itself.

use dataset::ride_id_prefix;
use model::Month;
use registry::layout;
use store::{ObjectKey, StoreError};

/// A file that was dropped below `incoming/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    key: ObjectKey,
    below: String,
}

impl Dropped {
    /// Returns the file with this key; none if it does not lie below `incoming/`, is a folder's placeholder, or is what Spark and others
    /// write beside their files: a marker such as `_SUCCESS`, or a file in a folder such as `_temporary`, which comes a second time once it is whole.
    pub fn new(key: &str) -> Option<Self> {
        let below = key.strip_prefix(layout::INCOMING)?;
        let file = below.rsplit('/').next().filter(|file| !file.is_empty())?;
        let is_hidden = below.split('/').any(|part| part.starts_with(['_', '.']));
        if is_hidden || file.ends_with(".crc") {
            return None;
        }
        Some(Self { key: ObjectKey::new(key).ok()?, below: below.to_string() })
    }

    /// Returns its key.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// Returns the last part of its key without the extension: `green_tripdata_2021-03`.
    pub fn name(&self) -> &str {
        let file = self.below.rsplit('/').next().unwrap_or(&self.below);
        match file.rsplit_once('.') {
            Some((name, extension)) if extension.eq_ignore_ascii_case("parquet") => name,
            _ => file,
        }
    }

    /// Returns what the ids of its rides begin with, where the models are of `taxi`. Files of equal names in two folders are two sources,
    /// and their rides have two ids.
    pub fn ride_id_prefix(&self, taxi: &str) -> String {
        let (folder, file) = self.below.split_at(self.below.rfind('/').map_or(0, |end| end + 1));
        ride_id_prefix(folder, file, Some(taxi))
    }

    /// Returns its key below `incoming/`.
    pub fn below(&self) -> &str {
        &self.below
    }

    /// Returns the month in its name, as in `<taxi>_tripdata_<yyyy-mm>.parquet`.
    pub fn month(&self) -> Option<Month> {
        self.name().rsplit_once('_')?.1.parse().ok()
    }

    /// Returns the taxis in its name, such as `green`.
    pub fn taxi(&self) -> Option<&str> {
        self.name().split_once("_tripdata_").map(|(taxi, _)| taxi)
    }

    /// Returns the key of its predictions by `bundle`.
    pub fn predictions(&self, bundle: &str) -> Result<ObjectKey, StoreError> {
        layout::predictions(bundle, self.month(), &self.below)
    }

    /// Returns the key of the summary of its predictions by `bundle`.
    pub fn summary(&self, bundle: &str) -> Result<ObjectKey, StoreError> {
        layout::summary(bundle, self.month(), &self.below)
    }

    /// Returns the key of its rejected rows.
    pub fn rejected(&self) -> Result<ObjectKey, StoreError> {
        layout::rejected(&self.below)
    }

    /// Returns the key of the error report of a file that is refused as a whole.
    pub fn error(&self) -> Result<ObjectKey, StoreError> {
        layout::error(&self.below)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_dropped_file_says_its_month_and_its_taxis() {
        let dropped = Dropped::new("incoming/a b/green_tripdata_2021-03.parquet").unwrap();
        assert_eq!((dropped.name(), dropped.month()), ("green_tripdata_2021-03", "2021-03".parse().ok()));
        assert_eq!(dropped.taxi(), Some("green"));
        let path = "bundle=ab12/month=2021-03/a b/green_tripdata_2021-03.parquet";
        assert_eq!(dropped.predictions("ab12").unwrap().as_str(), format!("predictions/{path}"));
        assert_eq!(dropped.summary("ab12").unwrap().as_str(), format!("summaries/{path}.json"));
        let month = |key: &str| Dropped::new(key).unwrap().month();
        assert_eq!(month("incoming/green_tripdata_2021-03.PARQUET"), "2021-03".parse().ok());
        assert_eq!(month("incoming/green_tripdata_2021-03 (1).parquet"), None, "a copy may be another month");
        assert_eq!(month("incoming/mine.parquet"), None);
    }

    #[test]
    fn files_of_one_month_have_no_ride_id_in_common() {
        let prefix = |key: &str| Dropped::new(key).unwrap().ride_id_prefix("green");
        assert_eq!(prefix("incoming/green_tripdata_2021-03.parquet"), "2021/03");
        assert_eq!(prefix("incoming/a b/green_tripdata_2021-03.parquet"), "a b/2021/03");
        assert_eq!(prefix("incoming/mine.parquet"), "mine");
        let of_one_month = [
            "green_tripdata_2021-03.parquet",
            "green_tripdata_2021-03.PARQUET",
            "green_tripdata_2021-03",
            "yellow_tripdata_2021-03.parquet",
            "first_half_2021-03.parquet",
            "second_half_2021-03.parquet",
            "north/green_tripdata_2021-03.parquet",
            "2021/03.parquet",
            "2021/03",
            "yellow_tripdata_2021-03",
        ];
        let prefixes: BTreeSet<_> = of_one_month.map(|file| prefix(&format!("incoming/{file}"))).into();
        assert_eq!(prefixes.len(), of_one_month.len(), "{prefixes:?}");
    }

    #[test]
    fn only_what_lies_below_incoming_is_a_dropped_file() {
        for other in [
            "incoming/",
            "incoming/folder/",
            "incoming/folder/_SUCCESS",
            "incoming/_committed_1",
            "incoming/.part-0.parquet.crc",
            "incoming/out/_temporary/0/task_1/part-0.parquet",
            "incoming/.spark-staging-1/part-0.parquet",
            "history/x.parquet",
            "predictions/ab/x",
            "incoming",
        ] {
            assert_eq!(Dropped::new(other), None, "{other}");
        }
    }
}
