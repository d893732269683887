//! The serving form: every tree of an ensemble in one flat array of nodes, walked without recursion.

use serde::{Deserialize, Serialize};

/// Where a split sends a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Child {
    /// Another split: its position in [`Tree::nodes`], greater than its parent's.
    Node(u32),
    /// A leaf: its position in [`Tree::leaves`].
    Leaf(u32),
}

/// One split: a row goes left when its value is at most `threshold`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Which feature is asked, `0..n_features`.
    pub feature: u32,
    /// Left when `value <= threshold`; see [`at_most`] for trainers that split by `<`.
    pub threshold: f32,
    /// Whether a missing value (NaN) goes left.
    pub missing_left: bool,
    /// Where the rows at most `threshold` go.
    pub left: Child,
    /// Where the others go.
    pub right: Child,
}

/// One tree as its trainer describes it. A tree without nodes is its only leaf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    /// Splits, the root first, every child after its parent.
    pub nodes: Vec<Node>,
    /// What each leaf adds to the sum.
    pub leaves: Vec<f64>,
}

/// What was wrong with the description of an ensemble.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    /// A split asks for a feature that the ensemble does not have.
    #[error("tree {tree}, node {node}: feature {feature} of an ensemble with {n_features} features")]
    UnknownFeature {
        /// Position of the tree.
        tree: usize,
        /// Position of the split in it.
        node: usize,
        /// The feature it asks for.
        feature: u32,
        /// How many there are.
        n_features: usize,
    },
    /// A threshold is NaN, which no value could be compared with.
    #[error("tree {tree}, node {node}: the threshold is not a number")]
    Threshold {
        /// Position of the tree.
        tree: usize,
        /// Position of the split in it.
        node: usize,
    },
    /// A leaf, or the base, is NaN or infinite.
    #[error("tree {tree}, leaf {leaf}: the value is not finite")]
    LeafValue {
        /// Position of the tree.
        tree: usize,
        /// Position of the leaf in it.
        leaf: usize,
    },
    /// The value that every sum starts from is NaN or infinite.
    #[error("the base value is not finite")]
    Base,
    /// Nodes and leaves do not form one tree: a child missing, shared, before its parent, or nobody's.
    #[error("tree {tree}: nodes and leaves do not form one tree ({detail})")]
    Shape {
        /// Position of the tree.
        tree: usize,
        /// What is out of shape.
        detail: String,
    },
    /// More nodes or leaves than a 31 bit position can name.
    #[error("the ensemble has more than 2^31 nodes or leaves")]
    TooLarge,
}

/// A split of all trees' nodes laid end to end. Children: `>= 0` a node, `< 0` the leaf `!child`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct FlatNode {
    threshold: f32,
    /// The feature; the top bit says that a missing value goes left.
    feature: u32,
    left: i32,
    right: i32,
}

const MISSING_LEFT: u32 = 1 << 31;

/// A sum of trees over rows of `f32` features, NaN for missing. Predicting is total: whatever the row holds, it
/// ends in one leaf of each tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Description", into = "Description")]
pub struct Ensemble {
    n_features: usize,
    base: f64,
    roots: Vec<i32>,
    nodes: Vec<FlatNode>,
    leaves: Vec<f64>,
}

impl Ensemble {
    /// Lays `trees` out flat after checking that each is a tree over `n_features` features.
    ///
    /// # Errors
    /// The first defect found: see [`EnsembleError`].
    pub fn new(n_features: usize, base: f64, trees: &[Tree]) -> Result<Self, EnsembleError> {
        if !base.is_finite() {
            return Err(EnsembleError::Base);
        }
        let mut flat = Self {
            n_features,
            base,
            roots: Vec::with_capacity(trees.len()),
            nodes: Vec::new(),
            leaves: Vec::new(),
        };
        for (position, tree) in trees.iter().enumerate() {
            check(position, tree, n_features)?;
            flat.append(tree)?;
        }
        Ok(flat)
    }

