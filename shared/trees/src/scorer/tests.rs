use std::collections::BTreeSet;

use proptest::prelude::*;

use super::lanes::{FEATURES_MAX, are_supported};
use super::*;
use crate::ensemble::tests::{any_tree, any_value};
use crate::ensemble::{Child, FlatNode, Node, Split, Tree};

const KERNELS: [Kernel; 4] = [Kernel::Auto, Kernel::Avx2, Kernel::Portable, Kernel::Walk];

fn check(scorer: &Scorer, rows: &[Vec<f32>]) -> Result<(), TestCaseError> {
    let flat = rows.concat();
    let expected: Vec<u64> = scorer.ensemble().predict(&flat).iter().map(|sum| sum.to_bits()).collect();
    for kernel in KERNELS {
        let bits: Vec<u64> = scorer.predict_by(kernel, &flat).iter().map(|sum| sum.to_bits()).collect();
        prop_assert_eq!(&bits, &expected, "{:?}", kernel);
    }
    for vectors in [Vectors::Portable, Vectors::Avx2, Vectors::Avx512] {
        let scorer = Scorer::on(scorer.ensemble().clone(), vectors.min(Vectors::of_this_processor()));
        for (row, expected) in rows.iter().zip(&expected) {
            prop_assert_eq!(scorer.predict_row(row).to_bits(), *expected, "{:?}", vectors);
        }
    }
    Ok(())
}

/// Replaces splits by category, which cursors do not hold.
fn by_order(mut tree: Tree) -> Tree {
    tree.nodes.iter_mut().for_each(|node| {
        if let Split::OneOf(categories) = &node.split {
            let threshold = categories.codes().next().unwrap_or(0) as f32 / 4.0;
            node.split = Split::AtMost(threshold);
        }
    });
    tree
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    #[test]
    fn every_kernel_adds_what_the_walk_adds(
        trees in prop::collection::vec(any_tree(4, 32), 0..40),
        rows in prop::collection::vec(prop::collection::vec(any_value(), 4), 0..300),
        base in -1.0..1.0f64,
    ) {
        let scorer = Scorer::new(Ensemble::new(4, base, &trees).unwrap());
        prop_assert_eq!(scorer.form(), "masks");
        check(&scorer, &rows)?;
    }

    /// Splits on at most 16 features fill one table of bins, those on 32 two, and those on more are too many for single rows.
    #[test]
    fn larger_trees_have_cursors(
        (n_features, trees, rows) in prop::sample::select(vec![3usize, 9, 16, 17, 24, 32, 33, 48]).prop_flat_map(|n_features| (
            Just(n_features),
            prop::collection::vec(any_tree(n_features as u32, 250).prop_map(by_order), 1..70),
            prop::collection::vec(prop::collection::vec(any_value(), n_features), 1..600),
        )),
    ) {
        let scorer = Scorer::new(Ensemble::new(n_features, 0.3, &trees).unwrap());
        let is_small = trees.iter().all(|tree| tree.leaves.len() <= 32);
        prop_assert_eq!(scorer.form(), if is_small { "masks" } else { "cursors" });
        if let Form::Cursors(cursors) = &scorer.form {
            let split_on: BTreeSet<usize> = scorer.ensemble.nodes().iter().map(FlatNode::feature).collect();
            let have_lanes = split_on.len() <= FEATURES_MAX && are_supported(scorer.vectors);
            prop_assert_eq!(cursors.has_rows(), have_lanes);
        }
        check(&scorer, &rows)?;
        let without_missing = |row: &Vec<f32>| row.iter().map(|value| if value.is_nan() { 0.25 } else { *value }).collect();
        check(&scorer, &rows.iter().map(without_missing).collect::<Vec<_>>())?;
    }

    /// Rows of which many are alike, so that blocks decide splits.
    #[test]
    fn trees_are_pruned_for_rows_that_are_alike(
        (n_features, trees, kinds, varied) in prop::sample::select(vec![2usize, 9, 33, 70]).prop_flat_map(|n_features| (
            Just(n_features),
            prop::collection::vec(any_tree(n_features as u32, 100).prop_map(by_order), 1..9),
            prop::collection::vec(prop::collection::vec(any_value(), n_features), 1..5),
            prop::collection::vec((any::<prop::sample::Index>(), 0..n_features, any_value()), 600..1300),
        )),
    ) {
        let scorer = Scorer::new(Ensemble::new(n_features, -0.1, &trees).unwrap());
        let is_small = trees.iter().all(|tree| tree.leaves.len() <= 32);
        prop_assert_eq!(scorer.form(), if is_small { "masks" } else { "cursors" });
        let row = |(kind, feature, value): &(prop::sample::Index, usize, f32)| {
            let mut row = kind.get(&kinds).clone();
            row[*feature] = *value;
            row
        };
        check(&scorer, &varied.iter().map(row).collect::<Vec<_>>())?;
    }

    #[test]
    fn many_features_of_many_thresholds(
        trees in prop::collection::vec(any_tree(60, 30), 30..40),
        rows in prop::collection::vec(prop::collection::vec(any_value(), 60), 1..150),
    ) {
        check(&Scorer::new(Ensemble::new(60, 0.5, &trees).unwrap()), &rows)?;
    }
}

