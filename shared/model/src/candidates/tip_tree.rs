//! One decision tree for tips, grown by linfa-trees: a floor whose rules can be read.
//!
//! linfa-trees predicts a class and scans all rows at every node, so only the structure is taken from it: it grows on a
//! stratified sample with class-balanced weights (balanced also keeps its pruning from merging siblings of one label).
//! The leaves' probabilities are then counted on all rows, and the tree is served in the flat form of [`trees`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_trees::{DecisionTree, TreeNode};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use trees::{Child, Ensemble, Node, Split, Tree, at_most};

use super::{FitError, FitParams, split_mix};
use crate::features::{self, FeatureRows};
use crate::outcome::{Examples, Target};
use crate::trip::Trip;

/// Encodes missing values for linfa, which has none: below every feature, so that they go left of every split.
const MISSING: f64 = -1000.0;

/// P(tip > 0 | paid by card) by the leaf that a trip falls into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TipTree {
    ensemble: Ensemble,
}

impl TipTree {
    /// Grows a tree on `examples` with labels 1 (tipped) and 0.
    ///
    /// # Errors
    /// [`FitError::OneClass`], [`FitError::Tree`].
    pub fn fit(examples: &Examples, params: &FitParams) -> Result<Self, FitError> {
        let target = Target::Tip;
        let tipped = examples.labels.iter().filter(|label| **label > 0.0).count();
        if tipped == 0 || tipped == examples.len() {
            return Err(FitError::OneClass { target, rows: examples.len() });
        }
        let sample = stratified(&examples.labels, params.tree_sample_rows as usize, params.seed);
        let rows = FeatureRows::from_trips(&examples.trips);
        let grown = grow(&rows, &examples.labels, &sample, params)?;
        let refused =
            |source: trees::EnsembleError| FitError::Tree { rows: sample.len(), source: Box::new(source) };
        let structure =
            Ensemble::new(features::NAMES.len(), 0.0, &[flatten(grown.root_node())]).map_err(refused)?;
        let base_rate = tipped as f64 / examples.len() as f64;
        let leaves = count_leaves(&structure, &rows, &examples.labels, base_rate);
        Ok(Self { ensemble: structure.with_leaves(leaves).map_err(refused)? })
    }

    /// Predicts P(tip > 0 | paid by card) of every trip.
    pub fn probabilities(&self, trips: &[Trip]) -> Vec<f64> {
        self.ensemble.predict(&FeatureRows::from_trips(trips).values)
    }

    /// Returns the tree, over the features of [`features::NAMES`].
    pub(crate) fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// Returns the number of leaves.
    pub fn n_leaves(&self) -> usize {
        self.ensemble.n_leaves()
    }
}

/// Draws at most `limit` rows by `seed`, each class in its share, in ascending order.
fn stratified(labels: &[f64], limit: usize, seed: u64) -> Vec<usize> {
    if labels.len() <= limit {
        return (0..labels.len()).collect();
    }
    let mut chosen = Vec::with_capacity(limit);
    for class in [false, true] {
        let mut of_class: Vec<usize> =
            (0..labels.len()).filter(|&row| (labels[row] > 0.0) == class).collect();
        // A class of which nothing is drawn cannot be balanced.
        let share = (of_class.len() * limit / labels.len()).max(1).min(of_class.len());
        of_class.sort_unstable_by_key(|&row| split_mix(seed ^ row as u64));
        chosen.extend_from_slice(&of_class[..share]);
    }
    chosen.sort_unstable();
    chosen
}

