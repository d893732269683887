//! Memory layout of bins while trees grow.
//!
//! Features with few bins are bundled: one joint bin encodes the bin of each, and the histogram of any of them is a
//! marginal sum of the joint histogram, without loss. The joint bins of up to [`BUNDLES_PER_BLOCK`] bundles and the
//! gradient take 16 bytes for each row, so adding a row to the histograms of a block reads part of one cache line.

use std::ops::Range;

use super::bins::Bins;

/// Largest number of bundles in a block.
pub(super) const BUNDLES_PER_BLOCK: usize = 6;
/// Largest number of joint bins of a bundle of several features, so that its histogram fits the first-level cache.
const JOINT_BINS_MAX: usize = 256;

/// Bundles whose joint bins are stored side by side.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) bundles: Range<usize>,
    /// The range of histogram cells that the block covers.
    pub(super) cells: Range<usize>,
}

/// Features that share one joint bin.
#[derive(Debug)]
pub(super) struct Bundle {
    /// Positions of its features.
    pub(super) members: Vec<usize>,
    /// The range of histogram cells that the bundle covers: one cell for each joint bin.
    pub(super) cells: Range<usize>,
}

/// A feature's bins and its place in its bundle: the feature's bin is `joint / stride % bins.len`.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) bins: Bins,
    pub(super) bundle: usize,
    pub(super) stride: usize,
}

/// The places of all features.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) features: Vec<Feature>,
    pub(super) bundles: Vec<Bundle>,
    pub(super) blocks: Vec<Block>,
    /// Number of cells in a histogram over all bundles.
    pub(super) n_cells: usize,
}

impl Feature {
    /// Returns the feature's bin that a joint bin of its bundle encodes.
    pub(super) fn bin_of(&self, joint: usize) -> usize {
        joint / self.stride % self.bins.len
    }
}

impl Layout {
    /// Bundles features with few bins, starting with the features that have fewest.
    pub(super) fn new(bins: Vec<Bins>) -> Self {
        let mut order: Vec<usize> = (0..bins.len()).collect();
        order.sort_by_key(|&feature| bins[feature].len);
        let mut places = vec![(0, 1); bins.len()];
        let mut bundles: Vec<(usize, Vec<usize>)> = Vec::new();
        for feature in order {
            let (len, position) = (bins[feature].len, bundles.len());
            match bundles.last_mut().filter(|(joint, _)| joint * len <= JOINT_BINS_MAX) {
                Some((joint, members)) => {
                    places[feature] = (position - 1, *joint);
                    *joint *= len;
                    members.push(feature);
                }
                None => {
                    places[feature] = (position, 1);
                    bundles.push((len, vec![feature]));
                }
            }
        }
        let mut n_cells = 0;
        let bundles: Vec<Bundle> = bundles
            .into_iter()
            .map(|(len, members)| {
                n_cells += len;
                Bundle { members, cells: n_cells - len..n_cells }
            })
            .collect();
        let starts = (0..bundles.len()).step_by(BUNDLES_PER_BLOCK);
        let block = |start: usize| {
            let end = bundles.len().min(start + BUNDLES_PER_BLOCK);
            Block { bundles: start..end, cells: bundles[start].cells.start..bundles[end - 1].cells.end }
        };
        let blocks = starts.map(block).collect();
        let features = bins.into_iter().zip(places);
        let features = features.map(|(bins, (bundle, stride))| Feature { bins, bundle, stride }).collect();
        Self { features, bundles, blocks, n_cells }
    }
}
