//! Segments of a month whose durations are a defect: nearly all rows of one category of a code have the same duration, where other
//! categories have not. A meter that reports the end of its shift for every trip is one; what is learned from such rows is served long
//! after the meter is mended. They are not learned from; the rest of the month is.
//!
//! Of 10,700 segments of 50 rows and more in 38 months of green trips, the most concentrated that is sound has 0.42 of its rows within a
//! minute, and the defective ones have 0.95 and more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outcome::{LabelledTrips, Target};
use crate::rules::Rules;

/// Fewer rows are no evidence, and do little harm.
const ROWS_MIN: usize = 50;
/// Share of a segment's rows within half a minute of its median, from which on it is degenerate.
const SHARE_MIN: f64 = 0.6;
/// The same share of the typical segment of the code, beyond which that is how these durations are.
const TYPICAL_MAX: f64 = 0.3;

/// The codes that are looked into: the columns of files, as the TLC names them.
const CODES: [&str; 7] = [
    "VendorID",
    "RatecodeID",
    "trip_type",
    "passenger_count",
    "payment_type",
    "PULocationID",
    "DOLocationID",
];

/// A category whose durations are nearly all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DegenerateSegment {
    /// The column.
    pub code: String,
    /// The category.
    pub value: u16,
    /// Its rows with a duration that is judged.
    pub rows: u64,
    /// Its share of all such rows of the file.
    pub share_of_file: f64,
    /// Its median duration, minutes.
    pub median_min: f64,
    /// Share of its rows within half a minute of that.
    pub share_alike: f64,
}

impl DegenerateSegment {
    /// Describes the segment in a sentence.
    pub fn described(&self) -> String {
        let Self { code, value, rows, share_of_file, median_min, share_alike } = self;
        format!(
            "{rows} rows of {code} {value} ({:.2} % of the file) are not learned from: {:.0} % of them last {median_min:.1} minutes to \
             within half a minute",
            share_of_file * 100.0,
            share_alike * 100.0
        )
    }
}

/// Returns the category of a row in each of [`CODES`].
fn categories(file: &LabelledTrips, row: usize) -> [Option<u16>; CODES.len()] {
    let (trip, outcome) = (&file.trips[row], &file.outcomes[row]);
    let code = |value: Option<u8>| value.map(u16::from);
    let zone = |zone: Option<crate::Zone>| zone.map(crate::Zone::id);
    [
        code(trip.vendor),
        code(trip.rate_code),
        code(trip.trip_type),
        code(trip.passengers),
        code(outcome.payment_type),
        zone(trip.pickup_zone),
        zone(trip.dropoff_zone),
    ]
}

/// Finds the degenerate segments of a file.
pub fn degenerate(file: &LabelledTrips) -> Vec<DegenerateSegment> {
    let label = |row: usize| file.label(Target::Duration, row).filter(|minutes| Rules::judges(*minutes));
    let judged: Vec<(usize, f64)> =
        (0..file.trips.len()).filter_map(|row| Some((row, label(row)?))).collect();
    let mut minutes_of: [BTreeMap<u16, Vec<f64>>; CODES.len()] = Default::default();
    for (row, minutes) in &judged {
        for (of_code, category) in minutes_of.iter_mut().zip(categories(file, *row)) {
            if let Some(category) = category {
                of_code.entry(category).or_default().push(*minutes);
            }
        }
    }
    let mut found = Vec::new();
    for (code, of_code) in CODES.iter().zip(minutes_of) {
        // Share alike, rows, median and category.
        let mut segments: Vec<(f64, usize, f64, u16)> = of_code
            .into_iter()
            .filter(|(_, minutes)| minutes.len() >= ROWS_MIN)
            .map(|(category, minutes)| {
                let (median, alike) = concentration(minutes.clone());
                (alike, minutes.len(), median, category)
            })
            .collect();
        segments.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.3.cmp(&b.3)));
        let rows: usize = segments.iter().map(|segment| segment.1).sum();
        let mut below = 0;
        let typical = segments.iter().find(|segment| {
            below += segment.1;
            below * 2 >= rows
        });
        if typical.is_none_or(|typical| typical.0 > TYPICAL_MAX) {
            continue;
        }
        for (share_alike, rows, median_min, value) in segments {
            if share_alike >= SHARE_MIN {
                found.push(DegenerateSegment {
                    code: (*code).to_string(),
                    value,
                    rows: rows as u64,
                    share_of_file: rows as f64 / judged.len() as f64,
                    median_min,
                    share_alike,
                });
            }
        }
    }
    found
}

