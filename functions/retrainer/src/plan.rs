//! Chooses the training months and the holdout month. Pure: takes the day and the files, returns a plan or a reason.

use chrono::NaiveDate;
use model::{Month, TaxiMonth};
use registry::layout;
use serde::{Deserialize, Serialize};
use store::{ETag, ObjectKey, ObjectMeta};

/// How many months the holdout month may lie before the last full one: the TLC publishes about two months late.
pub const LATE_MONTHS_MAX: u32 = 3;

/// A month of trips on the store, pinned by its ETag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthFile {
    /// The month.
    pub month: Month,
    /// The key of the file.
    pub key: ObjectKey,
    /// The ETag when the plan was made.
    pub etag: ETag,
    /// Bytes of the file; 0 in a plan of a former version.
    #[serde(default)]
    pub bytes: u64,
}

/// The months of a retraining.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The training months that are available, oldest first.
    pub train: Vec<MonthFile>,
    /// Months after the first training month, up to the last full one, that are not available.
    pub missing: Vec<Month>,
    /// The holdout month: the latest full one that is available. Nothing is learned, chosen or calibrated on it.
    pub judge: MonthFile,
}

/// A span of months to learn from, as indices into the training months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The calendar months that it spans at most.
    pub months: u32,
    /// The first month of its validation fit.
    pub validation_fit_from: usize,
    /// The end of its validation fit, exclusive: the months from here on validate and calibrate it.
    pub validation_fit_to: usize,
    /// The first month of the final fit, which goes to the last month.
    pub fit_from: usize,
}

/// Why there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No holdout month has been published.
    #[error(
        "there are no {taxi} trips of {month}, the last full month, nor of the {LATE_MONTHS_MAX} before it: expected \
         {taxi}_tripdata_{month}.parquet in history/ or incoming/"
    )]
    NothingToJudgeOn {
        /// The taxis.
        taxi: String,
        /// The last full month.
        month: Month,
    },
    /// No month before the holdout month is available.
    #[error("there are no {taxi} trips of the {months} months before {month} to learn from")]
    NothingToLearnFrom {
        /// The taxis.
        taxi: String,
        /// How many months were looked for.
        months: u32,
        /// The holdout month.
        month: Month,
    },
}

/// Makes the plan as of `now`. The holdout month is the last full month, or else the latest of the three before it that
/// is available. Training months are those before it that the widest of `windows` (months) spans, and two more for its
/// validation fit. If a month is in both places, the one in `history/` counts: it was put there to be learned from.
/// Other taxis' months are ignored.
///
/// # Errors
/// [`PlanError`].
pub fn plan(
    now: NaiveDate,
    available: &[ObjectMeta],
    taxi: &str,
    windows: &[u32],
) -> Result<Plan, PlanError> {
    let last_full = Month::from_date(now).minus(1);
    let source = |month: Month| {
        let places = layout::training_months(&TaxiMonth { taxi: taxi.to_string(), month });
        let found = places.iter().find_map(|key| available.iter().find(|meta| meta.key.as_str() == key))?;
        Some(MonthFile { month, key: found.key.clone(), etag: found.etag.clone(), bytes: found.bytes })
    };
    let judge = (0..=LATE_MONTHS_MAX)
        .find_map(|late| source(last_full.minus(late)))
        .ok_or_else(|| PlanError::NothingToJudgeOn { taxi: taxi.to_string(), month: last_full })?;
    let widest = windows.iter().copied().max().unwrap_or(1);
    let within: Vec<Month> = (1..=widest + 2).rev().map(|back| judge.month.minus(back)).collect();
    let train: Vec<MonthFile> = within.iter().filter_map(|month| source(*month)).collect();
    let Some(first) = train.first().map(|source| source.month) else {
        let taxi = taxi.to_string();
        return Err(PlanError::NothingToLearnFrom { taxi, months: widest + 2, month: judge.month });
    };
    let is_missing = |month: &Month| train.iter().all(|source| source.month != *month);
    let late =
        (0..LATE_MONTHS_MAX).rev().map(|late| last_full.minus(late)).filter(|month| *month > judge.month);
    let since_first = within.into_iter().skip_while(|month| *month != first);
    let missing = since_first.filter(is_missing).chain(late).collect();
    Ok(Plan { train, missing, judge })
}

