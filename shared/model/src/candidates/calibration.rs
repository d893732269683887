//! Calibration of probabilities by Platt scaling.
//!
//! Platt 1999, "Probabilistic outputs for support vector machines": log odds are scaled and shifted to fit trips that
//! the estimate did not see. Two numbers cannot overfit a month, and they keep the order of trips, so the AUC stays.

use serde::{Deserialize, Serialize};

/// With fewer trips, probabilities stay as they are.
const ROWS_MIN: usize = 500;
/// Probabilities stay as they are, too, if the log loss falls by less than this share: that is chance on the few days that are unseen.
const GAIN_MIN: f64 = 0.005;
/// Newton's method doubles the correct digits in each step: this is far more than it needs.
const STEPS_MAX: usize = 50;

/// Log odds are multiplied by one number, then another is added.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    slope: f64,
    shift: f64,
}

impl Calibration {
    /// Leaves probabilities as they are.
    pub const NONE: Self = Self { slope: 1.0, shift: 0.0 };
    /// Probabilities are kept this far from 0 and 1: a leaf of one class supports no more.
    pub(crate) const EDGE: f64 = 1e-6;

    /// Fits `predicted` to `actual` (1 for tipped, 0 for not, of the same length) with the least log loss.
    /// [`Self::NONE`] with fewer than 500 trips, one class, no sound fit, or too small a gain.
    pub fn fit(predicted: &[f64], actual: &[f64]) -> Self {
        let tipped = actual.iter().filter(|label| **label > 0.0).count();
        if predicted.len() < ROWS_MIN || tipped == 0 || tipped == actual.len() {
            return Self::NONE;
        }
        let odds: Vec<f64> = predicted.iter().map(|p| log_odds(*p)).collect();
        let mut found = Self::NONE;
        for _ in 0..STEPS_MAX {
            let Some(step) = found.newton_step(&odds, actual) else { return Self::NONE };
            found = Self { slope: found.slope + step.slope, shift: found.shift + step.shift };
            if step.slope.abs() + step.shift.abs() < 1e-10 {
                break;
            }
        }
        // An estimate that is no better than chance, or predicts the opposite, is not repaired by inverting it.
        let sound = found.slope.is_finite() && found.shift.is_finite() && found.slope > 0.0;
        let gains = || found.log_loss(&odds, actual) <= Self::NONE.log_loss(&odds, actual) * (1.0 - GAIN_MIN);
        if sound && gains() { found } else { Self::NONE }
    }

    /// Returns the calibrated probability of `p`.
    pub fn calibrate(&self, p: f64) -> f64 {
        if *self == Self::NONE { p } else { probability(self.slope * log_odds(p) + self.shift) }
    }

    /// Returns the factor of the log odds, and what is added then.
    pub fn slope_and_shift(&self) -> (f64, f64) {
        (self.slope, self.shift)
    }

    fn log_loss(&self, odds: &[f64], actual: &[f64]) -> f64 {
        let of_row = |(odds, actual): (&f64, &f64)| {
            let p = probability(self.slope * odds + self.shift).clamp(Self::EDGE, 1.0 - Self::EDGE);
            -libm::log(if *actual > 0.0 { p } else { 1.0 - p })
        };
        odds.iter().zip(actual).map(of_row).sum()
    }

    fn newton_step(&self, odds: &[f64], actual: &[f64]) -> Option<Self> {
        let (mut by_slope, mut by_shift) = (0.0, 0.0);
        let (mut slope_twice, mut both, mut shift_twice) = (0.0, 0.0, 0.0);
        for (odds, actual) in odds.iter().zip(actual) {
            let p = probability(self.slope * odds + self.shift);
            let (off, weight) = (actual - p, p * (1.0 - p));
            by_slope += off * odds;
            by_shift += off;
            slope_twice += weight * odds * odds;
            both += weight * odds;
            shift_twice += weight;
        }
        let determinant = slope_twice * shift_twice - both * both;
        (determinant > 1e-12 * slope_twice * shift_twice).then(|| Self {
            slope: (shift_twice * by_slope - both * by_shift) / determinant,
            shift: (slope_twice * by_shift - both * by_slope) / determinant,
        })
    }
}

fn log_odds(p: f64) -> f64 {
    let p = p.clamp(Calibration::EDGE, 1.0 - Calibration::EDGE);
    // The logarithm is libm's: a model must predict alike on every machine.
    libm::log(p / (1.0 - p))
}

fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-log_odds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::candidates::split_mix;

    /// Returns predicted probabilities, and labels that are 1 with probability `truth` of them.
    fn predicted_and_actual(truth: impl Fn(f64) -> f64, seed: u64) -> (Vec<f64>, Vec<f64>) {
        let uniform = |item: u64| (split_mix(seed ^ split_mix(item)) >> 11) as f64 / (1u64 << 53) as f64;
        let predicted: Vec<f64> = (0..40_000).map(|row| 0.02 + 0.96 * uniform(2 * row)).collect();
        let tipped = |(row, p): (usize, &f64)| f64::from(u8::from(uniform(2 * row as u64 + 1) < truth(*p)));
        let actual = predicted.iter().enumerate().map(tipped).collect();
        (predicted, actual)
    }

    #[test]
    fn a_stretch_and_a_shift_are_found() {
        let truth = |p: f64| probability(0.7 * log_odds(p) - 0.4);
        let (predicted, actual) = predicted_and_actual(truth, 1);
        let found = Calibration::fit(&predicted, &actual);
        assert!((found.slope - 0.7).abs() < 0.03 && (found.shift + 0.4).abs() < 0.03, "{found:?}");
        assert!((found.calibrate(0.5) - truth(0.5)).abs() < 0.01);
    }

    #[test]
    fn what_comes_true_is_left_as_it_is() {
        let (predicted, actual) = predicted_and_actual(|p| p, 2);
        assert_eq!(Calibration::fit(&predicted, &actual), Calibration::NONE);
        assert_eq!(Calibration::NONE.calibrate(0.123_456_789), 0.123_456_789);
    }

    #[test]
    fn little_or_senseless_evidence_changes_nothing() {
        assert_eq!(Calibration::fit(&[0.3; 499], &[1.0; 499]), Calibration::NONE);
        assert_eq!(Calibration::fit(&[0.3; 900], &[1.0; 900]), Calibration::NONE, "all tipped");
        let half: Vec<f64> = (0..900).map(|row| f64::from(row % 2)).collect();
        assert_eq!(Calibration::fit(&[0.3; 900], &half), Calibration::NONE, "one probability for all");
        let (predicted, actual) = predicted_and_actual(|p| 1.0 - p, 3);
        assert_eq!(Calibration::fit(&predicted, &actual), Calibration::NONE, "the opposite of the truth");
    }

    proptest! {
        #[test]
        fn order_and_range_are_kept(slope in 0.01f64..5.0, shift in -5.0f64..5.0, a in 0.0f64..=1.0, b in 0.0f64..=1.0) {
            let calibration = Calibration { slope, shift };
            let (low, high) = (calibration.calibrate(a.min(b)), calibration.calibrate(a.max(b)));
            prop_assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0);
        }
    }
}
