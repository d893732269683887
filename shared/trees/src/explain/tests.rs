use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::ensemble::tests::{any_tree, any_value};
use crate::ensemble::{Child, Node, Split, Tree};
use crate::import::{Body, lightgbm};
use crate::scorer::Scorer;

fn fixture(name: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    std::fs::read_to_string(format!("{path}/{name}")).unwrap()
}

/// Compares with LightGBM's contributions (`pred_contrib`, the expected value last), using its covers (`leaf_count`).
#[test]
fn contributions_are_those_of_lightgbm() {
    for name in
        ["lightgbm-v4-regression", "lightgbm-v4-categorical", "lightgbm-v4-binary", "lightgbm-v3-regression"]
    {
        let text = fixture(&format!("{name}.txt"));
        let foreign = lightgbm::read(&text).unwrap();
        let Body::Trees(ensemble) = foreign.body.clone() else { panic!("trees") };
        // Leaves are numbered from left to right here, and by LightGBM in the order of growth. Their values match
        // them up.
        let lists = |key: &str| -> Vec<f64> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(key));
            lines.flat_map(|list| list.split(' ').map(|number| number.parse().unwrap())).collect()
        };
        let (values, counts) = (lists("leaf_value="), lists("leaf_count="));
        let cover = |value: &f64| counts[values.iter().position(|other| other == value).unwrap()];
        let covers = ensemble.leaf_values().iter().map(cover).collect();
        let explainer = Explainer::new(ensemble, covers).unwrap();
        let golden: Value = serde_json::from_str(&fixture(&format!("{name}.golden.json"))).unwrap();
        let floats = |list: &Value| -> Vec<f64> {
            list.as_array().unwrap().iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect()
        };
        for (row, theirs) in
            golden["rows"].as_array().unwrap().iter().zip(golden["contributions"].as_array().unwrap())
        {
            if row.as_array().unwrap().iter().any(Value::is_string) {
                continue;
            }
            let values: Vec<f32> = floats(row).iter().map(|value| *value as f32).collect();
            let read: Vec<f32> = values
                .iter()
                .zip(&foreign.columns)
                .map(|(value, column)| column.reading.read(*value))
                .collect();
            let ours = explainer.contributions(&read);
            for (ours, theirs) in ours.iter().chain([&explainer.expected()]).zip(floats(theirs)) {
                assert!((ours - theirs).abs() < 1e-6, "{name} {values:?}: {ours} is not {theirs}");
            }
        }
    }
}

/// Computes Shapley values of three features by definition: marginal contributions, averaged over all orders.
fn by_definition(explainer: &Explainer, row: &[f32]) -> Vec<f64> {
    let n = row.len();
    let orders: Vec<Vec<usize>> =
        vec![vec![0, 1, 2], vec![0, 2, 1], vec![1, 0, 2], vec![1, 2, 0], vec![2, 0, 1], vec![2, 1, 0]];
    let mut sums = vec![0.0; n];
    for order in &orders {
        let mut known = vec![false; n];
        for &feature in order {
            let before = known_sum(explainer, row, &known);
            known[feature] = true;
            sums[feature] += (known_sum(explainer, row, &known) - before) / orders.len() as f64;
        }
    }
    sums
}

fn known_sum(explainer: &Explainer, row: &[f32], known: &[bool]) -> f64 {
    fn walk(explainer: &Explainer, at: i32, row: &[f32], known: &[bool]) -> f64 {
        let Ok(node) = usize::try_from(at) else { return explainer.ensemble.leaf_values()[!at as usize] };
        let node = &explainer.ensemble.nodes()[node];
        let [left, right] = node.children();
        if known[node.feature()] {
            let way = if explainer.ensemble.goes_left(node, row) { left } else { right };
            return walk(explainer, way, row, known);
        }
        let share = |child| explainer.cover(child) / explainer.cover(at);
        share(left) * walk(explainer, left, row, known) + share(right) * walk(explainer, right, row, known)
    }
    explainer.ensemble.roots().iter().map(|&root| walk(explainer, root, row, known)).sum()
}

proptest! {
    #[test]
    fn contributions_are_shapley_values_and_add_up(
        trees in prop::collection::vec(any_tree(3, 10), 1..4),
        covers in prop::collection::vec(1u8..50, 40),
        row in prop::collection::vec(any_value(), 3),
    ) {
        let ensemble = Ensemble::new(3, 0.5, &trees).unwrap();
        let covers = covers.into_iter().cycle().take(ensemble.n_leaves()).map(f64::from).collect();
        let explainer = Explainer::new(ensemble, covers).unwrap();
        let ours = explainer.contributions(&row);
        for (ours, expected) in ours.iter().zip(by_definition(&explainer, &row)) {
            prop_assert!((ours - expected).abs() < 1e-9, "{} is not {}", ours, expected);
        }
        let sum = explainer.expected() + ours.iter().sum::<f64>();
        prop_assert!((sum - explainer.ensemble.predict_row(&row)).abs() < 1e-9);
    }
}

#[test]
fn covers_are_counted_by_rows_and_a_leaf_without_any_is_explained() {
    let text = fixture("lightgbm-v4-regression.txt");
    let Body::Trees(ensemble) = lightgbm::read(&text).unwrap().body else { panic!("trees") };
    let rows: Vec<f32> = (0..500).map(|value| (value % 37) as f32).collect();
    let explainer = Explainer::by_rows(ensemble.clone(), &rows).unwrap();
    let row = [200.0, 200.0, 30.0, 23.0, 6.0];
    let sum = explainer.expected() + explainer.contributions(&row).iter().sum::<f64>();
    assert!((sum - ensemble.predict_row(&row)).abs() < 1e-6);
    assert_eq!(ensemble.split_importance().iter().sum::<u32>() as usize, ensemble.nodes().len());
}

#[test]
fn a_chain_is_refused_and_not_run_into() {
    let node = |at: u32| Node {
        feature: 0,
        split: Split::AtMost(-(at as f32)),
        missing_left: false,
        left: if at == 199_999 { Child::Leaf(200_000) } else { Child::Node(at + 1) },
        right: Child::Leaf(at),
    };
    let chain = Tree { nodes: (0..200_000).map(node).collect(), leaves: vec![1.0; 200_001] };
    let ensemble = Ensemble::new(1, 0.0, &[chain]).unwrap();
    assert_eq!(Scorer::new(ensemble.clone()).form(), "walk", "a deep tree is walked");
    let refused = Explainer::by_rows(ensemble, &[0.5]).unwrap_err();
    assert_eq!(refused.to_string(), "a tree is 200000 splits deep: at most 256 are explained");
}
