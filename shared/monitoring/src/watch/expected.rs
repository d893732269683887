//! What errors are to be expected where no outcome is known yet. Neither figure sees that the same trips take longer than they did: they
//! assume that predicted probabilities and intervals mean what they meant.

use serde::Serialize;

use super::Past;
use crate::profile::{Grid, Histogram, MINUTES, PROBABILITIES, Predictions};

/// Figures that predicted probabilities of a tip lead to expect, if they are calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ExpectedTips {
    /// Area under the receiver's curve; none if all probabilities are 0 or all are 1.
    pub auc: Option<f64>,
    /// Brier score.
    pub brier: f64,
    /// Share of right decisions at one half.
    pub accuracy: f64,
}

/// Estimates the figures of tips from probabilities and how often each was predicted: confidence-based performance estimation, as NannyML
/// does it (<https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html>). None without any.
pub fn tips(probabilities: &[(f64, f64)]) -> Option<ExpectedTips> {
    let mut sorted = probabilities.to_vec();
    sorted.sort_by(|one, other| other.0.total_cmp(&one.0));
    let rows: f64 = sorted.iter().map(|(_, n)| n).sum();
    if rows <= 0.0 {
        return None;
    }
    let mean = |of: &dyn Fn(f64) -> f64| sorted.iter().map(|(p, n)| n * of(*p)).sum::<f64>() / rows;
    // From the greatest probability down: what is expected to be positive, and what is not, makes the curve by trapezoids.
    let (positive, negative) = (rows * mean(&|p| p), rows * mean(&|p| 1.0 - p));
    let (mut area, mut hits, mut at) = (0.0, 0.0, 0);
    while at < sorted.len() {
        let p = sorted[at].0;
        let n: f64 = sorted[at..].iter().take_while(|one| one.0 == p).map(|(_, n)| n).sum();
        area += n * (1.0 - p) * (hits + n * p / 2.0);
        hits += n * p;
        at += sorted[at..].iter().take_while(|one| one.0 == p).count();
    }
    let auc = (positive > 0.0 && negative > 0.0).then(|| area / (positive * negative));
    Some(ExpectedTips { auc, brier: mean(&|p| p * (1.0 - p)), accuracy: mean(&|p| p.max(1.0 - p)) })
}

/// What is expected of a day's predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Expected {
    /// Mean absolute error of durations, minutes: the mean width of their intervals, times what the error was of the width on past days. None
    /// before any outcome is known.
    pub mae_min: Option<f64>,
    /// Figures of tips; none without a tip model.
    pub tips: Option<ExpectedTips>,
}

impl Expected {
    /// Estimates the figures of a day from its predictions and past days; none without predictions.
    pub(super) fn new<'a>(predictions: &Predictions, past: impl Iterator<Item = &'a Past>) -> Option<Self> {
        let width = mean(&predictions.widths, MINUTES)?;
        let (mut errors, mut widths) = (0.0, 0.0);
        for past in past {
            if let (Some(known), Some(width)) = (past.errors, past.width_min) {
                errors += known.mae_min * known.n as f64;
                widths += width * known.n as f64;
            }
        }
        let cells = predictions.tip_probabilities.cells.iter();
        let probabilities: Vec<(f64, f64)> =
            cells.map(|(cell, n)| (f64::from(cell) / PROBABILITIES.cells_a_unit, n as f64)).collect();
        let mae_min = (widths > 0.0).then(|| width * errors / widths);
        Some(Self { mae_min, tips: tips(&probabilities) })
    }
}

/// Returns the mean of a histogram's values, those above the last cell as the last; none without any.
pub(super) fn mean(histogram: &Histogram, grid: Grid) -> Option<f64> {
    let last = f64::from(grid.last) / grid.cells_a_unit;
    let cells = histogram.cells.iter().map(|(cell, n)| f64::from(cell) / grid.cells_a_unit * n as f64);
    let rows = histogram.total();
    (rows > 0).then(|| (cells.sum::<f64>() + last * histogram.above as f64) / rows as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of NannyML 0.13.1 (`estimate_roc_auc`, `estimate_accuracy`), by tools/drift_golden/expected.py.
    #[test]
    fn tips_are_expected_as_nannyml_does() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("expected_golden.json")).unwrap();
        for case in golden.as_array().unwrap() {
            let probabilities: Vec<(f64, f64)> = case["probabilities"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| (p.as_f64().unwrap(), 1.0))
                .collect();
            let expected = tips(&probabilities).unwrap();
            let near = |found: f64, name: &str| {
                let off = (found - case[name].as_f64().unwrap()).abs();
                assert!(off < 1e-6, "{name}: {found} is {off} off");
            };
            near(expected.auc.unwrap(), "roc_auc");
            near(expected.accuracy, "accuracy");
        }
        assert_eq!(tips(&[]), None);
        assert_eq!(tips(&[(1.0, 3.0)]).unwrap().auc, None, "all are sure");
    }

    #[test]
    fn weights_count_as_rows() {
        let rows: Vec<(f64, f64)> = [0.1, 0.1, 0.1, 0.7, 0.7, 0.9].map(|p| (p, 1.0)).to_vec();
        let (one, other) = (tips(&rows).unwrap(), tips(&[(0.1, 3.0), (0.7, 2.0), (0.9, 1.0)]).unwrap());
        assert!(
            (one.auc.unwrap() - other.auc.unwrap()).abs() < 1e-12 && (one.brier - other.brier).abs() < 1e-12
        );
    }
}
