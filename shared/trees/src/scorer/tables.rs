//! Tables of leaf masks, computed once from an ensemble.

use super::thresholds::Thresholds;
use crate::ensemble::{Asked, Categories, Ensemble};
use crate::position::Positions;

/// Number of trees whose masks fill a cache line.
pub(super) const TREES_PER_GROUP: usize = 16;
/// Number of leaves that a mask has bits for.
pub(super) const LEAVES_MAX: usize = 32;
/// Largest number of joint bins of features that share a table: more would evict other tables from the L1 cache.
const JOINT_BINS_MAX: usize = 64;
/// Largest number of cells of a group, over all its tables; with more, a walk is as fast.
const CELLS_MAX: usize = 1 << 16;
/// Largest number of [`Masks`] of an ensemble: 4 MiB in each of the two orders that they are stored in. Tables that no cache holds are no
/// faster than cursors, which take less memory and a fraction of the time to prepare.
const MASKS_MAX: usize = 1 << 16;

/// One mask for each tree of a group: a bit is set if its leaf is not ruled out.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Masks(pub(super) [u32; TREES_PER_GROUP]);

/// The leaf values of the trees of a group, by tree and bit.
pub(super) type Leaves = [[f64; LEAVES_MAX]; TREES_PER_GROUP];

/// The bins of a feature: two values are in the same bin if no split separates them. The second field is the bin of
/// missing values: with thresholds an existing bin that every split sends the same way, if there is one; else an
/// additional bin.
#[derive(Debug, Clone)]
pub(super) enum Bins {
    /// Thresholds: values in bin `b` are above exactly `b` of them.
    Numeric(Positions, u32),
    /// One bin for each code below the first field, then one for all other values.
    Categories(u32, u32),
}

/// Up to sixteen thresholds in ascending order, padded with NaN, which compares as below no value.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Rung(pub(super) [f32; RUNG]);

/// Number of thresholds of a [`Rung`].
pub(super) const RUNG: usize = 16;

/// A feature's bins and its place in the joint bin of its bundle.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) feature: usize,
    pub(super) bins: Bins,
    /// The thresholds again, for scoring one row on x86-64: every 16th of them, then all. It is empty for categories
    /// and for more than 16 x 16 thresholds.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(super) ladder: Vec<Rung>,
    pub(super) stride: u32,
}

impl Bins {
    /// Returns the number of bins for values that are not missing.
    fn valued(&self) -> usize {
        match self {
            Self::Numeric(positions, _) => positions.len() + 1,
            Self::Categories(end, _) => *end as usize + 1,
        }
    }

    /// Returns the number of all bins.
    fn len(&self) -> usize {
        let (Self::Numeric(_, missing) | Self::Categories(_, missing)) = self;
        self.valued().max(*missing as usize + 1)
    }

    fn ladder(&self) -> Vec<Rung> {
        let Self::Numeric(positions, _) = self else { return Vec::new() };
        let thresholds = positions.thresholds();
        if thresholds.len() > RUNG * RUNG {
            return Vec::new();
        }
        let rung = |of: &mut dyn Iterator<Item = f32>| {
            let mut rung = Rung([f32::NAN; RUNG]);
            rung.0.iter_mut().zip(of).for_each(|(to, from)| *to = from);
            rung
        };
        let last_of_each = rung(&mut thresholds.chunks_exact(RUNG).map(|chunk| chunk[RUNG - 1]));
        let mut ladder = vec![last_of_each];
        ladder.extend(thresholds.chunks(RUNG).map(|chunk| rung(&mut chunk.iter().copied())));
        // A value above the last threshold of every chunk reads one rung further.
        ladder.push(Rung([f32::NAN; RUNG]));
        ladder
    }

    /// Returns the bin of a value.
    #[inline(always)]
    pub(super) fn bin(&self, value: f32) -> u32 {
        match self {
            Self::Numeric(_, missing) | Self::Categories(_, missing) if value.is_nan() => *missing,
            Self::Numeric(positions, _) => positions.position(value) as u32,
            Self::Categories(end, _) => Categories::code(value).unwrap_or(u32::MAX).min(*end),
        }
    }
}

/// All tables of an ensemble.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    pub(super) base: f64,
    pub(super) n_trees: usize,
    /// The features of all bundles, bundle by bundle.
    pub(super) parts: Vec<Part>,
    /// For each bundle, its end in `parts` and the first of its cells in a group.
    pub(super) bundles: Vec<(usize, u32)>,
    /// Number of cells of a group.
    pub(super) n_cells: usize,
    /// `[n_groups * n_cells]`, for batches: the masks of a group are contiguous.
    pub(super) by_group: Vec<Masks>,
    /// `[n_cells * n_groups]`, for single rows: the same masks, with those of a cell contiguous.
    ///
    /// Most masks repeat those of the cell before. Storing distinct masks once, behind an index, was slower by a
    /// fifth: the processor prefetches contiguous memory, but has to wait for an index.
    pub(super) by_cell: Vec<Masks>,
    /// Leaf values of each group, `[n_groups]`.
    pub(super) leaves: Vec<Leaves>,
}

