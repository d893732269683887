//! Metrics of a model on a set of examples, and by slice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::candidates::{DurationPredictions, Model};
use crate::outcome::{Examples, Target};
use crate::performance::{Metrics, Performance};
use crate::trip::{DISTANCE_BAND_ENDS, Trip, distance_band, possible_miles};
use crate::zones;

/// Trips per thread at least, else fewer threads are used.
const PART_ROWS_MIN: usize = 5_000;

/// Metrics on a part of the examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// What the examples are grouped by.
    pub by: String,
    /// The group.
    pub value: String,
    /// The metrics there.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// Predicts parts of `trips` on `threads` threads, 0 for as many as the machine runs at once; returns their results in order.
fn in_parts<T: Send>(trips: &[Trip], threads: usize, predict: impl Fn(&[Trip]) -> T + Sync) -> Vec<T> {
    let parts_max = trips.len() / PART_ROWS_MIN;
    // Few trips do not ask for the number of processors: the answer reads files, which took 15 microseconds.
    if threads == 1 || parts_max < 2 {
        return vec![predict(trips)];
    }
    let machine = || std::thread::available_parallelism().map_or(1, usize::from);
    let parts = parts_max.min(if threads == 0 { machine() } else { threads });
    if parts < 2 {
        return vec![predict(trips)];
    }
    let mut parts = trips.chunks(trips.len().div_ceil(parts));
    let first = parts.next().unwrap_or_default();
    let predict = &predict;
    std::thread::scope(|scope| {
        let others: Vec<_> = parts.map(|part| scope.spawn(move || predict(part))).collect();
        let mut all = vec![predict(first)];
        for other in others {
            all.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    })
}

/// A model's predictions for the trips of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Predictions {
    /// Predictions of a duration model.
    Duration(DurationPredictions),
    /// Probabilities of a tip model, `[n_trips]`.
    Tip(Vec<f64>),
}

impl Predictions {
    /// Predicts every trip on `threads` threads, 0 for as many as the machine runs at once: the prediction of a trip
    /// does not depend on those beside it.
    pub fn new(model: &Model, trips: &[Trip], threads: usize) -> Self {
        let mut parts = in_parts(trips, threads, |trips| Self::on_this_thread(model, trips)).into_iter();
        let mut all = parts.next().unwrap_or_else(|| Self::on_this_thread(model, &[]));
        parts.for_each(|part| all.append(part));
        all
    }

    fn on_this_thread(model: &Model, trips: &[Trip]) -> Self {
        match model {
            Model::Duration(model) => Self::Duration(model.predict(trips)),
            Model::Tip(model) => Self::Tip(model.probabilities(trips)),
        }
    }

    /// Appends the predictions of the same model for further trips.
    fn append(&mut self, further: Self) {
        match (self, further) {
            (Self::Duration(all), Self::Duration(further)) => {
                all.minutes.extend(further.minutes);
                all.lower_min.extend(further.lower_min);
                all.upper_min.extend(further.upper_min);
            }
            (Self::Tip(all), Self::Tip(further)) => all.extend(further),
            // One model predicts one target.
            (Self::Duration(_), Self::Tip(_)) | (Self::Tip(_), Self::Duration(_)) => {}
        }
    }

    /// Returns what is compared with labels: minutes, or probabilities, `[n_trips]`.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::Duration(durations) => &durations.minutes,
            Self::Tip(probabilities) => probabilities,
        }
    }

    /// Returns the 90 % interval of trip `row`, minutes; `None` for a tip model.
    ///
    /// # Panics
    /// When there is no such trip.
    pub fn interval(&self, row: usize) -> Option<(f64, f64)> {
        match self {
            Self::Duration(durations) => Some((durations.lower_min[row], durations.upper_min[row])),
            Self::Tip(_) => None,
        }
    }

    /// Computes the metrics on `rows`; `labels` are those of all trips.
    pub(crate) fn measure(&self, labels: &[f64], rows: impl IntoIterator<Item = usize>) -> Metrics {
        let target = match self {
            Self::Duration(_) => Target::Duration,
            Self::Tip(_) => Target::Tip,
        };
        let mut performance = Performance::new(target);
        let values = self.values();
        rows.into_iter().for_each(|row| performance.add(values[row], self.interval(row), labels[row]));
        performance.metrics()
    }
}

/// Computes the metrics of `model` on all `examples`; for `threads` see [`Predictions::new`].
pub fn evaluate(model: &Model, examples: &Examples, threads: usize) -> Metrics {
    let predictions = Predictions::new(model, &examples.trips, threads);
    predictions.measure(&examples.labels, 0..examples.len())
}

