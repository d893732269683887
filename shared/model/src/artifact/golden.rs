//! Golden trips, which every model predicts when it is written, and again whenever it is loaded.
//!
//! A model that predicts them differently is not the one that was judged: a feature, the machine's arithmetic or the
//! reader has changed. It must not serve.

use chrono::{NaiveDate, NaiveDateTime};

use crate::candidates::Model;
use crate::candidates::soundness::DAY_MIN;
use crate::trip::{Trip, Zone};

/// Returns ordinary and odd trips: airports, unknown zones, missing, impossible or long distances, no time.
pub(crate) fn trips() -> Vec<Trip> {
    let at = |month: u32, day: u32, hour: u32, minute: u32| -> Option<NaiveDateTime> {
        NaiveDate::from_ymd_opt(2023, month, day)?.and_hms_opt(hour, minute, 0)
    };
    let trip = |from: u16, to: u16, miles: Option<f64>, pickup: Option<NaiveDateTime>| Trip {
        pickup_zone: Zone::new(from),
        dropoff_zone: Zone::new(to),
        distance_miles: miles,
        pickup,
        passengers: Some(1),
        rate_code: Some(1),
        trip_type: Some(1),
        vendor: Some(2),
    };
    let bare = Trip { pickup_zone: Zone::new(166), dropoff_zone: Zone::new(244), ..Trip::default() };
    [
        trip(74, 75, Some(0.9), at(1, 9, 8, 15)),
        trip(74, 75, None, at(1, 9, 8, 15)),
        trip(75, 236, Some(1.6), at(4, 15, 13, 40)),
        trip(41, 42, Some(2.2), at(7, 4, 23, 59)),
        trip(129, 132, Some(11.3), at(10, 31, 17, 5)),
        trip(138, 95, Some(5.4), at(12, 25, 0, 0)),
        trip(18, 3, Some(4.7), at(5, 20, 3, 30)),
        trip(97, 265, Some(28.0), at(8, 8, 10, 10)),
        trip(264, 264, Some(0.0), at(2, 28, 6, 45)),
        trip(0, 300, Some(180_000.0), None),
        trip(1, 265, Some(100.0), at(6, 1, 12, 0)),
        bare,
    ]
    .into_iter()
    .collect()
}

/// Returns the predictions of `model` for them: minutes, then both ends, or probabilities.
pub(super) fn predictions(model: &Model) -> Vec<f64> {
    match model {
        Model::Duration(model) => {
            let predictions = model.predict(&trips());
            [predictions.minutes, predictions.lower_min, predictions.upper_min].concat()
        }
        Model::Tip(model) => model.probabilities(&trips()),
    }
}

/// Returns whether a model predicts what it did when it was written. Models of earlier builds did not limit durations to those of a day;
/// of a trip beyond it only that is compared.
pub(super) fn agrees(model: &Model, expected: &[f64]) -> bool {
    let found = predictions(model);
    if matches!(model, Model::Tip(_)) || found.len() != expected.len() {
        return found == expected;
    }
    let n_trips = found.len() / 3;
    (0..found.len()).all(|at| {
        let is_beyond = expected[at % n_trips] > DAY_MIN;
        match is_beyond {
            true => at >= n_trips || found[at] == DAY_MIN,
            false => found[at] == expected[at].min(DAY_MIN),
        }
    })
}
