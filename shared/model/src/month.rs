//! A calendar month, the unit in which the TLC publishes trips.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

/// A month of a year, ordered in time; written `2021-03`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    /// Months since the year 0.
    index: i32,
}

impl Month {
    /// Returns month `month` (1..=12) of `year` (0..=9999), if there is such a month.
    pub fn new(year: i32, month: u32) -> Option<Self> {
        ((1..=12).contains(&month) && (0..=9999).contains(&year))
            .then(|| Self { index: year * 12 + month as i32 - 1 })
    }

    /// Returns the month that `date` lies in.
    pub fn from_date(date: NaiveDate) -> Self {
        Self { index: date.year() * 12 + date.month0() as i32 }
    }

    /// Returns the year.
    pub fn year(self) -> i32 {
        self.index.div_euclid(12)
    }

    /// Returns the month of the year, 1..=12.
    pub fn month(self) -> u32 {
        self.index.rem_euclid(12) as u32 + 1
    }

    /// Returns the month `count` months earlier.
    pub fn minus(self, count: u32) -> Self {
        Self { index: self.index - count as i32 }
    }

    /// Returns the month `count` months later.
    pub fn plus(self, count: u32) -> Self {
        Self { index: self.index + count as i32 }
    }

    /// Returns noon of the 15th.
    pub fn middle(self) -> Option<NaiveDateTime> {
        NaiveDate::from_ymd_opt(self.year(), self.month(), 15)?.and_hms_opt(12, 0, 0)
    }

    /// Returns its first day; none beyond the years that dates have.
    pub fn first_day(self) -> Option<NaiveDate> {
        NaiveDate::from_ymd_opt(self.year(), self.month(), 1)
    }

    /// Returns its days.
    pub fn days(self) -> impl Iterator<Item = NaiveDate> {
        let first = self.first_day();
        first
            .into_iter()
            .flat_map(|first| first.iter_days())
            .take_while(move |day| Self::from_date(*day) == self)
    }

    /// Returns whether `time` lies in this month.
    pub fn contains(self, time: NaiveDateTime) -> bool {
        Self::from_date(time.date()) == self
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.month())
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl TryFrom<String> for Month {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Month {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-').filter(|(year, month)| year.len() == 4 && month.len() == 2);
        parts
            .and_then(|(year, month)| Self::new(year.parse().ok()?, month.parse().ok()?))
            .ok_or_else(|| format!("month {text:?}: expected yyyy-mm, such as 2021-03"))
    }
}

/// A month of one kind of taxi, the unit of the TLC's files; written `green_tripdata_2021-03`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaxiMonth {
    /// The kind of the taxis.
    pub taxi: String,
    /// The month.
    pub month: Month,
}

impl TaxiMonth {
    /// Returns the TLC's name for its file.
    pub fn file_name(&self) -> String {
        format!("{self}.parquet")
    }
}

impl fmt::Display for TaxiMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_tripdata_{}", self.taxi, self.month)
    }
}

impl FromStr for TaxiMonth {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (taxi, month) =
            text.split_once("_tripdata_").filter(|(taxi, _)| !taxi.is_empty()).ok_or_else(|| {
                format!("{text:?}: expected <taxi>_tripdata_<yyyy-mm>, such as green_tripdata_2021-03")
            })?;
        Ok(Self { taxi: taxi.into(), month: month.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_name_is_read_and_written_alike() {
        let march: TaxiMonth = "green_tripdata_2021-03".parse().unwrap();
        assert_eq!((march.taxi.as_str(), march.month), ("green", "2021-03".parse().unwrap()));
        assert_eq!(march.file_name(), "green_tripdata_2021-03.parquet");
        for bad in
            ["green_2021-03", "_tripdata_2021-03", "green_tripdata_2021-13", "green_tripdata_2021-03.parquet"]
        {
            assert!(bad.parse::<TaxiMonth>().is_err(), "{bad}");
        }
    }

    #[test]
    fn months_count_over_the_turn_of_the_year() {
        let march: Month = "2021-03".parse().unwrap();
        assert_eq!(march.minus(3).to_string(), "2020-12");
        assert_eq!((march.minus(2).year(), march.minus(2).month()), (2021, 1));
        assert!(march.minus(1) < march);
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for bad in ["2021-13", "2021-00", "21-03", "2021-3", "2021", "2021-ab", ""] {
            assert!(bad.parse::<Month>().unwrap_err().contains("yyyy-mm"), "{bad}");
        }
    }

    #[test]
    fn a_month_contains_its_first_second_and_not_the_next_month_s() {
        let month: Month = "2021-02".parse().unwrap();
        let at = |text| crate::request::local_time(text).unwrap();
        assert!(month.contains(at("2021-02-01 00:00:00")) && month.contains(at("2021-02-28 23:59:59")));
        assert!(!month.contains(at("2021-03-01 00:00:00")) && !month.contains(at("2020-02-10 00:00:00")));
    }
}
