//! Three separate lists of rules: for serving, for training and for judging.
//!
//! They are separate because dropping odd rows from training makes the model worse on them, and they are served all the
//! same: trained without zero-mile trips (3 % of traffic), the RMSE on them doubles.
//!
//! *Accepting* (serving) is where rows are read: [`crate::request`] for messages, the reader of files for rows.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::outcome::{Examples, LabelledTrips, Target};
use crate::rejection::{Reason, RejectionCounts};
use crate::segments;

/// Which rows are trained on. Decisions always judge by [`Rules::Course`], so that metrics compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rules {
    /// Exactly the course's filter: 1 <= duration <= 60 minutes, both included, nothing else.
    Course,
    /// As `Course`, and without pickups outside the file's month, negative fares and the charges they reverse.
    /// Distances that cannot be planned count as missing for every candidate.
    #[default]
    Strict,
}

/// Shortest and longest duration that is trained on and judged, minutes: the course's filter.
pub const JUDGED_MIN: (f64, f64) = (1.0, 60.0);

/// `CARD` in `payment_type`.
pub const CARD: u8 = 1;

impl Rules {
    /// Returns the name in JSON and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Course => "course",
            Self::Strict => "strict",
        }
    }

    /// Returns the rows of one file that these rules keep for `target`, and why the others were dropped.
    pub fn rows(self, target: Target, file: &LabelledTrips) -> (Vec<usize>, RejectionCounts) {
        let reversed = if self == Self::Strict { reversals(file) } else { Vec::new() };
        let mut dropped = RejectionCounts::default();
        let rows = (0..file.trips.len()).filter(|&row| {
            let reason = self
                .refuses(target, file, row)
                .or_else(|| (reversed.get(row) == Some(&true)).then_some(Reason::Reversal));
            reason.into_iter().for_each(|reason| dropped.add(reason));
            reason.is_none()
        });
        (rows.collect(), dropped)
    }

    /// Returns the examples that these rules keep of all `files`, in order.
    pub fn examples(self, target: Target, files: &[LabelledTrips]) -> (Examples, RejectionCounts) {
        let (mut examples, mut dropped) = (Examples::default(), RejectionCounts::default());
        for file in files {
            let (rows, refused) = self.rows(target, file);
            examples.append(&file.examples(target, &rows));
            dropped.merge(&refused);
        }
        (examples, dropped)
    }

    /// Returns the examples of all `files` to learn from, in order: those that these rules keep, without those of [`segments`] that are defective
    /// where durations are learned.
    pub fn learned(self, target: Target, files: &[LabelledTrips]) -> (Examples, RejectionCounts) {
        let (mut examples, mut dropped) = (Examples::default(), RejectionCounts::default());
        for file in files {
            let (mut rows, mut refused) = self.rows(target, file);
            if target == Target::Duration {
                let marked = segments::marks(file);
                rows.retain(|row| {
                    if marked[*row] {
                        refused.add(Reason::DefectiveSegment);
                    }
                    !marked[*row]
                });
            }
            examples.append(&file.examples(target, &rows));
            dropped.merge(&refused);
        }
        (examples, dropped)
    }

    /// Returns whether a trip of this duration is judged: the course's filter.
    pub fn judges(minutes: f64) -> bool {
        (JUDGED_MIN.0..=JUDGED_MIN.1).contains(&minutes)
    }

    fn refuses(self, target: Target, file: &LabelledTrips, row: usize) -> Option<Reason> {
        let minutes = file.label(Target::Duration, row);
        if !minutes.is_some_and(Self::judges) {
            return Some(Reason::Duration);
        }
        if target == Target::Tip
            && (file.outcomes[row].payment_type != Some(CARD) || file.outcomes[row].tip_amount.is_none())
        {
            return Some(Reason::NotCard);
        }
        let outside = match (file.month, file.trips[row].pickup) {
            (Some(month), Some(pickup)) => !month.contains(pickup),
            _ => false,
        };
        (self == Self::Strict && outside).then_some(Reason::OutsideMonth)
    }
}

