use proptest::prelude::*;

use super::*;

fn stump(feature: u32, threshold: f32, missing_left: bool, leaves: [f64; 2]) -> Tree {
    let split = Split::AtMost(threshold);
    let node = Node { feature, split, missing_left, left: Child::Leaf(0), right: Child::Leaf(1) };
    Tree { nodes: vec![node], leaves: leaves.to_vec() }
}

/// Generates a random tree by repeatedly splitting a random leaf; the last feature is split by categories.
pub(crate) fn any_tree(n_features: u32, max_leaves: usize) -> impl Strategy<Value = Tree> {
    let split = (any::<prop::sample::Index>(), 0..n_features, -4i8..4, any::<bool>(), -1.0..1.0f64);
    prop::collection::vec(split, 0..max_leaves).prop_map(move |splits| {
        let mut tree = Tree { nodes: vec![], leaves: vec![0.5] };
        for (index, feature, threshold, missing_left, value) in splits {
            let leaf = index.index(tree.leaves.len()) as u32;
            let (new_node, new_leaf) = (tree.nodes.len() as u32, tree.leaves.len() as u32);
            for node in &mut tree.nodes {
                for child in [&mut node.left, &mut node.right] {
                    if *child == Child::Leaf(leaf) {
                        *child = Child::Node(new_node);
                    }
                }
            }
            tree.leaves.push(value);
            let split = if feature + 1 == n_features {
                let code = threshold.unsigned_abs().into();
                Split::OneOf(Categories::new([code, code * 40, code * 9 % 5]).unwrap())
            } else {
                Split::AtMost(f32::from(threshold) / 2.0)
            };
            let (left, right) = (Child::Leaf(leaf), Child::Leaf(new_leaf));
            tree.nodes.push(Node { feature, split, missing_left, left, right });
        }
        tree
    })
}

/// Walks the description of a tree: a reference implementation of prediction.
fn walk(tree: &Tree, row: &[f32]) -> f64 {
    let mut at = if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
    loop {
        match at {
            Child::Leaf(leaf) => return tree.leaves[leaf as usize],
            Child::Node(node) => {
                let node = &tree.nodes[node as usize];
                let value = row[node.feature as usize];
                let left = match &node.split {
                    _ if value.is_nan() => node.missing_left,
                    Split::AtMost(threshold) => value <= *threshold,
                    Split::OneOf(categories) => {
                        value > -1.0 && categories.codes().any(|code| code as f32 == value.trunc())
                    }
                };
                at = if left { node.left } else { node.right };
            }
        }
    }
}

pub(crate) fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => (-9i8..9).prop_map(|half| f32::from(half) / 2.0),
        1 => (0u8..200).prop_map(f32::from),
        1 => Just(f32::NAN),
        1 => any::<f32>(),
    ]
}

proptest! {
    #[test]
    fn the_flat_form_adds_what_the_plain_walk_adds(
        trees in prop::collection::vec(any_tree(3, 12), 0..6),
        rows in prop::collection::vec(prop::collection::vec(any_value(), 3), 1..20),
    ) {
        let flat = Ensemble::new(3, 0.25, &trees).unwrap();
        let together = flat.predict(&rows.concat());
        for (row, batched) in rows.iter().zip(together) {
            let plain = trees.iter().fold(0.25, |sum, tree| sum + walk(tree, row));
            prop_assert_eq!(flat.predict_row(row).to_bits(), plain.to_bits());
            prop_assert_eq!(batched.to_bits(), plain.to_bits());
        }
    }

    #[test]
    fn a_described_ensemble_is_the_same_ensemble(trees in prop::collection::vec(any_tree(3, 12), 0..6)) {
        let flat = Ensemble::new(3, -1.0, &trees).unwrap();
        prop_assert_eq!(flat.described(), trees.clone());
        prop_assert_eq!(Ensemble::new(3, -1.0, &flat.described()).unwrap(), flat);
    }

    #[test]
    fn at_most_routes_every_f32_as_less_than_did(split in any::<f32>(), nudge in -2i8..3, x in any::<f32>()) {
        let split = f64::from(split) + f64::from(nudge) * 1e-12;
        prop_assume!(split.is_finite());
        for x in [x, split as f32, (split as f32).next_up(), (split as f32).next_down()] {
            prop_assert_eq!(x <= at_most(split), f64::from(x) < split, "x {} split {}", x, split);
        }
    }
}

