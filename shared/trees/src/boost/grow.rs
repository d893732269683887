//! One tree, leaf by leaf: always the leaf whose split gains most (Shi 2007), until there are enough leaves.

use super::bins::Kind;
use super::histogram::{self, Cell, Sums};
use super::layout::{Feature, Layout};
use super::parallel::Threads;
use super::params::Monotone;
use super::split::{BinTest, Bounds, Found, Search};
use crate::ensemble::{Categories, Child, Node, Split, Tree};

/// A leaf while its tree grows: rows `order[start..start + len]`, ascending.
#[derive(Debug)]
pub(super) struct Leaf {
    start: usize,
    len: usize,
    sums: Sums,
    bounds: Bounds,
    depth: u32,
    /// The node above and whether this is its left child; none for the root.
    above: Option<(usize, bool)>,
    best: Option<Found>,
    /// What it adds to a score, before the learning rate.
    pub(super) value: f64,
}

/// Memory that is used again for every tree.
#[derive(Debug)]
pub(super) struct Workshop<C> {
    /// Rows by leaf.
    pub(super) order: Vec<u32>,
    scratch: Vec<u32>,
    /// A histogram for each leaf.
    histograms: Vec<Vec<C>>,
    spare: Vec<Vec<C>>,
    room: Vec<C>,
}

/// A tree with its leaves as they lie in [`Workshop::order`].
#[derive(Debug)]
pub(super) struct Grown {
    pub(super) nodes: Vec<Node>,
    pub(super) leaves: Vec<Leaf>,
    /// What each node's split gained.
    pub(super) gains: Vec<f64>,
}

impl Leaf {
    /// Its rows, as positions in [`Workshop::order`].
    pub(super) fn rows(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.len
    }
}

impl Grown {
    /// The tree with each leaf's value times `rate`.
    pub(super) fn tree(&self, rate: f64) -> Tree {
        Tree { nodes: self.nodes.clone(), leaves: self.leaves.iter().map(|leaf| leaf.value * rate).collect() }
    }
}

impl<C: Cell> Workshop<C> {
    pub(super) fn new(layout: &Layout, threads: &Threads) -> Self {
        let spare = threads.pieces(layout.n_rows) - 1;
        Self {
            order: Vec::with_capacity(layout.n_rows),
            scratch: vec![0; layout.n_rows],
            histograms: Vec::new(),
            spare: vec![vec![C::default(); layout.n_cells]; spare],
            room: Vec::new(),
        }
    }

    /// Grows a tree on the rows in `self.order`, ascending.
    pub(super) fn grow(&mut self, search: &Search<'_>, threads: &Threads) -> Grown {
        let max_leaves = search.settings.max_leaves as usize;
        let mut grown = Grown { nodes: Vec::new(), leaves: Vec::new(), gains: Vec::new() };
        let root = self.root(search, threads);
        grown.leaves.push(root);
        while grown.leaves.len() < max_leaves {
            let gain = |leaf: &Leaf| leaf.best.as_ref().map_or(f64::NEG_INFINITY, |best| best.gain);
            // The first of equals: max_by would take the last.
            let mut next = 0;
            for (at, leaf) in grown.leaves.iter().enumerate().skip(1) {
                if gain(leaf) > gain(&grown.leaves[next]) {
                    next = at;
                }
            }
            let Some(found) = grown.leaves[next].best.take() else { break };
            let is_last = grown.leaves.len() + 1 == max_leaves;
            self.split(&mut grown, next, found, is_last, search, threads);
        }
        grown
    }

    fn root(&mut self, search: &Search<'_>, threads: &Threads) -> Leaf {
        let layout = search.layout;
        if self.histograms.is_empty() {
            self.histograms.push(vec![C::default(); layout.n_cells]);
        }
        histogram::fill(&mut self.histograms[0], &mut self.spare, layout, &self.order, threads);
        let first = &self.histograms[0][..layout.bundles[0].len];
        let mut sums = Sums::default();
        first.iter().for_each(|cell| sums += cell.sums());
        let best = search.best(&self.histograms[0], sums, Bounds::NONE, &mut self.room);
        let value = search.value(sums, search.settings.l2, Bounds::NONE);
        Leaf {
            start: 0,
            len: self.order.len(),
            sums,
            bounds: Bounds::NONE,
            depth: 0,
            above: None,
            best,
            value,
        }
    }

