//! How good a model is, on which rows: figures that compare, and the same by slice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::candidates::{DurationAnswers, Model};
use crate::outcome::{Examples, Target};
use crate::trip::{Trip, TripBatch, possible_miles};
use crate::zones;

/// Fewer trips than this are answered before another thread has begun.
const PART_ROWS_MIN: usize = 5_000;

/// Figures on a set of examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// How many examples.
    pub rows: u64,
    /// The target's own figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The figures of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figures {
    /// Errors of durations in minutes.
    Duration {
        /// Root mean squared error, minutes.
        rmse: f64,
        /// Mean absolute error, minutes.
        mae: f64,
        /// Share of the variance explained.
        r2: f64,
        /// Share of truths inside the 90 % interval.
        coverage: f64,
        /// Mean width of that interval, minutes.
        interval_width_min: f64,
    },
    /// Quality of probabilities.
    Tip {
        /// Area under the ROC curve; ties count half.
        auc: f64,
        /// Mean negative log likelihood, natural logarithm, probabilities kept 1e-15 away from 0 and 1.
        log_loss: f64,
        /// Mean squared error of the probabilities.
        brier: f64,
        /// Share of tipped trips.
        base_rate: f64,
        /// Expected calibration error (Naeini, Cooper and Hauskrecht 2015): how far the share of tipped trips is from
        /// the mean probability, over ten parts of about as many trips in order of probability, weighted by trips. None
        /// in figures of earlier builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ece: Option<f64>,
    },
}

impl Figures {
    /// The one figure that decides, smaller is better, with its name: RMSE or log loss.
    pub fn deciding(&self) -> (&'static str, f64) {
        match self {
            Self::Duration { rmse, .. } => ("rmse", *rmse),
            Self::Tip { log_loss, .. } => ("log_loss", *log_loss),
        }
    }
}

/// What an answer costs; the figure that decides is made of its mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Squared minutes; the figure is their root.
    Squared,
    /// Negative log likelihood.
    Log,
}

impl Loss {
    /// The loss of a target's answers.
    pub fn of(target: Target) -> Self {
        match target {
            Target::Duration => Self::Squared,
            Target::Tip => Self::Log,
        }
    }

    /// Of one answer.
    pub fn row(self, said: f64, was: f64) -> f64 {
        match self {
            Self::Squared => (said - was).powi(2),
            Self::Log => {
                let p = said.clamp(1e-15, 1.0 - 1e-15);
                -if was > 0.0 { p.ln() } else { (1.0 - p).ln() }
            }
        }
    }

    /// The figure that decides, of a mean loss.
    pub fn figure(self, mean: f64) -> f64 {
        match self {
            Self::Squared => mean.sqrt(),
            Self::Log => mean,
        }
    }

    /// The figure that decides over answers; NaN of none.
    pub fn mean(self, said: &[f64], was: &[f64]) -> f64 {
        let sum: f64 = said.iter().zip(was).map(|(said, was)| self.row(*said, *was)).sum();
        self.figure(sum / said.len() as f64)
    }
}

/// Figures on a part of the examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// What the examples are parted by.
    pub by: String,
    /// Which part.
    pub value: String,
    /// The figures there.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// What a model said of each example.
#[derive(Debug, PartialEq)]
pub(crate) enum Answers {
    Duration(DurationAnswers),
    Tip(Vec<f64>),
}

/// Figures of `model` on all `examples`.
pub fn evaluate(model: &Model, examples: &Examples) -> Metrics {
    let rows: Vec<usize> = (0..examples.len()).collect();
    measure(&answers(model, examples), &examples.labels, &rows)
}

/// Figures of `model` by pickup borough, hour band, distance band and airport trips; parts without rows are left
/// out.
pub fn slices(model: &Model, examples: &Examples) -> Vec<Slice> {
    let answers = answers(model, examples);
    let mut parts: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (row, trip) in examples.trips.iter().enumerate() {
        for (by, value) in slices_of(&trip) {
            parts.entry((by, value)).or_default().push(row);
        }
    }
    let slice = |((by, value), rows): (&(&str, &str), &Vec<usize>)| Slice {
        by: by.to_string(),
        value: value.to_string(),
        metrics: measure(&answers, &examples.labels, rows),
    };
    parts.iter().map(slice).collect()
}