/// Computes the metrics of `model` by pickup borough, hour band, distance band, airport and vendor; empty groups are left out.
pub fn slices(model: &Model, examples: &Examples) -> Vec<Slice> {
    let predictions = Predictions::new(model, &examples.trips, 0);
    let mut parts: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (row, trip) in examples.trips.iter().enumerate() {
        for (by, value) in slices_of(trip) {
            parts.entry((by, value)).or_default().push(row);
        }
    }
    let slice = |((by, value), rows): (&(&str, &str), &Vec<usize>)| Slice {
        by: by.to_string(),
        value: value.to_string(),
        metrics: predictions.measure(&examples.labels, rows.iter().copied()),
    };
    parts.iter().map(slice).collect()
}

/// Returns the slices that a trip belongs to: `(by, value)`.
pub fn slices_of(trip: &Trip) -> [(&'static str, &'static str); 5] {
    use chrono::Timelike;
    let hour_band = match trip.pickup.map(|at| at.hour()) {
        None => "unknown",
        Some(0..=5) => "00-05 night",
        Some(6..=9) => "06-09 morning",
        Some(10..=14) => "10-14 midday",
        Some(15..=18) => "15-18 afternoon",
        Some(_) => "19-23 evening",
    };
    const BANDS: [&str; DISTANCE_BAND_ENDS.len() + 1] =
        ["00-01 miles", "01-02 miles", "02-05 miles", "05-10 miles", "10+ miles"];
    let distance_band = possible_miles(trip.distance_miles).map(distance_band);
    let distance_band = distance_band.map_or("impossible", |band| BANDS[band]);
    let airport = zones::is_airport(trip.pickup_zone) || zones::is_airport(trip.dropoff_zone);
    // The vendors of the Taxi and Limousine Commission's dictionary.
    let vendor = match trip.vendor {
        None => "unknown",
        Some(1) => "1 Creative Mobile",
        Some(2) => "2 Curb Mobility",
        Some(6) => "6 Myle",
        Some(7) => "7 Helix",
        Some(_) => "other",
    };
    [
        ("pickup_borough", zones::borough(trip.pickup_zone).name()),
        ("hour_band", hour_band),
        ("distance_band", distance_band),
        ("airport", if airport { "yes" } else { "no" }),
        ("vendor", vendor),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::{Candidate, Family, FitParams, Work, go_on};
    use crate::request::local_time;
    use crate::trip::Zone;

    #[test]
    fn predictions_in_parts_are_those_in_one() {
        let miles = |row: usize| row as f64 / 1e3;
        let trip = |row: usize| Trip {
            pickup_zone: Zone::new((row % 200) as u16 + 1),
            dropoff_zone: Zone::new((row % 150) as u16 + 1),
            distance_miles: Some(miles(row)),
            ..Trip::default()
        };
        let rows = 0..3 * PART_ROWS_MIN + 1;
        let examples = Examples {
            trips: rows.clone().map(trip).collect(),
            labels: rows.map(|row| 3.0 * miles(row) + 4.0).collect(),
        };
        let mut work = Work { threads: 1, control: &mut go_on };
        let params = FitParams::default();
        let model =
            Candidate::fit(Target::Duration, Family::Linear, &examples, &params, &mut work).unwrap().model;
        for trips in [&examples.trips, &Vec::new()] {
            let on_one = Predictions::new(&model, trips, 1);
            assert!([0, 2, 3, 64].iter().all(|threads| Predictions::new(&model, trips, *threads) == on_one));
        }
    }

    #[test]
    fn a_trip_belongs_to_one_part_of_every_kind() {
        let trip = Trip {
            pickup_zone: Zone::new(74),
            dropoff_zone: Zone::new(138),
            pickup: local_time("2021-02-03 08:00:00"),
            distance_miles: Some(5.0),
            vendor: Some(6),
            ..Trip::default()
        };
        assert_eq!(
            slices_of(&trip),
            [
                ("pickup_borough", "Manhattan"),
                ("hour_band", "06-09 morning"),
                ("distance_band", "02-05 miles"),
                ("airport", "yes"),
                ("vendor", "6 Myle")
            ]
        );
        let unknown = slices_of(&Trip::default()).map(|(_, value)| value);
        assert_eq!(unknown, ["Unknown", "unknown", "impossible", "no", "unknown"]);
    }
}
