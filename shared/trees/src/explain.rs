//! Explanation of predictions: exact Shapley values of features, and the number of splits on each feature.
//!
//! The method is path-dependent TreeSHAP (Lundberg, Erion and Lee 2018, "Consistent Individualized Feature
//! Attribution for Tree Ensembles", algorithm 2): where a feature is left out, the expectation follows both branches,
//! weighted by how many training rows took each. It therefore needs the number of training rows in each leaf, the
//! leaf's cover.

use crate::ensemble::Ensemble;

/// An ensemble with the number of training rows behind every node.
#[derive(Debug, Clone)]
pub struct Explainer {
    ensemble: Ensemble,
    /// Number (or weight) of the training rows that passed each node.
    node_covers: Vec<f64>,
    leaf_covers: Vec<f64>,
    /// Expected sum of a row whose features are all unknown.
    expected: f64,
    depth_max: usize,
}

/// A feature on the path to a leaf, and its factors in the weights of subsets with and without it.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    feature: usize,
    /// Fraction of the cover that takes this branch: the factor if the feature is unknown.
    zero: f64,
    /// 1 if the row takes this branch, else 0: the factor if the feature is known.
    one: f64,
    weight: f64,
}

/// Error for a tree that is too deep to be explained: the work grows with the square of the depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree is {depth} splits deep: at most {} are explained", Explainer::DEPTH_MAX)]
pub struct TooDeep {
    /// Number of splits on the longest path to a leaf.
    pub depth: usize,
}

impl Explainer {
    /// Largest number of splits on the path to a leaf.
    pub const DEPTH_MAX: usize = 256;

    /// Counts covers by passing `rows`, row-major, through the trees: the training rows, or a sample of them.
    ///
    /// # Errors
    /// [`TooDeep`].
    pub fn by_rows(ensemble: Ensemble, rows: &[f32]) -> Result<Self, TooDeep> {
        let mut covers = vec![0.0; ensemble.n_leaves()];
        for row in rows.chunks_exact(ensemble.n_features().max(1)) {
            ensemble.leaves_of(row).into_iter().for_each(|leaf| covers[leaf] += 1.0);
        }
        Self::new(ensemble, covers)
    }

    /// Takes the cover of every leaf, `[n_leaves]` in the order of [`Ensemble::leaves_of`]. A cover of 0 is replaced
    /// by 1e-9, so that a row that falls into such a leaf can be explained too.
    ///
    /// # Errors
    /// [`TooDeep`].
    pub fn new(ensemble: Ensemble, leaf_covers: Vec<f64>) -> Result<Self, TooDeep> {
        let n_leaves = ensemble.n_leaves();
        let leaf_covers = leaf_covers.into_iter().chain(std::iter::repeat(0.0)).take(n_leaves);
        let leaf_covers: Vec<f64> = leaf_covers.map(|cover| cover.max(1e-9)).collect();
        let n_nodes = ensemble.nodes().len();
        // Cover, mean and height of every node; children come after their parents.
        let mut below = vec![(0.0, 0.0, 0); n_nodes];
        let of = |child: i32, below: &[(f64, f64, usize)]| match usize::try_from(child) {
            Ok(node) => below[node],
            Err(_) => (leaf_covers[!child as usize], ensemble.leaf_values()[!child as usize], 0),
        };
        for at in (0..n_nodes).rev() {
            let [left, right] = ensemble.nodes()[at].children().map(|child| of(child, &below));
            let cover = left.0 + right.0;
            below[at] = (cover, (left.0 * left.1 + right.0 * right.1) / cover, 1 + left.2.max(right.2));
        }
        let depth = below.iter().map(|(_, _, height)| *height).max().unwrap_or(0);
        if depth > Self::DEPTH_MAX {
            return Err(TooDeep { depth });
        }
        let means = ensemble.roots().iter().map(|&root| of(root, &below).1);
        let expected = ensemble.base() + means.sum::<f64>();
        let node_covers = below.iter().map(|(cover, ..)| *cover).collect();
        Ok(Self { ensemble, node_covers, leaf_covers, expected, depth_max: depth })
    }

    /// Returns the expected sum of a row whose features are all unknown: the value that contributions start from.
    pub fn expected(&self) -> f64 {
        self.expected
    }

