//! The content of a model card, measured on the holdout: Mitchell et al. 2019, "Model Cards for Model Reporting".
//! Writing it as a document or a page is done elsewhere.

mod tree_rules;

use std::collections::HashMap;

use serde::Serialize;

use crate::candidates::{Model, split_mix};
use crate::decision::{Holdout, HoldoutScore, Resamples};
use crate::evaluation::Predictions;
use crate::explanation::{Importance, ModelExplainer};
use crate::outcome::{Examples, LabelledTrips, Target, duration_min};
use crate::performance::{Figures, Loss, Metrics, Performance};
use crate::rules::Rules;
use crate::training::{Judgement, judge};
use crate::trip::{Trip, possible_miles};

pub use tree_rules::tree_rules;

/// Resamples of the days; see `decision::bootstrap`.
const RESAMPLES: usize = 1000;
/// Confidence of the bounds of a metric.
const CONFIDENCE: f64 = 0.95;
/// Trips are divided by prediction into as many parts of about equal size.
const PARTS: usize = 10;
/// Trips that are explained.
const TRIPS_EXPLAINED: usize = 200;
/// Trips that are predicted again with other distances.
const TRIPS_VARIED: usize = 20_000;
/// Varied distances are off by up to this share.
const DISTANCE_NOISE: f64 = 0.2;

/// Measurements of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// The deciding metric over all rows, then by slice in alphabetical order.
    pub slices: Vec<SliceFigure>,
    /// Mean predicted and actual values, in order of the predictions.
    pub parts: Vec<Part>,
    /// The metrics by each set of rules.
    pub rule_sets: Vec<Judgement>,
    /// For durations: how intervals cover all served trips, however long they took.
    pub all_served: Option<Coverage>,
    /// The importance of each feature, on a sample; empty for models that are not explained by feature.
    pub importance: Vec<Importance>,
    /// The deciding metric with other distances.
    pub sensitivity: Vec<Sensitivity>,
    /// The rules of a model that is one tree; else empty.
    pub tree_rules: Vec<String>,
}

/// The deciding metric on some rows, with its bounds by a bootstrap over days.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SliceFigure {
    /// What the rows are grouped by; `all` for all of them.
    pub by: String,
    /// The group.
    pub value: String,
    /// How many rows.
    pub rows: u64,
    /// RMSE in minutes, or log loss.
    pub figure: f64,
    /// 97.5 % of resamples lie above.
    pub lower: f64,
    /// 97.5 % of resamples lie below.
    pub upper: f64,
    /// For durations: the share inside the interval.
    pub coverage: Option<f64>,
}

/// Trips with similar predictions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// How many.
    pub rows: u64,
    /// Mean predicted value: minutes, or a probability.
    pub predicted: f64,
    /// Mean actual value: minutes, or the share of tipped trips.
    pub actual: f64,
    /// Two standard errors of that.
    pub actual_error: f64,
    /// For durations: the share inside the interval.
    pub coverage: Option<f64>,
    /// For durations: the interval's mean width, minutes.
    pub width_min: Option<f64>,
}

/// Coverage of intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// How many trips.
    pub rows: u64,
    /// The share inside the interval.
    pub coverage: f64,
    /// The interval's mean width, minutes.
    pub width_min: f64,
}

/// The deciding metric on the same trips with other distances.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Which distance is used.
    pub distance: &'static str,
    /// How many trips.
    pub rows: u64,
    /// RMSE in minutes, or log loss.
    pub figure: f64,
}

impl Holdout {
    /// Measures what a card shows of `model`, whose score is `scored`; the holdout was taken from `files`.
    pub fn findings(&self, model: &Model, scored: &HoldoutScore, files: &[LabelledTrips]) -> Findings {
        let explained = sample(&self.examples, TRIPS_EXPLAINED);
        let explainer = ModelExplainer::new(model).ok();
        let predictions = Predictions::new(model, &self.examples.trips, 0);
        Findings {
            slices: self.slice_figures(scored, &predictions),
            parts: parts(&predictions, &self.examples.labels),
            // Rules that keep no row have no figures.
            rule_sets: [Rules::Course, Rules::Strict]
                .into_iter()
                .filter_map(|rules| judge(model, rules, files).ok())
                .collect(),
            all_served: all_served(model, files),
            importance: explainer.map(|it| it.importance(&explained.trips)).unwrap_or_default(),
            sensitivity: sensitivity(model, &sample(&self.examples, TRIPS_VARIED)),
            tree_rules: tree_rules(model),
        }
    }