    /// How many values a row has.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// How many trees are summed.
    pub fn n_trees(&self) -> usize {
        self.roots.len()
    }

    /// How many leaves there are in all.
    pub fn n_leaves(&self) -> usize {
        self.leaves.len()
    }

    /// The prediction for one row of `n_features` values: base, then each tree's leaf in order, added in f64.
    /// Values that a short row lacks count as missing.
    pub fn predict_row(&self, row: &[f32]) -> f64 {
        self.roots.iter().fold(self.base, |sum, &root| sum + self.leaves[self.exit_leaf(root, row)])
    }

    /// The predictions for `rows`, row-major, `n_features` values each: `[n_rows]`.
    pub fn predict(&self, rows: &[f32]) -> Vec<f64> {
        rows.chunks_exact(self.n_features.max(1)).map(|row| self.predict_row(row)).collect()
    }

    /// The leaf that each tree ends in for one row, as a position among all leaves: `[n_trees]`.
    pub fn leaves_of(&self, row: &[f32]) -> Vec<usize> {
        self.roots.iter().map(|&root| self.exit_leaf(root, row)).collect()
    }

    /// The same trees with other leaf values, `[n_leaves]` in the order of [`Ensemble::leaves_of`]: a tree's
    /// structure can be grown on a sample and its leaves counted on everything.
    ///
    /// # Errors
    /// [`EnsembleError::LeafValue`] for a value that is not finite, [`EnsembleError::Shape`] for the wrong count.
    pub fn with_leaves(mut self, leaves: Vec<f64>) -> Result<Self, EnsembleError> {
        if leaves.len() != self.leaves.len() {
            let detail = format!("{} leaf values for {} leaves", leaves.len(), self.leaves.len());
            return Err(EnsembleError::Shape { tree: 0, detail });
        }
        if let Some(leaf) = leaves.iter().position(|value| !value.is_finite()) {
            return Err(EnsembleError::LeafValue { tree: 0, leaf });
        }
        self.leaves = leaves;
        Ok(self)
    }

    fn exit_leaf(&self, root: i32, row: &[f32]) -> usize {
        let mut at = root;
        while at >= 0 {
            let node = self.nodes[at as usize];
            let value = row.get((node.feature & !MISSING_LEFT) as usize).copied().unwrap_or(f32::NAN);
            let left =
                if value.is_nan() { node.feature & MISSING_LEFT != 0 } else { value <= node.threshold };
            at = if left { node.left } else { node.right };
        }
        !at as usize
    }

    fn append(&mut self, tree: &Tree) -> Result<(), EnsembleError> {
        let (nodes, leaves) = (self.nodes.len(), self.leaves.len());
        if nodes + tree.nodes.len() > i32::MAX as usize || leaves + tree.leaves.len() > i32::MAX as usize {
            return Err(EnsembleError::TooLarge);
        }
        let place = |child: Child| match child {
            Child::Node(node) => (nodes + node as usize) as i32,
            Child::Leaf(leaf) => !((leaves + leaf as usize) as i32),
        };
        self.roots.push(if tree.nodes.is_empty() { place(Child::Leaf(0)) } else { place(Child::Node(0)) });
        self.nodes.extend(tree.nodes.iter().map(|node| FlatNode {
            threshold: node.threshold,
            feature: node.feature | if node.missing_left { MISSING_LEFT } else { 0 },
            left: place(node.left),
            right: place(node.right),
        }));
        self.leaves.extend_from_slice(&tree.leaves);
        Ok(())
    }
}

/// The threshold `t` for which `x <= t` is true of exactly those f32 `x` with `x < split`: for trainers that
/// route by "less than", and in f64.
pub fn at_most(split: f64) -> f32 {
    let near = split as f32;
    if f64::from(near) < split { near } else { near.next_down() }
}