/// The slices that a trip belongs to: `(by, value)`.
pub fn slices_of(trip: &Trip) -> [(&'static str, &'static str); 4] {
    use chrono::Timelike;
    let hour_band = match trip.pickup.map(|at| at.hour()) {
        None => "unknown",
        Some(0..=5) => "00-05 night",
        Some(6..=9) => "06-09 morning",
        Some(10..=14) => "10-14 midday",
        Some(15..=18) => "15-18 afternoon",
        Some(_) => "19-23 evening",
    };
    let distance_band = match possible_miles(trip.distance_miles) {
        None => "impossible",
        Some(miles) if miles <= 1.0 => "00-01 miles",
        Some(miles) if miles <= 2.0 => "01-02 miles",
        Some(miles) if miles <= 5.0 => "02-05 miles",
        Some(miles) if miles <= 10.0 => "05-10 miles",
        Some(_) => "10+ miles",
    };
    let airport = zones::is_airport(trip.pickup_zone) || zones::is_airport(trip.dropoff_zone);
    [
        ("pickup_borough", zones::borough(trip.pickup_zone).name()),
        ("hour_band", hour_band),
        ("distance_band", distance_band),
        ("airport", if airport { "yes" } else { "no" }),
    ]
}

pub(crate) fn answers(model: &Model, examples: &Examples) -> Answers {
    answers_of(model, &examples.trips)
}

/// What `model` answers to `trips`, many of them on all processors: a trip's answer does not depend on those beside it.
pub(crate) fn answers_of(model: &Model, trips: &TripBatch) -> Answers {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = processors.min(trips.len() / PART_ROWS_MIN);
    if parts < 2 {
        return asked(model, trips);
    }
    let rows: Vec<usize> = (0..trips.len()).collect();
    let mut parts = rows.chunks(rows.len().div_ceil(parts));
    let first = parts.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> = parts.map(|rows| scope.spawn(|| asked(model, &trips.select(rows)))).collect();
        let mut all = asked(model, &trips.select(first));
        for other in others {
            all.append(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    })
}

fn asked(model: &Model, trips: &TripBatch) -> Answers {
    match model {
        Model::Duration(model) => Answers::Duration(model.answer(trips)),
        Model::Tip(model) => Answers::Tip(model.probabilities(trips)),
    }
}

impl Answers {
    /// Those of the same model to further trips.
    fn append(&mut self, further: Self) {
        match (self, further) {
            (Self::Duration(all), Self::Duration(further)) => {
                all.minutes.extend(further.minutes);
                all.lower_min.extend(further.lower_min);
                all.upper_min.extend(further.upper_min);
            }
            (Self::Tip(all), Self::Tip(further)) => all.extend(further),
            // One model answers one kind.
            (Self::Duration(_), Self::Tip(_)) | (Self::Tip(_), Self::Duration(_)) => {}
        }
    }
}

pub(crate) fn measure(answers: &Answers, labels: &[f64], rows: &[usize]) -> Metrics {
    let figures = match answers {
        Answers::Duration(answers) => duration_figures(answers, labels, rows),
        Answers::Tip(probabilities) => tip_figures(probabilities, labels, rows),
    };
    Metrics { rows: rows.len() as u64, figures }
}

fn duration_figures(answers: &DurationAnswers, labels: &[f64], rows: &[usize]) -> Figures {
    let mut tally = DurationTally::default();
    for &row in rows {
        tally.add(answers.minutes[row], (answers.lower_min[row], answers.upper_min[row]), labels[row]);
    }
    tally.metrics().figures
}

