//! The form that serves: all trees of an ensemble in one flat array of nodes, walked without recursion.

use std::ops::Range;

use serde::{Deserialize, Serialize};

mod categories;
mod description;

pub use categories::Categories;
pub use description::{Child, Node, Split, Tree, at_most};
use description::{Description, Flattened, check};

/// Defect in the description of an ensemble.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    /// A split uses a feature that the ensemble does not have.
    #[error("tree {tree}, node {node}: feature {feature} of an ensemble with {n_features} features")]
    UnknownFeature {
        /// Position of the tree.
        tree: usize,
        /// Position of the node in the tree.
        node: usize,
        /// Position of the feature.
        feature: u32,
        /// Number of features of the ensemble.
        n_features: usize,
    },
    /// A threshold is NaN, so no value can be compared with it.
    #[error("tree {tree}, node {node}: the threshold is not a number")]
    Threshold {
        /// Position of the tree.
        tree: usize,
        /// Position of the node in the tree.
        node: usize,
    },
    /// The value of a leaf is NaN or infinite.
    #[error("tree {tree}, leaf {leaf}: the value is not finite")]
    LeafValue {
        /// Position of the tree.
        tree: usize,
        /// Position of the leaf in the tree.
        leaf: usize,
    },
    /// The value that every sum starts from is NaN or infinite.
    #[error("the base value is not finite")]
    Base,
    /// Nodes and leaves do not form one tree: a child is missing, shared, before its parent, or has no parent.
    #[error("tree {tree}: nodes and leaves do not form one tree ({detail})")]
    Shape {
        /// Position of the tree.
        tree: usize,
        /// Which node or leaf is wrong, and how.
        detail: String,
    },
    /// The ensemble was written in a form that this build does not read.
    #[error("ensemble form {found}: this build reads form {FORM}")]
    Form {
        /// The form that was found.
        found: u32,
    },
    /// There are more features, nodes or leaves than a position can number.
    #[error("the ensemble has more than 2^16 features, or than 2^30 nodes or leaves")]
    TooLarge,
}

/// Version of the serialized form of ensembles. Raise it with every change of [`Description`].
const FORM: u32 = 1;

/// A split in the array of all trees' nodes. A child `>= 0` is the position of a node; a child `< 0` is the leaf
/// `!child`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FlatNode {
    /// The threshold; for a split by categories, the bits of its position in [`Ensemble::categories`].
    threshold: f32,
    /// The feature, with the flags [`MISSING_LEFT`] and [`BY_CATEGORY`].
    feature: u32,
    left: i32,
    right: i32,
}

const MISSING_LEFT: u32 = 1 << 31;
const BY_CATEGORY: u32 = 1 << 30;
/// Most features of an ensemble, which leaves room for the flags. Scoring prepares something for each, so that a forged number would fill
/// the memory.
const FEATURES_MAX: usize = 1 << 16;

impl FlatNode {
    pub(crate) fn feature(&self) -> usize {
        (self.feature & !(MISSING_LEFT | BY_CATEGORY)) as usize
    }

    pub(crate) fn missing_left(&self) -> bool {
        self.feature & MISSING_LEFT != 0
    }

    /// Returns the left and the right child.
    pub(crate) fn children(&self) -> [i32; 2] {
        [self.left, self.right]
    }
}

/// The test that a flat node applies to a value that is not missing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// The value goes left if it is at most this.
    AtMost(f32),
    /// The value goes left if it is one of these.
    OneOf(&'a Categories),
}

/// A sum of trees over rows of `f32` features, with NaN for missing values. Prediction is total: any row ends in one
/// leaf of each tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Description<Flattened>", into = "Description<Vec<Tree>>")]
pub struct Ensemble {
    n_features: usize,
    base: f64,
    roots: Vec<i32>,
    nodes: Vec<FlatNode>,
    categories: Vec<Categories>,
    leaves: Vec<f64>,
}

impl Ensemble {
    /// Checks that each of `trees` is a tree over `n_features` features and stores them in the flat form.
    ///
    /// # Errors
    /// One of its defects: see [`EnsembleError`].
    pub fn new(n_features: usize, base: f64, trees: &[Tree]) -> Result<Self, EnsembleError> {
        let mut flat = Self::constant(0, 0.0);
        trees.iter().try_for_each(|tree| flat.push(tree))?;
        flat.with_features(n_features, base)
    }

    /// Checks that `tree` is one, and adds it.
    fn push(&mut self, tree: &Tree) -> Result<(), EnsembleError> {
        check(self.roots.len(), tree)?;
        self.append(tree)
    }

    /// Checks that the splits keep to these features, and sets the base.
    fn with_features(self, n_features: usize, base: f64) -> Result<Self, EnsembleError> {
        if !base.is_finite() {
            return Err(EnsembleError::Base);
        }
        if n_features > FEATURES_MAX {
            return Err(EnsembleError::TooLarge);
        }
        if let Some(at) = self.nodes.iter().position(|node| node.feature() >= n_features) {
            let tree = self.roots.iter().rposition(|root| (0..=at as i32).contains(root)).unwrap_or(0);
            let node = at - self.roots[tree] as usize;
            let feature = self.nodes[at].feature() as u32;
            return Err(EnsembleError::UnknownFeature { tree, node, feature, n_features });
        }
        Ok(Self { n_features, base, ..self })
    }

