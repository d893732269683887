//! Segments of a month whose labels are a defect: rows of one category of a code that have nearly all the same duration, or durations or
//! distances unlike those of the rest. A meter that reports the end of its shift for every trip is one, a zone whose clocks are off
//! another, a rate code in kilometres a third. What is learned from such rows is served long after the meter is mended. They are not
//! learned from; the rest of the month is.
//!
//! A month has to show its defects by itself, since it may be the only one. Durations are compared with those of trips of the same fare and
//! distance (a meter counts both), and of the same distance and hour; distances with the straight line, and with those of the same fare.
//! `docs/DESIGN.md` has the figures of sound segments.

mod residuals;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outcome::{LabelledTrips, Target};
use crate::rules::Rules;
use residuals::{Residual, Residuals, median};

/// Fewer rows are no evidence, and do little harm.
const ROWS_MIN: usize = 50;
/// Share of a segment's rows within half a minute of its median, from which on it is degenerate.
const SHARE_MIN: f64 = 0.6;
/// The same share of the typical segment of the code, beyond which that is how these durations are.
const TYPICAL_MAX: f64 = 0.3;
/// Segments at most that are found by durations or distances in one file.
const SHIFTED_MAX: usize = 20;

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

/// A category that is not learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefectiveSegment {
    /// The column.
    pub code: String,
    /// The category.
    pub value: u16,
    /// Its rows with a duration that is judged.
    pub rows: u64,
    /// Its share of all such rows of the file.
    pub share_of_file: f64,
    /// What is wrong with it.
    pub defect: Defect,
}

/// What is wrong with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Defect {
    /// Its durations are nearly all the same.
    SameDuration {
        /// The median duration, minutes.
        median_min: f64,
        /// Share of its rows within half a minute of that.
        share_alike: f64,
    },
    /// Its durations are so many times those of trips of the same fare and distance.
    Durations {
        /// The median factor.
        factor: f64,
    },
    /// Its distances are so many times those of trips between zones as far apart.
    Distances {
        /// The median factor.
        factor: f64,
    },
}

impl DefectiveSegment {
    /// Describes the segment in a sentence.
    pub fn described(&self) -> String {
        let Self { code, value, rows, share_of_file, defect } = self;
        let why = match defect {
            Defect::SameDuration { median_min, share_alike } => {
                format!(
                    "{:.0} % of them last {median_min:.1} minutes to within half a minute",
                    share_alike * 100.0
                )
            }
            Defect::Durations { factor } => {
                format!("they last {factor:.2} times as long as others of the same fare and distance")
            }
            Defect::Distances { factor } => {
                format!("they state {factor:.2} times the miles of others between zones as far apart")
            }
        };
        let share = share_of_file * 100.0;
        format!("{rows} rows of {code} {value} ({share:.2} % of the file) are not learned from: {why}")
    }
}

/// A category of one of [`CODES`], by its position.
type Segment = (usize, u16);

/// The judged rows of a file.
struct Judged {
    /// Their positions in the file.
    rows: Vec<usize>,
    minutes: Vec<f64>,
    categories: Vec<[Option<u16>; CODES.len()]>,
}

impl Judged {
    fn from_file(file: &LabelledTrips) -> Self {
        let label = |row: usize| file.label(Target::Duration, row).filter(|minutes| Rules::judges(*minutes));
        let (rows, minutes): (Vec<usize>, Vec<f64>) =
            (0..file.trips.len()).filter_map(|row| Some((row, label(row)?))).unzip();
        let categories = rows.iter().map(|row| categories(file, *row)).collect();
        Self { rows, minutes, categories }
    }

    /// Groups a value of each row by segment, without rows that are marked and values that are not known.
    fn by_segment(&self, is_marked: &[bool], value: impl Fn(usize) -> f64) -> BTreeMap<Segment, Vec<f64>> {
        let mut groups: BTreeMap<Segment, Vec<f64>> = BTreeMap::new();
        for (at, categories) in self.categories.iter().enumerate().filter(|(at, _)| !is_marked[*at]) {
            let value = value(at);
            let known = categories.iter().enumerate().filter(|_| !value.is_nan());
            for (code, category) in known.filter_map(|(code, category)| Some((code, (*category)?))) {
                groups.entry((code, category)).or_default().push(value);
            }
        }
        groups.retain(|_, values| values.len() >= ROWS_MIN);
        groups
    }