/// Figures of durations as rows pass by, for files that are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DurationTally {
    rows: u64,
    squared: f64,
    absolute: f64,
    covered: u64,
    width: f64,
    mean_label: f64,
    label_squares: f64,
}

impl DurationTally {
    /// Counts one trip: what was said, its interval, and what was; minutes.
    pub fn add(&mut self, said: f64, (lower, upper): (f64, f64), was: f64) {
        self.rows += 1;
        self.squared += (said - was).powi(2);
        self.absolute += (said - was).abs();
        self.covered += u64::from((lower..=upper).contains(&was));
        self.width += upper - lower;
        let stray = was - self.mean_label;
        self.mean_label += stray / self.rows as f64;
        self.label_squares += stray * (was - self.mean_label);
    }

    /// The figures so far; zeros of no rows.
    pub fn metrics(&self) -> Metrics {
        let mean = |sum: f64| sum / self.rows.max(1) as f64;
        let explained = if self.label_squares > 0.0 { 1.0 - self.squared / self.label_squares } else { 0.0 };
        let figures = Figures::Duration {
            rmse: mean(self.squared).sqrt(),
            mae: mean(self.absolute),
            r2: explained,
            coverage: mean(self.covered as f64),
            interval_width_min: mean(self.width),
        };
        Metrics { rows: self.rows, figures }
    }
}

fn tip_figures(probabilities: &[f64], labels: &[f64], rows: &[usize]) -> Figures {
    let mean =
        |of: &dyn Fn(usize) -> f64| rows.iter().map(|&row| of(row)).sum::<f64>() / rows.len().max(1) as f64;
    Figures::Tip {
        auc: auc(rows.iter().map(|&row| (probabilities[row], labels[row] > 0.0)).collect()),
        log_loss: mean(&|row| Loss::Log.row(probabilities[row], labels[row])),
        brier: mean(&|row| (probabilities[row] - labels[row]).powi(2)),
        base_rate: mean(&|row| labels[row]),
        ece: Some(calibration_error(rows.iter().map(|&row| (probabilities[row], labels[row])).collect())),
    }
}

/// Parts that probabilities are compared in.
const CALIBRATION_PARTS: usize = 10;

/// Expected calibration error of probabilities beside what was (1 or 0), see [`Figures::Tip`]; 0 of no examples. Equal probabilities are never parted, so that their order does not matter.
pub fn calibration_error(mut said_and_was: Vec<(f64, f64)>) -> f64 {
    said_and_was.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let per_part = said_and_was.len().div_ceil(CALIBRATION_PARTS).max(1);
    let (mut off, mut part, mut in_part) = (0.0, 0.0, 0);
    for ties in said_and_was.chunk_by(|a, b| a.0 == b.0) {
        part += ties.iter().map(|(said, was)| said - was).sum::<f64>();
        in_part += ties.len();
        if in_part >= per_part {
            off += f64::abs(std::mem::take(&mut part));
            in_part = 0;
        }
    }
    (off + f64::abs(part)) / said_and_was.len().max(1) as f64
}

