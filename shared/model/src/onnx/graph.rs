//! Builds a graph of named nodes, constants and trees.

use trees::{Child, Ensemble, Split, Tree};

use super::proto::{Attribute, Dimension, Graph, Node, Shape, Tensor, TensorType, Value, ValueType};

const UINT8: i32 = 2;
pub(super) const FLOAT: i32 = 1;
pub(super) const INT64: i32 = 7;
pub(super) const BOOL: i32 = 9;
pub(super) const DOUBLE: i32 = 11;

/// An edge of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge(pub(super) String);

#[derive(Debug, Default)]
pub(super) struct Builder {
    graph: Graph,
}

impl Builder {
    pub(super) fn finish(self, name: &str) -> Graph {
        Graph { name: Some(name.into()), ..self.graph }
    }

    /// Adds an input column, of as many rows as all others.
    pub(super) fn input(&mut self, name: &str, elem_type: i32) -> Edge {
        self.graph.input.push(column(name, elem_type));
        Edge(name.into())
    }

    /// Adds an output column.
    pub(super) fn output(&mut self, name: &str, of: &Edge) {
        let output = Node { output: vec![name.into()], ..node("Identity", &[of]) };
        self.graph.node.push(output);
        self.graph.output.push(column(name, DOUBLE));
    }

    /// Adds the node `op` on `of` and returns its only output.
    pub(super) fn op(&mut self, op: &str, of: &[&Edge]) -> Edge {
        self.push(node(op, of))
    }

    /// Adds a node with one whole number as attribute.
    pub(super) fn op_with(&mut self, op: &str, of: &[&Edge], name: &str, value: i64) -> Edge {
        let attribute =
            Attribute { name: Some(name.into()), i: Some(value), kind: Some(2), ..Attribute::default() };
        self.push(Node { attribute: vec![attribute], ..node(op, of) })
    }

    pub(super) fn cast(&mut self, of: &Edge, to: i32) -> Edge {
        self.op_with("Cast", &[of], "to", i64::from(to))
    }

    pub(super) fn float(&mut self, value: f32) -> Edge {
        self.constant(Vec::new(), FLOAT, value.to_le_bytes().into())
    }

    pub(super) fn double(&mut self, value: f64) -> Edge {
        self.constant(Vec::new(), DOUBLE, value.to_le_bytes().into())
    }

    pub(super) fn int(&mut self, value: i64) -> Edge {
        self.constant(Vec::new(), INT64, value.to_le_bytes().into())
    }

