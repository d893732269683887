//! Classes of days that are alike.

use chrono::{Datelike, NaiveDate, Weekday};
use model::calendar::DayKind;

/// Days that are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Monday to Thursday.
    Workday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sundays and holidays.
    Sunday,
}

impl Class {
    /// Returns the class of a day.
    pub fn from_date(day: NaiveDate) -> Self {
        match day.weekday() {
            _ if is_holiday(day) => Self::Sunday,
            Weekday::Fri => Self::Friday,
            Weekday::Sat => Self::Saturday,
            Weekday::Sun => Self::Sunday,
            _ => Self::Workday,
        }
    }
}

/// Returns whether people have a holiday: those of the federation, the day after Thanksgiving, Christmas and New Year with their eves, and
/// Independence Day on a weekend, too.
pub fn is_holiday(day: NaiveDate) -> bool {
    let is_after_thanksgiving =
        day.month() == 11 && day.weekday() == Weekday::Fri && (23..=29).contains(&day.day());
    DayKind::from_date(day).holiday
        || is_after_thanksgiving
        || matches!((day.month(), day.day()), (12, 24 | 25 | 31) | (1, 1) | (7, 4))
}

/// Returns whether `day` is a holiday, or the day before or after one.
pub fn is_near_holiday(day: NaiveDate) -> bool {
    [day.pred_opt(), Some(day), day.succ_opt()].into_iter().flatten().any(is_holiday)
}
