//! Leaf cursors: batches of rows through trees of up to 256 leaves without branches, the same sums as the walk, bit for bit.
//!
//! A tree's leaves are numbered from left to right. Each row carries one byte for the tree, its cursor: the leftmost leaf that it
//! can still reach, 0 at first. A split with the leaves from `first` in its left subtree and those from `second` in its right one
//! sends a row right by moving its cursor from `first` to `second`. Parents come before their children, so that the cursor stands on
//! `first` only in rows that reach the split: a row that went another way is left of `first` or right of it. A split is then
//!
//! ```text
//! cursor = if bin > threshold and cursor == first { second } else { cursor }
//! ```
//!
//! for many rows at once: four vector instructions on bytes, whatever the depth. Values are binned to bytes beforehand: a bin is
//! the number of the ensemble's thresholds on the feature that lie below the value.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use std::ops::Range;

use super::lanes::{self, FEATURES_MAX, LANES, LaneStep, RowBins};
use super::thresholds::Thresholds;
use super::vectors::Vectors;
use crate::ensemble::{Asked, Ensemble, FlatNode};
use crate::position::Positions;

/// Rows that go through the trees together: eight vectors of 32 bytes, whose cursors stay in registers.
pub(super) const ROWS: usize = 256;

/// Leaves of a tree, as many as a byte numbers.
const LEAVES_MAX: usize = 256;

/// Thresholds of a feature: the largest bin is that of missing values that go right.
const THRESHOLDS_MAX: usize = 255;

/// Bins of a column, with the top bit flipped: vector instructions compare signed bytes.
type Bins = [i8; ROWS];

/// A split.
#[derive(Debug, Clone, Copy)]
struct Step {
    column: u16,
    /// The threshold's bin, with the top bit flipped.
    threshold: i8,
    /// First leaf of the left subtree.
    first: u8,
    /// First leaf of the right subtree.
    second: u8,
}

/// A feature's bins, with missing values on one side: a feature whose splits send them both ways has two columns.
#[derive(Debug, Clone)]
struct Column {
    feature: usize,
    positions: Positions,
    /// Bin of missing values, with the top bit flipped.
    missing: i8,
}

impl Column {
    /// Returns the bin of a value that is not missing.
    #[inline]
    fn below(&self, value: f32) -> i8 {
        flipped(self.positions.position(value) as u8)
    }
}

/// The trees of an ensemble as steps.
#[derive(Debug, Clone)]
pub(super) struct Cursors {
    base: f64,
    columns: Vec<Column>,
    steps: Vec<Step>,
    /// For each tree, the end of its steps.
    ends: Vec<usize>,
    /// Leaf values, tree by tree and from left to right, then [`LEAVES_MAX`] zeros: that many follow the start of each tree.
    leaves: Vec<f64>,
    /// For each tree, the position of its first leaf.
    starts: Vec<usize>,
    /// The same steps for single rows: for each [`LANES`] trees, those of all of them. Empty where splits are on too many features, or
    /// there are no instructions for them.
    groups: Vec<Box<[LaneStep]>>,
}

impl Cursors {
    /// Prepares the trees of `ensemble`; `None` if a tree has too many leaves, a feature too many thresholds, or a split is by
    /// category. The processor has the `vectors`.
    pub(super) fn new(ensemble: &Ensemble, thresholds: &Thresholds, vectors: Vectors) -> Option<Self> {
        // By feature: the column where missing values go right, and where they go left.
        let mut columns_of = vec![[None, None]; ensemble.n_features()];
        for node in ensemble.nodes() {
            let Asked::AtMost(_) = ensemble.asked(node) else { return None };
            columns_of[node.feature()][usize::from(node.missing_left())] = Some(0);
        }
        let mut columns = Vec::new();
        for (feature, thresholds) in thresholds.by_feature().iter().enumerate() {
            if thresholds.len() > THRESHOLDS_MAX {
                return None;
            }
            for (column, missing) in columns_of[feature].iter_mut().zip([u8::MAX, 0]) {
                if let Some(column) = column {
                    *column = columns.len() as u16;
                    let positions = Positions::new(thresholds.clone());
                    columns.push(Column { feature, positions, missing: flipped(missing) });
                }
            }
        }
        let (base, leaves) = (ensemble.base(), Vec::with_capacity(ensemble.n_leaves() + LEAVES_MAX));
        let (steps, ends, starts, groups) =
            (Vec::with_capacity(ensemble.nodes().len()), vec![], vec![], vec![]);
        let mut cursors = Self { base, columns, steps, ends, leaves, starts, groups };
        for (nodes, leaves) in ensemble.trees() {
            cursors.starts.push(cursors.leaves.len());
            cursors.add(ensemble, nodes, leaves, |at, node| {
                let column = columns_of[node.feature()][usize::from(node.missing_left())];
                Some((column?, thresholds.below()[at] as u8))
            })?;
            cursors.ends.push(cursors.steps.len());
        }
        cursors.leaves.extend([0.0; LEAVES_MAX]);
        if cursors.features().count() <= FEATURES_MAX && lanes::are_supported(vectors) {
            let looked_up: Vec<u8> = cursors
                .features()
                .enumerate()
                .flat_map(|(place, columns)| {
                    columns.iter().map(move |column| lanes::looked_up(place, column.missing == i8::MIN))
                })
                .collect();
            let trees: Vec<_> = cursors.trees().map(|(steps, _)| steps).collect();
            cursors.groups = trees.chunks(LANES).map(|trees| in_lanes(trees, &looked_up)).collect();
        }
        Some(cursors)
    }