    fn slice_figures(&self, scored: &HoldoutScore, predictions: &Predictions) -> Vec<SliceFigure> {
        let loss = Loss::of_target(self.target);
        let resamples = Resamples::new(self.n_days, RESAMPLES, 0);
        let figure = |by: &str, value: &str, rows: &mut dyn Iterator<Item = usize>| {
            let mut by_day = vec![(0.0, 0.0); self.n_days];
            let (mut n_rows, mut covered) = (0, None);
            for row in rows {
                if let Some((lower, upper)) = predictions.interval(row) {
                    *covered.get_or_insert(0) +=
                        u64::from((lower..=upper).contains(&self.examples.labels[row]));
                }
                let (sum, count) = &mut by_day[self.days[row]];
                *sum += scored.losses[row];
                *count += 1.0;
                n_rows += 1;
            }
            let figures = resamples.figure(&by_day, loss, (1.0 - CONFIDENCE) / 2.0);
            // JSON has no NaN, and without rows there is no metric.
            let [figure, lower, upper] = if n_rows == 0 { [0.0; 3] } else { figures };
            let coverage = covered.map(|covered| covered as f64 / n_rows as f64);
            SliceFigure { by: by.into(), value: value.into(), rows: n_rows, figure, lower, upper, coverage }
        };
        let mut figures = vec![figure("all", "", &mut (0..self.days.len()))];
        figures.extend(
            self.slices.iter().map(|((by, value), rows)| figure(by, value, &mut rows.iter().copied())),
        );
        figures
    }
}

/// Returns every n-th example, at most `count`.
fn sample(examples: &Examples, count: usize) -> Examples {
    let step = examples.len().div_ceil(count).max(1);
    examples.filter(|row| row % step == 0)
}

fn parts(predictions: &Predictions, labels: &[f64]) -> Vec<Part> {
    let predicted = predictions.values();
    let mut order: Vec<usize> = (0..predicted.len()).collect();
    order.sort_by(|a, b| predicted[*a].total_cmp(&predicted[*b]));
    let part = |rows: &[usize]| {
        let mean =
            |of: &dyn Fn(usize) -> f64| rows.iter().map(|row| of(*row)).sum::<f64>() / rows.len() as f64;
        let actual = mean(&|row| labels[row]);
        let variance = mean(&|row| (labels[row] - actual).powi(2));
        let (coverage, width_min) = match predictions.measure(labels, rows.iter().copied()).figures {
            Figures::Duration { coverage, interval_width_min, .. } => {
                (Some(coverage), Some(interval_width_min))
            }
            Figures::Tip { .. } => (None, None),
        };
        let predicted = mean(&|row| predicted[row]);
        let actual_error = 2.0 * (variance / rows.len() as f64).sqrt();
        Part { rows: rows.len() as u64, predicted, actual, actual_error, coverage, width_min }
    };
    order.chunks(order.len().div_ceil(PARTS).max(1)).map(part).collect()
}

fn all_served(model: &Model, files: &[LabelledTrips]) -> Option<Coverage> {
    let mut performance = Performance::new(Target::Duration);
    for file in files {
        let predictions = Predictions::new(model, &file.trips, 0);
        for (row, predicted) in predictions.values().iter().enumerate() {
            let actual = duration_min(file.trips[row].pickup, file.outcomes[row].dropoff);
            let Some(actual) = actual else { continue };
            performance.add(*predicted, predictions.interval(row), actual);
        }
    }
    let Metrics { rows, figures } = performance.metrics();
    let Figures::Duration { coverage, interval_width_min: width_min, .. } = figures else { return None };
    (model.target() == Target::Duration).then_some(Coverage { rows, coverage, width_min })
}

fn sensitivity(model: &Model, examples: &Examples) -> Vec<Sensitivity> {
    if examples.is_empty() {
        return Vec::new();
    }
    let medians = pair_medians(&examples.trips);
    let loss = Loss::of_target(model.target());
    let figure = |distance: &'static str, miles: &dyn Fn(usize, Option<f64>) -> Option<f64>| {
        let trips = examples.trips.iter().enumerate();
        let trips: Vec<Trip> = trips
            .map(|(row, trip)| Trip { distance_miles: miles(row, trip.distance_miles), ..*trip })
            .collect();
        let figure = loss.mean(Predictions::new(model, &trips, 0).values(), &examples.labels);
        Sensitivity { distance, rows: examples.len() as u64, figure }
    };
    let pair = |row: usize| (examples.trips[row].pickup_zone, examples.trips[row].dropoff_zone);
    // Uniform in -1..1, by the row: the same for every model.
    let uniform = |row: usize| (split_mix(row as u64) >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
    vec![
        figure("as metered", &|_, miles| miles),
        figure("median of the zone pair", &|row, miles| medians.get(&pair(row)).copied().or(miles)),
        figure("20 % off at random", &|row, miles| {
            miles.map(|miles| miles * (1.0 + DISTANCE_NOISE * uniform(row)))
        }),
        figure("not stated", &|_, _| None),
    ]
}

