//! Best-first growth of one tree (Shi 2007): the leaf whose split gains most is split, until there are enough leaves.

use super::bins::Kind;
use super::histogram::{Cell, Sums};
use super::layout::{Feature, Layout};
use super::parallel::Threads;
use super::shard::{Counted, Shard};
use super::split::{BinTest, Found, SplitSearch};
use crate::ensemble::{Categories, Child, Node, Split, Tree};

/// A leaf while its tree grows.
#[derive(Debug)]
pub(super) struct Leaf {
    sums: Sums,
    depth: u32,
    /// The parent node and whether this leaf is its left child; `None` for the root.
    above: Option<(usize, bool)>,
    best: Option<Found>,
    /// What the leaf adds to a score, before the learning rate.
    pub(super) value: f64,
}

/// Buffers that are reused for every tree.
#[derive(Debug, Default)]
pub(super) struct Workshop<C> {
    /// One histogram for each leaf.
    histograms: Vec<Vec<C>>,
    /// Scratch space for the search, one for each of the two leaves that are searched at once.
    rooms: [Vec<C>; 2],
}

/// A tree while it grows; its leaves are numbered as in every [`Shard`].
#[derive(Debug)]
pub(super) struct Grown {
    pub(super) nodes: Vec<Node>,
    pub(super) leaves: Vec<Leaf>,
    /// Gain of each node's split: twice the reduction of the loss.
    pub(super) gains: Vec<f64>,
}

impl Grown {
    /// Returns the number of rows in each leaf.
    pub(super) fn leaf_rows(&self) -> impl Iterator<Item = u32> {
        self.leaves.iter().map(|leaf| leaf.sums.rows)
    }

    /// Returns the tree with the value of each leaf multiplied by `rate`.
    pub(super) fn tree(&self, rate: f64) -> Tree {
        Tree { nodes: self.nodes.clone(), leaves: self.leaves.iter().map(|leaf| leaf.value * rate).collect() }
    }
}

impl<C: Cell> Workshop<C> {
    /// Grows a tree on the rows that [`Shard::start_tree`] has chosen.
    pub(super) fn grow(
        &mut self,
        search: &SplitSearch<'_>,
        shards: &mut [Shard<C>],
        threads: &Threads,
    ) -> Grown {
        let max_leaves = search.settings.max_leaves as usize;
        let mut grown = Grown { nodes: Vec::new(), leaves: Vec::new(), gains: Vec::new() };
        grown.leaves.push(self.root(search, shards));
        while grown.leaves.len() < max_leaves {
            let gain = |leaf: &Leaf| leaf.best.as_ref().map_or(f64::NEG_INFINITY, |best| best.gain);
            // Takes the first among equals; `max_by` would take the last.
            let mut next = 0;
            for (at, leaf) in grown.leaves.iter().enumerate().skip(1) {
                if gain(leaf) > gain(&grown.leaves[next]) {
                    next = at;
                }
            }
            let Some(found) = grown.leaves[next].best.take() else { break };
            self.split(&mut grown, next, found, search, shards, threads);
        }
        grown
    }

    fn root(&mut self, search: &SplitSearch<'_>, shards: &[Shard<C>]) -> Leaf {
        let histogram = self.sum_up(0, shards, search.layout);
        let mut sums = Sums::default();
        histogram[search.layout.bundles[0].clone()].iter().for_each(|cell| sums += cell.sums());
        let best = search.best(0, &self.histograms[0], sums, &mut self.rooms[0]);
        let value = search.value(sums, search.settings.l2);
        Leaf { sums, depth: 0, above: None, best, value }
    }

    /// Sets the histogram of leaf `at` to the sum of the shards' histograms.
    fn sum_up(&mut self, at: usize, shards: &[Shard<C>], layout: &Layout) -> &[C] {
        while self.histograms.len() <= at {
            self.histograms.push(vec![C::default(); layout.n_cells]);
        }
        let histogram = &mut self.histograms[at];
        for (shard, counted) in shards.iter().map(|shard| &shard.histogram).enumerate() {
            match shard {
                0 => histogram.copy_from_slice(counted),
                _ => histogram.iter_mut().zip(counted).for_each(|(sum, one)| *sum += *one),
            }
        }
        histogram
    }

