//! Trees as a trainer or an importer describes them, and the checks that such a description has to pass.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Asked, Categories, Ensemble, EnsembleError, FEATURES_MAX, FORM};

/// Child of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Child {
    /// Another split, by its position in [`Tree::nodes`], which is greater than its parent's.
    Node(u32),
    /// A leaf, by its position in [`Tree::leaves`].
    Leaf(u32),
}

/// Test of a split: which values go left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Split {
    /// Values of at most this threshold; [`at_most`] converts the thresholds of trainers that split by `<`.
    AtMost(f32),
    /// Values whose category is in this set.
    OneOf(Categories),
}

/// One split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Position of the feature that is tested, `0..n_features`.
    pub feature: u32,
    /// Which of its values go left.
    pub split: Split,
    /// Whether a missing value (NaN) goes left.
    pub missing_left: bool,
    /// Child for the rows that go left.
    pub left: Child,
    /// Child for the other rows.
    pub right: Child,
}

/// One tree as its trainer describes it. A tree without nodes consists of one leaf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    /// Splits: the root first, and every child after its parent.
    pub nodes: Vec<Node>,
    /// Value that each leaf adds to the sum.
    pub leaves: Vec<f64>,
}

/// Returns the threshold `t` such that `x <= t` holds for exactly those f32 `x` with `x < split`, for trainers that
/// compare by `<`, or in f64.
pub fn at_most(split: f64) -> f32 {
    let near = split as f32;
    if f64::from(near) < split { near } else { near.next_down() }
}

/// Checks that nodes and leaves form one tree, that no feature is beyond what any ensemble has, no threshold NaN, and every leaf value finite.
/// `position` is the tree's place in the ensemble, for messages.
pub(super) fn check(position: usize, tree: &Tree) -> Result<(), EnsembleError> {
    let shape = |detail: String| EnsembleError::Shape { tree: position, detail };
    let (n_nodes, n_leaves) = (tree.nodes.len(), tree.leaves.len());
    // Whether each node, then each leaf, has a parent; the root needs none.
    let mut seen = vec![false; n_nodes + n_leaves];
    *seen.first_mut().ok_or_else(|| shape("it is empty".into()))? = true;
    for (at, node) in tree.nodes.iter().enumerate() {
        if node.feature as usize >= FEATURES_MAX {
            let (feature, n_features) = (node.feature, FEATURES_MAX);
            return Err(EnsembleError::UnknownFeature { tree: position, node: at, feature, n_features });
        }
        if matches!(node.split, Split::AtMost(threshold) if threshold.is_nan()) {
            return Err(EnsembleError::Threshold { tree: position, node: at });
        }
        for child in [node.left, node.right] {
            let (to, from, until) = match child {
                Child::Node(to) => (to as usize, at + 1, n_nodes),
                Child::Leaf(to) => (to as usize + n_nodes, n_nodes, n_nodes + n_leaves),
            };
            if to < from {
                return Err(shape(format!("node {to} is not after {at}")));
            }
            if to >= until {
                return Err(shape(format!("{child:?} under node {at} does not exist")));
            }
            if std::mem::replace(&mut seen[to], true) {
                return Err(shape(format!("{child:?} has two parents")));
            }
        }
    }
    if seen.contains(&false) {
        return Err(shape("a node or leaf without a parent".into()));
    }
    match tree.leaves.iter().position(|value| !value.is_finite()) {
        Some(leaf) => Err(EnsembleError::LeafValue { tree: position, leaf }),
        None => Ok(()),
    }
}

/// The serialized form of an ensemble: descriptions of its trees, so that deserializing checks them again.
#[derive(Serialize, Deserialize)]
pub(super) struct Description<T> {
    form: Form,
    n_features: u32,
    base: f64,
    trees: T,
}

/// The form's version, which is checked before trees are read that may have another one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Form;

impl TryFrom<u32> for Form {
    type Error = EnsembleError;
    fn try_from(found: u32) -> Result<Self, EnsembleError> {
        if found == FORM { Ok(Self) } else { Err(EnsembleError::Form { found }) }
    }
}

impl From<Form> for u32 {
    fn from(_: Form) -> u32 {
        FORM
    }
}

/// Trees that were flattened one by one as they were read, which saves the memory for the descriptions of all.
pub(super) struct Flattened(Ensemble);

impl<'de> Deserialize<'de> for Flattened {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Flattened(Ensemble::constant(0, 0.0)))
    }
}

impl<'de> Visitor<'de> for Flattened {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of trees")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut trees: A) -> Result<Self, A::Error> {
        while let Some(tree) = trees.next_element()? {
            self.0.push(&tree).map_err(A::Error::custom)?;
        }
        Ok(self)
    }
}

impl TryFrom<Description<Flattened>> for Ensemble {
    type Error = EnsembleError;
    fn try_from(from: Description<Flattened>) -> Result<Self, EnsembleError> {
        from.trees.0.with_features(from.n_features as usize, from.base)
    }
}

impl From<Ensemble> for Description<Vec<Tree>> {
    fn from(from: Ensemble) -> Self {
        Self { form: Form, n_features: from.n_features as u32, base: from.base, trees: from.described() }
    }
}

impl Ensemble {
    /// Returns the trees as a trainer would describe them: the inverse of [`Ensemble::new`].
    pub fn described(&self) -> Vec<Tree> {
        self.roots.iter().map(|&root| self.describe(root)).collect()
    }

    // Nodes and leaves of one tree are contiguous, so a breadth-first walk followed by sorting renumbers them.
    fn describe(&self, root: i32) -> Tree {
        if root < 0 {
            return Tree { nodes: Vec::new(), leaves: vec![self.leaves[!root as usize]] };
        }
        let (mut order, mut leaves, mut next) = (vec![root], Vec::new(), 0);
        while let Some(&at) = order.get(next) {
            for child in self.nodes[at as usize].children() {
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
                feature: node.feature() as u32,
                split: match self.asked(node) {
                    Asked::AtMost(threshold) => Split::AtMost(threshold),
                    Asked::OneOf(categories) => Split::OneOf(categories.clone()),
                },
                missing_left: node.missing_left(),
                left: name(node.left),
                right: name(node.right),
            }
        });
        Tree { nodes: nodes.collect(), leaves: leaves.iter().map(|&at| self.leaves[at]).collect() }
    }
}
