//! The tables of leaf masks, computed once from an ensemble.

use crate::ensemble::{Asked, Categories, Ensemble};
use crate::position::Positions;

/// Trees whose masks fill a cache line.
pub(super) const TREES_PER_GROUP: usize = 16;
/// Leaves that a mask has room for.
pub(super) const LEAVES_MAX: usize = 32;
/// Joint bins of features that share a table at most: more would push other tables out of the nearest cache.
const JOINT_BINS_MAX: usize = 64;
/// Cells of all tables of a group at most; past this a walk is as fast.
const CELLS_MAX: usize = 1 << 16;
/// Masks of a table at most: 64 MiB.
const MASKS_MAX: usize = 1 << 20;

/// A mask for each tree of a group: the leaves not ruled out.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Masks(pub(super) [u32; TREES_PER_GROUP]);

/// The leaf values of the trees of a group, by bit.
pub(super) type Leaves = [[f64; LEAVES_MAX]; TREES_PER_GROUP];

/// How a feature's values fall into the bins that its splits tell apart. The second number is the bin of missing values:
/// one that all splits send the same way if there is one, else a bin more.
#[derive(Debug, Clone)]
pub(super) enum Bins {
    /// Thresholds: bin `b` is above `b` of them.
    Numeric(Positions, u32),
    /// A bin for each code below this number, then one for all other values.
    Categories(u32, u32),
}

/// Sixteen thresholds in ascending order, filled up with NaN, below which nothing is.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Rung(pub(super) [f32; RUNG]);

/// Thresholds of a [`Rung`].
pub(super) const RUNG: usize = 16;

/// A feature's place in a joint bin.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) feature: usize,
    pub(super) bins: Bins,
    /// The thresholds once more, for one row: every 16th of them, then all; empty where there are more than 16 x 16, or
    /// none. Other processors than x86-64 do without.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(super) ladder: Vec<Rung>,
    pub(super) stride: u32,
}

impl Bins {
    /// Bins of values.
    fn valued(&self) -> usize {
        match self {
            Self::Numeric(positions, _) => positions.len() + 1,
            Self::Categories(end, _) => *end as usize + 1,
        }
    }

    /// Bins in all.
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
        // A value above the last of every chunk looks one further.
        ladder.push(Rung([f32::NAN; RUNG]));
        ladder
    }

    /// The bin of a value.
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
    /// The features of each bundle, bundle by bundle.
    pub(super) parts: Vec<Part>,
    /// The end of each bundle in `parts`, and where its cells start among a group's.
    pub(super) bundles: Vec<(usize, u32)>,
    /// Cells of a group.
    pub(super) n_cells: usize,
    /// `[n_groups * n_cells]`, for many rows: the tables of a group lie together.
    pub(super) by_group: Vec<Masks>,
    /// `[n_cells * n_groups]`, the same for one row: a cell's masks lie together.
    ///
    /// Most repeat those of the cell before. Kept once each and found by their positions they took longer by a fifth: what
    /// lies in line is fetched ahead, a position has to be waited for.
    pub(super) by_cell: Vec<Masks>,
    /// `[n_groups]`.
    pub(super) leaves: Vec<Leaves>,
}

impl Tables {
    /// The tables of `ensemble`, if it can have any.
    pub(super) fn new(ensemble: &Ensemble) -> Option<Self> {
        let bins = bins_of(ensemble)?;
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

    /// How many table entries a row's mask is the AND of.
    pub(super) fn n_bundles(&self) -> usize {
        self.bundles.len()
    }

    /// Writes the masks and leaves of a tree; none if it has too many leaves.
    ///
    /// `lone` has a mask for each cell of a group: a tree's masks are made side by side and then put into its lane, which
    /// touches each cache line of the group once and not once for every split.
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

    /// Takes the leaves `left` of a node's left subtree from every cell whose bin goes right.
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
            // `bins_of` has refused an ensemble that mixes them.
            _ => (),
        }
        if n_bins > valued && !node.missing_left() {
            take(valued..n_bins);
        }
    }
}

/// Where a feature is found: its part, and the cells of its bundle.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    part: usize,
    start: usize,
    end: usize,
}

/// Numbers the leaves below `at` from left to right and notes what each split rules out; the bits of its leaves. None if
/// there are too many, or if it is deeper than `depth_max`, which so many leaves cannot be.
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

/// Features that share a joint table: the largest first, each into the first bundle that has room for it.
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

/// The bins that the splits tell apart; none if a feature is split both by order and by category, or too finely.
fn bins_of(ensemble: &Ensemble) -> Option<Vec<Bins>> {
    let mut asked = vec![AskedOf::default(); ensemble.n_features()];
    for node in ensemble.nodes() {
        let of = &mut asked[node.feature()];
        match ensemble.asked(node) {
            Asked::AtMost(threshold) => of.thresholds.push(threshold),
            // An empty set is still a split by category.
            Asked::OneOf(categories) => of.end = of.end.max(categories.end()).max(1),
        }
        of.missing_left |= node.missing_left();
        of.missing_right |= !node.missing_left();
    }
    asked.into_iter().map(AskedOf::bins).collect()
}

/// What the splits ask of one feature.
#[derive(Clone, Default)]
struct AskedOf {
    thresholds: Vec<f32>,
    /// One more than the largest category; 0 where none is asked.
    end: u32,
    missing_left: bool,
    missing_right: bool,
}

impl AskedOf {
    fn bins(mut self) -> Option<Bins> {
        if self.end > 0 {
            return self.thresholds.is_empty().then_some(Bins::Categories(self.end, self.end + 1));
        }
        self.thresholds.sort_unstable_by(f32::total_cmp);
        self.thresholds.dedup_by(|a, b| *a == *b);
        let last = self.thresholds.len() as u32;
        let missing = match (self.missing_left, self.missing_right) {
            // Always left, as the smallest values go; or always right, as the largest.
            (true, false) => 0,
            (_, false) | (false, true) => last,
            (true, true) => last + 1,
        };
        (self.thresholds.len() < CELLS_MAX).then(|| Bins::Numeric(Positions::new(self.thresholds), missing))
    }
}
