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
        let feature = &search.layout.features[found.feature];
        let goes_left = joint_goes_left(feature, search.layout.bundles[feature.bundle].len, &found);
        let joint = &search.layout.bundles[feature.bundle].joint;
        let order = &mut self.order[rows.clone()];
        let n_left = partition(order, &mut self.scratch[rows.clone()], joint, &goes_left, threads);
        debug_assert_eq!(n_left, found.left.rows as usize);

        let (node, new) = (grown.nodes.len(), grown.leaves.len());
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
        if !is_last && search.settings.max_depth.is_none_or(|max| depth < max) {
            self.look(grown, at, new, search, threads);
        }
    }

    /// Fills the histograms of two new leaves, the smaller from its rows and the larger by subtraction, and looks for
    /// their best splits.
    fn look(&mut self, grown: &mut Grown, left: usize, right: usize, search: &Search<'_>, threads: &Threads) {
        while self.histograms.len() <= right {
            self.histograms.push(vec![C::default(); search.layout.n_cells]);
        }
        let (until, from) = self.histograms.split_at_mut(right);
        let (of_left, of_right) = (&mut until[left], &mut from[0]);
        let left_is_smaller = grown.leaves[left].len <= grown.leaves[right].len;
        let smaller = if left_is_smaller { left } else { right };
        let rows = &self.order[grown.leaves[smaller].rows()];
        histogram::fill(of_right, &mut self.spare, search.layout, rows, threads);
        of_left.iter_mut().zip(of_right.iter()).for_each(|(all, part)| *all -= *part);
        if left_is_smaller {
            std::mem::swap(of_left, of_right);
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

/// Brings the rows that go left before the others, both in the order they had; answers how many go left.
fn partition(
    order: &mut [u32],
    scratch: &mut [u32],
    joint: &[u16],
    goes_left: &[u8],
    threads: &Threads,
) -> usize {
    let pieces = threads.pieces(order.len());
    if pieces == 1 {
        let n_left = part_piece(order, scratch, joint, goes_left);
        let n_right = order.len() - n_left;
        order[n_left..].copy_from_slice(&scratch[..n_right]);
        return n_left;
    }
    let size = order.len().div_ceil(pieces);
    let work: Vec<(&mut [u32], &mut [u32])> = order.chunks_mut(size).zip(scratch.chunks_mut(size)).collect();
    let lefts = threads.map(work, |(order, scratch)| part_piece(order, scratch, joint, goes_left));
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
    n_left
}

/// Moves the rows that go left to the front of `order`, the others to the front of `scratch`. Both are written for
/// every row and one of them advances, so that nothing depends on a branch that cannot be predicted.
fn part_piece(order: &mut [u32], scratch: &mut [u32], joint: &[u16], goes_left: &[u8]) -> usize {
    let mut n_left = 0;
    for at in 0..order.len() {
        let row = order[at];
        let left = usize::from(goes_left[usize::from(joint[row as usize])]);
        order[n_left] = row;
        scratch[at - n_left] = row;
        n_left += left;
    }
    n_left
}