fn check(position: usize, tree: &Tree, n_features: usize) -> Result<(), EnsembleError> {
    let shape = |detail: String| EnsembleError::Shape { tree: position, detail };
    let mut node_seen = vec![false; tree.nodes.len()];
    let mut leaf_seen = vec![false; tree.leaves.len()];
    match (node_seen.first_mut(), leaf_seen.first_mut()) {
        (Some(root), _) => *root = true,
        (None, Some(only)) => *only = true,
        (None, None) => return Err(shape("it is empty".into())),
    }
    for (at, node) in tree.nodes.iter().enumerate() {
        if node.feature as usize >= n_features || node.feature & MISSING_LEFT != 0 {
            return Err(EnsembleError::UnknownFeature {
                tree: position,
                node: at,
                feature: node.feature,
                n_features,
            });
        }
        if node.threshold.is_nan() {
            return Err(EnsembleError::Threshold { tree: position, node: at });
        }
        for child in [node.left, node.right] {
            let seen = match child {
                Child::Node(to) if to as usize <= at => {
                    return Err(shape(format!("node {to} is not after {at}")));
                }
                Child::Node(to) => node_seen.get_mut(to as usize),
                Child::Leaf(to) => leaf_seen.get_mut(to as usize),
            };
            let seen = seen.ok_or_else(|| shape(format!("{child:?} under node {at} does not exist")))?;
            if std::mem::replace(seen, true) {
                return Err(shape(format!("{child:?} has two parents")));
            }
        }
    }
    if node_seen.contains(&false) || leaf_seen.contains(&false) {
        return Err(shape("a node or leaf without a parent".into()));
    }
    match tree.leaves.iter().position(|value| !value.is_finite()) {
        Some(leaf) => Err(EnsembleError::LeafValue { tree: position, leaf }),
        None => Ok(()),
    }
}

/// What is written to disk: trees as described, so that reading checks them again.
#[derive(Serialize, Deserialize)]
struct Description {
    n_features: u32,
    base: f64,
    trees: Vec<Tree>,
}

impl TryFrom<Description> for Ensemble {
    type Error = EnsembleError;
    fn try_from(from: Description) -> Result<Self, EnsembleError> {
        Self::new(from.n_features as usize, from.base, &from.trees)
    }
}

impl From<Ensemble> for Description {
    fn from(from: Ensemble) -> Self {
        Self { n_features: from.n_features as u32, base: from.base, trees: from.described() }
    }
}

impl Ensemble {
    /// The trees as a trainer would describe them: the inverse of [`Ensemble::new`].
    pub fn described(&self) -> Vec<Tree> {
        self.roots.iter().map(|&root| self.describe(root)).collect()
    }

    // Nodes and leaves of one tree lie together, so a tree is renumbered by walking it parents first.
    fn describe(&self, root: i32) -> Tree {
        if root < 0 {
            return Tree { nodes: Vec::new(), leaves: vec![self.leaves[!root as usize]] };
        }
        let (mut order, mut leaves, mut next) = (vec![root], Vec::new(), 0);
        while let Some(&at) = order.get(next) {
            let node = &self.nodes[at as usize];
            for child in [node.left, node.right] {
                if child >= 0 { order.push(child) } else { leaves.push(!child as usize) }
            }
            next += 1;
        }
        order.sort_unstable();
        leaves.sort_unstable();
        let name = |child: i32| match usize::try_from(child) {
            Ok(_) => Child::Node(order.partition_point(|&at| at < child) as u32),
            Err(_) => Child::Leaf(leaves.partition_point(|&at| at < !child as usize) as u32),
        };
        let nodes = order.iter().map(|&at| {
            let node = &self.nodes[at as usize];
            Node {
                feature: node.feature & !MISSING_LEFT,
                threshold: node.threshold,
                missing_left: node.feature & MISSING_LEFT != 0,
                left: name(node.left),
                right: name(node.right),
            }
        });
        Tree { nodes: nodes.collect(), leaves: leaves.iter().map(|&at| self.leaves[at]).collect() }
    }
}

#[cfg(test)]
mod tests;
