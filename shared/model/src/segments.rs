//! Segments of a month whose labels are a defect: rows of one category of a code, or rows that do not state it, that have nearly all the
//! same duration, durations that have little to do with the distance, or durations or distances unlike those of the rest. A meter that
//! reports the end of its shift for every trip is one, a zone whose clocks are off another, a rate code in kilometres a third. What is
//! learned from such rows is served long after the meter is mended. They are not learned from; the rest of the month is.
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
/// Durations are unrelated to the distance when they differ from those of the same distance and hour, and from those of the same fare and
/// distance, by so many times what is typical of the file.
const SPREAD_BY_HOUR: f64 = 2.1;
const SPREAD_BY_FARE: f64 = 2.6;
/// The first of the two for a segment without fares.
const SPREAD_WITHOUT_FARES: f64 = 2.4;
/// Segments at most that are found in one file.
const FOUND_MAX: usize = 20;

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
    /// The category; none for the rows that do not state the column.
    pub value: Option<u16>,
    /// Its rows with a duration that is judged, without those of segments that were found before.
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
    /// Its durations have little to do with the distance.
    Unrelated {
        /// How many times as far they are from those of the same distance and hour as is typical of the file, in the median.
        spread: f64,
    },
    /// Its durations are so many times those of trips of the same fare and distance, or of the same hour and distance if it has no fares.
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
            Defect::Unrelated { spread } => {
                format!(
                    "they differ {spread:.1} times as much from others of the same distance and hour as those do"
                )
            }
            Defect::Durations { factor } => {
                format!(
                    "they last {factor:.2} times as long as others of the same distance and fare (hour, without fares)"
                )
            }
            Defect::Distances { factor } => {
                format!("they state {factor:.2} times the miles of others between zones as far apart")
            }
        };
        let share = share_of_file * 100.0;
        let which = value.map_or_else(|| format!("without {code}"), |value| format!("of {code} {value}"));
        format!("durations of {rows} rows {which} ({share:.2} % of the file) are not learned from: {why}")
    }
}