    pub(super) fn ints(&mut self, values: &[i64]) -> Edge {
        self.constant(vec![values.len() as i64], INT64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub(super) fn floats(&mut self, values: &[f32]) -> Edge {
        self.constant(vec![values.len() as i64], FLOAT, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub(super) fn doubles(&mut self, values: &[f64]) -> Edge {
        self.constant(
            vec![values.len() as i64],
            DOUBLE,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )
    }

    /// Sums `ensemble` for each row of `rows` (`[N, n_features]`, f64): `[N]`. `None` if it splits by category.
    pub(super) fn sum(&mut self, ensemble: &Ensemble, rows: &Edge) -> Option<Edge> {
        let base = self.double(ensemble.base());
        let mut parts = Parts::default();
        for tree in ensemble.described() {
            // onnxruntime before 1.30 sums the standard's form of a tree of one leaf wrongly.
            if tree.nodes.is_empty() { parts.add_leaf(&tree) } else { parts.add(&tree)? }
        }
        if parts.roots.is_empty() {
            let first = self.int(0);
            let column = self.op_with("Gather", &[rows, &first], "axis", 1);
            let shape = self.op("Shape", &[&column]);
            return Some(self.op("Expand", &[&base, &shape]));
        }
        let trees = Node {
            attribute: parts.attributes(),
            domain: Some("ai.onnx.ml".into()),
            ..node("TreeEnsemble", &[rows])
        };
        let sum = self.push(trees);
        let axis = self.ints(&[1]);
        let sum = self.op("Squeeze", &[&sum, &axis]);
        Some(self.op("Add", &[&sum, &base]))
    }

    fn constant(&mut self, dims: Vec<i64>, data_type: i32, raw_data: Vec<u8>) -> Edge {
        let name = format!("c{}", self.graph.initializer.len());
        self.graph.initializer.push(Tensor {
            dims,
            data_type: Some(data_type),
            name: Some(name.clone()),
            raw_data: Some(raw_data),
        });
        Edge(name)
    }

    fn push(&mut self, node: Node) -> Edge {
        let name = format!("n{}", self.graph.node.len());
        self.graph.node.push(Node { output: vec![name.clone()], ..node });
        Edge(name)
    }
}

fn node(op: &str, of: &[&Edge]) -> Node {
    let input = of.iter().map(|edge| edge.0.clone()).collect();
    Node { input, op_type: Some(op.into()), ..Node::default() }
}

fn column(name: &str, elem_type: i32) -> Value {
    let dim = vec![Dimension { dim_param: Some("N".into()) }];
    let tensor = TensorType { elem_type: Some(elem_type), shape: Some(Shape { dim }) };
    Value { name: Some(name.into()), of: Some(ValueType { tensor: Some(tensor) }) }
}

/// The attributes of a TreeEnsemble (ai.onnx.ml 5): splits and leaves of all trees, each numbered consecutively.
#[derive(Default)]
struct Parts {
    features: Vec<i64>,
    splits: Vec<f64>,
    missing: Vec<i64>,
    /// The child if the value is at most the split, and 1 if that is a leaf.
    left: Vec<(i64, i64)>,
    right: Vec<(i64, i64)>,
    leaves: Vec<f64>,
    roots: Vec<i64>,
}

impl Parts {
    fn add(&mut self, tree: &Tree) -> Option<()> {
        self.roots.push(self.features.len() as i64);
        // onnxruntime 1.21 to 1.23 mistakes a root whose two children have the same number for a lone leaf.
        let root = &tree.nodes[0];
        let collides = matches!((root.left, root.right), (Child::Leaf(_), Child::Node(_)))
            && self.leaves.len() == self.features.len() + 1;
        if collides {
            self.leaves.push(0.0);
        }
        self.walk(tree, 0).map(drop)
    }

    fn add_leaf(&mut self, tree: &Tree) {
        self.roots.push(self.features.len() as i64);
        let value = tree.leaves.first().copied().unwrap_or_default();
        let first = self.leaves.len() as i64;
        self.leaves.extend([value, value]);
        self.features.push(0);
        self.splits.push(0.0);
        self.missing.push(0);
        self.left.push((first, 1));
        self.right.push((first + 1, 1));
    }

    /// Numbers the nodes depth first, left before right, as every reader does.
    fn walk(&mut self, tree: &Tree, at: usize) -> Option<i64> {
        let node = &tree.nodes[at];
        let Split::AtMost(threshold) = node.split else { return None };
        let number = self.features.len();
        self.features.push(i64::from(node.feature));
        self.splits.push(f64::from(threshold));
        self.missing.push(i64::from(node.missing_left));
        self.left.push((0, 0));
        self.right.push((0, 0));
        self.left[number] = self.child(tree, node.left)?;
        self.right[number] = self.child(tree, node.right)?;
        Some(number as i64)
    }

    fn child(&mut self, tree: &Tree, child: Child) -> Option<(i64, i64)> {
        match child {
            Child::Node(at) => Some((self.walk(tree, at as usize)?, 0)),
            Child::Leaf(at) => {
                self.leaves.push(tree.leaves[at as usize]);
                Some((self.leaves.len() as i64 - 1, 1))
            }
        }
    }

    fn attributes(self) -> Vec<Attribute> {
        let ints = |name: &str, ints: Vec<i64>| Attribute {
            name: Some(name.into()),
            ints,
            kind: Some(7),
            ..Attribute::default()
        };
        let int = |name: &str, value: i64| Attribute {
            name: Some(name.into()),
            i: Some(value),
            kind: Some(2),
            ..Attribute::default()
        };
        let tensor = |name: &str, data_type: i32, count: usize, raw_data: Vec<u8>| Attribute {
            name: Some(name.into()),
            t: Some(Tensor {
                dims: vec![count as i64],
                data_type: Some(data_type),
                name: None,
                raw_data: Some(raw_data),
            }),
            kind: Some(4),
            ..Attribute::default()
        };
        let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let (n_nodes, n_leaves) = (self.features.len(), self.leaves.len());
        let part =
            |of: &[(i64, i64)], leaf: bool| of.iter().map(|(to, is)| if leaf { *is } else { *to }).collect();
        vec![
            int("aggregate_function", 1),
            ints("leaf_targetids", vec![0; n_leaves]),
            tensor("leaf_weights", DOUBLE, n_leaves, bytes(&self.leaves)),
            int("n_targets", 1),
            ints("nodes_falseleafs", part(&self.right, true)),
            ints("nodes_falsenodeids", part(&self.right, false)),
            ints("nodes_featureids", self.features),
            ints("nodes_missing_value_tracks_true", self.missing),
            // Mode 0 goes left if the value is at most the split.
            tensor("nodes_modes", UINT8, n_nodes, vec![0; n_nodes]),
            tensor("nodes_splits", DOUBLE, n_nodes, bytes(&self.splits)),
            ints("nodes_trueleafs", part(&self.left, true)),
            ints("nodes_truenodeids", part(&self.left, false)),
            int("post_transform", 0),
            ints("tree_roots", self.roots),
        ]
    }
}