    /// Splits leaf `at` by `found`: `at` becomes the left leaf, and the right leaf is appended. Histograms are
    /// computed only if the new leaves can be split in turn.
    fn split(
        &mut self,
        grown: &mut Grown,
        at: usize,
        found: Found,
        search: &SplitSearch<'_>,
        shards: &mut [Shard<C>],
        threads: &Threads,
    ) {
        let Leaf { above, sums, depth, .. } = grown.leaves[at];
        let (layout, new, depth) = (search.layout, grown.leaves.len(), depth + 1);
        let is_last = new + 1 == search.settings.max_leaves as usize;
        let looks_on = !is_last && search.settings.max_depth.is_none_or(|max| depth < max);
        let counted = match (looks_on, found.left.rows <= sums.rows / 2) {
            (false, _) => Counted::Neither,
            (true, true) => Counted::Left,
            (true, false) => Counted::Right,
        };
        let feature = &layout.features[found.feature];
        let goes_left = joint_goes_left(feature, &found);
        threads.each(shards, sums.rows as usize, |shard| {
            shard.part(layout, at, feature.bundle, &goes_left, counted);
        });

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

        let mut right_sums = sums;
        right_sums -= found.left;
        let leaf =
            |sums, is_left, value| Leaf { sums, depth, above: Some((node, is_left)), best: None, value };
        grown.leaves[at] = leaf(found.left, true, found.values[0]);
        grown.leaves.push(leaf(right_sums, false, found.values[1]));
        if looks_on {
            self.sum_up(new, shards, layout);
            self.look(grown, at, counted, search, threads);
        }
    }

    /// Finds the best splits of two new leaves, `left` and the last. The histogram of the counted leaf is stored at
    /// the last position and that of their parent at `left`; their difference is the histogram of the other leaf.
    fn look(
        &mut self,
        grown: &mut Grown,
        left: usize,
        counted: Counted,
        search: &SplitSearch<'_>,
        threads: &Threads,
    ) {
        let new = grown.leaves.len() - 1;
        let (until, from) = self.histograms.split_at_mut(new);
        let (of_both, of_counted) = (&mut until[left], &mut from[0]);
        of_both.iter_mut().zip(of_counted.iter()).for_each(|(both, part)| *both -= *part);
        if counted == Counted::Left {
            std::mem::swap(of_both, of_counted);
        }
        let (until, from) = grown.leaves.split_at_mut(new);
        let (left, right) = (&mut until[left], &mut from[0]);
        // Each split makes two leaves; the root is leaf 0.
        let first = 2 * new - 1;
        let find = |at: usize, leaf: &Leaf, histogram: &[C], room| {
            let is_enough = leaf.sums.rows >= 2 * search.settings.min_child_rows.max(1);
            is_enough.then(|| search.best(at, histogram, leaf.sums, room)).flatten()
        };
        let [room, other_room] = &mut self.rooms;
        (left.best, right.best) = threads
            .both(|| find(first, left, of_both, room), || find(first + 1, right, of_counted, other_room));
    }
}

/// Returns 1 for each joint bin of the feature's bundle that goes left, else 0.
fn joint_goes_left(feature: &Feature, found: &Found) -> Vec<u8> {
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
    feature.bin_of.iter().map(|bin| of_bin[usize::from(*bin)]).collect()
}

/// Translates a split from bins to feature values.
fn described(feature: &Feature, test: &BinTest) -> Split {
    match (&feature.bins.kind, test) {
        (Kind::Numeric(cuts), BinTest::AtMost(bin)) => {
            // A cut after the last bin separates missing values from all others.
            Split::AtMost(cuts.thresholds().get(*bin).copied().unwrap_or(f32::INFINITY))
        }
        (Kind::Categories { codes, .. }, BinTest::OneOf(bins)) => {
            // Codes come from `Categories::code`, so none exceeds the limit.
            let listed = bins.iter().filter_map(|&bin| codes.get(bin).copied());
            Split::OneOf(Categories::new(listed).unwrap_or_default())
        }
        // Unreachable: the search tries cuts for numeric features and subsets for categorical ones.
        (_, _) => Split::AtMost(f32::INFINITY),
    }
}
