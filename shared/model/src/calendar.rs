//! Public holidays and school breaks of New York City, by rules that hold for any year.

use chrono::{Datelike, Days, NaiveDate, Weekday};

/// What kind of a day it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayKind {
    /// A federal holiday as observed: one on a Saturday is observed on Friday, one on a Sunday on Monday.
    pub holiday: bool,
    /// The day before a holiday.
    pub before_holiday: bool,
    /// The day after a holiday.
    pub after_holiday: bool,
    /// A working day within the winter, midwinter or spring recess of the city's schools.
    pub school_break: bool,
}

impl DayKind {
    /// Returns the kind of `day`.
    pub fn from_date(day: NaiveDate) -> Self {
        let beside = |day: Option<NaiveDate>| day.is_some_and(is_holiday);
        Self {
            holiday: is_holiday(day),
            before_holiday: beside(day.succ_opt()),
            after_holiday: beside(day.pred_opt()),
            school_break: is_school_break(day)
                && !is_holiday(day)
                && !matches!(day.weekday(), Weekday::Sat | Weekday::Sun),
        }
    }
}

/// Returns whether `day` is a federal holiday, by 5 U.S.C. 6103 and Executive Order 11582 (which moves those on weekends).
fn is_holiday(day: NaiveDate) -> bool {
    let week = day.day0() / 7 + 1;
    let of_a_week = match (day.month(), day.weekday()) {
        (1 | 2, Weekday::Mon) => week == 3,
        (5, Weekday::Mon) => day.day() > 31 - 7,
        (9, Weekday::Mon) => week == 1,
        (10, Weekday::Mon) => week == 2,
        (11, Weekday::Thu) => week == 4,
        _ => false,
    };
    of_a_week
        || match day.weekday() {
            Weekday::Sat | Weekday::Sun => false,
            Weekday::Fri => is_of_a_date(day) || day.succ_opt().is_some_and(is_of_a_date),
            Weekday::Mon => is_of_a_date(day) || day.pred_opt().is_some_and(is_of_a_date),
            _ => is_of_a_date(day),
        }
}

/// Returns whether a holiday falls on the date of `day`, whatever its weekday.
fn is_of_a_date(day: NaiveDate) -> bool {
    match (day.month(), day.day()) {
        (1, 1) | (7, 4) | (11, 11) | (12, 25) => true,
        (6, 19) => day.year() >= 2021,
        _ => false,
    }
}

/// Returns whether the city's schools have a break: from Christmas Eve to New Year, in the week of Presidents' Day, and over Passover,
/// which their spring recess has followed in every year from 2021 to 2026.
fn is_school_break(day: NaiveDate) -> bool {
    match (day.month(), day.day()) {
        (12, 24..) | (1, 1) => true,
        (2, date) => {
            let monday = date as i32 - day.weekday().num_days_from_monday() as i32;
            (15..=21).contains(&monday)
        }
        (3 | 4, _) => {
            let days = passover(day.year()).map(|first| (day - first).num_days());
            days.is_some_and(|days| (-1..7).contains(&days))
        }
        _ => false,
    }
}

/// Computes the first day of Passover (15 Nisan) by the formula of Gauss (1802), for the Gregorian calendar.
fn passover(year: i32) -> Option<NaiveDate> {
    let hebrew = year + 3760;
    let moon = (12 * hebrew + 17).rem_euclid(19);
    let leap = hebrew.rem_euclid(4);
    let exact = 32.044_093_2 + 1.554_241_8 * f64::from(moon) + 0.25 * f64::from(leap)
        - 0.003_177_794 * f64::from(hebrew);
    let (whole, part) = (exact.floor(), exact - exact.floor());
    let weekday = (whole as i32 + 3 * hebrew + 5 * leap + 5).rem_euclid(7);
    let postponed = match weekday {
        2 | 4 | 6 => 1,
        1 if moon > 6 && part >= 0.632_870_370 => 2,
        0 if moon > 11 && part >= 0.897_723_765 => 1,
        _ => 0,
    };
    // The formula counts days of the Julian March.
    let gregorian = year.div_euclid(100) - year.div_euclid(400) - 2;
    let days = (whole as i32 + postponed + gregorian - 1).try_into().ok()?;
    NaiveDate::from_ymd_opt(year, 3, 1)?.checked_add_days(Days::new(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn holidays_are_those_that_the_office_of_personnel_management_lists() {
        // Federal holidays of 2021 to 2023 as observed, from opm.gov; 2022-01-01 is observed in 2021.
        let listed = [
            "2021-01-01",
            "2021-01-18",
            "2021-02-15",
            "2021-05-31",
            "2021-06-18",
            "2021-07-05",
            "2021-09-06",
            "2021-10-11",
            "2021-11-11",
            "2021-11-25",
            "2021-12-24",
            "2021-12-31",
            "2022-01-17",
            "2022-02-21",
            "2022-05-30",
            "2022-06-20",
            "2022-07-04",
            "2022-09-05",
            "2022-10-10",
            "2022-11-11",
            "2022-11-24",
            "2022-12-26",
            "2023-01-02",
            "2023-01-16",
            "2023-02-20",
            "2023-05-29",
            "2023-06-19",
            "2023-07-04",
            "2023-09-04",
            "2023-10-09",
            "2023-11-10",
            "2023-11-23",
            "2023-12-25",
        ];
        let days = day("2021-01-01").iter_days().take_while(|day| day.year() < 2024);
        let found: Vec<String> =
            days.filter(|day| DayKind::from_date(*day).holiday).map(|day| day.to_string()).collect();
        assert_eq!(found, listed);
        assert!(!DayKind::from_date(day("2020-06-19")).holiday, "a holiday only from 2021 on");
    }

    #[test]
    fn passover_is_where_the_hebrew_calendar_has_it() {
        // 15 Nisan, from hebcal.com.
        let listed = [
            "1900-04-14",
            "1999-04-01",
            "2000-04-20",
            "2016-04-23",
            "2019-04-20",
            "2021-03-28",
            "2022-04-16",
            "2023-04-06",
            "2024-04-23",
            "2025-04-13",
            "2026-04-02",
            "2027-04-22",
            "2038-04-20",
            "2100-04-24",
        ];
        for listed in listed.map(day) {
            assert_eq!(passover(listed.year()), Some(listed));
        }
    }

    #[test]
    fn schools_have_breaks() {
        // Days of the spring recess and midwinter recess in the calendars of the city's Department of Education.
        for on_break in [
            "2021-03-29",
            "2022-04-15",
            "2022-04-22",
            "2023-04-07",
            "2024-04-22",
            "2025-04-18",
            "2024-02-20",
            "2025-02-21",
        ] {
            assert!(DayKind::from_date(day(on_break)).school_break, "{on_break}");
        }
        for school in [
            "2021-04-05",
            "2022-04-25",
            "2023-04-17",
            "2024-04-19",
            "2025-04-11",
            "2024-02-26",
            "2023-01-03",
            "2023-07-04",
        ] {
            assert!(!DayKind::from_date(day(school)).school_break, "{school}");
        }
        let eve = DayKind::from_date(day("2022-11-23"));
        assert_eq!((eve.holiday, eve.before_holiday, eve.after_holiday), (false, true, false));
        assert!(DayKind::from_date(day("2022-11-25")).after_holiday);
    }
}