/// A category of one of [`CODES`], by its position, or the rows without one.
type Segment = (usize, Option<u16>);

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// The segments, the clearest first.
    pub segments: Vec<DefectiveSegment>,
    /// Whether each trip of the file belongs to one of them: `[n_trips]`.
    pub marks: Vec<bool>,
}

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
            if !value.is_nan() {
                for segment in categories.iter().copied().enumerate() {
                    groups.entry(segment).or_default().push(value);
                }
            }
        }
        groups.retain(|_, values| values.len() >= ROWS_MIN);
        groups
    }

    fn mark(&self, is_marked: &mut [bool], (code, category): Segment) -> usize {
        let mut rows = 0;
        for (marked, categories) in is_marked.iter_mut().zip(&self.categories) {
            if categories[code] == category && !*marked {
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

/// Marks the rows of a file that belong to one of its defective segments.
pub(crate) fn marks(file: &LabelledTrips) -> Vec<bool> {
    file.defective.clone().unwrap_or_else(|| Found::search(file).marks)
}

impl Found {
    /// Finds the defective segments of a file.
    ///
    /// One after the other, the clearest first, and the others are compared again without its rows: those of a defective zone are also of
    /// sound vendors and other zones.
    pub fn search(file: &LabelledTrips) -> Self {
        let judged = Judged::from_file(file);
        let mut is_marked = vec![false; judged.rows.len()];
        let mut segments = Vec::new();
        while segments.len() < FOUND_MAX {
            let Some((segment, defect)) = clearest(file, &judged, &is_marked) else { break };
            let rows = judged.mark(&mut is_marked, segment);
            segments.push(DefectiveSegment {
                code: CODES[segment.0].to_string(),
                value: segment.1,
                rows: rows as u64,
                share_of_file: rows as f64 / judged.rows.len() as f64,
                defect,
            });
        }
        let mut marks = vec![false; file.trips.len()];
        judged.rows.iter().zip(is_marked).for_each(|(row, marked)| marks[*row] = marked);
        Self { segments, marks }
    }
}

/// Finds the segment that is clearest to be a defect among rows that are not marked, if any is.
fn clearest(file: &LabelledTrips, judged: &Judged, is_marked: &[bool]) -> Option<(Segment, Defect)> {
    most_degenerate(judged, is_marked).or_else(|| {
        let residuals = Residuals::new(file, &judged.rows, &judged.minutes, is_marked);
        most_unlike(judged, &residuals, is_marked)
    })
}

/// Finds the segment of the largest share of durations that are nearly the same, where those of other segments of the code are not.
fn most_degenerate(judged: &Judged, is_marked: &[bool]) -> Option<(Segment, Defect)> {
    let groups = judged.by_segment(is_marked, |at| judged.minutes[at]);
    let mut found: Vec<Concentrated> = Vec::new();
    for code in 0..CODES.len() {
        let of_code = groups.iter().filter(|((of, _), _)| *of == code);
        let mut segments: Vec<Concentrated> =
            of_code.map(|(segment, minutes)| Concentrated::new(*segment, minutes)).collect();
        segments.sort_by(|a, b| a.share_alike.total_cmp(&b.share_alike).then(a.segment.cmp(&b.segment)));
        let rows: usize = segments.iter().map(|segment| segment.rows).sum();
        let mut below = 0;
        let typical = segments.iter().find(|segment| {
            below += segment.rows;
            below * 2 >= rows
        });
        if typical.is_some_and(|typical| typical.share_alike <= TYPICAL_MAX) {
            found.extend(segments.into_iter().filter(|segment| segment.share_alike >= SHARE_MIN));
        }
    }
    let most =
        found.into_iter().max_by(|a, b| a.share_alike.total_cmp(&b.share_alike).then(a.rows.cmp(&b.rows)));
    most.map(|Concentrated { segment, median_min, share_alike, .. }| {
        (segment, Defect::SameDuration { median_min, share_alike })
    })
}

/// How alike the durations of a segment are.
struct Concentrated {
    segment: Segment,
    rows: usize,
    median_min: f64,
    share_alike: f64,
}

impl Concentrated {
    fn new(segment: Segment, minutes: &[f64]) -> Self {
        let median_min = median(&mut minutes.to_vec());
        let alike = minutes.iter().filter(|value| (**value - median_min).abs() <= 0.5).count();
        let rows = minutes.len();
        Self { segment, rows, median_min, share_alike: alike as f64 / rows as f64 }
    }
}

/// Finds the segment whose durations or distances are furthest beyond what sound segments show, if any is.
fn most_unlike(judged: &Judged, residuals: &Residuals, is_marked: &[bool]) -> Option<(Segment, Defect)> {
    let groups = |residual: Residual| -> BTreeMap<Segment, Centre> {
        let groups = judged.by_segment(is_marked, |at| residuals.get(residual, at));
        groups.into_iter().map(|(segment, values)| (segment, Centre::new(values))).collect()
    };
    let spread_of_all = |residual: Residual| {
        let values = (0..judged.rows.len()).map(|at| residuals.get(residual, at));
        let values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
        if values.is_empty() { f64::NAN } else { Centre::new(values).spread }
    };
    let by_fare = groups(Residual::MinutesByFare);
    let miles_by_fare = groups(Residual::MilesByFare);
    let typical = [Residual::MinutesByHour, Residual::MinutesByFare].map(spread_of_all);
    let mut unlike: Vec<(f64, Segment, Defect)> = Vec::new();
    for (segment, by_hour) in groups(Residual::MinutesByHour) {
        let by_fare = by_fare.get(&segment);
        let factor = libm::exp(by_fare.unwrap_or(&by_hour).median);
        let beyond = durations_beyond(by_fare.map(|fare| fare.median), by_hour.median);
        unlike.push((beyond, segment, Defect::Durations { factor }));
        let spread = by_hour.spread / typical[0];
        let beyond = spread_beyond(by_fare.map(|fare| fare.spread / typical[1]), spread);
        unlike.push((beyond, segment, Defect::Unrelated { spread }));
    }
    for (segment, by_line) in groups(Residual::MilesByLine) {
        let by_fare = miles_by_fare.get(&segment).map(|fare| fare.median);
        let beyond = distances_beyond(CODES[segment.0], by_fare, by_line.median);
        unlike.push((beyond, segment, Defect::Distances { factor: libm::exp(by_line.median) }));
    }
    let most = unlike.into_iter().filter(|unlike| unlike.0 > 0.0).max_by(|a, b| a.0.total_cmp(&b.0));
    most.map(|(_, segment, defect)| (segment, defect))
}

/// The middle of residuals.
struct Centre {
    median: f64,
    /// The median distance from the median.
    spread: f64,
}

impl Centre {
    /// Measures values, at least one.
    fn new(mut values: Vec<f64>) -> Self {
        let middle = median(&mut values);
        values.iter_mut().for_each(|value| *value = (*value - middle).abs());
        Self { median: middle, spread: median(&mut values) }
    }
}

/// Returns by how much durations are spread beyond those of sound segments, as a logarithm; not above 0 for sound ones, and where nothing is
/// spread.
fn spread_beyond(by_fare: Option<f64>, by_hour: f64) -> f64 {
    let beyond = |spread: f64, most: f64| libm::log(spread / most);
    let beyond = match by_fare {
        Some(by_fare) => beyond(by_hour, SPREAD_BY_HOUR).min(beyond(by_fare, SPREAD_BY_FARE)),
        None => beyond(by_hour, SPREAD_WITHOUT_FARES),
    };
    if beyond.is_finite() { beyond } else { 0.0 }
}

/// Returns by how much the durations of a segment are beyond those of sound ones, as logarithms; not above 0 for sound ones.
fn durations_beyond(by_fare: Option<f64>, by_hour: f64) -> f64 {
    match by_fare {
        Some(by_fare) => {
            let longer = (by_fare - 0.36).min(by_hour - 0.15);
            let shorter = (-0.52 - by_fare).min(-0.15 - by_hour);
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