    /// Returns the Shapley value of each feature of `row`: `[n_features]`. Together with [`Explainer::expected`] they
    /// add up to the row's sum.
    pub fn contributions(&self, row: &[f32]) -> Vec<f64> {
        let mut contributions = vec![0.0; self.ensemble.n_features()];
        let mut path = Vec::with_capacity(self.depth_max + 2);
        for &root in self.ensemble.roots() {
            path.clear();
            self.descend(
                root,
                row,
                &mut path,
                Step { feature: usize::MAX, zero: 1.0, one: 1.0, weight: 0.0 },
                &mut contributions,
            );
        }
        contributions
    }

    fn cover(&self, child: i32) -> f64 {
        match usize::try_from(child) {
            Ok(node) => self.node_covers[node],
            Err(_) => self.leaf_covers[!child as usize],
        }
    }

    /// RECURSE of algorithm 2: extends the path by `step` and descends into both children.
    fn descend(&self, at: i32, row: &[f32], path: &mut Vec<Step>, step: Step, contributions: &mut [f64]) {
        extend(path, step);
        let Ok(node) = usize::try_from(at) else {
            let value = self.ensemble.leaf_values()[!at as usize];
            for of in 1..path.len() {
                let Step { feature, zero, one, .. } = path[of];
                contributions[feature] += sum_without(path, of) * (one - zero) * value;
            }
            return;
        };
        let node = &self.ensemble.nodes()[node];
        let [left, right] = node.children();
        let (hot, cold) = if self.ensemble.goes_left(node, row) { (left, right) } else { (right, left) };
        let feature = node.feature();
        let (mut zero, mut one) = (1.0, 1.0);
        let mut on = path.clone();
        // A feature counts once on a path: an earlier step of the same feature is removed and merged into this one.
        if let Some(before) = on.iter().skip(1).position(|step| step.feature == feature).map(|at| at + 1) {
            (zero, one) = (on[before].zero, on[before].one);
            unwind(&mut on, before);
        }
        let share = |child| self.cover(child) / self.cover(at);
        let step = |child, one| Step { feature, zero: zero * share(child), one, weight: 0.0 };
        self.descend(hot, row, &mut on.clone(), step(hot, one), contributions);
        self.descend(cold, row, &mut on, step(cold, 0.0), contributions);
    }
}

/// EXTEND of algorithm 2: `path[i].weight` is the total weight of the subsets of `i` features of the path.
fn extend(path: &mut Vec<Step>, step: Step) {
    let depth = path.len();
    path.push(Step { weight: if depth == 0 { 1.0 } else { 0.0 }, ..step });
    for at in (0..depth).rev() {
        let (below, length) = (path[at].weight, (depth + 1) as f64);
        path[at + 1].weight += step.one * below * (at + 1) as f64 / length;
        path[at].weight = step.zero * below * (depth - at) as f64 / length;
    }
}

/// UNWIND of algorithm 2: removes step `out` from the path.
fn unwind(path: &mut Vec<Step>, out: usize) {
    let depth = path.len() - 1;
    let Step { zero, one, .. } = path[out];
    let mut next = path[depth].weight;
    for at in (0..depth).rev() {
        let length = (depth + 1) as f64;
        if one != 0.0 {
            let weight = path[at].weight;
            path[at].weight = next * length / ((at + 1) as f64 * one);
            next = weight - path[at].weight * zero * (depth - at) as f64 / length;
        } else {
            path[at].weight = path[at].weight * length / (zero * (depth - at) as f64);
        }
    }
    for at in out..depth {
        let Step { feature, zero, one, .. } = path[at + 1];
        path[at] = Step { feature, zero, one, weight: path[at].weight };
    }
    path.pop();
}

/// Returns the sum of the weights of the path without step `out`.
fn sum_without(path: &[Step], out: usize) -> f64 {
    let depth = path.len() - 1;
    let Step { zero, one, .. } = path[out];
    let (mut next, mut total) = (path[depth].weight, 0.0);
    for at in (0..depth).rev() {
        let length = (depth + 1) as f64;
        if one != 0.0 {
            let weight = next * length / ((at + 1) as f64 * one);
            total += weight;
            next = path[at].weight - weight * zero * (depth - at) as f64 / length;
        } else {
            total += path[at].weight * length / (zero * (depth - at) as f64);
        }
    }
    total
}

impl Ensemble {
    /// Counts the splits on each feature: `[n_features]`.
    pub fn split_importance(&self) -> Vec<u32> {
        let mut counts = vec![0; self.n_features()];
        self.nodes().iter().for_each(|node| counts[node.feature()] += 1);
        counts
    }
}

#[cfg(test)]
mod tests;
