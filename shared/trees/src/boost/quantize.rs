//! Gradients as integers.
//!
//! Integers add up to the same sum in every order, which floats do not. A row's gradient is rounded to a step that is
//! as fine as the sum of all rows allows: 19 bits and a sign for a million rows. (Shi et al. 2022 train as well with
//! 5 bits and random rounding.)

use super::histogram::Sums;
use super::layout::{Block, Layout};
use super::objective::Slope;
use super::parallel::Threads;
use super::{Labelled, Objective};

/// Bits of a count, beside the gradient in a 64 bit cell.
pub(super) const COUNT_BITS: u32 = 24;
/// Bits of a hessian where rows differ in it, beside the gradient in 32 bits.
pub(super) const HESSIAN_BITS: u32 = 14;
/// So that a cell can count them.
pub(super) const ROWS_MAX: usize = (1 << COUNT_BITS) - 1;

/// What one step of the integers is worth.
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

/// Whether all hessians are 1, so that counts stand for them.
pub(super) fn is_plain(objective: Objective, train: &Labelled<'_>) -> bool {
    objective.hessian_is_one() && train.weights.is_none()
}

/// Rows whose slopes are computed together: so many that loops over them are worth vector instructions.
const RUN: usize = 128;

/// What gradients are computed from, by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Targets<'a> {
    pub(super) labels: &'a [f32],
    pub(super) weights: Option<&'a [f32]>,
    pub(super) scores: &'a [f32],
}

/// Writes the gradients at the scores beside the bins of every row.
pub(super) fn write_gradients(
    layout: &mut Layout,
    objective: Objective,
    of: &Targets<'_>,
    threads: &Threads,
) -> Steps {
    // One match here, so that the loops below are compiled for each loss.
    match objective {
        Objective::Squared => write(layout, Objective::Squared, of, threads),
        Objective::Logistic => write(layout, Objective::Logistic, of, threads),
        Objective::Quantile(level) => write(layout, Objective::Quantile(level), of, threads),
    }
}

#[inline(always)]
fn write(layout: &mut Layout, objective: Objective, of: &Targets<'_>, threads: &Threads) -> Steps {
    let weight_max = of.weights.map_or(1.0, |weights| weights.iter().copied().fold(0.0, f32::max));
    let plain = objective.hessian_is_one() && of.weights.is_none();
    let largest = match objective.gradient_max() {
        Some(largest) => largest * weight_max,
        None => largest_residual(of, threads),
    };
    // The sum of all rows has to fit beside the count; a row, beside its hessian.
    let sum_bits = 63 - COUNT_BITS - (usize::BITS - layout.n_rows.leading_zeros());
    let bits = sum_bits.min(if plain { 22 } else { 31 - HESSIAN_BITS });
    let reach = ((1i64 << bits) - 1) as f32;
    let per_unit = if largest > 0.0 { reach / largest } else { 1.0 };
    let hessian_largest = objective.hessian_max() * weight_max;
    let hessian_per_unit =
        if hessian_largest > 0.0 { ((1 << HESSIAN_BITS) - 1) as f32 / hessian_largest } else { 1.0 };
    if let Some((first, others)) = layout.blocks.split_first_mut() {
        threads.for_chunks(&mut first.rows, |from, rows| {
            for (run, rows) in rows.chunks_mut(RUN).enumerate() {
                let start = from + run * RUN;
                let until = start + rows.len();
                let mut slopes = [Slope { gradient: 0.0, hessian: 0.0 }; RUN];
                objective.slopes(&of.scores[start..until], &of.labels[start..until], &mut slopes);
                if let Some(weights) = of.weights {
                    for (slope, weight) in slopes.iter_mut().zip(&weights[start..until]) {
                        slope.gradient *= weight;
                        slope.hessian *= weight;
                    }
                }
                for (row, slope) in rows.iter_mut().zip(&slopes) {
                    let gradient = nearest(slope.gradient * per_unit);
                    let hessian = nearest(slope.hessian * hessian_per_unit);
                    row.gradient = if plain { gradient } else { gradient << HESSIAN_BITS | hessian };
                }
            }
        });
        others.iter_mut().for_each(|other| copy_gradients(first, other));
    }
    let hessian = if plain { 1.0 } else { 1.0 / f64::from(hessian_per_unit) };
    Steps { gradient: 1.0 / f64::from(per_unit), hessian }
}

fn copy_gradients(from: &Block, to: &mut Block) {
    to.rows.iter_mut().zip(&from.rows).for_each(|(to, from)| to.gradient = from.gradient);
}

/// The largest absolute difference of score and label, times its row's weight.
fn largest_residual(of: &Targets<'_>, threads: &Threads) -> f32 {
    let scores = of.scores;
    let size = scores.len().div_ceil(threads.pieces(scores.len())).max(1);
    let starts: Vec<usize> = (0..scores.len()).step_by(size).collect();
    let largest = threads.map(starts, |from| {
        let until = (from + size).min(scores.len());
        let residuals =
            scores[from..until].iter().zip(&of.labels[from..until]).map(|(score, label)| score - label);
        // Bits of positive floats are ordered as the floats are, and integers are compared in bulk.
        let bits = |residual: f32| residual.abs().to_bits() as i32;
        match of.weights {
            None => residuals.map(bits).fold(0, i32::max),
            Some(weights) => residuals
                .zip(&weights[from..until])
                .map(|(residual, weight)| bits(residual * weight))
                .fold(0, i32::max),
        }
    });
    f32::from_bits(largest.into_iter().max().unwrap_or(0) as u32)
}

/// The nearest integer, halves to even, of a value below 2^22: added to 1.5 x 2^23, a float has no bits left for the
/// fraction.
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
