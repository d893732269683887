//! Outcomes of trips: known only afterwards, so a source of labels and never of features.

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};
use trees::boost::split_mix;

use crate::month::Month;
use crate::rejection::RejectionCounts;
use crate::segments::{self, DefectiveSegment};
use crate::trip::{Trip, Zone, select};

/// What a model predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Minutes from pickup to drop-off.
    Duration,
    /// Whether the driver of a trip paid by card is tipped.
    Tip,
}

impl Target {
    /// Every target, in the order they are trained.
    pub const ALL: [Self; 2] = [Self::Duration, Self::Tip];

    /// Returns the name in keys and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Tip => "tip",
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The outcome of one trip.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// When it ended, New York local time.
    pub dropoff: Option<NaiveDateTime>,
    /// Dollars; only card tips are recorded.
    pub tip_amount: Option<f64>,
    /// Dollars by the meter; negative in a reversal.
    pub fare_amount: Option<f64>,
    /// 1 is card.
    pub payment_type: Option<u8>,
}

/// The trips of one file with their outcomes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LabelledTrips {
    /// The month the file is of, if its name says so.
    pub month: Option<Month>,
    /// sha256 of the file's bytes, hex: part of a model's identity.
    pub sha256: String,
    /// The trips that can be predicted.
    pub trips: Vec<Trip>,
    /// Their outcomes.
    pub outcomes: Vec<Outcome>,
    /// Rejected rows of the file, by reason.
    pub rejections: RejectionCounts,
    /// Rows that were not drawn.
    pub not_drawn: u64,
    /// The rows of a defective segment, if [`LabelledTrips::find_defects`] was called before: `[n_trips]`.
    pub defective: Option<Vec<bool>>,
}

/// Returns a number of [0, 1) that depends on what a trip states, as if by chance.
fn uniform(trip: &Trip, outcome: &Outcome) -> f64 {
    let micros =
        |time: Option<NaiveDateTime>| time.map_or(0, |time| time.and_utc().timestamp_micros() as u64);
    let zone = |zone: Option<Zone>| zone.map_or(0, |zone| u64::from(zone.id()));
    let distance = trip.distance_miles.map_or(0, f64::to_bits);
    let stated = [
        micros(trip.pickup),
        micros(outcome.dropoff),
        zone(trip.pickup_zone),
        zone(trip.dropoff_zone),
        distance,
    ];
    let mixed = stated.into_iter().fold(0u64, |state, number| split_mix(state ^ number));
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

/// Computes a duration in minutes, from whole microseconds; `None` without both times.
pub fn duration_min(pickup: Option<NaiveDateTime>, dropoff: Option<NaiveDateTime>) -> Option<f64> {
    Some((dropoff? - pickup?).num_microseconds()? as f64 / 60e6)
}

impl LabelledTrips {
    /// Returns the number of rows of the file, before any rule.
    pub fn n_rows(&self) -> u64 {
        self.trips.len() as u64 + self.rejections.total() + self.not_drawn
    }

    /// Finds the defective segments and marks their rows, so that nobody searches again, and a share of the rows, which has too few to see
    /// them, knows them.
    pub fn find_defects(&mut self) -> Vec<DefectiveSegment> {
        let found = segments::Found::search(self);
        self.defective = Some(found.marks);
        found.segments
    }

    /// Returns the trips without those of segments that [`LabelledTrips::find_defects`] found; `None` if there are none.
    pub fn without_defects(&self) -> Option<Self> {
        let marks = self.defective.as_ref().filter(|marks| marks.contains(&true))?;
        let sound: Vec<usize> = (0..self.trips.len()).filter(|row| !marks[*row]).collect();
        let (trips, outcomes) = (select(&self.trips, &sound), select(&self.outcomes, &sound));
        Some(Self {
            trips,
            outcomes,
            defective: None,
            sha256: self.sha256.clone(),
            rejections: self.rejections.clone(),
            ..*self
        })
    }

    /// Keeps about this share of the trips. What a trip states decides whether it is kept, so that the draw is the same again, and a smaller
    /// share keeps a part of what a larger one does.
    pub fn draw(&mut self, share: f64) {
        if share >= 1.0 {
            return;
        }
        let before = self.trips.len();
        let marked = self.defective.take().unwrap_or_else(|| segments::marks(self));
        let pairs = self.trips.iter().zip(&self.outcomes).enumerate();
        let kept: Vec<usize> =
            pairs.filter(|(_, (trip, outcome))| uniform(trip, outcome) < share).map(|(row, _)| row).collect();
        (self.trips, self.outcomes) = (select(&self.trips, &kept), select(&self.outcomes, &kept));
        self.defective = Some(select(&marked, &kept));
        self.not_drawn += (before - self.trips.len()) as u64;
    }

    /// Returns the label of row `row`: minutes for a duration; 1 or 0 for tipped or not. `None` if not recorded.
    pub fn label(&self, target: Target, row: usize) -> Option<f64> {
        match target {
            Target::Duration => duration_min(self.trips[row].pickup, self.outcomes[row].dropoff),
            Target::Tip => self.outcomes[row].tip_amount.map(|dollars| f64::from(u8::from(dollars > 0.0))),
        }
    }

    /// Returns `rows` as examples of `target`; rows without a label are left out.
    pub fn examples(&self, target: Target, rows: &[usize]) -> Examples {
        let labelled = rows.iter().filter_map(|&row| Some((self.trips[row], self.label(target, row)?)));
        let mut examples = Examples::default();
        for (trip, label) in labelled {
            examples.trips.push(trip);
            examples.labels.push(label);
        }
        examples
    }
}

/// Trips with their labels: what candidates learn from and are judged on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Examples {
    /// The trips.
    pub trips: Vec<Trip>,
    /// Minutes, or 1 for tipped and 0 for not: `[n_trips]`.
    pub labels: Vec<f64>,
}

