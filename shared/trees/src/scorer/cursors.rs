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
//! the number of the ensemble's thresholds on the feature that lie below the value. Rows that are alike come together, which leaves few
//! splits to compare: see [`blocks`].

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;

use std::ops::Range;

use super::lanes::{self, FEATURES_MAX, LANES, LaneStep, RowBins};
use super::thresholds::Thresholds;
use super::vectors::Vectors;
use crate::ensemble::{Asked, Ensemble, FlatNode};
use crate::position::Positions;
use blocks::{Bounds, Comparisons, Curve, Pruned, ROWS_SORTED, TreeComparisons};

/// Rows that go through the trees together: eight vectors of 32 bytes, whose cursors stay in registers.
pub(super) const ROWS: usize = 256;

/// Leaves of a tree, as many as a byte numbers.
const LEAVES_MAX: usize = 256;

/// Thresholds of a feature: the largest bin is that of missing values that go right.
const THRESHOLDS_MAX: usize = 255;

/// Bins of a column, with the top bit flipped: vector instructions compare signed bytes.
type Bins = [i8; ROWS];

/// Tiles of a block, [`ROWS`] rows each. Smaller blocks leave fewer splits to compare, but each tree is pruned for every one.
const TILES: usize = 4;

/// Trees whose leaves are added together, so that sums are read and written less often.
const TREES: usize = 4;

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
    /// Splits of both subtrees, and this one.
    n_splits: u8,
}

impl Step {
    const NONE: Self = Self { column: 0, threshold: 0, first: 0, second: 0, n_splits: 0 };
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
    /// Returns the bin of a value.
    #[inline]
    fn bin(&self, value: f32) -> i8 {
        if value.is_nan() { self.missing } else { self.below(value) }
    }

    /// Returns the bin of a value that is not missing.
    #[inline]
    fn below(&self, value: f32) -> i8 {
        flipped(self.positions.position(value) as u8)
    }
}

/// A tree.
struct Tree<'a> {
    steps: &'a [Step],
    /// `None` if the tree cannot be pruned.
    comparisons: Option<TreeComparisons<'a>>,
    leaves: &'a [f64; LEAVES_MAX],
}