/// Returns the median, and the share of values within half a minute of it.
fn concentration(mut minutes: Vec<f64>) -> (f64, f64) {
    minutes.sort_unstable_by(f64::total_cmp);
    let median = minutes[minutes.len() / 2];
    let alike = minutes.iter().filter(|value| (**value - median).abs() <= 0.5).count();
    (median, alike as f64 / minutes.len() as f64)
}

/// Marks the rows of a file that belong to one of its degenerate segments.
pub(crate) fn marks(file: &LabelledTrips) -> Vec<bool> {
    let segments = degenerate(file);
    if segments.is_empty() {
        return vec![false; file.trips.len()];
    }
    let is_marked = |row: usize| {
        CODES.iter().zip(categories(file, row)).any(|(code, category)| {
            segments.iter().any(|segment| segment.code == *code && Some(segment.value) == category)
        })
    };
    (0..file.trips.len()).map(is_marked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::request::local_time;
    use crate::trip::{Trip, Zone};

    /// Makes 2,000 trips of two vendors and fifty zones; `minutes` says how long a row takes.
    fn file(minutes: impl Fn(u16, &mut Trip) -> f64) -> LabelledTrips {
        let mut file = LabelledTrips::default();
        for row in 0..2_000u16 {
            let pickup = local_time("2021-03-01 10:00:00");
            let mut trip = Trip {
                pickup_zone: Zone::new(row % 50 + 1),
                dropoff_zone: Zone::new(row % 47 + 60),
                vendor: Some((row % 5 / 4 + 1) as u8),
                pickup,
                ..Trip::default()
            };
            let seconds = (minutes(row, &mut trip) * 60.0) as i64;
            let dropoff = pickup.map(|at| at + chrono::TimeDelta::seconds(seconds));
            file.trips.push(trip);
            file.outcomes.push(Outcome { dropoff, payment_type: Some(1), ..Outcome::default() });
        }
        file
    }

    fn usual(row: u16) -> f64 {
        2.0 + f64::from(row.wrapping_mul(7_919) % 400) / 10.0
    }

    #[test]
    fn a_category_of_one_duration_is_named_and_its_rows_are_marked() {
        assert_eq!(degenerate(&file(|row, _| usual(row))), []);
        let broken = file(|row, trip| match row % 20 {
            7 => {
                trip.vendor = Some(6);
                59.6 + f64::from(row % 7) / 20.0
            }
            _ => usual(row),
        });
        let found = degenerate(&broken);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].code.as_str(), found[0].value, found[0].rows), ("VendorID", 6, 100));
        assert!(found[0].described().starts_with("100 rows of VendorID 6 (5.00 % of the file)"), "{found:?}");
        assert_eq!(marks(&broken).iter().filter(|marked| **marked).count(), 100);
        let (kept, dropped) = Rules::Course.learned(Target::Duration, std::slice::from_ref(&broken));
        assert_eq!((kept.len(), dropped.get(crate::Reason::DegenerateSegment)), (1_900, 100));
        assert_eq!(Rules::Course.examples(Target::Duration, &[broken]).0.len(), 2_000, "they are judged");
    }

    #[test]
    fn where_every_category_has_its_own_duration_none_is_a_defect() {
        assert_eq!(degenerate(&file(|row, _| f64::from(row % 50) + 5.0)), []);
        assert_eq!(degenerate(&file(|_, _| 10.0)), []);
    }
}