#[test]
fn a_missing_value_takes_the_side_it_was_told() {
    for (missing_left, expected) in [(true, 1.0), (false, 2.0)] {
        let flat = Ensemble::new(1, 0.0, &[stump(0, 0.0, missing_left, [1.0, 2.0])]).unwrap();
        assert_eq!(flat.predict_row(&[f32::NAN]), expected);
        assert_eq!(flat.predict_row(&[]), expected, "a row that is too short lacks the value");
    }
}

#[test]
fn every_defect_is_refused_with_its_place() {
    let good = stump(0, 0.0, true, [1.0, 2.0]);
    let mut twice = good.clone();
    twice.nodes[0].right = Child::Leaf(0);
    let mut cycle = good.clone();
    cycle.nodes[0].left = Child::Node(0);
    let mut beyond = good.clone();
    beyond.nodes[0].left = Child::Leaf(7);
    let empty = Tree { nodes: vec![], leaves: vec![] };
    let spare = Tree { nodes: vec![], leaves: vec![1.0, 2.0] };
    for (tree, expected) in [
        (stump(3, 0.0, true, [1.0, 2.0]), "tree 1, node 0: feature 3 of an ensemble with 1 features"),
        (stump(70_000, 0.0, true, [1.0, 2.0]), "tree 1, node 0: feature 70000 of"),
        (stump(u32::MAX, 0.0, true, [1.0, 2.0]), "tree 1, node 0: feature 4294967295 of"),
        (stump(0, f32::NAN, true, [1.0, 2.0]), "tree 1, node 0: the threshold is not a number"),
        (stump(0, 0.0, true, [1.0, f64::INFINITY]), "tree 1, leaf 1: the value is not finite"),
        (twice, "has two parents"),
        (cycle, "is not after"),
        (beyond, "does not exist"),
        (empty, "it is empty"),
        (spare, "without a parent"),
    ] {
        let refused = Ensemble::new(1, 0.0, &[good.clone(), tree]).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused:?} should say {expected:?}");
    }
    assert_eq!(Ensemble::new(1, f64::NAN, &[good]), Err(EnsembleError::Base));
}

#[test]
fn a_number_of_features_that_no_model_has_is_refused() {
    assert_eq!(Ensemble::new(1 << 30, 0.0, &[]), Err(EnsembleError::TooLarge));
    let written = serde_json::to_value(Ensemble::constant(1 << 30, 0.0)).unwrap();
    assert!(serde_json::from_value::<Ensemble>(written).is_err());
}

#[test]
fn another_form_is_refused_whatever_its_trees_are() {
    let written = serde_json::to_string(&Ensemble::constant(1, 0.5)).unwrap();
    let other = written.replacen(&format!("\"form\":{FORM}"), "\"form\":9", 1);
    let refused = serde_json::from_str::<Ensemble>(&other.replace("[]", "[{}]")).unwrap_err().to_string();
    assert!(refused.contains(&format!("ensemble form 9: this build reads form {FORM}")), "{refused}");
}

#[test]
fn leaves_can_be_counted_again() {
    let flat = Ensemble::new(1, 0.0, &[stump(0, 0.0, true, [1.0, 2.0])]).unwrap();
    assert_eq!((flat.leaves_of(&[-1.0]), flat.leaves_of(&[1.0])), (vec![0], vec![1]));
    let recounted = flat.clone().with_leaves(vec![0.1, 0.9]).unwrap();
    assert_eq!((recounted.predict_row(&[-1.0]), recounted.predict_row(&[1.0])), (0.1, 0.9));
    assert!(flat.clone().with_leaves(vec![0.1]).is_err());
    assert!(flat.with_leaves(vec![0.1, f64::NAN]).is_err());
}
