//! Which months to learn from and which to judge on. Pure: the day and what is there in, a plan or a reason out.

use chrono::NaiveDate;
use model::Month;
use platform::store::{ETag, ObjectKey, ObjectMeta};

/// A month of trips on the store, pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which month.
    pub month: Month,
    /// Where it is.
    pub key: ObjectKey,
    /// What it was when the plan was made.
    pub etag: ETag,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The months to learn from, in order.
    pub train: Vec<Source>,
    /// The month to judge on: the last full one.
    pub validate: Source,
}

/// Why there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The month to judge on has not been published.
    #[error(
        "there are no {taxi} trips of {month}, the last full month: expected {taxi}_tripdata_{month}.parquet in history/ or incoming/"
    )]
    NothingToJudgeOn {
        /// Which taxis.
        taxi: String,
        /// Which month.
        month: Month,
    },
    /// There is no earlier month.
    #[error("there are no {taxi} trips of the {months} months before {month} to learn from")]
    NothingToLearnFrom {
        /// Which taxis.
        taxi: String,
        /// How many months are looked at.
        months: u32,
        /// Before which one.
        month: Month,
    },
}

/// The plan as of `now`: judge on the last full month, learn from up to `training_months` before it. Of a month that
/// lies in both places the one in `history/` counts: it was put there to be learned from.
///
/// # Errors
/// [`PlanError`].
pub fn plan(
    now: NaiveDate,
    available: &[ObjectMeta],
    taxi: &str,
    training_months: u32,
) -> Result<Plan, PlanError> {
    let last_full = Month::of(now).minus(1);
    let source = |month: Month| {
        let found = ["history", "incoming"].iter().find_map(|folder| {
            let key = format!("{folder}/{taxi}_tripdata_{month}.parquet");
            available.iter().find(|meta| meta.key.as_str() == key)
        })?;
        Some(Source { month, key: found.key.clone(), etag: found.etag.clone() })
    };
    let validate = source(last_full)
        .ok_or_else(|| PlanError::NothingToJudgeOn { taxi: taxi.to_string(), month: last_full })?;
    let train: Vec<Source> =
        (1..=training_months).rev().filter_map(|back| source(last_full.minus(back))).collect();
    if train.is_empty() {
        let taxi = taxi.to_string();
        return Err(PlanError::NothingToLearnFrom { taxi, months: training_months, month: last_full });
    }
    Ok(Plan { train, validate })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(keys: &[&str]) -> Vec<ObjectMeta> {
        let meta = |key: &&str| ObjectMeta {
            key: ObjectKey::new(*key).unwrap(),
            bytes: 1,
            etag: ETag(format!("etag of {key}")),
        };
        keys.iter().map(meta).collect()
    }

    fn check(now: &str, available: &[&str], months: u32) -> Result<(Vec<String>, String), PlanError> {
        let plan = plan(now.parse().unwrap(), &objects(available), "green", months)?;
        let key = |source: &Source| source.key.to_string();
        Ok((plan.train.iter().map(key).collect(), key(&plan.validate)))
    }

    const JANUARY: &str = "history/green_tripdata_2021-01.parquet";
    const FEBRUARY: &str = "history/green_tripdata_2021-02.parquet";

    #[test]
    fn the_last_full_month_judges_what_was_learned_before_it() {
        let expected = Ok((vec![JANUARY.to_string()], FEBRUARY.to_string()));
        assert_eq!(check("2021-03-15", &[JANUARY, FEBRUARY], 12), expected);
        assert_eq!(
            check("2021-03-01", &[FEBRUARY, JANUARY, "history/green_tripdata_2021-03.parquet"], 12),
            expected
        );
    }

    #[test]
    fn the_window_spans_the_turn_of_the_year_skips_gaps_and_ends() {
        let available = [
            "history/green_tripdata_2019-12.parquet",
            "history/green_tripdata_2020-11.parquet",
            "incoming/green_tripdata_2020-12.parquet",
            "history/yellow_tripdata_2020-10.parquet",
            "incoming/other/green_tripdata_2020-10.parquet",
            "incoming/green_tripdata_2021-01.parquet",
        ];
        let (train, validate) = check("2021-02-15", &available, 12).unwrap();
        assert_eq!(train, [available[1], available[2]]);
        assert_eq!(validate, available[5]);
        let (train, _) = check("2021-02-15", &available, 1).unwrap();
        assert_eq!(train, [available[2]]);
    }

    #[test]
    fn history_counts_before_incoming() {
        let (train, _) =
            check("2021-03-15", &["incoming/green_tripdata_2021-01.parquet", JANUARY, FEBRUARY], 12).unwrap();
        assert_eq!(train, [JANUARY]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = check("2021-03-15", &[JANUARY], 12).unwrap_err().to_string();
        assert!(none.contains("no green trips of 2021-02, the last full month"), "{none}");
        let none = check("2021-03-15", &[FEBRUARY], 12).unwrap_err().to_string();
        assert_eq!(none, "there are no green trips of the 12 months before 2021-02 to learn from");
    }
}
