//! Quantization of gradients to integers.
//!
//! Integers add up to the same sum in every order, and floats do not. A row's gradient is rounded to a step that is
//! as fine as the sum over all rows allows: 19 bits and a sign for a million rows, or 17 where hessians differ
//! between rows. (Shi et al. 2022 train as well with 5 bits and stochastic rounding.)

use super::histogram::Sums;
use super::objective::Slope;
use super::shard::PackedRow;
use super::{Labelled, Objective};

/// Bits of the count, beside the gradient in a 64-bit cell.
pub(super) const COUNT_BITS: u32 = 24;
/// Bits of the hessian where it differs between rows, beside the gradient in 32 bits.
pub(super) const HESSIAN_BITS: u32 = 14;
/// Largest number of training rows: what the count of a cell can hold.
pub(super) const ROWS_MAX: usize = (1 << COUNT_BITS) - 1;

/// The gradient and the hessian that one integer step stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    pub(super) gradient: f64,
    pub(super) hessian: f64,
}

impl Steps {
    pub(super) fn gradient_of(&self, sums: Sums) -> f64 {
        sums.gradient as f64 * self.gradient
    }

    pub(super) fn hessian_of(&self, sums: Sums) -> f64 {
        sums.hessian as f64 * self.hessian
    }
}

/// Returns whether all hessians are 1, so that counts stand for them.
pub(super) fn is_plain(objective: Objective, train: &Labelled<'_>) -> bool {
    objective.hessian_is_one() && train.weights.is_none()
}

/// Number of rows whose slopes are computed together, enough for the compiler to vectorise the loops.
const RUN: usize = 128;

/// Conversion of the gradients of one round to integers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    is_plain: bool,
    gradient_per_unit: f32,
    hessian_per_unit: f32,
}

impl Packing {
    /// Chooses the steps for `n_rows` rows whose weighted gradients are at most `largest` and whose weights are at
    /// most `weight_max`.
    pub(super) fn new(
        objective: Objective,
        is_plain: bool,
        largest: f32,
        weight_max: f32,
        n_rows: usize,
    ) -> Self {
        // The sum of all gradients has to fit beside the count, and a row's gradient beside its hessian.
        let sum_bits = 63 - COUNT_BITS - (usize::BITS - n_rows.leading_zeros());
        let bits = sum_bits.min(if is_plain { 22 } else { 31 - HESSIAN_BITS });
        let per_unit = |bits: u32, largest: f32| {
            let per_unit = ((1i64 << bits) - 1) as f32 / largest;
            // Infinite if all gradients are zero or almost zero, so that nothing is left to learn.
            if per_unit.is_finite() { per_unit } else { 1.0 }
        };
        Self {
            is_plain,
            gradient_per_unit: per_unit(bits, largest),
            hessian_per_unit: per_unit(HESSIAN_BITS, objective.hessian_max() * weight_max),
        }
    }

    /// Returns what one step stands for.
    pub(super) fn steps(&self) -> Steps {
        let hessian = if self.is_plain { 1.0 } else { 1.0 / f64::from(self.hessian_per_unit) };
        Steps { gradient: 1.0 / f64::from(self.gradient_per_unit), hessian }
    }

    /// Computes and quantizes the gradient and hessian of every row, and writes them to the row in each block.
    pub(super) fn write(
        &self,
        objective: Objective,
        scores: &[f32],
        labels: &[f32],
        weights: Option<&[f32]>,
        blocks: &mut [Vec<PackedRow>],
    ) {
        for start in (0..scores.len()).step_by(RUN) {
            let run = start..scores.len().min(start + RUN);
            let mut slopes = [Slope { gradient: 0.0, hessian: 0.0 }; RUN];
            objective.slopes(&scores[run.clone()], &labels[run.clone()], &mut slopes);
            if let Some(weights) = weights {
                for (slope, weight) in slopes.iter_mut().zip(&weights[run.clone()]) {
                    slope.gradient *= weight;
                    slope.hessian *= weight;
                }
            }
            let packed = slopes.map(|slope| self.pack(slope));
            for rows in &mut *blocks {
                rows[run.clone()].iter_mut().zip(&packed).for_each(|(row, packed)| row.gradient = *packed);
            }
        }
    }

    #[inline(always)]
    fn pack(&self, slope: Slope) -> i32 {
        let gradient = nearest(slope.gradient * self.gradient_per_unit);
        if self.is_plain {
            return gradient;
        }
        gradient << HESSIAN_BITS | nearest(slope.hessian * self.hessian_per_unit)
    }
}

/// Rounds to the nearest integer, halves to even, for absolute values below 2^22: in a sum with 1.5 x 2^23 a float
/// has no bits left for the fraction.
#[inline(always)]
fn nearest(value: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_rounding() {
        for value in [0.0, 0.4, 0.5, 1.5, -0.5, -1.5, -2.6, 131_071.4, -4_194_303.0, 4_194_303.0] {
            assert_eq!(nearest(value), value.round_ties_even() as i32, "{value}");
        }
    }
}