    /// Returns an ensemble without trees, which predicts `base` for every row; 0 if `base` is not finite.
    pub fn constant(n_features: usize, base: f64) -> Self {
        Self {
            n_features,
            base: if base.is_finite() { base } else { 0.0 },
            roots: Vec::new(),
            nodes: Vec::new(),
            categories: Vec::new(),
            leaves: Vec::new(),
        }
    }

    /// Returns the number of values in a row.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Returns the number of trees.
    pub fn n_trees(&self) -> usize {
        self.roots.len()
    }

    /// Returns the number of leaves of all trees.
    pub fn n_leaves(&self) -> usize {
        self.leaves.len()
    }

    /// Returns the value that every sum starts from.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// Predicts one row of `n_features` values: the base plus one leaf of each tree, added in order in f64. Values
    /// that a short row lacks count as missing.
    pub fn predict_row(&self, row: &[f32]) -> f64 {
        self.roots.iter().fold(self.base, |sum, &root| sum + self.leaves[self.exit_leaf(root, row)])
    }

    /// Predicts `rows`, row-major with `n_features` values each: `[n_rows]`. This walk from node to node defines what
    /// an ensemble computes; [`crate::Scorer`] computes the same faster.
    pub fn predict(&self, rows: &[f32]) -> Vec<f64> {
        rows.chunks_exact(self.n_features.max(1)).map(|row| self.predict_row(row)).collect()
    }

    /// Returns the leaf that one row ends in for each tree, as a position among all leaves: `[n_trees]`.
    pub fn leaves_of(&self, row: &[f32]) -> Vec<usize> {
        self.roots.iter().map(|&root| self.exit_leaf(root, row)).collect()
    }

    /// Replaces the leaf values, `[n_leaves]` in the order of [`Ensemble::leaves_of`]. Tree structures can thus be
    /// grown on a sample and their leaves computed from all rows.
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

    /// Returns the root of each tree: the position of a node, or `!leaf` for a tree of a single leaf.
    pub(crate) fn roots(&self) -> &[i32] {
        &self.roots
    }

    /// Returns where the nodes and the leaves of each tree are. A tree has one leaf more than nodes, so before tree `n` there are `n` more
    /// leaves than nodes.
    pub(crate) fn trees(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let first_node = |tree: usize| match self.roots.get(tree) {
            Some(&root) if root < 0 => !root as usize - tree,
            Some(&root) => root as usize,
            None => self.nodes.len(),
        };
        (0..self.roots.len()).map(move |tree| {
            let nodes = first_node(tree)..first_node(tree + 1);
            let leaves = nodes.start + tree..nodes.end + tree + 1;
            (nodes, leaves)
        })
    }

    /// Returns the nodes of all trees, tree by tree.
    pub(crate) fn nodes(&self) -> &[FlatNode] {
        &self.nodes
    }

    /// Returns the leaf values of all trees, tree by tree.
    pub(crate) fn leaf_values(&self) -> &[f64] {
        &self.leaves
    }

    /// Returns the test that `node` applies to a value that is not missing.
    pub(crate) fn asked(&self, node: &FlatNode) -> Asked<'_> {
        if node.feature & BY_CATEGORY == 0 {
            Asked::AtMost(node.threshold)
        } else {
            Asked::OneOf(&self.categories[node.threshold.to_bits() as usize])
        }
    }

    /// Returns whether `row` goes left at `node`.
    #[inline]
    pub(crate) fn goes_left(&self, node: &FlatNode, row: &[f32]) -> bool {
        let value = row.get(node.feature()).copied().unwrap_or(f32::NAN);
        if value.is_nan() {
            return node.missing_left();
        }
        match self.asked(node) {
            Asked::AtMost(threshold) => value <= threshold,
            Asked::OneOf(categories) => categories.contain(value),
        }
    }

    fn exit_leaf(&self, root: i32, row: &[f32]) -> usize {
        let mut at = root;
        while at >= 0 {
            let node = &self.nodes[at as usize];
            at = if self.goes_left(node, row) { node.left } else { node.right };
        }
        !at as usize
    }

    fn append(&mut self, tree: &Tree) -> Result<(), EnsembleError> {
        let (nodes, leaves) = (self.nodes.len(), self.leaves.len());
        if nodes + tree.nodes.len() > BY_CATEGORY as usize
            || leaves + tree.leaves.len() > BY_CATEGORY as usize
        {
            return Err(EnsembleError::TooLarge);
        }
        let place = |child: Child| match child {
            Child::Node(node) => (nodes + node as usize) as i32,
            Child::Leaf(leaf) => !((leaves + leaf as usize) as i32),
        };
        self.roots.push(if tree.nodes.is_empty() { place(Child::Leaf(0)) } else { place(Child::Node(0)) });
        for node in &tree.nodes {
            let (threshold, by_category) = match &node.split {
                Split::AtMost(threshold) => (*threshold, 0),
                Split::OneOf(categories) => {
                    self.categories.push(categories.clone());
                    (f32::from_bits(self.categories.len() as u32 - 1), BY_CATEGORY)
                }
            };
            self.nodes.push(FlatNode {
                threshold,
                feature: node.feature | by_category | if node.missing_left { MISSING_LEFT } else { 0 },
                left: place(node.left),
                right: place(node.right),
            });
        }
        self.leaves.extend_from_slice(&tree.leaves);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