    /// Makes leaf `at` the left leaf of `found` and adds its right leaf; the last split of a tree needs no histograms.
    fn split(
        &mut self,
        grown: &mut Grown,
        at: usize,
        found: Found,
        is_last: bool,
        search: &Search<'_>,
        threads: &Threads,
    ) {
        let (rows, above, sums, bounds, depth) = {
            let leaf = &grown.leaves[at];
            (leaf.rows(), leaf.above, leaf.sums, leaf.bounds, leaf.depth + 1)
        };
        let (layout, new) = (search.layout, grown.leaves.len());
        let feature = &layout.features[found.feature];
        let bundle = &layout.bundles[feature.bundle];
        let (joint, goes_left) = (&bundle.joint, joint_goes_left(feature, bundle.len, &found));
        let n_left = found.left.rows as usize;
        let looks_on = !is_last && search.settings.max_depth.is_none_or(|max| depth < max);
        let counted = match (looks_on, 2 * n_left <= rows.len()) {
            (false, _) => Counted::Neither,
            (true, true) => Counted::Left,
            (true, false) => Counted::Right,
        };
        while self.histograms.len() <= new {
            self.histograms.push(vec![C::default(); layout.n_cells]);
        }
        let parting = Parting { layout, joint, goes_left: &goes_left, counted };
        let (order, scratch) = (&mut self.order[rows.clone()], &mut self.scratch[rows.clone()]);
        parting.part(order, scratch, &mut self.histograms[new], &mut self.spare, threads);

        let node = grown.nodes.len();
        if let Some((above, is_left)) = above {
            let above = &mut grown.nodes[above];
            *(if is_left { &mut above.left } else { &mut above.right }) = Child::Node(node as u32);
        }
        let (left, right) = (Child::Leaf(at as u32), Child::Leaf(new as u32));
        let asked = found.feature as u32;
        grown.nodes.push(Node {
            feature: asked,
            split: described(feature, &found.test),
            missing_left: found.missing_left,
            left,
            right,
        });
        grown.gains.push(found.gain);

        let (low, high) = children_bounds(search.monotone[found.feature], bounds, found.values);
        let mut right_sums = sums;
        right_sums -= found.left;
        let leaf = |start, len, sums, bounds, is_left, value| Leaf {
            start,
            len,
            sums,
            bounds,
            depth,
            above: Some((node, is_left)),
            best: None,
            value,
        };
        grown.leaves[at] = leaf(rows.start, n_left, found.left, low, true, found.values[0]);
        let n_right = rows.len() - n_left;
        grown.leaves.push(leaf(rows.start + n_left, n_right, right_sums, high, false, found.values[1]));
        if looks_on {
            self.look(grown, at, new, counted, search);
        }
    }

    /// Looks for the best splits of two new leaves. The histogram of the one that was counted lies at `right`; that of
    /// both, at `left`, less this is the other's.
    fn look(&mut self, grown: &mut Grown, left: usize, right: usize, counted: Counted, search: &Search<'_>) {
        let (until, from) = self.histograms.split_at_mut(right);
        let (of_both, of_counted) = (&mut until[left], &mut from[0]);
        of_both.iter_mut().zip(of_counted.iter()).for_each(|(both, part)| *both -= *part);
        if counted == Counted::Left {
            std::mem::swap(of_both, of_counted);
        }
        for at in [left, right] {
            let leaf = &mut grown.leaves[at];
            if leaf.sums.rows >= 2 * search.settings.min_child_rows.max(1) {
                leaf.best = search.best(&self.histograms[at], leaf.sums, leaf.bounds, &mut self.room);
            }
        }
    }
}

/// Bounds of the left and the right child: a monotone split keeps them on their sides of the middle.
fn children_bounds(monotone: Option<Monotone>, bounds: Bounds, values: [f64; 2]) -> (Bounds, Bounds) {
    let middle = (values[0] + values[1]) / 2.0;
    match monotone {
        None => (bounds, bounds),
        Some(Monotone::Increasing) => (Bounds { high: middle, ..bounds }, Bounds { low: middle, ..bounds }),
        Some(Monotone::Decreasing) => (Bounds { low: middle, ..bounds }, Bounds { high: middle, ..bounds }),
    }
}

/// Whether each joint bin of the feature's bundle goes left.
fn joint_goes_left(feature: &Feature, n_joint: usize, found: &Found) -> Vec<u8> {
    let of_bin: Vec<u8> = (0..feature.bins.len)
        .map(|bin| {
            let left = match &found.test {
                _ if feature.bins.missing == Some(bin) => found.missing_left,
                BinTest::AtMost(last) => bin <= *last,
                BinTest::OneOf(bins) => bins.binary_search(&bin).is_ok(),
            };
            u8::from(left)
        })
        .collect();
    (0..n_joint).map(|joint| of_bin[feature.bin_of(joint)]).collect()
}

