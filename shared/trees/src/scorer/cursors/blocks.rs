//! Blocks of rows that are alike, and what is left of a tree for them.
//!
//! A split that all rows of a block take alike is decided: its other subtree is out of reach, and where all go left, nothing has to be
//! compared. So rows are put beside those that most splits treat alike, in the order of a Z-curve (Morton, 1966) through the features with
//! the most splits, and each tree is pruned for a block.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::{Column, LEAVES_MAX, Step, Vectors};

/// Rows that are sorted at once: more rows make blocks more alike, but their order takes memory.
pub(super) const ROWS_SORTED: usize = 1 << 16;

/// Features that the order looks at. With three bits each instead of two, hardly fewer splits are left.
const FEATURES: usize = 6;
const BITS: usize = 2;
const KEYS: usize = 1 << (FEATURES * BITS);

/// A Z-curve through the rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Curve {
    /// Columns, with the bits that each of their bins adds to a row's place on the curve.
    parts: Vec<(usize, Box<[u16; 256]>)>,
}

impl Curve {
    /// Takes the features with the most splits, and divides the bins of each into four parts with about as many of its splits.
    pub(super) fn new(columns: &[Column], steps: &[Step]) -> Self {
        let mut splits_at = vec![[0u32; 256]; columns.len()];
        steps.iter().for_each(|step| splits_at[usize::from(step.column)][place(step.threshold)] += 1);
        let total = |at: &usize| splits_at[*at].iter().sum::<u32>();
        // Of a feature with two columns, the one with more splits.
        let of_features = columns.chunk_by(|one, next| one.feature == next.feature);
        let busiest = of_features.scan(0, |end, columns| {
            *end += columns.len();
            (*end - columns.len()..*end).max_by_key(total)
        });
        let mut most: Vec<usize> = busiest.collect();
        most.sort_by_key(|at| std::cmp::Reverse(total(at)));
        most.truncate(FEATURES);
        let parts = most.iter().enumerate().map(|(rank, at)| {
            let (mut keys, mut below, all) = (Box::new([0; 256]), 0, total(at).max(1));
            for (key, splits) in keys.iter_mut().zip(&splits_at[*at]) {
                // All splits are below the last bin.
                let part = ((u64::from(below) << BITS) / u64::from(all)).min((1 << BITS) - 1);
                // The first bits of all features come before their second ones.
                let bits = (0..BITS).filter(|bit| part >> bit & 1 == 1);
                *key = bits.map(|bit| 1 << (bit * FEATURES + FEATURES - 1 - rank)).sum();
                below += splits;
            }
            (*at, keys)
        });
        Self { parts: parts.collect() }
    }

    /// Returns the positions of `rows`, row-major with `width` values each, in the order of the curve.
    pub(super) fn order(&self, columns: &[Column], rows: &[f32], width: usize) -> Vec<u32> {
        let mut keys = vec![0u16; rows.len() / width];
        for (at, part) in &self.parts {
            let column = &columns[*at];
            let values = rows[column.feature..].iter().step_by(width);
            keys.iter_mut().zip(values).for_each(|(key, value)| *key += part[place(column.bin(*value))]);
        }
        let mut starts = vec![0u32; KEYS + 1];
        keys.iter().for_each(|key| starts[usize::from(*key) + 1] += 1);
        (1..=KEYS).for_each(|key| starts[key] += starts[key - 1]);
        let mut order = vec![0; keys.len()];
        for (row, key) in (0..).zip(&keys) {
            let start = &mut starts[usize::from(*key)];
            order[*start as usize] = row;
            *start += 1;
        }
        order
    }
}

/// Returns the position of a bin whose top bit is flipped.
fn place(bin: i8) -> usize {
    usize::from(bin as u8 ^ 0x80)
}

/// Most splits of a tree that is pruned: a bit of a word for each.
pub(super) const SPLITS_MAX: usize = 64;

/// Most columns that trees are pruned by.
pub(super) const COLUMNS_MAX: usize = 64;

/// What splits compare, laid out for vector instructions: by split, then [`SPLITS_MAX`] zeros. Empty if there are too many columns.
#[derive(Debug, Clone, Default)]
pub(super) struct Comparisons {
    columns: Vec<u8>,
    thresholds: Vec<i8>,
}

/// What the splits of a tree compare, and those after them.
#[derive(Debug, Clone, Copy)]
pub(super) struct TreeComparisons<'a> {
    pub(super) columns: &'a [u8; SPLITS_MAX],
    pub(super) thresholds: &'a [i8; SPLITS_MAX],
}

impl Comparisons {
    pub(super) fn new(steps: &[Step], n_columns: usize) -> Self {
        if n_columns > COLUMNS_MAX {
            return Self::default();
        }
        let none = std::iter::repeat_n(&Step::NONE, SPLITS_MAX);
        let (columns, thresholds) =
            steps.iter().chain(none).map(|step| (step.column as u8, step.threshold)).unzip();
        Self { columns, thresholds }
    }

