//! What is predicted, and from what: the file to change for another target.

use std::ops::RangeInclusive;

use model::outcome::Outcome;
use model::{Trip, features};

/// The name of the value in a prediction.
pub const NAME: &str = "{{target}}";
/// Its unit.
pub const UNIT: &str = "{{unit}}";
/// What is plausible; trips with other values are not learned from.
const PLAUSIBLE: RangeInclusive<f64> = 0.0..=500.0;
/// Number of features.
pub const N_FEATURES: usize = features::NAMES.len();

/// Returns the value that a trip had, if it is plausible.
pub fn label(outcome: &Outcome) -> Option<f64> {
    outcome.{{outcome}}.filter(|value| PLAUSIBLE.contains(value))
}

/// Returns the features of a trip: those of tripcast, which are known before it begins.
pub fn features(trip: &Trip) -> [f32; N_FEATURES] {
    features::row(trip)
}
