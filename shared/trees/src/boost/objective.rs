//! Loss functions: their gradients and hessians, the score that boosting starts from, and the loss of scores.
//!
//! `exp` and `ln` come from a pure Rust libm or are written out here, so that they round alike on every machine.

use serde::{Deserialize, Serialize};

/// The loss that a fit minimises. A score is the sum of the leaves that a row ends in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Half the squared error, for any finite label. The score estimates the mean.
    Squared,
    /// Negative log likelihood, for labels 0 and 1. The score estimates the log odds.
    Logistic,
    /// Pinball loss at this level between 0 and 1, for any finite label. The score estimates that quantile.
    Quantile(f64),
}

/// Gradient and hessian of the loss of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slope {
    pub(super) gradient: f32,
    pub(super) hessian: f32,
}

impl Objective {
    /// Converts a score to a prediction: a probability for [`Objective::Logistic`], else the score itself.
    pub fn answer(self, score: f64) -> f64 {
        match self {
            Self::Logistic => sigmoid(score),
            Self::Squared | Self::Quantile(_) => score,
        }
    }

    /// Computes the weighted loss of scores, smaller is better: root mean squared error, mean log loss (natural
    /// logarithm) or mean pinball loss; NaN without rows.
    pub fn loss(self, scores: &[f64], labels: &[f32], weights: Option<&[f32]>) -> f64 {
        let weight = |row: usize| weights.map_or(1.0, |weights| f64::from(weights[row]));
        let (mut sum, mut total) = (0.0, 0.0);
        for (row, (score, label)) in scores.iter().zip(labels).enumerate() {
            sum += weight(row) * self.loss_of(*score, f64::from(*label));
            total += weight(row);
        }
        match self {
            Self::Squared => (sum / total).sqrt(),
            Self::Logistic | Self::Quantile(_) => sum / total,
        }
    }

    fn loss_of(self, score: f64, label: f64) -> f64 {
        match self {
            Self::Squared => (score - label) * (score - label),
            // ln(1 + e^-|s|) + max(s, 0) - label * s: no term overflows.
            Self::Logistic => libm::log1p(libm::exp(-score.abs())) + score.max(0.0) - label * score,
            Self::Quantile(level) => {
                let short = label - score;
                if short >= 0.0 { level * short } else { (level - 1.0) * short }
            }
        }
    }

    /// Returns the constant score with the smallest loss.
    pub(super) fn base(self, labels: &[f32], weights: Option<&[f32]>) -> f64 {
        let weight = |row: usize| weights.map_or(1.0, |weights| f64::from(weights[row]));
        let mean = || {
            let total: f64 = (0..labels.len()).map(weight).sum();
            labels.iter().enumerate().map(|(row, label)| weight(row) * f64::from(*label)).sum::<f64>() / total
        };
        match self {
            Self::Squared => mean(),
            Self::Logistic => {
                // Kept away from 0 and 1, where the log odds are infinite.
                let share = mean().clamp(1e-9, 1.0 - 1e-9);
                libm::log(share / (1.0 - share))
            }
            Self::Quantile(level) => {
                let mut rows: Vec<(f32, f64)> =
                    labels.iter().enumerate().map(|(row, label)| (*label, weight(row))).collect();
                weighted_quantile(&mut rows, level)
            }
        }
    }

    /// Returns whether the hessian of every unweighted row is 1, so that the number of rows is the sum of hessians.
    pub(super) fn hessian_is_one(self) -> bool {
        !matches!(self, Self::Logistic)
    }

    /// Returns the upper bound of a row's absolute gradient before weights, or `None` if it depends on the data.
    pub(super) fn gradient_max(self) -> Option<f32> {
        match self {
            Self::Squared => None,
            Self::Logistic => Some(1.0),
            Self::Quantile(level) => Some(level.max(1.0 - level) as f32),
        }
    }

    /// Returns the upper bound of a row's hessian before weights.
    pub(super) fn hessian_max(self) -> f32 {
        if self.hessian_is_one() { 1.0 } else { 0.25 }
    }

    /// Writes the gradients and hessians of unweighted rows to the front of `slopes`.
    #[inline]
    pub(super) fn slopes(self, scores: &[f32], labels: &[f32], slopes: &mut [Slope]) {
        let rows = slopes.iter_mut().zip(scores.iter().zip(labels));
        match self {
            Self::Squared => rows.for_each(|(slope, (score, label))| {
                *slope = Slope { gradient: score - label, hessian: 1.0 };
            }),
            Self::Logistic => rows.for_each(|(slope, (score, label))| {
                let probability = 1.0 / (1.0 + exp(-score));
                *slope = Slope { gradient: probability - label, hessian: probability * (1.0 - probability) };
            }),
            Self::Quantile(level) => rows.for_each(|(slope, (score, label))| {
                let gradient = if label > score { -level } else { 1.0 - level };
                *slope = Slope { gradient: gradient as f32, hessian: 1.0 };
            }),
        }
    }
}

