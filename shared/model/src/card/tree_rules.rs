//! A tree as text: its conditions and its predictions.

use trees::{Child, Ensemble, Split, Tree};

use crate::candidates::{Model, TipEstimate, TipModel};
use crate::features;

/// Nodes deeper than this (the root has depth 0) are only counted.
const DEPTH_MAX: usize = 5;

/// Returns the rules of a model that is one decision tree, a line each, indented by depth; else nothing.
pub fn tree_rules(model: &Model) -> Vec<String> {
    match model {
        Model::Tip(TipModel { estimate: TipEstimate::Tree(tree), .. }) => rules_of(tree.ensemble()),
        _ => Vec::new(),
    }
}

fn rules_of(ensemble: &Ensemble) -> Vec<String> {
    let mut lines = Vec::new();
    for tree in ensemble.described() {
        let root = if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
        describe(&tree, root, 0, "", &mut lines);
    }
    lines
}

fn describe(tree: &Tree, at: Child, depth: usize, condition: &str, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth.saturating_sub(1));
    match at {
        Child::Leaf(leaf) => {
            lines.push(format!("{indent}{condition}: tipped {:.1} %", 100.0 * tree.leaves[leaf as usize]));
        }
        Child::Node(_) if depth > DEPTH_MAX => {
            let (leaves, lowest, highest) = below(tree, at);
            let shares = format!("{:.1} to {:.1} %", 100.0 * lowest, 100.0 * highest);
            lines.push(format!("{indent}{condition}: {leaves} more leaves, tipped {shares}"));
        }
        Child::Node(node) => {
            if depth > 0 {
                lines.push(format!("{indent}{condition}:"));
            }
            let node = &tree.nodes[node as usize];
            let feature = features::NAMES.get(node.feature as usize).copied().unwrap_or("?");
            let missing = [" or unknown", ""];
            let [left, right] = if node.missing_left { missing } else { [missing[1], missing[0]] };
            let (is, is_not) = match &node.split {
                Split::AtMost(threshold) => (format!("<= {threshold}"), format!("> {threshold}")),
                Split::OneOf(categories) => {
                    let codes: Vec<String> = categories.codes().map(|code| code.to_string()).collect();
                    let codes = codes.join(", ");
                    (format!("one of {codes}"), format!("none of {codes}"))
                }
            };
            describe(tree, node.left, depth + 1, &format!("{feature} {is}{left}"), lines);
            describe(tree, node.right, depth + 1, &format!("{feature} {is_not}{right}"), lines);
        }
    }
}

/// Returns the number of leaves, and their least and greatest value.
fn below(tree: &Tree, at: Child) -> (usize, f64, f64) {
    match at {
        Child::Leaf(leaf) => (1, tree.leaves[leaf as usize], tree.leaves[leaf as usize]),
        Child::Node(node) => {
            let node = &tree.nodes[node as usize];
            let [left, right] = [node.left, node.right].map(|child| below(tree, child));
            (left.0 + right.0, left.1.min(right.1), left.2.max(right.2))
        }
    }
}

#[cfg(test)]
mod tests {
    use trees::Node;

    use super::*;

    #[test]
    fn rules_read_like_sentences() {
        let node = |feature, at, missing_left, left, right| Node {
            feature,
            split: Split::AtMost(at),
            missing_left,
            left,
            right,
        };
        let tree = Tree {
            nodes: vec![
                node(2, 1.5, true, Child::Leaf(0), Child::Node(1)),
                node(3, 5.0, false, Child::Leaf(1), Child::Leaf(2)),
            ],
            leaves: vec![0.25, 0.5, 0.875],
        };
        let ensemble = Ensemble::new(features::NAMES.len(), 0.0, &[tree]).unwrap();
        let expected = [
            "distance_miles <= 1.5 or unknown: tipped 25.0 %",
            "distance_miles > 1.5:",
            "  hour <= 5: tipped 50.0 %",
            "  hour > 5 or unknown: tipped 87.5 %",
        ];
        assert_eq!(rules_of(&ensemble), expected);
    }
}