impl Examples {
    /// Returns the number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Appends `other`.
    pub fn append(&mut self, other: &Self) {
        self.trips.extend_from_slice(&other.trips);
        self.labels.extend_from_slice(&other.labels);
    }

    /// Returns the examples at positions that `keep` accepts.
    pub fn filter(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let rows: Vec<usize> = (0..self.len()).filter(|&row| keep(row)).collect();
        Self { trips: select(&self.trips, &rows), labels: select(&self.labels, &rows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_share_is_a_part_of_a_larger_one_and_nothing_gets_lost() {
        let mut file = LabelledTrips::default();
        for at in 0..10_000u16 {
            let trip = Trip {
                pickup_zone: Zone::new(at % 260 + 1),
                distance_miles: Some(f64::from(at)),
                ..Trip::default()
            };
            file.trips.push(trip);
            file.outcomes.push(Outcome { tip_amount: Some(f64::from(at)), ..Outcome::default() });
        }
        let drawn = |share: f64| {
            let mut file = file.clone();
            file.draw(share);
            assert_eq!((file.n_rows(), file.trips.len()), (10_000, file.outcomes.len()));
            let pairs = file.trips.iter().zip(&file.outcomes);
            assert!(
                pairs.clone().all(|(trip, outcome)| trip.distance_miles == outcome.tip_amount),
                "rows stay together"
            );
            file
        };
        let (half, quarter) = (drawn(0.5), drawn(0.25));
        assert!((4_800..5_200).contains(&half.trips.len()) && (2_350..2_650).contains(&quarter.trips.len()));
        let mut again = half.clone();
        again.draw(0.25);
        assert_eq!((again.trips, again.outcomes), (quarter.trips, quarter.outcomes));
        assert_eq!(drawn(1.0), file);
        // What was marked in the whole file stays marked, however few of it are drawn.
        let marked =
            file.trips.iter().map(|trip| trip.distance_miles.is_some_and(|miles| miles % 3.0 == 0.0));
        file.defective = Some(marked.collect());
        file.draw(0.25);
        let marks = segments::marks(&file);
        assert!(
            file.trips
                .iter()
                .zip(marks)
                .all(|(trip, mark)| (trip.distance_miles.unwrap() % 3.0 == 0.0) == mark)
        );
    }
}
