//! Memory layout of bins while trees grow.
//!
//! The joint bins of up to [`BUNDLES_PER_BLOCK`] bundles and the gradient take 16 bytes for each row, so adding a row
//! to the histograms of a block reads part of one cache line.

use std::ops::Range;

use super::bins::Bins;
use super::joint::Joint;

/// Largest number of bundles in a block.
pub(super) const BUNDLES_PER_BLOCK: usize = 6;

/// Bundles whose joint bins are stored side by side.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) bundles: Range<usize>,
    /// The range of histogram cells that the block covers.
    pub(super) cells: Range<usize>,
}

/// A feature's bins and its place in its bundle.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) bins: Bins,
    pub(super) bundle: usize,
    /// The feature's bin that each joint bin of its bundle stands for.
    pub(super) bin_of: Vec<u16>,
    /// Whether its bundle has no other member, so that the joint bins are its bins.
    pub(super) is_alone: bool,
}

/// The places of all features.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) features: Vec<Feature>,
    /// The range of histogram cells that each bundle covers: one cell for each joint bin.
    pub(super) bundles: Vec<Range<usize>>,
    pub(super) blocks: Vec<Block>,
    /// Number of cells in a histogram over all bundles.
    pub(super) n_cells: usize,
}

impl Layout {
    /// Gives every bundle and every feature its place; `joints` are the bundles of all features that have `bins`.
    pub(super) fn new(bins: Vec<Bins>, joints: &[Joint]) -> Self {
        let mut n_cells = 0;
        let bundles: Vec<Range<usize>> = joints
            .iter()
            .map(|joint| {
                n_cells += joint.len();
                n_cells - joint.len()..n_cells
            })
            .collect();
        let starts = (0..bundles.len()).step_by(BUNDLES_PER_BLOCK);
        let block = |start: usize| {
            let end = bundles.len().min(start + BUNDLES_PER_BLOCK);
            Block { bundles: start..end, cells: bundles[start].start..bundles[end - 1].end }
        };
        let blocks = starts.map(block).collect();
        let mut places = vec![(0, Vec::new(), true); bins.len()];
        for (bundle, joint) in joints.iter().enumerate() {
            let is_alone = joint.members.len() == 1;
            let members = joint.members.iter().zip(&joint.bins);
            members.for_each(|(&feature, bin_of)| places[feature] = (bundle, bin_of.clone(), is_alone));
        }
        let feature = |(bins, (bundle, bin_of, is_alone))| Feature { bins, bundle, bin_of, is_alone };
        let features = bins.into_iter().zip(places).map(feature).collect();
        Self { features, bundles, blocks, n_cells }
    }
}
