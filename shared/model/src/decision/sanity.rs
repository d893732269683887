//! Checks whether a model is sound at all, however good its metrics.

use crate::candidates::Model;
use crate::evaluation::Predictions;
use crate::outcome::Examples;
use crate::performance::Loss;
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

/// Trips whose codes are hidden; with fewer than this share of them, losses differ by chance.
const TRIPS_HIDDEN: usize = 2_000;
const TRIPS_HIDDEN_MIN: usize = 200;
/// The deciding metric may be so many times as high when a code is not known.
const HIDDEN_LOSS_MAX: f64 = 1.25;
/// A code that no training data has.
const UNSEEN: u8 = 213;

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
    objections.extend(worse_without_a_code(model, examples));
    objections
}

/// Objects if the model is much worse on trips that do not state a code, or state one that it never saw: it would serve both.
fn worse_without_a_code(model: &Model, examples: &Examples) -> Option<String> {
    type Hide = fn(&mut Trip, Option<u8>);
    const CODES: [(&str, Hide); 4] = [
        ("VendorID", |trip, code| trip.vendor = code),
        ("RatecodeID", |trip, code| trip.rate_code = code),
        ("passenger_count", |trip, code| trip.passengers = code),
        ("trip_type", |trip, code| trip.trip_type = code),
    ];
    let step = examples.len().div_ceil(TRIPS_HIDDEN).max(1);
    let rows: Vec<usize> = (0..examples.len()).step_by(step).collect();
    if rows.len() < TRIPS_HIDDEN_MIN {
        return None;
    }
    let (trips, labels) = (select(&examples.trips, &rows), select(&examples.labels, &rows));
    let loss = Loss::of_target(model.target());
    let figure = |trips: &[Trip]| loss.mean(Predictions::new(model, trips, 0).values(), &labels);
    let known = figure(&trips);
    CODES.into_iter().flat_map(|(name, hide)| [(name, hide, None), (name, hide, Some(UNSEEN))]).find_map(
        |(name, hide, code)| {
            let mut hidden = trips.clone();
            hidden.iter_mut().for_each(|trip| hide(trip, code));
            let unknown = figure(&hidden);
            let how = if code.is_some() { "new" } else { "missing" };
            (unknown > HIDDEN_LOSS_MAX * known).then(|| {
                format!(
                    "its {} is {unknown:.3} where {name} is {how}, and {known:.3} where it is as it is",
                    loss.name()
                )
            })
        },
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::{Candidate, Family, FitParams, Work, go_on};
    use crate::outcome::Target;
    use crate::trip::Zone;

    /// Makes 2,000 trips whose minutes follow their miles, and a vendor by `minutes_of` it.
    fn model_and_trips(minutes_of: fn(u8) -> f64) -> (Model, Examples) {
        let trip = |row: u16| Trip {
            pickup_zone: Zone::new(row % 40 + 40),
            dropoff_zone: Zone::new(row % 37 + 100),
            distance_miles: Some(f64::from(row % 50) / 5.0 + 0.2),
            vendor: Some((row % 2 + 1) as u8),
            ..Trip::default()
        };
        let trips: Vec<Trip> = (0..2_000).map(trip).collect();
        let minutes = |trip: &Trip| {
            5.0 + 2.0 * trip.distance_miles.unwrap_or_default() + minutes_of(trip.vendor.unwrap_or_default())
        };
        let labels = trips.iter().map(minutes).collect();
        let examples = Examples { trips, labels };
        let mut work = Work { threads: 1, control: &mut go_on };
        let fitted =
            Candidate::fit(Target::Duration, Family::Boosted, &examples, &FitParams::default(), &mut work);
        (fitted.unwrap().model, examples)
    }

    #[test]
    fn a_model_that_depends_on_a_code_is_objected_to() {
        let (model, examples) = model_and_trips(|_| 0.0);
        assert_eq!(worse_without_a_code(&model, &examples), None);
        let (model, examples) = model_and_trips(|vendor| if vendor == 2 { 25.0 } else { 0.0 });
        let objection = worse_without_a_code(&model, &examples).unwrap();
        assert!(objection.contains("where VendorID is missing"), "{objection}");
    }

    #[test]
    fn a_longer_way_that_takes_less_time_is_objected_to() {
        let (model, mut examples) = model_and_trips(|_| 0.0);
        assert_eq!(shorter_by_a_longer_way(&model, &examples), None);
        let reversed = |minutes: &mut f64| *minutes = 40.0 - *minutes;
        examples.labels.iter_mut().for_each(reversed);
        let mut work = Work { threads: 1, control: &mut go_on };
        let fitted =
            Candidate::fit(Target::Duration, Family::Boosted, &examples, &FitParams::default(), &mut work);
        let objection = shorter_by_a_longer_way(&fitted.unwrap().model, &examples).unwrap();
        assert!(objection.contains("minutes less on average"), "{objection}");
    }
}