/// Returns the keys of Parquet files among the months that are not named like one; directly below `history/` and `incoming/`, where
/// months are looked for.
pub fn unrecognised(available: &[ObjectMeta]) -> Vec<String> {
    let name = |key: &str| {
        let below = [layout::HISTORY, layout::INCOMING].iter().find_map(|place| key.strip_prefix(place));
        below.map(str::to_string).filter(|name| !name.contains('/') && !name.starts_with(['_', '.']))
    };
    let is_unrecognised = |meta: &&ObjectMeta| {
        name(meta.key.as_str()).is_some_and(|name| {
            let lower = name.to_lowercase();
            let month = name.strip_suffix(".parquet").map(str::parse::<TaxiMonth>);
            lower.ends_with(".parquet") && !matches!(month, Some(Ok(_)))
        })
    };
    available.iter().filter(is_unrecognised).map(|meta| meta.key.to_string()).collect()
}

/// Returns the windows of `wanted` months that differ from each other, over the available training `months`, oldest
/// first. A single month yields none: nothing is left to validate on.
///
/// A window is validated on two months if there are enough: one month may be an easy one, and a promoted model serves a
/// month that begins a month after its last training month, since the one between is the holdout month.
pub fn windows(months: &[Month], wanted: &[u32]) -> Vec<Window> {
    let on_two = windows_after(months, wanted, 2);
    if on_two.is_empty() { windows_after(months, wanted, 1) } else { on_two }
}