    /// Returns the columns of each feature, one or two.
    fn features(&self) -> impl Iterator<Item = &[Column]> {
        self.columns.chunk_by(|one, next| one.feature == next.feature)
    }

    /// Returns the steps and leaf values of each tree.
    fn trees(&self) -> impl Iterator<Item = (&[Step], &[f64; LEAVES_MAX])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let steps = starts.zip(&self.ends).map(|(start, end)| &self.steps[start..*end]);
        steps.zip(self.starts.iter().map(|start| self.leaves_from(*start)))
    }

    /// Returns the leaf values from `start`, the first leaf of a tree, which need no check for any cursor.
    #[inline]
    fn leaves_from(&self, start: usize) -> &[f64; LEAVES_MAX] {
        const NONE: [f64; LEAVES_MAX] = [0.0; LEAVES_MAX];
        self.leaves[start..].first_chunk().unwrap_or(&NONE)
    }

    /// Returns whether [`Cursors::score_row`] has what it needs.
    pub(super) fn has_rows(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Returns the sum for one row with a value for each feature. The caller has checked [`Cursors::has_rows`], and
    /// the processor has the `vectors`.
    pub(super) fn score_row(&self, row: &[f32], vectors: Vectors) -> f64 {
        let mut bins = RowBins::NONE;
        for (place, columns) in self.features().enumerate() {
            let value = row[columns[0].feature];
            if value.is_nan() {
                bins.set_missing(place);
            } else {
                bins.set(place, columns[0].below(value));
            }
        }
        let mut sum = self.base;
        for (group, starts) in self.groups.iter().zip(self.starts.chunks(LANES)) {
            let exits = lanes::exits(group, &bins, vectors);
            starts.iter().zip(exits).for_each(|(start, exit)| sum += self.leaves[start + usize::from(exit)]);
        }
        sum
    }

    /// Adds a tree with these nodes and leaves of the ensemble: its splits as they come, which is parents first, and its leaves from
    /// left to right. `asked` returns a node's column and bin. Returns `None` if there are too many leaves.
    fn add(
        &mut self,
        ensemble: &Ensemble,
        nodes: Range<usize>,
        leaves: Range<usize>,
        asked: impl Fn(usize, &FlatNode) -> Option<(u16, u8)>,
    ) -> Option<()> {
        if leaves.len() > LEAVES_MAX {
            return None;
        }
        // A child's place among the tree's nodes, then leaves: selected, since a branch would be mispredicted half of the time.
        let place = |child: i32| {
            let (node, leaf) = (child as usize, !child as usize);
            if child >= 0 { node - nodes.start } else { leaf - leaves.start + nodes.len() }
        };
        let splits = &ensemble.nodes()[nodes.clone()];
        let mut leaves_below = [1u16; 2 * LEAVES_MAX];
        for (at, node) in splits.iter().enumerate().rev() {
            leaves_below[at] = node.children().map(|child| leaves_below[place(child)]).iter().sum();
        }
        let mut firsts = [0u8; 2 * LEAVES_MAX];
        for (at, node) in splits.iter().enumerate() {
            let [left, right] = node.children().map(place);
            let (first, second) = (firsts[at], firsts[at] + leaves_below[left] as u8);
            (firsts[left], firsts[right]) = (first, second);
            let (column, bin) = asked(nodes.start + at, node)?;
            self.steps.push(Step { column, threshold: flipped(bin), first, second });
        }
        let start = self.leaves.len();
        self.leaves.resize(start + leaves.len(), 0.0);
        for (value, first) in ensemble.leaf_values()[leaves].iter().zip(&firsts[nodes.len()..]) {
            self.leaves[start + usize::from(*first)] = *value;
        }
        Some(())
    }

    /// Sets `sums` to the sums of `rows`, row-major with `width` values each. The processor has the `vectors`.
    pub(super) fn score(&self, rows: &[f32], width: usize, sums: &mut [f64], vectors: Vectors) {
        let mut bins = vec![[0; ROWS]; self.columns.len()];
        for (rows, sums) in rows.chunks(ROWS * width).zip(sums.chunks_mut(ROWS)) {
            for (column, bins) in self.columns.iter().zip(&mut bins) {
                let values = rows[column.feature..].iter().step_by(width);
                values.zip(bins).for_each(|(value, bin)| {
                    *bin = if value.is_nan() { column.missing } else { column.below(*value) }
                });
            }
            sums.fill(self.base);
            self.add_trees(&bins, sums, vectors);
        }
    }

    /// Adds the exit leaves of all trees, in their order, to the sums of at most [`ROWS`] rows.
    fn add_trees(&self, bins: &[Bins], sums: &mut [f64], vectors: Vectors) {
        let mut cursors = [[0; ROWS]; 2];
        let trees: Vec<_> = self.trees().collect();
        // Two trees at a time, so that sums are read and written half as often.
        let (pairs, last) = trees.as_chunks::<2>();
        for [one, other] in pairs {
            exits(one.0, bins, &mut cursors[0], vectors);
            exits(other.0, bins, &mut cursors[1], vectors);
            for ((sum, first), second) in sums.iter_mut().zip(&cursors[0]).zip(&cursors[1]) {
                *sum = (*sum + one.1[usize::from(*first)]) + other.1[usize::from(*second)];
            }
        }
        for (steps, leaves) in last {
            exits(steps, bins, &mut cursors[0], vectors);
            sums.iter_mut().zip(&cursors[0]).for_each(|(sum, leaf)| *sum += leaves[usize::from(*leaf)]);
        }
    }
}