/// Tries numbers of thresholds around the sizes of a rung (16) and of a ladder (256).
#[test]
fn every_number_of_thresholds_on_one_feature() {
    for n_thresholds in [1, 2, 15, 16, 17, 32, 33, 255, 256, 257, 300] {
        let stump = |at: u16| {
            let (left, right) = (Child::Leaf(0), Child::Leaf(1));
            let (split, missing_left) = (Split::AtMost(f32::from(at)), at.is_multiple_of(3));
            let node = Node { feature: 0, split, missing_left, left, right };
            Tree { nodes: vec![node], leaves: vec![0.1 * f64::from(at), 1.0 / f64::from(at + 3)] }
        };
        let trees: Vec<Tree> = (0..n_thresholds).map(stump).collect();
        let scorer = Scorer::new(Ensemble::new(1, 0.5, &trees).unwrap());
        assert_eq!(scorer.form(), "masks");
        let at = (0..n_thresholds).map(f32::from);
        let values = at.flat_map(|at| [at.next_down(), at, at.next_up()]);
        let values = values.chain([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0]);
        check(&scorer, &values.map(|value| vec![value]).collect::<Vec<_>>()).unwrap();
    }
}

/// Makes a chain of splits: leaf `n` holds the values in (n - 1, n].
fn chain(n_leaves: u32) -> Tree {
    chain_at((0..n_leaves - 1).map(|at| at as f32).collect())
}

/// Makes a chain of splits at ascending thresholds.
fn chain_at(thresholds: Vec<f32>) -> Tree {
    let n_leaves = thresholds.len() as u32 + 1;
    let node = |at: u32| Node {
        feature: 0,
        split: Split::AtMost(thresholds[at as usize]),
        missing_left: at + 2 == n_leaves,
        left: Child::Leaf(at),
        right: if at + 2 == n_leaves { Child::Leaf(at + 1) } else { Child::Node(at + 1) },
    };
    Tree { nodes: (0..n_leaves - 1).map(node).collect(), leaves: (0..n_leaves).map(f64::from).collect() }
}

#[test]
fn a_mask_has_32_leaves_and_a_cursor_256() {
    for (n_leaves, form) in [
        (32, "masks"),
        (33, "cursors"),
        (65, "cursors"),
        (66, "cursors"),
        (255, "cursors"),
        (256, "cursors"),
        (257, "walk"),
    ] {
        let scorer = Scorer::new(Ensemble::new(1, 0.0, &[chain(n_leaves)]).unwrap());
        assert_eq!(scorer.form(), form, "{n_leaves} leaves");
        let rows: Vec<f32> = vec![-5.0, 0.0, 0.5, 17.0, 30.0, 31.0, 999.0, f32::NAN];
        let last = f64::from(n_leaves - 1);
        for kernel in KERNELS {
            let sums = scorer.predict_by(kernel, &rows);
            assert_eq!(sums, [0.0, 0.0, 1.0, 17.0, 30.0, 31.0, last, last - 1.0], "{n_leaves} leaves");
        }
    }
}

#[test]
fn thresholds_at_zero_and_at_the_ends_of_the_number_line_are_bins_of_cursors() {
    let edges = [f32::NEG_INFINITY, f32::MIN, -1.0, -0.0, 0.0, f32::from_bits(1), 1.0];
    let thresholds: Vec<f32> =
        edges.into_iter().chain((2..30u8).map(f32::from)).chain([f32::MAX, f32::INFINITY]).collect();
    let scorer = Scorer::new(Ensemble::new(1, 0.0, &[chain_at(thresholds.clone())]).unwrap());
    assert_eq!(scorer.form(), "cursors");
    let values = thresholds.iter().flat_map(|at| [at.next_down(), *at, at.next_up()]).chain([f32::NAN]);
    check(&scorer, &values.map(|value| vec![value]).collect::<Vec<_>>()).unwrap();
}

#[test]
fn more_rows_than_are_sorted_at_once_keep_their_places() {
    let scorer = Scorer::new(Ensemble::new(1, 0.0, &[chain(40)]).unwrap());
    assert_eq!(scorer.form(), "cursors");
    let rows: Vec<f32> = (0..70_000u32).map(|row| (row * 7919 % 45) as f32).collect();
    let expected: Vec<f64> = rows.iter().map(|value| f64::from(value.min(39.0))).collect();
    assert!(scorer.predict(&rows) == expected);
}

#[test]
fn a_feature_split_in_both_ways_is_walked() {
    let mut tree = chain(3);
    tree.nodes[1].split = Split::OneOf(crate::Categories::new([7]).unwrap());
    let scorer = Scorer::new(Ensemble::new(1, 0.0, &[tree]).unwrap());
    assert_eq!(scorer.form(), "walk");
    assert_eq!(scorer.predict(&[0.0, 7.0, 8.0]), [0.0, 1.0, 2.0]);
}

#[test]
fn no_trees_is_the_base_and_a_short_row_lacks_values() {
    let none = Scorer::new(Ensemble::new(2, 1.5, &[]).unwrap());
    assert_eq!((none.predict(&[0.0; 6]), none.predict_row(&[0.0; 2])), (vec![1.5; 3], 1.5));
    let constant = Tree { nodes: vec![], leaves: vec![2.0] };
    let constants = Scorer::new(Ensemble::new(2, 1.5, &vec![constant; 20]).unwrap());
    assert_eq!(constants.predict(&[0.0; 6]), [41.5; 3]);
    let scorer = Scorer::new(Ensemble::new(1, 0.0, &[chain(4)]).unwrap());
    assert_eq!(scorer.predict_row(&[]), scorer.predict_row(&[f32::NAN]));
    assert!(scorer.predict(&[]).is_empty());
}