impl Tables {
    /// Computes the tables of `ensemble`; returns `None` if it has a tree with too many leaves, a feature that is
    /// split both by order and by category, or too many bins.
    pub(super) fn new(ensemble: &Ensemble, thresholds: &Thresholds) -> Option<Self> {
        if ensemble.n_leaves() > ensemble.n_trees() * LEAVES_MAX {
            return None;
        }
        let bins = bins_of(ensemble, thresholds)?;
        let lens: Vec<usize> = bins.iter().map(Bins::len).collect();
        let is_asked = asked_features(ensemble);
        let order = (0..bins.len()).filter(|&feature| is_asked[feature]).collect();
        let (mut parts, mut bundles, mut n_cells) = (Vec::new(), Vec::new(), 0);
        for members in bundled(order, &lens) {
            let mut joint = 1;
            for feature in members {
                let (bins, stride) = (bins[feature].clone(), joint as u32);
                parts.push(Part { feature, ladder: bins.ladder(), bins, stride });
                joint *= lens[feature];
            }
            bundles.push((parts.len(), n_cells as u32));
            n_cells += joint;
        }
        let n_groups = ensemble.n_trees().div_ceil(TREES_PER_GROUP);
        if n_cells > CELLS_MAX || n_groups * n_cells > MASKS_MAX {
            return None;
        }
        let mut tables = Self {
            base: ensemble.base(),
            n_trees: ensemble.n_trees(),
            parts,
            bundles,
            n_cells,
            by_group: vec![Masks([u32::MAX; TREES_PER_GROUP]); n_groups * n_cells],
            by_cell: Vec::with_capacity(n_groups * n_cells),
            leaves: vec![[[0.0; LEAVES_MAX]; TREES_PER_GROUP]; n_groups],
        };
        let places = tables.places(ensemble.n_features());
        let mut lone = vec![0; n_cells];
        (0..ensemble.n_trees()).try_for_each(|tree| tables.add(ensemble, tree, &places, &mut lone))?;
        for cell in 0..n_cells {
            tables.by_cell.extend((0..n_groups).map(|group| tables.by_group[group * n_cells + cell]));
        }
        Some(tables)
    }

    fn places(&self, n_features: usize) -> Vec<Place> {
        let mut places = vec![Place::default(); n_features];
        let mut from = 0;
        for (bundle, (until, start)) in self.bundles.iter().enumerate() {
            let end = self.bundles.get(bundle + 1).map_or(self.n_cells, |(_, next)| *next as usize);
            for part in from..*until {
                places[self.parts[part].feature] = Place { part, start: *start as usize, end };
            }
            from = *until;
        }
        places
    }

    /// Returns the number of bundles, which is the number of table entries that are ANDed for a row.
    pub(super) fn n_bundles(&self) -> usize {
        self.bundles.len()
    }

    /// Writes the masks and leaves of a tree; returns `None` if it has too many leaves.
    ///
    /// `lone` is scratch space with one mask for each cell of a group. The tree's masks are computed there and then
    /// copied to its lane, which touches each cache line of the group once instead of once for every split.
    fn add(&mut self, ensemble: &Ensemble, tree: usize, places: &[Place], lone: &mut [u32]) -> Option<()> {
        let (group, lane) = (tree / TREES_PER_GROUP, tree % TREES_PER_GROUP);
        let mut rules = Vec::with_capacity(LEAVES_MAX);
        let mut next = 0;
        let leaves = &mut self.leaves[group][lane];
        rule_out(ensemble, ensemble.roots()[tree], LEAVES_MAX, leaves, &mut next, &mut rules)?;
        lone.fill(u32::MAX);
        for (node, left) in rules {
            self.rule(ensemble, node, left, places, lone);
        }
        let cells = &mut self.by_group[group * self.n_cells..][..self.n_cells];
        cells.iter_mut().zip(lone).for_each(|(cell, lone)| cell.0[lane] = *lone);
        Some(())
    }