/// Lays the steps of at most [`LANES`] trees side by side; `looked_up` is what stands for each column.
fn in_lanes(trees: &[&[Step]], looked_up: &[u8]) -> Box<[LaneStep]> {
    let most = trees.iter().map(|steps| steps.len()).max().unwrap_or(0);
    let mut group = vec![LaneStep::NONE; most];
    for (lane, steps) in trees.iter().enumerate() {
        for (to, step) in group.iter_mut().zip(*steps) {
            to.features[lane] = looked_up[usize::from(step.column)];
            to.thresholds[lane] = step.threshold;
            to.firsts[lane] = step.first;
            to.moves[lane] = step.second - step.first;
        }
    }
    group.into()
}

fn flipped(bin: u8) -> i8 {
    (bin ^ 0x80) as i8
}

/// Sets `cursors` to the exit leaves of one tree.
fn exits(steps: &[Step], bins: &[Bins], cursors: &mut [u8; ROWS], vectors: Vectors) {
    #[cfg(target_arch = "x86_64")]
    match vectors {
        Vectors::Avx512 => return avx512::exits(steps, bins, cursors),
        Vectors::Avx2 => return avx2::exits(steps, bins, cursors),
        Vectors::Portable => (),
    }
    let _ = vectors;
    // The compiler makes vector instructions of this; tiles stay in registers.
    const TILE: usize = 128;
    for (tile, cursors) in cursors.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
        let mut local = [0; TILE];
        for step in steps {
            let bins = &bins[usize::from(step.column)].as_chunks::<TILE>().0[tile];
            for (cursor, bin) in local.iter_mut().zip(bins) {
                let moves = u8::from(*bin > step.threshold) & u8::from(*cursor == step.first);
                *cursor ^= (*cursor ^ step.second) & moves.wrapping_neg();
            }
        }
        *cursors = local;
    }
}