/// Returns windows whose validation fit ends `lag` months before the last month.
fn windows_after(months: &[Month], wanted: &[u32], lag: u32) -> Vec<Window> {
    let Some(last) = months.last() else { return Vec::new() };
    let validation_fit_to = months.partition_point(|month| *month <= last.minus(lag));
    let window = |of: u32| Window {
        months: of,
        validation_fit_from: months.partition_point(|month| *month <= last.minus(of + lag)),
        validation_fit_to,
        fit_from: months.partition_point(|month| *month <= last.minus(of)),
    };
    let mut windows: Vec<Window> = Vec::new();
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    for window in wanted.into_iter().map(window) {
        // Of two windows with the same validation fit the wider one is kept: nothing speaks against more months.
        windows.retain(|known| known.validation_fit_from != window.validation_fit_from);
        // Nothing is left of one of no months.
        if window.validation_fit_from < validation_fit_to {
            windows.push(window);
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(keys: &[&str]) -> Vec<ObjectMeta> {
        let meta = |key: &&str| ObjectMeta {
            key: ObjectKey::new(*key).unwrap(),
            bytes: 1,
            etag: ETag(format!("etag of {key}")),
            modified: None,
        };
        keys.iter().map(meta).collect()
    }

    fn check(now: &str, available: &[&str], window: u32) -> Result<(Vec<String>, String), PlanError> {
        let plan = plan(now.parse().unwrap(), &objects(available), "green", &[1, window])?;
        let key = |source: &MonthFile| source.key.to_string();
        Ok((plan.train.iter().map(key).collect(), key(&plan.judge)))
    }

    const JANUARY: &str = "history/green_tripdata_2021-01.parquet";
    const FEBRUARY: &str = "history/green_tripdata_2021-02.parquet";

    #[test]
    fn files_that_are_no_months_are_named() {
        let copy = "history/green_tripdata_2021-03 (1).parquet";
        let capitals = "incoming/green_tripdata_2021-04.PARQUET";
        let available = [
            JANUARY,
            copy,
            capitals,
            "history/_SUCCESS",
            "incoming/x/y.parquet",
            "history/yellow_tripdata_2021-01.parquet",
        ];
        assert_eq!(unrecognised(&objects(&available)), [copy, capitals]);
    }

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
    fn the_latest_month_there_is_judges_while_later_ones_are_not_published() {
        let (train, judge) = check("2021-05-15", &[JANUARY, FEBRUARY], 12).unwrap();
        assert_eq!((train, judge.as_str()), (vec![JANUARY.to_string()], FEBRUARY));
        let plan =
            plan("2021-05-15".parse().unwrap(), &objects(&[JANUARY, FEBRUARY]), "green", &[12]).unwrap();
        assert_eq!(plan.missing.iter().map(Month::to_string).collect::<Vec<_>>(), ["2021-03", "2021-04"]);
        assert!(check("2021-06-15", &[JANUARY, FEBRUARY], 12).is_ok(), "three months late");
        let none = check("2021-07-15", &[JANUARY, FEBRUARY], 12).unwrap_err();
        assert!(matches!(none, PlanError::NothingToJudgeOn { .. }), "{none}");
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
        let (train, judge) = check("2021-02-15", &available, 10).unwrap();
        assert_eq!(train, [available[1], available[2]]);
        assert_eq!(judge, available[5]);
        let (train, _) = check("2021-02-15", &available, 12).unwrap();
        assert_eq!(train, [available[0], available[1], available[2]], "two more months to validate on");
        let plan = plan("2021-02-15".parse().unwrap(), &objects(&available), "green", &[12]).unwrap();
        let missing: Vec<String> = plan.missing.iter().map(Month::to_string).collect();
        assert_eq!((missing.len(), missing[0].as_str(), missing[9].as_str()), (10, "2020-01", "2020-10"));
    }

    #[test]
    fn history_counts_before_incoming() {
        let (train, _) =
            check("2021-03-15", &["incoming/green_tripdata_2021-01.parquet", JANUARY, FEBRUARY], 12).unwrap();
        assert_eq!(train, [JANUARY]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = check("2021-06-15", &[JANUARY], 12).unwrap_err().to_string();
        assert!(
            none.contains("no green trips of 2021-05, the last full month, nor of the 3 before it"),
            "{none}"
        );
        let none = check("2021-03-15", &[FEBRUARY], 12).unwrap_err().to_string();
        assert_eq!(none, "there are no green trips of the 14 months before 2021-02 to learn from");
    }

    fn windows_of(months: &[&str]) -> Vec<(u32, usize, usize, usize)> {
        let months: Vec<Month> = months.iter().map(|month| month.parse().unwrap()).collect();
        let found = windows(&months, &[12, 0, 1, 3]);
        found
            .iter()
            .map(|of| (of.months, of.validation_fit_from, of.validation_fit_to, of.fit_from))
            .collect()
    }

    #[test]
    fn windows_are_validated_on_two_months_and_fitted_to_the_end() {
        assert_eq!(windows_of(&["2021-01"]), [], "nothing is left to validate on");
        assert_eq!(windows_of(&["2020-12", "2021-01"]), [(12, 0, 1, 0)], "too few months for two");
        assert_eq!(windows_of(&["2020-11", "2020-12", "2021-01"]), [(12, 0, 1, 0)]);
        let five = ["2020-09", "2020-10", "2020-11", "2020-12", "2021-01"];
        assert_eq!(windows_of(&five), [(1, 2, 3, 4), (12, 0, 3, 0)]);
        let year: Vec<String> =
            (0..14).map(|after| Month::new(2019, 12).unwrap().plus(after).to_string()).collect();
        let year: Vec<&str> = year.iter().map(String::as_str).collect();
        assert_eq!(windows_of(&year), [(1, 11, 12, 13), (3, 9, 12, 11), (12, 0, 12, 2)]);
        // The second month before the last is missing: a window of one month has nothing to learn from.
        assert_eq!(windows_of(&["2020-09", "2020-10", "2021-01"]), [(12, 0, 2, 0)]);
        assert_eq!(windows_of(&[]), []);
    }
}
