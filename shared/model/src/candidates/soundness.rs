//! What a model must be, beyond its form, to be written and to be served.

use trees::Ensemble;

use super::{Estimate, Model, TipEstimate};
use crate::artifact::golden_trips;
use crate::features;

/// Longest duration that is predicted, minutes.
pub const DAY_MIN: f64 = 1_440.0;

/// Miles of a golden trip that a model has to predict within a day: longer ones are rare, and a logarithm extrapolates badly.
const ORDINARY_MILES_MAX: f64 = 15.0;

const NOT_A_NUMBER: &str = "it predicts no number for a golden trip";

impl Model {
    /// Returns why the model must not be written, if it must not: a [`Model::defect`], a duration beyond a day for a golden trip of ordinary
    /// length, or an interval without width. Models that were written before these were checked are served, within a day.
    pub fn written_defect(&self) -> Option<String> {
        if let Some(defect) = self.defect() {
            return Some(defect);
        }
        let Self::Duration(model) = self else { return None };
        let mut trips = golden_trips();
        trips.retain(|trip| trip.distance_miles.is_none_or(|miles| miles <= ORDINARY_MILES_MAX));
        let minutes = model.unlimited_minutes(&trips);
        if let Some(minutes) = minutes.iter().find(|minutes| minutes.abs() > DAY_MIN) {
            return Some(format!(
                "it predicts {minutes} minutes for an ordinary trip: expected at most {DAY_MIN}"
            ));
        }
        let predicted = model.predict(&trips);
        let mut widths = predicted.lower_min.iter().zip(&predicted.upper_min);
        let is_flat = widths.any(|(lower, upper)| lower >= upper);
        is_flat.then(|| "its interval has no width for an ordinary trip".into())
    }

    /// Returns why the model must not serve, if it must not: trees that split on nothing, numbers that are not finite, or parts that do not
    /// fit together.
    pub fn defect(&self) -> Option<String> {
        let trees = match self {
            Self::Duration(model) => match &model.estimate {
                Estimate::Boosted(trees) => Some((trees.ensemble(), Some(features::NAMES.len()))),
                Estimate::Imported(model) => model.ensemble().map(|trees| (trees, None)),
                Estimate::Linear(_) => None,
            },
            Self::Tip(model) => match &model.estimate {
                TipEstimate::Boosted(trees) => Some((trees.ensemble(), Some(features::NAMES.len()))),
                TipEstimate::Imported(model) => model.ensemble().map(|trees| (trees, None)),
                TipEstimate::Tree(_) => None,
            },
        };
        if let Some(defect) = trees.and_then(|(trees, columns)| defect_of(trees, columns)) {
            return Some(defect);
        }
        match self {
            Self::Duration(model) => {
                let is_sound = match &model.estimate {
                    Estimate::Linear(linear) => linear.is_sound(),
                    Estimate::Boosted(trees) => trees.is_sound(),
                    Estimate::Imported(_) => true,
                };
                if !is_sound || !model.interval.is_sound() {
                    return Some("its numbers are not finite, or do not fit together".into());
                }
                let minutes = model.unlimited_minutes(&golden_trips());
                minutes.iter().any(|minutes| minutes.is_nan()).then(|| NOT_A_NUMBER.into())
            }
            Self::Tip(model) => {
                let (slope, shift) = model.calibration.slope_and_shift();
                let is_sound = match &model.estimate {
                    TipEstimate::Boosted(trees) => trees.is_sound(),
                    TipEstimate::Tree(tree) => tree.ensemble().n_features() == features::NAMES.len(),
                    TipEstimate::Imported(_) => true,
                };
                if !(is_sound && slope.is_finite() && shift.is_finite()) {
                    return Some("its numbers are not finite, or do not fit together".into());
                }
                let probabilities = model.probabilities(&golden_trips());
                probabilities.iter().any(|p| p.is_nan()).then(|| NOT_A_NUMBER.into())
            }
        }
    }
}

/// Returns what is wrong with trees: they have to test something, and at least one leaf has to differ from another.
fn defect_of(trees: &Ensemble, columns: Option<usize>) -> Option<String> {
    let reads = trees.n_features();
    if columns.is_some_and(|columns| columns != reads) || reads == 0 {
        return Some(format!("its trees read {reads} features"));
    }
    match (trees.n_trees(), trees.n_leaves()) {
        (0, _) => Some("it has no trees: expected trips enough, and different enough, for a split".into()),
        (n_trees, n_leaves) if n_leaves <= n_trees => {
            Some(format!("none of its {n_trees} trees splits, so that every trip has the same prediction"))
        }
        _ => None,
    }
}