/// Marks reversals (negative fare) and the charges they take back: the same vendor, times, zones and distance without a
/// negative fare, one charge for each reversal.
pub fn reversals(file: &LabelledTrips) -> Vec<bool> {
    let negative = |row: usize| file.outcomes[row].fare_amount.is_some_and(|dollars| dollars < 0.0);
    let key = |row: usize| {
        let trip = file.trips[row];
        let miles = trip.distance_miles.map(f64::to_bits);
        (trip.vendor, trip.pickup, file.outcomes[row].dropoff, trip.pickup_zone, trip.dropoff_zone, miles)
    };
    let mut unmatched: HashMap<_, usize> = HashMap::new();
    let mut reversed = vec![false; file.trips.len()];
    for row in (0..reversed.len()).filter(|&row| negative(row)) {
        reversed[row] = true;
        *unmatched.entry(key(row)).or_default() += 1;
    }
    for row in (0..reversed.len()).filter(|&row| !negative(row)) {
        if let Some(left) = unmatched.get_mut(&key(row)).filter(|left| **left > 0) {
            *left -= 1;
            reversed[row] = true;
        }
    }
    reversed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::request::local_time;
    use crate::trip::{Trip, Zone};

    /// A file of 2021-02 with rows `(pickup, dropoff, fare, payment_type)`.
    fn file(rows: &[(&str, &str, f64, u8)]) -> LabelledTrips {
        let mut file = LabelledTrips { month: "2021-02".parse().ok(), ..LabelledTrips::default() };
        for (pickup, dropoff, fare, payment_type) in rows {
            file.trips.push(Trip {
                pickup_zone: Zone::new(7),
                pickup: local_time(pickup),
                ..Trip::default()
            });
            file.outcomes.push(Outcome {
                dropoff: local_time(dropoff),
                tip_amount: Some(1.0),
                fare_amount: Some(*fare),
                payment_type: Some(*payment_type),
            });
        }
        file
    }

    fn check(rules: Rules, target: Target, file: &LabelledTrips, kept: &[usize], reasons: &[(Reason, u64)]) {
        let (rows, dropped) = rules.rows(target, file);
        assert_eq!(rows, kept);
        for (reason, count) in reasons {
            assert_eq!(dropped.get(*reason), *count, "{reason:?}");
        }
        assert_eq!(dropped.total() as usize + rows.len(), file.trips.len(), "every row is kept or counted");
    }

    #[test]
    fn course_keeps_one_to_sixty_minutes_bounds_included() {
        let file = file(&[
            ("2021-02-01 10:00:00", "2021-02-01 10:00:59", 5.0, 1),
            ("2021-02-01 10:00:00", "2021-02-01 10:01:00", 5.0, 1),
            ("2021-02-01 10:00:00", "2021-02-01 11:00:00", 5.0, 1),
            ("2021-02-01 10:00:00", "2021-02-01 11:00:01", 5.0, 1),
            ("2009-01-01 10:00:00", "2009-01-01 10:10:00", 5.0, 1),
            ("never", "2009-01-01 10:10:00", 5.0, 1),
        ]);
        check(Rules::Course, Target::Duration, &file, &[1, 2, 4], &[(Reason::Duration, 3)]);
        check(Rules::Strict, Target::Duration, &file, &[1, 2], &[(Reason::OutsideMonth, 1)]);
    }

    #[test]
    fn strict_drops_a_reversal_with_the_one_charge_it_takes_back() {
        let (from, to, later) = ("2021-02-01 10:00:00", "2021-02-01 10:10:00", "2021-02-01 10:11:00");
        let file =
            file(&[(from, to, 5.0, 1), (from, to, -5.0, 1), (from, to, 6.0, 1), (from, later, 5.0, 1)]);
        check(Rules::Strict, Target::Duration, &file, &[2, 3], &[(Reason::Reversal, 2)]);
        check(Rules::Course, Target::Duration, &file, &[0, 1, 2, 3], &[]);
    }

    #[test]
    fn tips_are_learned_from_card_trips_only() {
        let (from, to) = ("2021-02-01 10:00:00", "2021-02-01 10:10:00");
        let file = file(&[(from, to, 5.0, 1), (from, to, 5.0, 2)]);
        check(Rules::Course, Target::Tip, &file, &[0], &[(Reason::NotCard, 1)]);
        let (examples, _) = Rules::Course.examples(Target::Tip, &[file.clone(), file]);
        assert_eq!(examples.labels, [1.0, 1.0]);
    }
}