/// The split in terms of values.
fn described(feature: &Feature, test: &BinTest) -> Split {
    match (&feature.bins.kind, test) {
        (Kind::Numeric(cuts), BinTest::AtMost(bin)) => {
            // A cut after the last bin parts the missing values from all others.
            Split::AtMost(cuts.thresholds().get(*bin).copied().unwrap_or(f32::INFINITY))
        }
        (Kind::Categories { codes, .. }, BinTest::OneOf(bins)) => {
            // Codes come from `Categories::code`, so none is too large.
            let listed = bins.iter().filter_map(|&bin| codes.get(bin).copied());
            Split::OneOf(Categories::new(listed).unwrap_or_default())
        }
        // The search asks numeric features for cuts and categories for subsets.
        (_, _) => Split::AtMost(f32::INFINITY),
    }
}

/// The side of a split whose histogram is summed from its rows: the smaller one, if any is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Neither,
    Left,
    Right,
}

/// How the rows of a leaf are parted.
#[derive(Debug, Clone, Copy)]
struct Parting<'a> {
    layout: &'a Layout,
    joint: &'a [u16],
    goes_left: &'a [u8],
    counted: Counted,
}

impl Parting<'_> {
    /// Brings the rows that go left before the others, both in the order they had, and sums the histogram of the side
    /// that is counted. Each thread does both for its share of the rows, so they meet only once.
    fn part<C: Cell>(
        &self,
        order: &mut [u32],
        scratch: &mut [u32],
        histogram: &mut [C],
        spare: &mut [Vec<C>],
        threads: &Threads,
    ) {
        let n_pieces = threads.pieces(order.len()).min(spare.len() + 1);
        let size = order.len().div_ceil(n_pieces).max(1);
        let rooms = std::iter::once(&mut *histogram).chain(spare.iter_mut().map(Vec::as_mut_slice));
        let pieces: Vec<_> = order.chunks_mut(size).zip(scratch.chunks_mut(size)).zip(rooms).collect();
        let n_used = pieces.len();
        let lefts = threads.map(pieces, |((order, scratch), room)| self.part_share(order, scratch, room));
        if self.counted != Counted::Neither {
            for other in &spare[..n_used - 1] {
                histogram.iter_mut().zip(other).for_each(|(sum, other)| *sum += *other);
            }
        }
        let mut n_left = 0;
        for (piece, left) in lefts.iter().enumerate() {
            order.copy_within(piece * size..piece * size + left, n_left);
            n_left += left;
        }
        let mut end = n_left;
        for (piece, left) in lefts.iter().enumerate() {
            let n_right = size.min(order.len() - piece * size) - left;
            order[end..end + n_right].copy_from_slice(&scratch[piece * size..piece * size + n_right]);
            end += n_right;
        }
    }

    fn part_share<C: Cell>(&self, order: &mut [u32], scratch: &mut [u32], histogram: &mut [C]) -> usize {
        let n_left = part_rows(order, scratch, self.joint, self.goes_left);
        match self.counted {
            Counted::Neither => (),
            Counted::Left => histogram::fill_share(histogram, self.layout, &order[..n_left]),
            Counted::Right => histogram::fill_share(histogram, self.layout, &scratch[..order.len() - n_left]),
        }
        n_left
    }
}

/// Moves the rows that go left to the front of `order`, the others to the front of `scratch`. A row is written to both
/// sides of a run and one side advances, so that nothing depends on a branch that cannot be predicted.
fn part_rows(order: &mut [u32], scratch: &mut [u32], joint: &[u16], goes_left: &[u8]) -> usize {
    const RUN: usize = 256;
    let (mut lefts, mut rights) = ([0u32; RUN], [0u32; RUN]);
    let mut n_left = 0;
    for start in (0..order.len()).step_by(RUN) {
        let run = &order[start..(start + RUN).min(order.len())];
        // `% RUN` changes nothing, but spares a check of bounds.
        let mut left = 0;
        for (at, &row) in run.iter().enumerate() {
            lefts[left % RUN] = row;
            rights[(at - left) % RUN] = row;
            left += usize::from(goes_left[usize::from(joint[row as usize])]);
        }
        let (n_run, n_right) = (run.len(), start - n_left);
        order[n_left..n_left + left].copy_from_slice(&lefts[..left]);
        scratch[n_right..n_right + n_run - left].copy_from_slice(&rights[..n_run - left]);
        n_left += left;
    }
    n_left
}
