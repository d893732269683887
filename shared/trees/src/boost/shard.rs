//! A shard: the training rows of one thread with their bins, labels, weights and scores. Threads share only the
//! layout, and synchronise only to add up histograms.

use std::ops::Range;

use super::histogram::{self, Cell};
use super::layout::{BUNDLES_PER_BLOCK, Layout};
use super::quantize::Packing;
use super::{Labelled, Objective};
use crate::ensemble::{Ensemble, Tree};

/// Joint bins of one row in one block, and the row's gradient as [`Packing`] packs it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(16))]
pub(super) struct PackedRow {
    /// Positions in the block's histogram.
    pub(super) cells: [u16; BUNDLES_PER_BLOCK],
    pub(super) gradient: i32,
}

/// The side of a split whose histogram is summed from its rows: the smaller one, or neither if none is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Neither,
    Left,
    Right,
}

/// The rows of one shard: of runs of [`Share::RUN`] training rows, every `of`-th, beginning with run `at`.
///
/// Rows come in the order of time, so if a shard were one span of them, a leaf that a split by month made would lie in
/// one shard, and the other threads would wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) at: usize,
    pub(super) of: usize,
}

impl Share {
    const RUN: usize = 1024;

    /// Returns the training row that is the shard's row `row`.
    fn training_row(self, row: usize) -> usize {
        (row / Self::RUN * self.of + self.at) * Self::RUN + row % Self::RUN
    }

    /// Returns the shard's part of what there is for each training row.
    fn part<T: Copy>(self, all: &[T]) -> Vec<T> {
        all.chunks(Self::RUN).skip(self.at).step_by(self.of).flatten().copied().collect()
    }

    /// Returns the same and leaves the only shard without a copy.
    pub(super) fn take<T: Copy>(self, all: &mut Vec<T>) -> Vec<T> {
        if self.of == 1 { std::mem::take(all) } else { self.part(all) }
    }
}

/// Part of the training rows, owned by one thread.
#[derive(Debug)]
pub(super) struct Shard<C> {
    /// The training rows that the shard holds, in their order until they are reordered.
    share: Share,
    /// Packed rows, by block.
    packed: Vec<Vec<PackedRow>>,
    /// The joint bin of each row, by bundle.
    joint: Vec<Vec<u16>>,
    labels: Vec<f32>,
    weights: Option<Vec<f32>>,
    scores: Vec<f32>,
    /// Row positions grouped by leaf, ascending in each leaf.
    order: Vec<u32>,
    scratch: Vec<u32>,
    /// The range of `order` that belongs to each leaf.
    leaves: Vec<Range<usize>>,
    /// Sums over the rows that were counted last, `[n_cells]`.
    pub(super) histogram: Vec<C>,
}

impl<C: Cell> Shard<C> {
    /// Takes a share of `train`, whose joint bins are `joint`, `[bundles][rows]`; every score starts at `base`.
    pub(super) fn new(
        layout: &Layout,
        train: &Labelled<'_>,
        share: Share,
        joint: Vec<Vec<u16>>,
        base: f32,
    ) -> Self {
        let labels = share.part(train.labels);
        let n_rows = labels.len();
        let mut shard = Self {
            packed: vec![vec![PackedRow::default(); n_rows]; layout.blocks.len()],
            joint,
            labels,
            weights: train.weights.map(|weights| share.part(weights)),
            scores: vec![base; n_rows],
            order: Vec::with_capacity(n_rows),
            scratch: vec![0; n_rows],
            leaves: Vec::new(),
            histogram: vec![C::default(); layout.n_cells],
            share,
        };
        shard.pack_bins(layout);
        shard
    }

    /// Writes the joint bins of each block side by side.
    fn pack_bins(&mut self, layout: &Layout) {
        for (packed, block) in self.packed.iter_mut().zip(&layout.blocks) {
            for (at, bundle) in block.bundles.clone().enumerate() {
                let offset = (layout.bundles[bundle].start - block.cells.start) as u16;
                let rows = packed.iter_mut().zip(&self.joint[bundle]);
                rows.for_each(|(row, joint)| row.cells[at] = joint + offset);
            }
        }
    }

    /// Returns the largest absolute residual, each multiplied by its row's weight.
    pub(super) fn largest_residual(&self) -> f32 {
        let residuals = self.scores.iter().zip(&self.labels).map(|(score, label)| score - label);
        // The bits of positive floats sort as the floats do, and the compiler vectorises comparisons of integers.
        let bits = |residual: f32| residual.abs().to_bits() as i32;
        let largest = match &self.weights {
            None => residuals.map(bits).fold(0, i32::max),
            Some(weights) => {
                residuals.zip(weights).map(|(residual, weight)| bits(residual * weight)).fold(0, i32::max)
            }
        };
        f32::from_bits(largest as u32)
    }

    /// Computes the gradient of every row and writes it beside the bins.
    pub(super) fn write_gradients(&mut self, objective: Objective, packing: &Packing) {
        packing.write(objective, &self.scores, &self.labels, self.weights.as_deref(), &mut self.packed);
    }

    /// Starts a tree whose root holds the rows that `is_sampled` selects (all if `None`), and sums its histogram.
    pub(super) fn start_tree(
        &mut self,
        layout: &Layout,
        is_sampled: Option<&(dyn Fn(usize) -> bool + Sync)>,
    ) {
        self.order.clear();
        let all = 0..self.labels.len() as u32;
        match is_sampled {
            None => self.order.extend(all),
            Some(is_sampled) => {
                self.order.extend(all.filter(|&row| is_sampled(self.share.training_row(row as usize))));
            }
        }
        self.leaves.clear();
        self.leaves.push(0..self.order.len());
        histogram::fill(&mut self.histogram, layout, &self.packed, &self.order);
    }

