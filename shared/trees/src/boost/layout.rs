//! How bins lie in memory while trees grow.
//!
//! Features of few bins are bundled: one joint bin tells the bin of each, and a joint histogram is summed up to that
//! of any of them exactly. Up to [`BUNDLES_PER_BLOCK`] bundles and the gradient share 16 bytes for each row, so that
//! adding a row to all its histograms reads one piece of a cache line.

use super::bins::Bins;
use super::parallel::Threads;

/// Bundles whose joint bins lie beside a gradient.
pub(super) const BUNDLES_PER_BLOCK: usize = 6;
/// Joint bins of a bundle of more than one feature at most: its histogram has to stay in the nearest cache.
const JOINT_BINS_MAX: usize = 256;

/// Joint bins of one row in one block, and its gradient as [`super::quantize`] packs it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(16))]
pub(super) struct PackedRow {
    /// Positions in the block's histogram.
    pub(super) cells: [u16; BUNDLES_PER_BLOCK],
    pub(super) gradient: i32,
}

/// Rows by some of the bundles.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) rows: Vec<PackedRow>,
    pub(super) n_bundles: usize,
    /// Where its histogram starts in that of all blocks, and how long it is.
    pub(super) start: usize,
    pub(super) len: usize,
}

/// Some features under one joint bin.
#[derive(Debug)]
pub(super) struct Bundle {
    /// How many joint bins there are.
    pub(super) len: usize,
    /// Where its histogram starts in that of all blocks.
    pub(super) start: usize,
    /// The joint bin of each row.
    pub(super) joint: Vec<u16>,
}

/// Where a feature stands in its bundle: its bin is `joint / stride % bins.len`.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) bins: Bins,
    pub(super) bundle: usize,
    pub(super) stride: usize,
}

/// All rows, binned.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) features: Vec<Feature>,
    pub(super) bundles: Vec<Bundle>,
    pub(super) blocks: Vec<Block>,
    pub(super) n_rows: usize,
    /// Cells of the histogram of all blocks.
    pub(super) n_cells: usize,
}

impl Feature {
    /// The feature's bin in a joint bin of its bundle.
    pub(super) fn bin_of(&self, joint: usize) -> usize {
        joint / self.stride % self.bins.len
    }
}

impl Layout {
    /// Bins `values`, row-major with a column for each of `bins`.
    pub(super) fn new(bins: Vec<Bins>, values: &[f32], threads: &Threads) -> Self {
        let n_rows = values.len() / bins.len();
        let (features, mut bundles) = bundle(bins);
        let mut blocks = Vec::new();
        let mut n_cells = 0;
        for (block, members) in bundles.chunks_mut(BUNDLES_PER_BLOCK).enumerate() {
            let start = n_cells;
            for (member, bundle) in members.iter_mut().enumerate() {
                bundle.start = n_cells;
                bundle.joint =
                    joint_bins(&features, block * BUNDLES_PER_BLOCK + member, values, n_rows, threads);
                n_cells += bundle.len;
            }
            let (rows, len) = (vec![PackedRow::default(); n_rows], n_cells - start);
            let mut block = Block { rows, n_bundles: members.len(), start, len };
            block.pack(members, threads);
            blocks.push(block);
        }
        Self { features, bundles, blocks, n_rows, n_cells }
    }
}

impl Layout {
    /// Lays row `order[at]` to position `at`; `order` names every row once. Gradients have to be written again.
    pub(super) fn reorder(&mut self, order: &[u32], threads: &Threads) {
        threads.map(self.bundles.iter_mut().collect(), |bundle| reorder(&mut bundle.joint, order));
        for (block, members) in self.blocks.iter_mut().zip(self.bundles.chunks(BUNDLES_PER_BLOCK)) {
            block.pack(members, threads);
        }
    }
}

impl Block {
    /// Writes the joint bins of `bundles`, the block's own, side by side.
    fn pack(&mut self, bundles: &[Bundle], threads: &Threads) {
        let offsets: Vec<u16> = bundles.iter().map(|bundle| (bundle.start - self.start) as u16).collect();
        threads.for_chunks(&mut self.rows, |from, rows| {
            for (at, (bundle, offset)) in bundles.iter().zip(&offsets).enumerate() {
                let joint = &bundle.joint[from..];
                rows.iter_mut().zip(joint).for_each(|(row, joint)| row.cells[at] = joint + offset);
            }
        });
    }
}

/// Moves item `order[at]` to position `at`.
pub(super) fn reorder<T: Copy>(items: &mut Vec<T>, order: &[u32]) {
    *items = order.iter().map(|&row| items[row as usize]).collect();
}

/// Puts features of few bins together, the smallest first.
fn bundle(bins: Vec<Bins>) -> (Vec<Feature>, Vec<Bundle>) {
    let mut bundles: Vec<Bundle> = Vec::new();
    let mut order: Vec<usize> = (0..bins.len()).collect();
    order.sort_by_key(|&feature| bins[feature].len);
    let mut places = vec![(0, 1); bins.len()];
    for feature in order {
        let (len, position) = (bins[feature].len, bundles.len());
        match bundles.last_mut().filter(|last| last.len * len <= JOINT_BINS_MAX) {
            Some(last) => {
                places[feature] = (position - 1, last.len);
                last.len *= len;
            }
            None => {
                places[feature] = (position, 1);
                bundles.push(Bundle { len, start: 0, joint: Vec::new() });
            }
        }
    }
    let features = bins.into_iter().zip(places);
    (features.map(|(bins, (bundle, stride))| Feature { bins, bundle, stride }).collect(), bundles)
}

fn joint_bins(
    features: &[Feature],
    bundle: usize,
    values: &[f32],
    n_rows: usize,
    threads: &Threads,
) -> Vec<u16> {
    let width = features.len();
    let members: Vec<(usize, &Feature)> =
        features.iter().enumerate().filter(|(_, feature)| feature.bundle == bundle).collect();
    let mut joint = vec![0u16; n_rows];
    threads.for_chunks(&mut joint, |from, joint| {
        for (column, feature) in &members {
            let of_feature = values[from * width + column..].iter().step_by(width);
            for (joint, value) in joint.iter_mut().zip(of_feature) {
                *joint += (feature.bins.of(*value) * feature.stride) as u16;
            }
        }
    });
    joint
}