    /// Removes the leaves `left` of a node's left subtree from the mask of every cell whose bin goes right.
    fn rule(&self, ensemble: &Ensemble, node: usize, left: u32, places: &[Place], lone: &mut [u32]) {
        let node = &ensemble.nodes()[node];
        let Place { part, start, end } = places[node.feature()];
        let Part { bins, stride, .. } = &self.parts[part];
        let (n_bins, stride, valued) = (bins.len(), *stride as usize, bins.valued());
        let mut take = |bins: std::ops::Range<usize>| {
            for repeat in lone[start..end].chunks_mut(n_bins * stride) {
                repeat[bins.start * stride..bins.end * stride].iter_mut().for_each(|mask| *mask &= !left);
            }
        };
        match (bins, ensemble.asked(node)) {
            (Bins::Numeric(positions, _), Asked::AtMost(threshold)) => {
                take(positions.position(threshold) + 1..valued)
            }
            (Bins::Categories(..), Asked::OneOf(categories)) => (0..valued)
                .filter(|&bin| !categories.contain_code(bin as u32))
                .for_each(|bin| take(bin..bin + 1)),
            // Unreachable: `bins_of` refuses an ensemble that mixes them.
            _ => (),
        }
        if n_bins > valued && !node.missing_left() {
            take(valued..n_bins);
        }
    }
}

/// Place of a feature: its part, and the range of its bundle's cells.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    part: usize,
    start: usize,
    end: usize,
}

/// Numbers the leaves below `at` from left to right, adds to `rules` what each split rules out, and returns the bits
/// of the leaves. Returns `None` if there are too many leaves, or if the tree is deeper than `depth_max`, which
/// implies too many.
fn rule_out(
    ensemble: &Ensemble,
    at: i32,
    depth_max: usize,
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
    let depth_max = depth_max.checked_sub(1)?;
    let [left, right] = ensemble.nodes()[at as usize].children();
    let left = rule_out(ensemble, left, depth_max, leaves, next, rules)?;
    rules.push((at as usize, left));
    Some(left | rule_out(ensemble, right, depth_max, leaves, next, rules)?)
}

fn asked_features(ensemble: &Ensemble) -> Vec<bool> {
    let mut is_asked = vec![false; ensemble.n_features()];
    ensemble.nodes().iter().for_each(|node| is_asked[node.feature()] = true);
    is_asked
}

/// Bundles features that share a table: those with most bins first, each in the first bundle with enough room.
fn bundled(mut features: Vec<usize>, lens: &[usize]) -> Vec<Vec<usize>> {
    features.sort_by_key(|&feature| std::cmp::Reverse(lens[feature]));
    let mut bundles: Vec<(usize, Vec<usize>)> = Vec::new();
    for feature in features {
        let has_room = |(joint, _): &&mut (usize, Vec<usize>)| *joint * lens[feature] <= JOINT_BINS_MAX;
        match bundles.iter_mut().find(has_room) {
            Some((joint, members)) => {
                *joint *= lens[feature];
                members.push(feature);
            }
            None => bundles.push((lens[feature], vec![feature])),
        }
    }
    bundles.into_iter().map(|(_, members)| members).collect()
}

/// Returns the bins that the splits of each feature distinguish; `None` if a feature is split both by order and by
/// category, or has too many thresholds.
fn bins_of(ensemble: &Ensemble, thresholds: &Thresholds) -> Option<Vec<Bins>> {
    let mut asked = vec![AskedOf::default(); ensemble.n_features()];
    for node in ensemble.nodes() {
        let of = &mut asked[node.feature()];
        if let Asked::OneOf(categories) = ensemble.asked(node) {
            // A split by an empty set is still a split by category.
            of.end = of.end.max(categories.end()).max(1);
        }
        of.missing_left |= node.missing_left();
        of.missing_right |= !node.missing_left();
    }
    asked.iter().zip(thresholds.by_feature()).map(|(asked, thresholds)| asked.bins(thresholds)).collect()
}

/// What the splits on one feature ask for, besides their thresholds.
#[derive(Clone, Default)]
struct AskedOf {
    /// One more than the largest category; 0 if no split is by category.
    end: u32,
    missing_left: bool,
    missing_right: bool,
}

impl AskedOf {
    fn bins(&self, thresholds: &[f32]) -> Option<Bins> {
        if self.end > 0 {
            return thresholds.is_empty().then_some(Bins::Categories(self.end, self.end + 1));
        }
        let last = thresholds.len() as u32;
        let missing = match (self.missing_left, self.missing_right) {
            // Missing values always go left, as the smallest values do, or always right, as the largest do.
            (true, false) => 0,
            (_, false) | (false, true) => last,
            (true, true) => last + 1,
        };
        (thresholds.len() < CELLS_MAX).then(|| Bins::Numeric(Positions::new(thresholds.to_vec()), missing))
    }
}