/// The trees of an ensemble, ready for batches and for single rows.
#[derive(Debug, Clone)]
pub(super) struct Cursors {
    base: f64,
    columns: Vec<Column>,
    curve: Curve,
    steps: Vec<Step>,
    /// Of the steps, for pruning.
    comparisons: Comparisons,
    /// For each tree, the end of its steps: a split, then those of its left subtree, then those of its right one.
    ends: Vec<usize>,
    /// Leaf values, tree by tree and from left to right, then [`LEAVES_MAX`] zeros: that many follow the start of each tree.
    leaves: Vec<f64>,
    /// For each tree, the position of its first leaf.
    starts: Vec<usize>,
    /// The same splits for single rows: for each [`LANES`] trees, those of all of them. Empty where splits are on too many features, or
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
                    *column = u16::try_from(columns.len()).ok()?;
                    let positions = Positions::new(thresholds.clone());
                    columns.push(Column { feature, positions, missing: flipped(missing) });
                }
            }
        }
        let (base, leaves) = (ensemble.base(), Vec::with_capacity(ensemble.n_leaves() + LEAVES_MAX));
        let (steps, ends, starts, groups) =
            (Vec::with_capacity(ensemble.nodes().len()), vec![], vec![], vec![]);
        let (curve, comparisons) = (Curve::default(), Comparisons::default());
        let mut cursors = Self { base, columns, curve, steps, comparisons, ends, leaves, starts, groups };
        for (nodes, leaves) in ensemble.trees() {
            cursors.starts.push(cursors.leaves.len());
            cursors.add(ensemble, nodes, leaves, |at, node| {
                let column = columns_of[node.feature()][usize::from(node.missing_left())];
                Some((column?, thresholds.below()[at] as u8))
            })?;
            cursors.ends.push(cursors.steps.len());
        }
        cursors.leaves.extend([0.0; LEAVES_MAX]);
        cursors.comparisons = Comparisons::new(&cursors.steps, cursors.columns.len());
        // Where no tree is pruned, rows keep their order.
        if cursors.trees().any(|tree| tree.comparisons.is_some()) {
            cursors.curve = Curve::new(&cursors.columns, &cursors.steps);
        }
        if cursors.features().count() <= FEATURES_MAX && lanes::are_supported(vectors) {
            let looked_up: Vec<u8> = cursors
                .features()
                .enumerate()
                .flat_map(|(place, columns)| {
                    columns.iter().map(move |column| lanes::looked_up(place, column.missing == i8::MIN))
                })
                .collect();
            let trees: Vec<_> = cursors.trees().map(|tree| tree.steps).collect();
            cursors.groups = trees.chunks(LANES).map(|trees| in_lanes(trees, &looked_up)).collect();
        }
        Some(cursors)
    }

    /// Returns the columns of each feature, one or two.
    fn features(&self) -> impl Iterator<Item = &[Column]> {
        self.columns.chunk_by(|one, next| one.feature == next.feature)
    }

    /// Returns the trees.
    fn trees(&self) -> impl Iterator<Item = Tree<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).zip(&self.starts).map(|((start, end), leaves)| Tree {
            steps: &self.steps[start..*end],
            comparisons: self.comparisons.of(start..*end),
            leaves: self.leaves_from(*leaves),
        })
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

    /// Adds a tree with these nodes and leaves of the ensemble; `None` if there are too many leaves. `asked` returns the column of a node
    /// and its threshold's bin.
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
        let (mut firsts, mut places) = ([0u8; 2 * LEAVES_MAX], [0u8; 2 * LEAVES_MAX]);
        let from = self.steps.len();
        self.steps.resize(from + splits.len(), Step::NONE);
        for (at, node) in splits.iter().enumerate() {
            let [left, right] = node.children().map(place);
            let on_left = leaves_below[left] as u8;
            let (first, second) = (firsts[at], firsts[at] + on_left);
            (firsts[left], firsts[right]) = (first, second);
            // A subtree has one split less than leaves.
            (places[left], places[right]) = (places[at] + 1, places[at] + on_left);
            let (column, bin) = asked(nodes.start + at, node)?;
            let n_splits = (leaves_below[at] - 1) as u8;
            self.steps[from + usize::from(places[at])] =
                Step { column, threshold: flipped(bin), first, second, n_splits };
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
        let trees: Vec<_> = self.trees().collect();
        let mut bins = vec![vec![[0; ROWS]; self.columns.len()]; TILES];
        for (rows, sums) in rows.chunks(ROWS_SORTED * width).zip(sums.chunks_mut(ROWS_SORTED)) {
            let order = self.curve.order(&self.columns, rows, width);
            for order in order.chunks(TILES * ROWS) {
                let bounds = self.fill(order, rows, width, &mut bins);
                let mut block = [self.base; TILES * ROWS];
                add_trees(&trees, &bins, &bounds, &mut block[..order.len()], vectors);
                order.iter().zip(block).for_each(|(row, sum)| sums[*row as usize] = sum);
            }
        }
    }

    /// Sets the bins of the rows in this `order`, and returns their bounds.
    fn fill(&self, order: &[u32], rows: &[f32], width: usize, bins: &mut [Vec<Bins>]) -> Bounds {
        let mut bounds = Bounds::NONE;
        for (order, bins) in order.chunks(ROWS).zip(bins) {
            let mut bins = bins.iter_mut().enumerate();
            for columns in self.features() {
                let value = |row: &u32| rows[*row as usize * width + columns[0].feature];
                // Both columns of a feature differ in the bin of missing values only.
                let mut first: Option<&Bins> = None;
                for (column, (at_column, bins)) in columns.iter().zip(&mut bins) {
                    for (at, row) in order.iter().enumerate() {
                        let value = value(row);
                        bins[at] = match first {
                            _ if value.is_nan() => column.missing,
                            Some(first) => first[at],
                            None => column.below(value),
                        };
                    }
                    bounds.include(at_column, &bins[..order.len()]);
                    first = Some(bins);
                }
            }
        }
        bounds
    }
}

/// Adds the exit leaves of all trees, in their order, to the sums of the rows with these bins.
fn add_trees(trees: &[Tree], bins: &[Vec<Bins>], bounds: &Bounds, sums: &mut [f64], vectors: Vectors) {
    let mut pruned = [Pruned::NONE; TREES];
    let mut cursors = [[0; ROWS]; TREES];
    for trees in trees.chunks(TREES) {
        for (tree, pruned) in trees.iter().zip(&mut pruned) {
            pruned.set(tree.steps, tree.comparisons, bounds, vectors);
        }
        for (sums, bins) in sums.chunks_mut(ROWS).zip(bins) {
            for (pruned, cursors) in pruned.iter().zip(&mut cursors).take(trees.len()) {
                exits(pruned.steps(), bins, cursors, vectors);
            }
            let Some(trees) = trees.as_array::<TREES>() else {
                for (tree, cursors) in trees.iter().zip(&cursors) {
                    sums.iter_mut()
                        .zip(cursors)
                        .for_each(|(sum, leaf)| *sum += tree.leaves[usize::from(*leaf)]);
                }
                continue;
            };
            for (row, sum) in sums.iter_mut().enumerate() {
                for (tree, cursors) in trees.iter().zip(&cursors) {
                    *sum += tree.leaves[usize::from(cursors[row])];
                }
            }
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
    // The compiler makes vector instructions of this; parts stay in registers.
    const PART: usize = 128;
    for (part, cursors) in cursors.as_chunks_mut::<PART>().0.iter_mut().enumerate() {
        let mut local = [0; PART];
        for step in steps {
            let bins = &bins[usize::from(step.column)].as_chunks::<PART>().0[part];
            for (cursor, bin) in local.iter_mut().zip(bins) {
                let moves = u8::from(*bin > step.threshold) & u8::from(*cursor == step.first);
                *cursor ^= (*cursor ^ step.second) & moves.wrapping_neg();
            }
        }
        *cursors = local;
    }
}
