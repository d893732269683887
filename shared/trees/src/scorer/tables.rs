//! The tables of leaf masks, computed once from an ensemble.

use crate::ensemble::{Asked, Categories, Ensemble};
use crate::position::Positions;

/// Trees whose masks fill a cache line.
pub(super) const TREES_PER_GROUP: usize = 16;
/// Leaves that a mask has room for.
pub(super) const LEAVES_MAX: usize = 32;
/// Joint bins of features that share a table at most: more would push other tables out of the nearest cache.
const JOINT_BINS_MAX: usize = 256;
/// Cells of all tables of a group at most; past this a walk is as fast.
const CELLS_MAX: usize = 1 << 16;

/// A mask for each tree of a group: the leaves not ruled out.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Masks(pub(super) [u32; TREES_PER_GROUP]);

/// The leaf values of the trees of a group, by bit.
pub(super) type Leaves = [[f64; LEAVES_MAX]; TREES_PER_GROUP];

/// How a feature's values fall into the bins that its splits tell apart.
#[derive(Debug, Clone)]
pub(super) enum Bins {
    /// Thresholds: bin `b` is above `b` of them.
    Numeric(Positions),
    /// A bin for each code below this number, then one for all other values.
    Categories(u32),
}

/// A feature's place in a joint bin.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) feature: usize,
    pub(super) bins: Bins,
    pub(super) stride: u32,
}

impl Bins {
    /// Bins in all, the last of them for missing values.
    fn len(&self) -> usize {
        match self {
            Self::Numeric(positions) => positions.len() + 2,
            Self::Categories(end) => *end as usize + 2,
        }
    }

    /// The bin of a value.
    #[inline(always)]
    pub(super) fn of(&self, value: f32) -> u32 {
        match self {
            Self::Numeric(positions) => {
                let bin = positions.of(value) as u32;
                if value.is_nan() { positions.len() as u32 + 1 } else { bin }
            }
            Self::Categories(end) => match Categories::code(value) {
                Some(code) => code.min(*end),
                None if value.is_nan() => end + 1,
                None => *end,
            },
        }
    }
}

/// All tables of an ensemble.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    pub(super) base: f64,
    pub(super) n_trees: usize,
    /// The features of each bundle, bundle by bundle.
    pub(super) parts: Vec<Part>,
    /// The end of each bundle in `parts`, and where its cells start among a group's.
    pub(super) bundles: Vec<(usize, u32)>,
    /// Cells of a group.
    pub(super) n_cells: usize,
    /// `[n_groups * n_cells]`.
    pub(super) masks: Vec<Masks>,
    /// `[n_groups]`.
    pub(super) leaves: Vec<Leaves>,
}

impl Tables {
    /// The tables of `ensemble`, if it can have any.
    pub(super) fn new(ensemble: &Ensemble) -> Option<Self> {
        let bins = bins_of(ensemble)?;
        let lens: Vec<usize> = bins.iter().map(Bins::len).collect();
        let is_asked = asked_features(ensemble);
        let mut order: Vec<usize> = (0..bins.len()).filter(|&feature| is_asked[feature]).collect();
        order.sort_by_key(|&feature| lens[feature]);
        let (mut parts, mut bundles, mut n_cells) = (Vec::<Part>::new(), Vec::<(usize, u32)>::new(), 0);
        let mut joint = JOINT_BINS_MAX + 1;
        // Where each feature's bin counts: the start of its bundle, its stride, the bundle's length is found later.
        for feature in order {
            let shares = joint * lens[feature] <= JOINT_BINS_MAX;
            let stride = if shares { joint } else { 1 };
            if !shares {
                n_cells += if bundles.is_empty() { 0 } else { joint };
                bundles.push((parts.len(), n_cells as u32));
                joint = 1;
            }
            joint *= lens[feature];
            parts.push(Part { feature, bins: bins[feature].clone(), stride: stride as u32 });
            bundles.last_mut()?.0 = parts.len();
        }
        n_cells += if bundles.is_empty() { 0 } else { joint };
        let n_groups = ensemble.n_trees().div_ceil(TREES_PER_GROUP);
        if n_cells > CELLS_MAX {
            return None;
        }
        let mut tables = Self {
            base: ensemble.base(),
            n_trees: ensemble.n_trees(),
            parts,
            bundles,
            n_cells,
            masks: vec![Masks([u32::MAX; TREES_PER_GROUP]); n_groups * n_cells],
            leaves: vec![[[0.0; LEAVES_MAX]; TREES_PER_GROUP]; n_groups],
        };
        (0..ensemble.n_trees()).try_for_each(|tree| tables.add(ensemble, tree))?;
        Some(tables)
    }