fn grow(
    rows: &FeatureRows,
    labels: &[f64],
    sample: &[usize],
    params: &FitParams,
) -> Result<DecisionTree<f64, bool>, FitError> {
    let width = features::NAMES.len();
    let value = |(row, column): (usize, usize)| {
        let value = f64::from(rows.values[sample[row] * width + column]);
        if value.is_nan() { MISSING } else { value }
    };
    let records = Array2::from_shape_fn((sample.len(), width), value);
    let tipped: Array1<bool> = sample.iter().map(|&row| labels[row] > 0.0).collect();
    let balance = Balance::new(tipped.len(), tipped.iter().filter(|tip| **tip).count());
    let weights = tipped.mapv(|tip| if tip { balance.tipped } else { balance.other });
    let data = Dataset::new(records, tipped).with_weights(weights);
    let params = DecisionTree::params()
        .max_depth(Some(params.tree_max_depth as usize))
        .min_weight_leaf(params.tree_min_leaf as f32 * balance.of_row)
        .min_weight_split(2.0 * params.tree_min_leaf as f32);
    let refused = |source| FitError::Tree { rows: sample.len(), source };
    // linfa panics on input that it did not foresee; that must not end the retraining of the other target.
    match catch_unwind(AssertUnwindSafe(|| params.fit(&data))) {
        Ok(grown) => grown.map_err(|source| refused(source.into())),
        Err(_) => Err(refused("linfa-trees panicked".into())),
    }
}

/// Weights that balance the two classes.
///
/// linfa adds and subtracts weights one by one in f32. Fractions would drift there (over 100,000 rows by more than a
/// leaf weighs, and then it panics), so the weights are whole numbers whose sum f32 holds exactly. They have no common
/// divisor: linfa breaks ties between classes by hash order, which differs from process to process, and a tie then
/// takes as many rows of one class as the other's weight.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Balance {
    tipped: f32,
    other: f32,
    /// Average weight of a row.
    of_row: f32,
}

