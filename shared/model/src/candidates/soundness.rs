//! What a model must be, beyond its form, to be written and to be served.

use trees::Ensemble;

use super::{Estimate, Model, TipEstimate};
use crate::artifact::golden_trips;
use crate::features;

/// Longest duration that is predicted, minutes.
pub const DAY_MIN: f64 = 1_440.0;

impl Model {
    /// Returns why the model must not serve, if it must not: trees that split on nothing, predictions of golden trips that are no
    /// numbers or lie beyond a day, or intervals of no width.
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
                let predicted = model.predict(&golden_trips());
                let raw = model.unlimited_minutes(&golden_trips());
                let beyond = raw.iter().find(|minutes| minutes.is_nan() || minutes.abs() > DAY_MIN);
                let widths = predicted.lower_min.iter().zip(&predicted.upper_min);
                let ends = || predicted.lower_min.iter().chain(&predicted.upper_min);
                if let Some(minutes) = beyond {
                    Some(format!(
                        "it predicts {minutes} minutes for an ordinary trip: expected at most {DAY_MIN}"
                    ))
                } else if ends().any(|end| !(0.0..=DAY_MIN).contains(end)) {
                    Some(format!("its intervals reach beyond 0 to {DAY_MIN} minutes for an ordinary trip"))
                } else if widths.clone().any(|(lower, upper)| lower >= upper) {
                    Some("its interval has no width for an ordinary trip".into())
                } else {
                    None
                }
            }
            Self::Tip(model) => {
                let (slope, shift) = model.calibration.slope_and_shift();
                let is_sound = !matches!(&model.estimate, TipEstimate::Boosted(trees) if !trees.is_sound());
                if !(is_sound && slope.is_finite() && shift.is_finite()) {
                    return Some("its numbers are not finite, or do not fit together".into());
                }
                let probabilities = model.probabilities(&golden_trips());
                let wrong = probabilities.iter().find(|p| !(0.0..=1.0).contains(*p));
                wrong.map(|p| format!("it predicts the probability {p} for an ordinary trip"))
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