    /// Splits the rows of leaf `at` by their joint bin of `bundle`: rows that go left stay in the leaf, the others
    /// become the next leaf. Sums the histogram of the side that `counted` names.
    pub(super) fn part(
        &mut self,
        layout: &Layout,
        at: usize,
        bundle: usize,
        goes_left: &[u8],
        counted: Counted,
    ) {
        let rows = self.leaves[at].clone();
        let (order, scratch) = (&mut self.order[rows.clone()], &mut self.scratch[rows.clone()]);
        let n_left = part_rows(order, scratch, &self.joint[bundle], goes_left);
        let n_right = rows.len() - n_left;
        order[n_left..].copy_from_slice(&scratch[..n_right]);
        match counted {
            Counted::Neither => (),
            Counted::Left => histogram::fill(&mut self.histogram, layout, &self.packed, &order[..n_left]),
            Counted::Right => histogram::fill(&mut self.histogram, layout, &self.packed, &order[n_left..]),
        }
        self.leaves[at] = rows.start..rows.start + n_left;
        self.leaves.push(rows.start + n_left..rows.end);
    }

    /// Returns the residuals (label minus score) of the rows of a leaf, with their weights.
    pub(super) fn lacking(&self, leaf: usize) -> impl Iterator<Item = (f32, f64)> {
        self.order[self.leaves[leaf].clone()].iter().map(|&row| {
            let row = row as usize;
            let weight = self.weights.as_ref().map_or(1.0, |weights| f64::from(weights[row]));
            (self.labels[row] - self.scores[row], weight)
        })
    }

    /// Adds the tree's leaf values to the scores of their rows. Scores are updated in runs that fit the cache; the
    /// rows of a leaf are ascending, so bisection finds those that belong to a run.
    pub(super) fn add_to_scores(&mut self, tree: &Tree, train: &Labelled<'_>) {
        const RUN: usize = 1 << 15;
        for (run, scores) in self.scores.chunks_mut(RUN).enumerate() {
            let start = run * RUN;
            for (leaf, value) in self.leaves.iter().zip(&tree.leaves) {
                let rows = &self.order[leaf.clone()];
                let first = rows.partition_point(|&row| (row as usize) < start);
                let last = rows.partition_point(|&row| (row as usize) < start + scores.len());
                rows[first..last].iter().for_each(|&row| scores[row as usize - start] += *value as f32);
            }
        }
        if self.order.len() < self.labels.len() {
            self.add_to_rows_left_out(tree, train);
        }
    }

    // A fit that samples rows never reorders them, so the values of a row are found by its position.
    fn add_to_rows_left_out(&mut self, tree: &Tree, train: &Labelled<'_>) {
        let Ok(alone) = Ensemble::new(train.n_features, 0.0, std::slice::from_ref(tree)) else { return };
        let mut is_in = vec![false; self.labels.len()];
        self.order.iter().for_each(|&row| is_in[row as usize] = true);
        for (row, score) in self.scores.iter_mut().enumerate().filter(|(row, _)| !is_in[*row]) {
            let values = &train.values[self.share.training_row(row) * train.n_features..][..train.n_features];
            *score += alone.predict_row(values) as f32;
        }
    }

    /// Stores rows of the same leaf next to each other. Later trees split similarly near their roots, so the rows
    /// that they read for a leaf are then close in memory: training takes two thirds of the time. Gradients have to
    /// be written again.
    pub(super) fn reorder(&mut self, layout: &Layout) {
        self.joint.iter_mut().for_each(|joint| reorder(joint, &self.order));
        self.pack_bins(layout);
        reorder(&mut self.labels, &self.order);
        reorder(&mut self.scores, &self.order);
        self.weights.iter_mut().for_each(|weights| reorder(weights, &self.order));
    }
}

/// Moves item `order[at]` to position `at`.
fn reorder<T: Copy>(items: &mut Vec<T>, order: &[u32]) {
    *items = order.iter().map(|&row| items[row as usize]).collect();
}

/// Moves the rows that go left to the front of `order` and the others to the front of `scratch`, both in their former
/// order, and returns how many go left. Each row is written to both sides of a run and one side advances, which
/// avoids a branch that the processor could not predict.
fn part_rows(order: &mut [u32], scratch: &mut [u32], joint: &[u16], goes_left: &[u8]) -> usize {
    const RUN: usize = 256;
    let (mut lefts, mut rights) = ([0u32; RUN], [0u32; RUN]);
    let mut n_left = 0;
    for start in (0..order.len()).step_by(RUN) {
        let run = &order[start..(start + RUN).min(order.len())];
        // `% RUN` changes no value; it removes the bounds check.
        let mut left = 0;
        for (at, &row) in run.iter().enumerate() {
            lefts[left % RUN] = row;
            rights[(at - left) % RUN] = row;
            left += usize::from(goes_left[usize::from(joint[row as usize])]);
        }
        let (n_run, n_right) = (run.len(), start - n_left);
        order[n_left..n_left + left].copy_from_slice(&lefts[..left]);
        scratch[n_right..n_right + n_run - left].copy_from_slice(&rights[..n_run - left]);
        n_left += left;
    }
    n_left
}
