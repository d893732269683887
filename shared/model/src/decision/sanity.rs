//! Checks whether a model is sound at all, however good its metrics.

use crate::candidates::Model;
use crate::evaluation::Predictions;
use crate::outcome::Examples;
use crate::trip::{Trip, select};

/// The mean prediction of a sound model is off the mean label by at most this share of it: months differ by up to a
/// seventh, and a city that comes to a stop must not stop its models from being replaced.
const MEAN_OFF_MAX: f64 = 0.5;
/// The predictions' standard deviation is at least this share of the labels'.
const SPREAD_MIN: f64 = 0.1;
/// The longest sound prediction for a trip of at most an hour, minutes.
const MINUTES_MAX: f64 = 180.0;
/// Trips whose distance is varied.
const TRIPS_VARIED: usize = 200;
/// A longer distance may be predicted to take less time by this much, minutes.
const SHORTER_MAX_MIN: f64 = 0.5;

/// Returns objections to `model`, which predicted `predicted` for `examples`.
pub(super) fn objections(model: &Model, predicted: &[f64], examples: &Examples) -> Vec<String> {
    let mut objections = Vec::new();
    if examples.is_empty() {
        return vec!["the holdout has no rows".into()];
    }
    if let Some(odd) = predicted.iter().find(|predicted| !predicted.is_finite()) {
        return vec![format!("it predicts {odd}")];
    }
    let (mean, spread) = mean_and_spread(predicted);
    let (label_mean, label_spread) = mean_and_spread(&examples.labels);
    if (mean - label_mean).abs() > MEAN_OFF_MAX * label_mean {
        objections
            .push(format!("its mean prediction is {mean:.3}, the mean of the actual values {label_mean:.3}"));
    }
    if spread < SPREAD_MIN * label_spread {
        objections.push(format!(
            "its predictions hardly differ: by {spread:.3}, actual values differ by {label_spread:.3}"
        ));
    }
    if let Model::Duration(_) = model {
        let most = predicted.iter().copied().fold(0.0, f64::max);
        if most > MINUTES_MAX {
            objections.push(format!("it predicts {most:.0} minutes for a trip of at most an hour"));
        }
        objections.extend(shorter_by_a_longer_way(model, examples));
    }
    objections
}

fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

/// Objects if a longer distance takes less time.
fn shorter_by_a_longer_way(model: &Model, examples: &Examples) -> Option<String> {
    const MILES: [f64; 8] = [0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0];
    let step = examples.len().div_ceil(TRIPS_VARIED).max(1);
    let rows: Vec<usize> = (0..examples.len()).step_by(step).collect();
    let trips = select(&examples.trips, &rows);
    let minutes_over = |miles: f64| {
        let trips: Vec<Trip> =
            trips.iter().map(|trip| Trip { distance_miles: Some(miles), ..*trip }).collect();
        Predictions::new(model, &trips, 0).values().to_vec()
    };
    let by_miles = MILES.map(minutes_over);
    let shorter = by_miles.windows(2).flat_map(|pair| pair[0].iter().zip(&pair[1]).map(|(a, b)| a - b));
    let most = shorter.fold(0.0, f64::max);
    (most > SHORTER_MAX_MIN).then(|| format!("a longer way is predicted to take {most:.1} minutes less"))
}
