//! Which months to learn from and which to judge on. Pure: the day and what is there in, a plan or a reason out.

use chrono::NaiveDate;
use model::{Month, TaxiMonth};
use registry::layout;
use store::{ETag, ObjectKey, ObjectMeta};

/// How many months before the last full one may be judged on: the TLC publishes a month about two months after it.
const LATE_MONTHS_MAX: u32 = 3;

/// A month of trips on the store, pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthFile {
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
    /// The months that there are to learn from, oldest first.
    pub train: Vec<MonthFile>,
    /// Months between them, or after the one to judge on, that are not there.
    pub missing: Vec<Month>,
    /// The month to judge on: the last full one that is there. Nothing is learned, chosen or calibrated on it.
    pub judge: MonthFile,
}

/// What is learned from in one span of months.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many calendar months it spans at most.
    pub months: u32,
    /// The first of the months there are to learn from, when it is validated.
    pub validation_fit_from: usize,
    /// The end of those, itself not included: this month and those after it tell how well it did, and calibrate it.
    pub validation_fit_to: usize,
    /// The first when everything is learned from.
    pub fit_from: usize,
}

/// Why there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No month to judge on has been published.
    #[error(
        "there are no {taxi} trips of {month}, the last full month, nor of the {LATE_MONTHS_MAX} before it: expected \
         {taxi}_tripdata_{month}.parquet in history/ or incoming/"
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

/// The plan as of `now`: judge on the last full month, or where that is not there yet on the latest of the three before it;
/// learn from those before that which the widest of `windows` (months) reaches, and from the two before those when it is
/// validated. Of a month that lies in both places the one in `history/`
/// counts: it was put there to be learned from. Other taxis' months are not looked at.
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
        Some(MonthFile { month, key: found.key.clone(), etag: found.etag.clone() })
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
    let is_missing = |month: &Month| *month > first && train.iter().all(|source| source.month != *month);
    let late =
        (0..LATE_MONTHS_MAX).rev().map(|late| last_full.minus(late)).filter(|month| *month > judge.month);
    let missing = within.into_iter().filter(is_missing).chain(late).collect();
    Ok(Plan { train, missing, judge })
}

/// The windows of `wanted` months that differ from each other, over the months there are to learn from, oldest first. None
/// where there is only one month: nothing is left to validate on.
///
/// It is validated on two months, where there are months enough: one month may be an easy one, and what is promoted serves a
/// month that begins a month after what it learned from, since the one between judged it.
pub fn windows(months: &[Month], wanted: &[u32]) -> Vec<Window> {
    let on_two = windows_after(months, wanted, 2);
    if on_two.is_empty() { windows_after(months, wanted, 1) } else { on_two }
}

/// Windows that end `lag` months before the last month.
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
    for window in wanted.into_iter().filter(|of| *of > 0).map(window) {
        // Of two that validate alike the wider one: nothing speaks against the months it has more.
        windows.retain(|known| known.validation_fit_from != window.validation_fit_from);
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
        let found = windows(&months, &[12, 1, 3]);
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
        // Two months before the last is missing: a window of one month has nothing to learn from.
        assert_eq!(windows_of(&["2020-09", "2020-10", "2021-01"]), [(12, 0, 2, 0)]);
        assert_eq!(windows_of(&[]), []);
    }
}
