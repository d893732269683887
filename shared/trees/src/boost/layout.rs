//! How bins lie in memory while trees grow.
//!
//! Features of few bins are bundled: one joint bin tells the bin of each, and a joint histogram is summed up to that
//! of any of them exactly. Up to [`BUNDLES_PER_BLOCK`] bundles and the gradient share 16 bytes for each row, so that
//! adding a row to all its histograms reads one piece of a cache line.

use std::ops::Range;

use super::bins::Bins;

/// Bundles whose joint bins lie beside a gradient.
pub(super) const BUNDLES_PER_BLOCK: usize = 6;
/// Joint bins of a bundle of more than one feature at most: its histogram has to stay in the nearest cache.
const JOINT_BINS_MAX: usize = 256;

/// Bundles whose joint bins lie side by side.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) bundles: Range<usize>,
    /// The part of all cells that is its histogram.
    pub(super) cells: Range<usize>,
}

/// Some features under one joint bin.
#[derive(Debug)]
pub(super) struct Bundle {
    /// Its features.
    pub(super) members: Vec<usize>,
    /// The part of all cells that is its histogram: one for each joint bin.
    pub(super) cells: Range<usize>,
}

/// Where a feature stands in its bundle: its bin is `joint / stride % bins.len`.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) bins: Bins,
    pub(super) bundle: usize,
    pub(super) stride: usize,
}

/// The place of every feature.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) features: Vec<Feature>,
    pub(super) bundles: Vec<Bundle>,
    pub(super) blocks: Vec<Block>,
    /// Cells of the histogram of all bundles.
    pub(super) n_cells: usize,
}

impl Feature {
    /// The feature's bin in a joint bin of its bundle.
    pub(super) fn bin_of(&self, joint: usize) -> usize {
        joint / self.stride % self.bins.len
    }
}

impl Layout {
    /// Puts features of few bins together, the smallest first.
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