    /// How many table entries a row's mask is the AND of.
    pub(super) fn n_bundles(&self) -> usize {
        self.bundles.len()
    }

    /// Writes the masks and leaves of a tree; none if it has too many leaves.
    fn add(&mut self, ensemble: &Ensemble, tree: usize) -> Option<()> {
        let mut rules = Vec::new();
        let mut next = 0;
        let leaves = &mut self.leaves[tree / TREES_PER_GROUP][tree % TREES_PER_GROUP];
        rule_out(ensemble, ensemble.roots()[tree], leaves, &mut next, &mut rules)?;
        for (node, left) in rules {
            self.rule(ensemble, tree, node, left)?;
        }
        Some(())
    }

    /// Takes the leaves `left` of a node's left subtree from every cell whose bin goes right.
    fn rule(&mut self, ensemble: &Ensemble, tree: usize, node: usize, left: u32) -> Option<()> {
        let node = &ensemble.nodes()[node];
        let at = self.parts.iter().position(|part| part.feature == node.feature())?;
        let part = &self.parts[at];
        let bundle = self.bundles.iter().position(|(end, _)| at < *end)?;
        let start = self.bundles[bundle].1 as usize;
        let end = self.bundles.get(bundle + 1).map_or(self.n_cells, |(_, next)| *next as usize);
        let (stride, n_bins) = (part.stride as usize, part.bins.len());
        let goes_right: Vec<bool> = (0..n_bins)
            .map(|bin| match (&part.bins, ensemble.asked(node)) {
                _ if bin + 1 == n_bins => !node.missing_left(),
                (Bins::Numeric(positions), Asked::AtMost(threshold)) => bin > positions.of(threshold),
                (Bins::Categories(_), Asked::OneOf(categories)) => !categories.contain_code(bin as u32),
                // `bins_of` has refused an ensemble that mixes them.
                _ => false,
            })
            .collect();
        let group = tree / TREES_PER_GROUP * self.n_cells;
        let cells = &mut self.masks[group + start..group + end];
        for (bin, cells) in cells.chunks_mut(stride).enumerate() {
            if goes_right[bin % n_bins] {
                cells.iter_mut().for_each(|cell| cell.0[tree % TREES_PER_GROUP] &= !left);
            }
        }
        Some(())
    }
}

/// Numbers the leaves below `at` from left to right and notes what each split rules out; the bits of its leaves.
fn rule_out(
    ensemble: &Ensemble,
    at: i32,
    leaves: &mut [f64; LEAVES_MAX],
    next: &mut usize,
    rules: &mut Vec<(usize, u32)>,
) -> Option<u32> {
    if at < 0 {
        let bit = *next;
        *leaves.get_mut(bit)? = ensemble.leaf_values()[!at as usize];
        *next += 1;
        return Some(1 << bit);
    }
    // A chain of 32 leaves is 31 deep, and deeper ones have been left by `?`.
    let [left, right] = ensemble.nodes()[at as usize].children();
    let left = rule_out(ensemble, left, leaves, next, rules)?;
    rules.push((at as usize, left));
    Some(left | rule_out(ensemble, right, leaves, next, rules)?)
}

fn asked_features(ensemble: &Ensemble) -> Vec<bool> {
    let mut is_asked = vec![false; ensemble.n_features()];
    ensemble.nodes().iter().for_each(|node| is_asked[node.feature()] = true);
    is_asked
}

/// The bins that the splits tell apart; none if a feature is split both by order and by category, or too finely.
fn bins_of(ensemble: &Ensemble) -> Option<Vec<Bins>> {
    let mut thresholds = vec![Vec::new(); ensemble.n_features()];
    let mut ends = vec![0; ensemble.n_features()];
    for node in ensemble.nodes() {
        match ensemble.asked(node) {
            Asked::AtMost(threshold) => thresholds[node.feature()].push(threshold),
            // An empty set is still a split by category.
            Asked::OneOf(categories) => {
                ends[node.feature()] = ends[node.feature()].max(categories.end()).max(1)
            }
        }
    }
    let of_feature = |(mut thresholds, end): (Vec<f32>, u32)| {
        if end > 0 {
            return thresholds.is_empty().then_some(Bins::Categories(end));
        }
        thresholds.sort_unstable_by(f32::total_cmp);
        thresholds.dedup_by(|a, b| *a == *b);
        (thresholds.len() < CELLS_MAX).then(|| Bins::Numeric(Positions::new(thresholds)))
    };
    thresholds.into_iter().zip(ends).map(of_feature).collect()
}