/// Probability that a tipped example scores above one that is not (Mann and Whitney 1947); 0.5 with one class.
fn auc(mut scored: Vec<(f64, bool)>) -> f64 {
    scored.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let positives = scored.iter().filter(|(_, positive)| *positive).count() as f64;
    let negatives = scored.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return 0.5;
    }
    let (mut below, mut pairs) = (0.0, 0.0);
    for ties in scored.chunk_by(|a, b| a.0 == b.0) {
        let tied_positives = ties.iter().filter(|(_, positive)| *positive).count() as f64;
        let tied_negatives = ties.len() as f64 - tied_positives;
        pairs += tied_positives * (below + 0.5 * tied_negatives);
        below += tied_negatives;
    }
    pairs / (positives * negatives)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::candidates::{Candidate, Family, FitParams, Work, go_on};
    use crate::request::local_time;
    use crate::trip::Zone;

    proptest! {
        /// The oracle: the definition, over all pairs.
        #[test]
        fn auc_is_the_share_of_pairs_in_order(scored in prop::collection::vec((0..6i32, any::<bool>()), 2..40)) {
            let (mut pairs, mut in_order) = (0.0, 0.0);
            for (high, _) in scored.iter().filter(|scored| scored.1) {
                for (low, _) in scored.iter().filter(|scored| !scored.1) {
                    pairs += 1.0;
                    in_order += if high > low { 1.0 } else if high == low { 0.5 } else { 0.0 };
                }
            }
            let expected = if pairs > 0.0 { in_order / pairs } else { 0.5 };
            let ours = auc(scored.iter().map(|(score, positive)| (f64::from(*score), *positive)).collect());
            prop_assert!((ours - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn answers_in_parts_are_those_in_one() {
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
        assert_eq!(answers_of(&model, &examples.trips), asked(&model, &examples.trips));
        assert_eq!(answers_of(&model, &TripBatch::default()), asked(&model, &TripBatch::default()));
    }

    #[test]
    fn figures_of_a_hand_calculation() {
        let answers = DurationAnswers {
            minutes: vec![10.0, 20.0, 30.0],
            lower_min: vec![5.0, 15.0, 25.0],
            upper_min: vec![15.0, 25.0, 35.0],
        };
        let Figures::Duration { rmse, mae, r2, coverage, interval_width_min } =
            duration_figures(&answers, &[10.0, 26.0, 27.0], &[0, 1, 2])
        else {
            panic!("durations")
        };
        assert_eq!((rmse, mae, coverage, interval_width_min), (15f64.sqrt(), 3.0, 2.0 / 3.0, 10.0));
        assert!((r2 - (1.0 - 15.0 / (182.0 / 3.0))).abs() < 1e-12);
        let Figures::Tip { auc, log_loss, brier, base_rate, ece } =
            tip_figures(&[0.8, 0.4], &[1.0, 0.0], &[0, 1])
        else {
            panic!("tips")
        };
        assert_eq!((auc, base_rate), (1.0, 0.5));
        assert!((log_loss - -(0.8f64.ln() + 0.6f64.ln()) / 2.0).abs() < 1e-12);
        assert!((brier - (0.04 + 0.16) / 2.0).abs() < 1e-12);
        assert!((ece.unwrap() - (0.2 + 0.4) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn probabilities_that_come_true_are_calibrated() {
        // Of 1,000 trips at each of 20 probabilities as many are tipped as that says.
        let honest = |share: f64| {
            (0..20_000).map(move |row| {
                let said = (f64::from(row / 1000) + 0.5) / 20.0;
                (said, f64::from(u8::from(f64::from(row % 1000) + 0.5 < 1000.0 * said * share)))
            })
        };
        assert!(calibration_error(honest(1.0).collect()) < 1e-9);
        let mean = 0.5;
        let off = calibration_error(honest(0.8).collect());
        assert!((off - 0.2 * mean).abs() < 1e-9, "{off}");
        let tied = calibration_error(vec![(0.3, 0.0), (0.3, 1.0), (0.3, 0.0), (0.3, 0.0)]);
        assert!((tied - (0.3 - 0.25)).abs() < 1e-12, "{tied}");
        assert_eq!(calibration_error(Vec::new()), 0.0);
    }

    #[test]
    fn a_trip_belongs_to_one_part_of_every_kind() {
        let trip = Trip {
            pickup_zone: Zone::new(74),
            dropoff_zone: Zone::new(138),
            pickup: local_time("2021-02-03 08:00:00"),
            distance_miles: Some(5.0),
            ..Trip::default()
        };
        assert_eq!(
            slices_of(&trip),
            [
                ("pickup_borough", "Manhattan"),
                ("hour_band", "06-09 morning"),
                ("distance_band", "02-05 miles"),
                ("airport", "yes")
            ]
        );
        let unknown = slices_of(&Trip::default()).map(|(_, value)| value);
        assert_eq!(unknown, ["Unknown", "unknown", "impossible", "no"]);
    }
}
