//! Profiles of days. A row belongs to the day of its pickup, and one without a believable time to the day of the row before it, since
//! files and queues are nearly in the order of time: rows that lost their times are found on the day on which they lost them.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use model::outcome::Outcome;
use model::rejection::Reason;
use model::{Month, PredictionBatch, Trip};
use serde::{Deserialize, Serialize};

use crate::profile::{Profile, TripPrediction};

/// Where rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Files, mostly of a month.
    Batch,
    /// Messages about trips of the present.
    Stream,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 2] = [Self::Batch, Self::Stream];

    /// Returns the name in keys and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Stream => "stream",
        }
    }

    /// Returns how far a pickup may lie from the day that is expected: a clock that was reset makes no day of its own, and a day of messages
    /// ends soon.
    fn days_apart_max(self) -> i64 {
        match self {
            Self::Batch => 31,
            Self::Stream => STREAM_DAYS_APART_MAX,
        }
    }
}

/// Days after which no message of a day is counted for it any more.
pub const STREAM_DAYS_APART_MAX: i64 = 2;

/// Rows that were read and predicted together, in their order.
#[derive(Debug, Clone, Copy)]
pub struct DayRows<'a> {
    /// The trips.
    pub trips: &'a [Trip],
    /// The position of each trip, ascending.
    pub positions: &'a [u64],
    /// Position and reason of the rows that were rejected, ascending.
    pub rejected: &'a [(u64, Reason)],
    /// The outcome of each trip, and the month of their file, where they are known.
    pub outcomes: Option<(&'a [Outcome], Option<Month>)>,
    /// The predictions for the trips, if there are any.
    pub predictions: Option<&'a PredictionBatch>,
}

/// A stored profile: of the rows of one day in one file, or in the messages of some minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayProfile {
    /// The day.
    pub day: NaiveDate,
    /// The bundle of models that predicted the rows; none without predictions.
    pub bundle: Option<String>,
    /// The counts.
    pub profile: Profile,
}

/// Profiles by day. They merge day by day.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DayProfiles(pub BTreeMap<NaiveDate, Profile>);

impl DayProfiles {
    /// Counts rows by day. `expected` is the first day of the month of a file, or the day on which messages came. Rows of another month than
    /// that of their file make no day of their own.
    pub fn from_rows(rows: &DayRows<'_>, source: Source, expected: NaiveDate) -> Self {
        let mut all = Self::default();
        all.add(rows, source, expected);
        all
    }

    /// Counts more rows in the same way.
    pub fn add(&mut self, rows: &DayRows<'_>, source: Source, expected: NaiveDate) {
        let apart_max = TimeDelta::days(source.days_apart_max());
        let month = rows.outcomes.and_then(|(_, month)| month);
        let is_believable = |day: &NaiveDate| match month {
            Some(month) => Month::from_date(*day) == month,
            None => day.signed_duration_since(expected).abs() <= apart_max,
        };
        let dated = |trip: &Trip| trip.pickup.map(|pickup| pickup.date()).filter(is_believable);
        let mut day = rows.trips.iter().find_map(dated).unwrap_or(expected);
        let mut rejected = rows.rejected.iter().copied().peekable();
        for (row, trip) in rows.trips.iter().enumerate() {
            while let Some((_, reason)) = rejected.next_if(|(at, _)| *at < rows.positions[row]) {
                self.of(day).add_rejected(reason, 1);
            }
            day = dated(trip).unwrap_or(day);
            let prediction = rows.predictions.map(|batch| TripPrediction::new(batch, row));
            let outcome = rows.outcomes.map(|(outcomes, month)| (&outcomes[row], month));
            self.of(day).add(trip, prediction.as_ref(), outcome);
        }
        rejected.for_each(|(_, reason)| self.of(day).add_rejected(reason, 1));
    }

    fn of(&mut self, day: NaiveDate) -> &mut Profile {
        self.0.entry(day).or_default()
    }

    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(day, profile)| self.of(*day).merge(profile));
    }
}

/// Returns the day around which the pickups of `trips` lie: the median; none without a pickup.
pub fn median_day(trips: &[Trip]) -> Option<NaiveDate> {
    let mut days: Vec<NaiveDate> = trips.iter().filter_map(|trip| Some(trip.pickup?.date())).collect();
    let middle = days.len() / 2;
    (!days.is_empty()).then(|| *days.select_nth_unstable(middle).1)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDateTime;
    use model::Zone;

    use super::*;

    fn trip(pickup: &str) -> Trip {
        let pickup = NaiveDateTime::parse_from_str(pickup, "%Y-%m-%d %H:%M").ok();
        Trip { pickup_zone: Zone::new(74), dropoff_zone: Zone::new(41), pickup, ..Trip::default() }
    }

    fn counted(trips: &[Trip], rejected: &[(u64, Reason)], source: Source) -> Vec<(String, u64)> {
        let positions: Vec<u64> =
            (0..).filter(|at| rejected.iter().all(|(of, _)| of != at)).take(trips.len()).collect();
        let rows = DayRows { trips, positions: &positions, rejected, outcomes: None, predictions: None };
        let days = DayProfiles::from_rows(&rows, source, "2023-03-01".parse().unwrap());
        days.0.into_iter().map(|(day, profile)| (day.to_string(), profile.rows)).collect()
    }

    #[test]
    fn a_row_without_a_believable_time_belongs_to_the_day_of_the_row_before() {
        let trips =
            ["2023-03-05 10:00", "-", "2002-01-01 00:00", "2023-03-06 00:10", "2023-05-06 00:10"].map(trip);
        let days = [("2023-03-05".to_string(), 4), ("2023-03-06".to_string(), 3)];
        let rejected = [(2, Reason::MissingPickupZone), (5, Reason::MissingPickupZone)];
        assert_eq!(counted(&trips, &rejected, Source::Batch), days);
        let all = [("2023-03-01".to_string(), 7)];
        assert_eq!(
            counted(&trips, &rejected, Source::Stream),
            all,
            "messages of other days are of the day on which they came"
        );
        assert_eq!(counted(&[], &rejected, Source::Batch), [("2023-03-01".to_string(), 2)]);
    }

    #[test]
    fn messages_and_a_file_of_the_same_rows_give_the_same_profile() {
        let expected = "2023-03-01".parse().unwrap();
        let trips: Vec<Trip> =
            (0..200).map(|n| trip(&format!("2023-03-01 {:02}:{:02}", n / 10, n % 10))).collect();
        let positions: Vec<u64> = (0..200).collect();
        let count = |source, range: std::ops::Range<usize>| {
            let (trips, positions) = (&trips[range.clone()], &positions[range]);
            let rows = DayRows { trips, positions, rejected: &[], outcomes: None, predictions: None };
            DayProfiles::from_rows(&rows, source, expected)
        };
        let mut messages = DayProfiles::default();
        (0..20).rev().for_each(|part| messages.merge(&count(Source::Stream, 10 * part..10 * part + 10)));
        let file = count(Source::Batch, 0..200);
        assert_eq!(messages, file);
        let text = |days: &DayProfiles| serde_json::to_string(&days.0).unwrap();
        assert_eq!(text(&messages), text(&file));
    }
}