    /// Returns those of a tree with these splits; `None` if it cannot be pruned.
    pub(super) fn of(&self, splits: Range<usize>) -> Option<TreeComparisons<'_>> {
        if splits.is_empty() || splits.len() > SPLITS_MAX {
            return None;
        }
        let columns = self.columns.get(splits.start..)?.first_chunk()?;
        Some(TreeComparisons { columns, thresholds: self.thresholds.get(splits.start..)?.first_chunk()? })
    }
}

/// The least and the largest bins of a block, by column.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) least: [i8; COLUMNS_MAX],
    pub(super) most: [i8; COLUMNS_MAX],
}

impl Bounds {
    /// Of a block without rows.
    pub(super) const NONE: Self = Self { least: [i8::MAX; COLUMNS_MAX], most: [i8::MIN; COLUMNS_MAX] };

    /// Includes the bins of a column; those from [`COLUMNS_MAX`] on are left out, since no tree is pruned then.
    pub(super) fn include(&mut self, column: usize, bins: &[i8]) {
        if let (Some(least), Some(most)) = (self.least.get_mut(column), self.most.get_mut(column)) {
            *least = bins.iter().copied().fold(*least, i8::min);
            *most = bins.iter().copied().fold(*most, i8::max);
        }
    }

    /// Returns the splits where all rows go left, and those where all go right, a bit for each. Bits after the tree's last split mean
    /// nothing.
    fn decided(&self, comparisons: TreeComparisons, vectors: Vectors) -> [u64; 2] {
        #[cfg(target_arch = "x86_64")]
        if vectors.have_avx2() {
            return avx2::decided(self, comparisons);
        }
        let _ = vectors;
        let each = comparisons.columns.iter().zip(comparisons.thresholds);
        each.fold([0; 2], |[left, right], (column, threshold)| {
            // There are no more columns: this spares a check.
            let column = usize::from(*column) % COLUMNS_MAX;
            let is_left = self.most[column] <= *threshold;
            let is_right = self.least[column] > *threshold;
            [left >> 1 | u64::from(is_left) << 63, right >> 1 | u64::from(is_right) << 63]
        })
    }
}

/// The splits of a tree that move cursors of a block's rows.
pub(super) struct Pruned {
    steps: [Step; LEAVES_MAX],
    len: usize,
}

impl Pruned {
    /// Of no tree.
    pub(super) const NONE: Self = Self { steps: [Step::NONE; LEAVES_MAX], len: 0 };

    /// Returns the splits, parents first.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps[..self.len]
    }

    /// Prunes a tree for rows within the `bounds`. Cursors stay where all rows go left, so that such a split falls away as well; one where
    /// all go right moves them.
    pub(super) fn set(
        &mut self,
        steps: &[Step],
        comparisons: Option<TreeComparisons>,
        bounds: &Bounds,
        vectors: Vectors,
    ) {
        let Some(comparisons) = comparisons else {
            self.steps[..steps.len()].copy_from_slice(steps);
            self.len = steps.len();
            return;
        };
        let [all_left, all_right] = bounds.decided(comparisons, vectors);
        let mut in_reach = u64::MAX >> (SPLITS_MAX - steps.len());
        let mut ahead = u64::MAX;
        // Parents come first: what is out of reach has been removed before it would be looked at. After a split come those of its left
        // subtree, then those of its right one.
        while let Some(at) = first_one((all_left | all_right) & in_reach & ahead) {
            let (on_left, on_both) = (steps[at].second - steps[at].first - 1, steps[at].n_splits - 1);
            // At most 63 splits are below one: this spares a check.
            let [left, both] = [on_left, on_both].map(|splits| (1u64 << (splits % 64)) - 1);
            let removed = if all_left >> at & 1 == 1 { both ^ left } else { left };
            in_reach &= !(removed << at << 1);
            ahead = u64::MAX << at << 1;
        }
        let mut kept = in_reach & !all_left;
        self.len = 0;
        while let Some(at) = first_one(kept) {
            self.steps[self.len] = steps[at];
            self.len += 1;
            kept &= kept - 1;
        }
    }
}