/// Computes e^x with a relative error of about 2e-7; x is clamped to -80..=80.
///
/// libm's `expf`, called row by row, took a fifth of a logistic fit (an eighth if built for speed). This function
/// only adds and multiplies in a fixed order, so it gives the same bits everywhere, as libm does, and the compiler
/// can vectorise it: e^x = 2^k e^r with |r| <= ln(2) / 2, k by rounding and e^r by its Taylor polynomial of degree 7.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has so few bits that its product with k is exact (Cody and Waite 1980).
    const LN_2_HIGH: f32 = 0.693_145_75;
    const LN_2_LOW: f32 = 1.428_606_8e-6;
    let x = x.clamp(-80.0, 80.0);
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let k = shifted - SHIFT;
    let r = x - k * LN_2_HIGH - k * LN_2_LOW;
    let high = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
    let power = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * high)));
    // The low bits of `shifted` are k; shifted into the exponent they make 2^k.
    let exponent = (shifted.to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32).wrapping_add(127);
    power * f32::from_bits((exponent as u32) << 23)
}

/// Computes 1 / (1 + e^-score).
pub(crate) fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-score))
}

/// Returns the smallest value up to which rows hold at least a fraction `level` of the total weight; 0 without rows.
pub(super) fn weighted_quantile(rows: &mut [(f32, f64)], level: f64) -> f64 {
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let needed = rows.iter().map(|(_, weight)| weight).sum::<f64>() * level;
    let mut sum = 0.0;
    let reached = rows.iter().find(|(_, weight)| {
        sum += weight;
        sum >= needed
    });
    reached.or(rows.last()).map_or(0.0, |(value, _)| f64::from(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Objective {
        fn slope(self, score: f64, label: f64) -> Slope {
            let mut slopes = [Slope { gradient: 0.0, hessian: 0.0 }];
            self.slopes(&[score as f32], &[label as f32], &mut slopes);
            slopes[0]
        }
    }

    #[test]
    fn exp_is_that_of_libm() {
        for step in -80_000..80_000 {
            let x = step as f32 / 1000.0;
            let (ours, theirs) = (exp(x), libm::expf(x));
            assert!((ours / theirs - 1.0).abs() < 4e-7, "{x}: {ours} is not {theirs}");
        }
        assert_eq!((exp(0.0), exp(-1e30), exp(1e30)), (1.0, exp(-80.0), exp(80.0)));
    }

    #[test]
    fn gradients_are_the_slopes_of_the_losses() {
        for objective in [Objective::Squared, Objective::Logistic, Objective::Quantile(0.9)] {
            for (score, label) in [(0.3, 1.0), (-2.0, 0.0), (1.7, 0.0), (4.0, 1.0)] {
                let loss = |score| {
                    let loss = objective.loss_of(score, label);
                    if objective == Objective::Squared { loss / 2.0 } else { loss }
                };
                let (step, slope) = (1e-4, objective.slope(score, label));
                let by_difference = (loss(score + step) - loss(score - step)) / (2.0 * step);
                assert!((f64::from(slope.gradient) - by_difference).abs() < 1e-4, "{objective:?} at {score}");
                if objective == Objective::Logistic {
                    let curve = (loss(score + step) - 2.0 * loss(score) + loss(score - step)) / (step * step);
                    assert!((f64::from(slope.hessian) - curve).abs() < 1e-4, "{objective:?} at {score}");
                }
            }
        }
    }

    #[test]
    fn the_base_is_the_best_constant() {
        let labels = [0.0, 1.0, 1.0, 1.0];
        assert_eq!(Objective::Squared.base(&labels, None), 0.75);
        assert_eq!(Objective::Squared.base(&labels, Some(&[3.0, 1.0, 1.0, 1.0])), 0.5);
        assert!((sigmoid(Objective::Logistic.base(&labels, None)) - 0.75).abs() < 1e-12);
        let ten: Vec<f32> = (1..=10).rev().map(|at| at as f32).collect();
        assert_eq!(Objective::Quantile(0.9).base(&ten, None), 9.0);
        assert!(Objective::Logistic.base(&[1.0; 3], None).is_finite(), "one class is not refused here");
    }

    #[test]
    fn losses_by_hand() {
        let (scores, labels) = ([0.0, 2.0], [1.0, 1.0]);
        assert_eq!(Objective::Squared.loss(&scores, &labels, None), 1.0);
        assert_eq!(Objective::Squared.loss(&scores, &labels, Some(&[0.0, 4.0])), 1.0);
        assert_eq!(Objective::Quantile(0.9).loss(&scores, &labels, None), (0.9 + 0.1) / 2.0);
        let expected = (std::f64::consts::LN_2 + (1.0 + (-2.0f64).exp()).ln()) / 2.0;
        assert!((Objective::Logistic.loss(&scores, &labels, None) - expected).abs() < 1e-12);
        assert!(Objective::Logistic.loss(&[-1000.0], &[1.0], None) == 1000.0, "far off does not overflow");
    }
}
