//! Checks whether a model is sound at all, however good its metrics.

use crate::candidates::Model;
use crate::evaluation::Predictions;
use crate::outcome::Examples;
use crate::trip::{Trip, select};
use crate::zones;

/// The mean prediction of a sound model is off the mean label by at most this share of it: months differ by up to a
/// seventh, and a city that comes to a stop must not stop its models from being replaced.
const MEAN_OFF_MAX: f64 = 0.5;
/// The predictions' standard deviation is at least this share of the labels'.
const SPREAD_MIN: f64 = 0.1;
/// The longest sound prediction for a trip of at most an hour, minutes.
const MINUTES_MAX: f64 = 180.0;
/// Trips whose distance is varied.
const TRIPS_VARIED: usize = 200;
/// How many times the straight line between their zones the trips are long, when their distances are varied.
const DETOURS: [f64; 5] = [1.0, 1.25, 1.5, 2.0, 3.0];
/// A trip is predicted to take less time over a longer way when it takes less by more than this, minutes.
const SHORTER_MIN: f64 = 1.0;
/// At most this share of the trips may be predicted so.
const SHORTER_SHARE_MAX: f64 = 0.1;

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

/// Objects if a longer way is predicted to take less time: on average, or for many trips. Trees learn distances freely, since a constraint
/// costs accuracy (`docs/DESIGN.md` has the figures); distances shorter than the straight line are not believed, and not varied.
fn shorter_by_a_longer_way(model: &Model, examples: &Examples) -> Option<String> {
    let known = (0..examples.len()).filter(|&row| straight_miles(&examples.trips[row]).is_some());
    let known: Vec<usize> = known.collect();
    let step = known.len().div_ceil(TRIPS_VARIED).max(1);
    let trips = select(&examples.trips, &known.into_iter().step_by(step).collect::<Vec<_>>());
    if trips.is_empty() {
        return None;
    }
    let minutes_over = |detour: f64| {
        let over =
            |trip: &Trip| Trip { distance_miles: straight_miles(trip).map(|miles| miles * detour), ..*trip };
        Predictions::new(model, &trips.iter().map(over).collect::<Vec<_>>(), 0).values().to_vec()
    };
    let by_detour = DETOURS.map(minutes_over);
    by_detour.windows(2).zip(DETOURS.windows(2)).find_map(|(minutes, detours)| {
        let less: Vec<f64> = minutes[0].iter().zip(&minutes[1]).map(|(near, far)| near - far).collect();
        let mean = less.iter().sum::<f64>() / less.len() as f64;
        let share = less.iter().filter(|less| **less > SHORTER_MIN).count() as f64 / less.len() as f64;
        (mean > 0.0 || share > SHORTER_SHARE_MAX).then(|| {
            format!(
                "a way of {} times the straight line instead of {} is predicted to take {mean:.1} minutes less on average, and over \
                 {SHORTER_MIN} minute less by {:.0} % of trips",
                detours[1], detours[0], share * 100.0
            )
        })
    })
}

/// Returns the straight miles of a trip, those within a zone as half a mile.
fn straight_miles(trip: &Trip) -> Option<f64> {
    zones::straight_miles(trip.pickup_zone, trip.dropoff_zone).map(|miles| f64::from(miles).max(0.5))
}