/// Returns the position of the lowest one.
#[inline(always)]
fn first_one(word: u64) -> Option<usize> {
    (word != 0).then(|| word.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::{Child, Ensemble, Node, Split, Tree};
    use crate::scorer::cursors::{Cursors, flipped};
    use crate::scorer::thresholds::Thresholds;

    /// Returns the range of the whole numbers below 32 that reach a node of a tree which halves them again and again: the root is 1, and
    /// below `node` are twice that and one more.
    fn range(node: u32) -> (u32, u32) {
        let width = 32 >> node.ilog2();
        let start = (node - (1 << node.ilog2())) * width;
        (start, start + width)
    }

    fn halving() -> Tree {
        let child = |node: u32| if node < 32 { Child::Node(node - 1) } else { Child::Leaf(node - 32) };
        let node = |node: u32| {
            let (start, end) = range(node);
            let split = Split::AtMost((start + end) as f32 / 2.0 - 0.5);
            Node { feature: 0, split, missing_left: true, left: child(2 * node), right: child(2 * node + 1) }
        };
        Tree { nodes: (1..32).map(node).collect(), leaves: vec![0.5; 32] }
    }

    fn cursors_of(n_features: usize, tree: Tree) -> Cursors {
        let ensemble = Ensemble::new(n_features, 0.0, &[tree]).unwrap();
        Cursors::new(&ensemble, &Thresholds::of(&ensemble), Vectors::of_this_processor()).unwrap()
    }

    #[test]
    fn only_splits_that_move_cursors_are_left() {
        let cursors = cursors_of(1, halving());
        let tree = cursors.trees().next().unwrap();
        let mut pruned = Pruned::NONE;
        for (least, most) in (0..32).flat_map(|least| (least..32).map(move |most| (least, most))) {
            let mut bounds = Bounds::NONE;
            bounds.include(0, &[flipped(least as u8), flipped(most as u8)]);
            // Within reach, and some rows go right; the first leaves of both subtrees are the numbers that reach them.
            let moves_cursors = |node: u32| {
                let (start, end) = range(node);
                let is_moving = start <= most && end > least && most >= (start + end) / 2;
                is_moving.then_some((start as u8, ((start + end) / 2) as u8))
            };
            let mut expected: Vec<_> = (1..32).filter_map(moves_cursors).collect();
            expected.sort_unstable();
            for vectors in [Vectors::Portable, Vectors::of_this_processor()] {
                pruned.set(tree.steps, tree.comparisons, &bounds, vectors);
                let mut found: Vec<_> = pruned.steps().iter().map(|step| (step.first, step.second)).collect();
                found.sort_unstable();
                assert_eq!(found, expected, "from {least} to {most}");
            }
        }
    }

    /// Makes a chain of splits, each on another feature, that send values above 0 on to the right.
    fn chain(n_splits: u32) -> Tree {
        let node = |at: u32| Node {
            feature: at,
            split: Split::AtMost(0.0),
            missing_left: true,
            left: Child::Leaf(at),
            right: if at + 1 == n_splits { Child::Leaf(n_splits) } else { Child::Node(at + 1) },
        };
        Tree { nodes: (0..n_splits).map(node).collect(), leaves: vec![0.5; n_splits as usize + 1] }
    }

    #[test]
    fn every_bit_and_every_column_is_decided_alike() {
        let cursors = cursors_of(64, chain(64));
        let tree = cursors.trees().next().unwrap();
        let comparisons = tree.comparisons.unwrap();
        for decided in 0..64 {
            let mut bounds = Bounds::NONE;
            for column in 0..64 {
                let bins: &[u8] = if column == decided { &[1] } else { &[0, 1] };
                bounds.include(column, &bins.iter().copied().map(flipped).collect::<Vec<_>>());
            }
            for vectors in [Vectors::Portable, Vectors::of_this_processor()] {
                assert_eq!(bounds.decided(comparisons, vectors), [0, 1 << decided], "{vectors:?}");
            }
            bounds.least[decided] = flipped(0);
            bounds.most[decided] = flipped(0);
            for vectors in [Vectors::Portable, Vectors::of_this_processor()] {
                assert_eq!(bounds.decided(comparisons, vectors), [1 << decided, 0], "{vectors:?}");
                let mut pruned = Pruned::NONE;
                pruned.set(tree.steps, tree.comparisons, &bounds, vectors);
                assert_eq!(pruned.steps().len(), decided, "the rest of the chain is out of reach");
            }
        }
        assert!(cursors_of(65, chain(65)).trees().all(|tree| tree.comparisons.is_none()));
    }

    #[test]
    fn values_above_every_threshold_are_last_on_the_curve() {
        for n_splits in [1, 2, 3, 9] {
            let mut tree = chain(n_splits);
            for (threshold, node) in (0u8..).zip(&mut tree.nodes) {
                (node.feature, node.split) = (0, Split::AtMost(threshold.into()));
            }
            let cursors = cursors_of(1, tree);
            let [(_, bits)] = &cursors.curve.parts[..] else { panic!("expected one feature") };
            let bits = &bits[..=n_splits as usize];
            assert!(bits.is_sorted() && bits[0] == 0, "{bits:?}");
            assert!(bits[n_splits as usize] > bits[0], "{bits:?}");
            assert_eq!(cursors.curve.order(&cursors.columns, &[9.0, -1.0, f32::NAN], 1), [1, 2, 0]);
        }
    }
}