type Pair = (Option<crate::Zone>, Option<crate::Zone>);

/// Computes the median of the possible distances between each two zones.
fn pair_medians(trips: &[Trip]) -> HashMap<Pair, f64> {
    let mut miles: HashMap<Pair, Vec<f64>> = HashMap::new();
    for trip in trips.iter() {
        if let Some(stated) = possible_miles(trip.distance_miles) {
            miles.entry((trip.pickup_zone, trip.dropoff_zone)).or_default().push(stated);
        }
    }
    let median = |mut of: Vec<f64>| {
        of.sort_unstable_by(f64::total_cmp);
        of[of.len() / 2]
    };
    miles.into_iter().map(|(pair, of)| (pair, median(of))).collect()
}

/// Returns the name of the deciding metric, with its unit.
pub fn figure_name(target: Target) -> &'static str {
    match target {
        Target::Duration => "RMSE, minutes",
        Target::Tip => "log loss",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;
    use crate::candidates::{Candidate, Family, FitParams, Work, go_on};
    use crate::request::local_time;
    use crate::trip::{Trip, Zone};

    /// Three weeks of trips between three zones: the duration grows with the distance, by up to 4 minutes more.
    fn file() -> LabelledTrips {
        let (mut trips, mut outcomes) = (Vec::new(), Vec::new());
        for row in 0..2100u32 {
            let pickup = local_time(&format!("2021-01-{:02} {:02}:00:00", row % 21 + 1, row % 24)).unwrap();
            let miles = f64::from(row % 70) / 10.0 + 0.5;
            let minutes = 3.0 * miles + 4.0 + f64::from(row % 5);
            let (from, to) = ((row % 2 + 130) as u16, (row % 3 + 130) as u16);
            let distance_miles = Some(miles);
            trips.push(Trip {
                pickup_zone: Zone::new(from),
                dropoff_zone: Zone::new(to),
                pickup: Some(pickup),
                distance_miles,
                ..Trip::default()
            });
            outcomes.push(Outcome {
                dropoff: Some(pickup + chrono::TimeDelta::seconds((60.0 * minutes) as i64)),
                tip_amount: Some(f64::from(u8::from(row % 7 > 1 && miles > 1.0))),
                fare_amount: Some(9.0),
                payment_type: Some(1),
            });
        }
        LabelledTrips { month: "2021-01".parse().ok(), trips, outcomes, ..LabelledTrips::default() }
    }

    fn findings(target: Target, family: Family) -> Findings {
        let files = [file()];
        let examples = Rules::Strict.examples(target, &files).0;
        let mut work = Work { threads: 1, control: &mut go_on };
        let model =
            Candidate::fit(target, family, &examples, &FitParams::default(), &mut work).unwrap().model;
        let rows = Holdout::new(target, &files);
        rows.findings(&model, &rows.score(&model), &files)
    }

    #[test]
    fn a_duration_card_has_bounds_parts_and_distances() {
        let found = findings(Target::Duration, Family::Boosted);
        let all = &found.slices[0];
        assert_eq!((all.by.as_str(), all.rows), ("all", 2100));
        assert!(
            found.slices.iter().all(|one| one.lower <= one.figure && one.figure <= one.upper),
            "{found:?}"
        );
        assert!(all.upper - all.lower < all.figure, "21 days say something");
        assert_eq!(found.parts.len(), 10);
        assert!(found.parts.windows(2).all(|pair| pair[0].predicted <= pair[1].predicted));
        assert!(found.parts.iter().all(|part| part.coverage.is_some_and(|share| share > 0.5)), "{found:?}");
        assert_eq!(found.all_served.as_ref().unwrap().rows, 2100);
        let figure = |at: usize| found.sensitivity[at].figure;
        assert!(figure(0) < figure(2) && figure(2) < figure(3), "{:?}", found.sensitivity);
        assert_eq!(found.importance[0].feature, "distance_miles");
        assert_eq!(found.tree_rules, Vec::<String>::new());
        assert_eq!(found.rule_sets.iter().map(|of| of.metrics.rows).collect::<Vec<_>>(), [2100, 2100]);
    }

    #[test]
    fn a_tree_of_tips_tells_its_rules() {
        let found = findings(Target::Tip, Family::Tree);
        assert!(
            found.tree_rules.iter().any(|rule| rule.contains("distance_miles")),
            "{:?}",
            found.tree_rules
        );
        assert!(found.parts.iter().all(|part| part.coverage.is_none() && part.predicted <= 1.0));
        assert_eq!((found.importance.len(), &found.all_served), (0, &None));
    }
}