impl Balance {
    fn new(rows: usize, tips: usize) -> Self {
        // Half of what f32 counts exactly (2^24): rounding up must not exceed it.
        const TOTAL: usize = 1 << 23;
        let of_row = (TOTAL / rows).max(1);
        let half = of_row * rows / 2;
        let tipped = (half / tips).max(1);
        let mut other = (half / (rows - tips)).max(1);
        while common_divisor(tipped, other) > 1 {
            other += 1;
        }
        Self { tipped: tipped as f32, other: other as f32, of_row: of_row as f32 }
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Converts the structure of linfa's tree to ours; leaves have no values yet.
fn flatten(root: &TreeNode<f64, bool>) -> Tree {
    let mut tree = Tree { nodes: Vec::new(), leaves: Vec::new() };
    describe(root, &mut tree);
    tree
}

fn describe(node: &TreeNode<f64, bool>, tree: &mut Tree) -> Child {
    // is_leaf() and not the absence of children: pruning leaves children on leaves.
    let children = node.children();
    let (left, right) = match children.as_slice() {
        [Some(left), Some(right)] if !node.is_leaf() => (left, right),
        _ => {
            tree.leaves.push(0.0);
            return Child::Leaf(tree.leaves.len() as u32 - 1);
        }
    };
    let (feature, split, _) = node.split();
    let at = tree.nodes.len();
    tree.nodes.push(Node {
        feature: feature as u32,
        split: Split::AtMost(at_most(split)),
        missing_left: true,
        left: Child::Leaf(0),
        right: Child::Leaf(0),
    });
    let sides = (describe(left, tree), describe(right, tree));
    (tree.nodes[at].left, tree.nodes[at].right) = sides;
    Child::Node(at as u32)
}

/// Computes the share of tipped rows of every leaf, shrunk to the base rate by the weight of 10 rows.
fn count_leaves(structure: &Ensemble, rows: &FeatureRows, labels: &[f64], base_rate: f64) -> Vec<f64> {
    const PRIOR_ROWS: f64 = 10.0;
    let mut counts = vec![(0.0, 0.0); structure.n_leaves()];
    for (row, label) in rows.rows().zip(labels) {
        for leaf in structure.leaves_of(row) {
            counts[leaf].0 += 1.0;
            counts[leaf].1 += label;
        }
    }
    counts.iter().map(|(rows, tips)| (tips + PRIOR_ROWS * base_rate) / (rows + PRIOR_ROWS)).collect()
}

#[cfg(test)]
mod tests {
    use linfa::traits::Predict;

    use super::*;
    use crate::trip::{Trip, Zone};

    /// 2,000 card trips whose tip depends on zone and distance, with noise, a fifth without distance.
    fn examples() -> Examples {
        let mut examples = Examples::default();
        for row in 0..2000u64 {
            let (zone, draw) = ((split_mix(row) % 265) as u16 + 1, split_mix(row + 7_000) % 100);
            let miles = (row % 5 > 0).then(|| (split_mix(row + 9_000) % 200) as f64 / 10.0);
            let chance = if zone < 100 { 85 } else { 30 } - if miles.unwrap_or(0.0) > 10.0 { 25 } else { 0 };
            examples.trips.push(Trip {
                pickup_zone: Zone::new(zone),
                distance_miles: miles,
                ..Trip::default()
            });
            examples.labels.push(f64::from(u8::from(draw < chance)));
        }
        examples
    }

    fn params() -> FitParams {
        FitParams { tree_max_depth: 6, tree_min_leaf: 30, ..FitParams::default() }
    }

    #[test]
    fn the_flat_tree_routes_every_row_as_linfa_does() {
        let examples = examples();
        let rows = FeatureRows::from_trips(&examples.trips);
        let all: Vec<usize> = (0..examples.len()).collect();
        let grown = grow(&rows, &examples.labels, &all, &params()).unwrap();
        let structure = Ensemble::new(features::NAMES.len(), 0.0, &[flatten(grown.root_node())]).unwrap();
        assert!(structure.n_leaves() > 4, "a tree worth the name");
        // A leaf has one label in linfa's tree; rows that share our leaf must share it.
        let width = features::NAMES.len();
        let encoded =
            rows.values.iter().map(|value| if value.is_nan() { MISSING } else { f64::from(*value) });
        let records = Array2::from_shape_vec((rows.len(), width), encoded.collect()).unwrap();
        let predicted = grown.predict(&records);
        let mut label_of_leaf = vec![None; structure.n_leaves()];
        for (row, label) in rows.rows().zip(predicted.iter()) {
            let leaf = structure.leaves_of(row)[0];
            assert_eq!(*label_of_leaf[leaf].get_or_insert(*label), *label, "leaf {leaf}");
        }
    }

    #[test]
    fn leaves_are_the_share_of_tipped_rows() {
        let examples = examples();
        let tree = TipTree::fit(&examples, &params()).unwrap();
        let predicted = tree.probabilities(&examples.trips);
        let (mean_predicted, mean_actual) = (mean(&predicted), mean(&examples.labels));
        assert!(
            (mean_predicted - mean_actual).abs() < 0.01,
            "calibrated overall: {mean_predicted} against {mean_actual}"
        );
        assert!(predicted.iter().all(|p| (0.0..=1.0).contains(p)));
    }

    #[test]
    fn the_same_examples_give_the_same_tree_also_from_a_sample() {
        let params = FitParams { tree_sample_rows: 1500, ..params() };
        let (one, two) =
            (TipTree::fit(&examples(), &params).unwrap(), TipTree::fit(&examples(), &params).unwrap());
        assert_eq!(one, two);
        let sample = stratified(&examples().labels, 1500, 1);
        assert!((1498..=1500).contains(&sample.len()) && sample.is_sorted());
        let mut rare = vec![0.0; 4_000];
        rare[7] = 1.0;
        assert!(stratified(&rare, 1_500, 1).contains(&7), "the only trip with a tip");
    }

    #[test]
    fn weights_balance_the_classes_and_their_sums_are_exact() {
        for (rows, tips) in [(200_000, 176_000), (200_000, 1_000), (150, 75), (2_000, 1_300), (3, 1)] {
            let Balance { tipped, other, of_row } = Balance::new(rows, tips);
            let (tips_weigh, others_weigh) =
                (tips as f64 * f64::from(tipped), (rows - tips) as f64 * f64::from(other));
            assert!(tips_weigh + others_weigh <= f64::from(1 << 24), "{rows} {tips}");
            assert!(
                (tips_weigh / others_weigh - 1.0).abs() < 0.06,
                "{rows} {tips}: {tips_weigh} {others_weigh}"
            );
            assert_eq!([tipped.fract(), other.fract(), of_row.fract()], [0.0; 3]);
            assert_eq!(common_divisor(tipped as usize, other as usize), 1);
        }
    }

    #[test]
    fn one_class_is_nothing_to_learn() {
        let examples = Examples { labels: vec![1.0; 2000], ..examples() };
        assert!(matches!(TipTree::fit(&examples, &params()), Err(FitError::OneClass { rows: 2000, .. })));
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }
}