    fn mark(&self, is_marked: &mut [bool], (code, category): Segment) -> usize {
        let mut rows = 0;
        for (marked, categories) in is_marked.iter_mut().zip(&self.categories) {
            if categories[code] == Some(category) {
                *marked = true;
                rows += 1;
            }
        }
        rows
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

/// Finds the defective segments of a file.
pub fn defective(file: &LabelledTrips) -> Vec<DefectiveSegment> {
    found_and_marked(file).0
}

/// Marks the rows of a file that belong to one of its defective segments.
pub(crate) fn marks(file: &LabelledTrips) -> Vec<bool> {
    file.defective.clone().unwrap_or_else(|| found_and_marked(file).1)
}

fn found_and_marked(file: &LabelledTrips) -> (Vec<DefectiveSegment>, Vec<bool>) {
    let judged = Judged::from_file(file);
    let mut is_marked = vec![false; judged.rows.len()];
    let mut found = Vec::new();
    let mut add = |is_marked: &mut [bool], segment: Segment, defect: Defect| {
        let rows = judged.mark(is_marked, segment);
        found.push(DefectiveSegment {
            code: CODES[segment.0].to_string(),
            value: segment.1,
            rows: rows as u64,
            share_of_file: rows as f64 / judged.rows.len() as f64,
            defect,
        });
    };
    for (segment, defect) in degenerate(&judged) {
        add(&mut is_marked, segment, defect);
    }
    let residuals = Residuals::new(file, &judged.rows, &judged.minutes);
    // One after the other, the clearest first: rows of a defective zone are also of sound vendors and other zones.
    for _ in 0..SHIFTED_MAX {
        let Some((segment, defect)) = most_shifted(&judged, &residuals, &is_marked) else { break };
        add(&mut is_marked, segment, defect);
    }
    let mut marks = vec![false; file.trips.len()];
    judged.rows.iter().zip(is_marked).for_each(|(row, marked)| marks[*row] = marked);
    (found, marks)
}

/// Finds the segments whose durations are nearly all the same, where those of other segments of the code are not.
fn degenerate(judged: &Judged) -> Vec<(Segment, Defect)> {
    let groups = judged.by_segment(&vec![false; judged.rows.len()], |at| judged.minutes[at]);
    let mut found = Vec::new();
    for code in 0..CODES.len() {
        // Share alike, rows, median and segment.
        let of_code = groups.iter().filter(|((of, _), _)| *of == code);
        let mut segments: Vec<(f64, usize, f64, Segment)> = of_code
            .map(|(segment, minutes)| {
                let (median, alike) = concentration(minutes);
                (alike, minutes.len(), median, *segment)
            })
            .collect();
        segments.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.3.cmp(&b.3)));
        let rows: usize = segments.iter().map(|segment| segment.1).sum();
        let mut below = 0;
        let typical = segments.iter().find(|segment| {
            below += segment.1;
            below * 2 >= rows
        });
        if typical.is_some_and(|typical| typical.0 <= TYPICAL_MAX) {
            let same = segments.iter().filter(|segment| segment.0 >= SHARE_MIN);
            found.extend(same.map(|(share_alike, _, median_min, segment)| {
                (*segment, Defect::SameDuration { median_min: *median_min, share_alike: *share_alike })
            }));
        }
    }
    found
}

/// Returns the median, and the share of values within half a minute of it.
fn concentration(minutes: &[f64]) -> (f64, f64) {
    let median = median(&mut minutes.to_vec());
    let alike = minutes.iter().filter(|value| (**value - median).abs() <= 0.5).count();
    (median, alike as f64 / minutes.len() as f64)
}

/// Finds the segment whose durations or distances are furthest beyond what sound segments show, if any is.
fn most_shifted(judged: &Judged, residuals: &Residuals, is_marked: &[bool]) -> Option<(Segment, Defect)> {
    let medians = |residual: Residual| -> BTreeMap<Segment, f64> {
        let groups = judged.by_segment(is_marked, |at| residuals.get(residual, at));
        groups.into_iter().map(|(segment, mut values)| (segment, median(&mut values))).collect()
    };
    let by_fare = medians(Residual::MinutesByFare);
    let miles_by_fare = medians(Residual::MilesByFare);
    let mut shifted: Vec<(f64, Segment, Defect)> = Vec::new();
    for (segment, by_hour) in medians(Residual::MinutesByHour) {
        let by_fare = by_fare.get(&segment).copied();
        let defect = Defect::Durations { factor: libm::exp(by_fare.unwrap_or(by_hour)) };
        shifted.push((durations_beyond(by_fare, by_hour), segment, defect));
    }
    for (segment, by_line) in medians(Residual::MilesByLine) {
        let beyond = distances_beyond(CODES[segment.0], miles_by_fare.get(&segment).copied(), by_line);
        shifted.push((beyond, segment, Defect::Distances { factor: libm::exp(by_line) }));
    }
    let most = shifted.into_iter().filter(|shifted| shifted.0 > 0.0).max_by(|a, b| a.0.total_cmp(&b.0));
    most.map(|(_, segment, defect)| (segment, defect))
}

/// Returns by how much the durations of a segment are beyond those of sound ones, as logarithms; not above 0 for sound ones.
fn durations_beyond(by_fare: Option<f64>, by_hour: f64) -> f64 {
    match by_fare {
        Some(by_fare) => {
            let longer = (by_fare - 0.36).min(by_hour - 0.15);
            let shorter = (-0.52 - by_fare).min(-0.52 - by_hour);
            longer.max(shorter)
        }
        // Without fares, the pace alone says less.
        None => (by_hour - 0.5).max(-0.8 - by_hour),
    }
}

/// Returns the same for its distances.
fn distances_beyond(code: &str, by_fare: Option<f64>, by_line: f64) -> f64 {
    match (code, by_fare) {
        // Zones differ by how far from their centroids trips begin, but then fares follow the distances.
        ("PULocationID" | "DOLocationID", Some(by_fare)) => {
            let longer = (by_line - 0.3).min(by_fare - 0.3);
            let shorter = (-0.52 - by_line).min(-0.52 - by_fare);
            longer.max(shorter)
        }
        ("PULocationID" | "DOLocationID", None) => by_line.abs() - 0.7,
        // Trips without charge or in dispute are short.
        ("payment_type", _) => (by_line - 0.3).max(-0.8 - by_line),
        _ => by_line.abs() - 0.3,
    }
}

#[cfg(test)]
mod tests;
