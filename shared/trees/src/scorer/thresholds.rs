//! The distinct thresholds of an ensemble, found once for all forms of scoring.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::ensemble::{Asked, Ensemble};

/// The thresholds that an ensemble compares with.
pub(super) struct Thresholds {
    by_feature: Vec<Vec<f32>>,
    below: Vec<u32>,
}

impl Thresholds {
    /// Finds those of all splits by order.
    pub(super) fn of(ensemble: &Ensemble) -> Self {
        let mut found: Vec<HashMap<u32, u32, BuildHasherDefault<Spread>>> = Vec::new();
        found.resize_with(ensemble.n_features(), HashMap::default);
        // By node: the threshold's number among its feature's, as they come; then, as they are in order.
        let mut below: Vec<u32> = Vec::with_capacity(ensemble.nodes().len());
        for node in ensemble.nodes() {
            let of_feature = &mut found[node.feature()];
            let next = of_feature.len() as u32;
            below.push(match ensemble.asked(node) {
                // Added to 0, -0 is 0: they are one threshold.
                Asked::AtMost(threshold) => *of_feature.entry((threshold + 0.0).to_bits()).or_insert(next),
                Asked::OneOf(_) => 0,
            });
        }
        let (mut by_feature, mut ranks) = (Vec::new(), Vec::new());
        for found in found {
            let mut numbered: Vec<(f32, u32)> =
                found.into_iter().map(|(bits, number)| (f32::from_bits(bits), number)).collect();
            numbered.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
            let mut rank_of = vec![0; numbered.len().max(1)];
            numbered.iter().zip(0..).for_each(|((_, number), rank)| rank_of[*number as usize] = rank);
            by_feature.push(numbered.into_iter().map(|(threshold, _)| threshold).collect());
            ranks.push(rank_of);
        }
        for (number, node) in below.iter_mut().zip(ensemble.nodes()) {
            *number = ranks[node.feature()][*number as usize];
        }
        Self { by_feature, below }
    }

    /// Returns the distinct thresholds of each feature, ascending: `[n_features]`. 0 and -0 are one.
    pub(super) fn by_feature(&self) -> &[Vec<f32>] {
        &self.by_feature
    }

    /// Returns how many thresholds of its feature lie below that of each node, 0 for splits by category: `[n_nodes]`.
    pub(super) fn below(&self) -> &[u32] {
        &self.below
    }
}

/// Spreads the bits of a threshold: a few nanoseconds instead of the standard library's twenty, which protect servers from chosen keys.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, value: u32) {
        // Multiplied by 2^64 divided by the golden ratio (Knuth); the table takes its place from the low bits, which are a product's worst.
        self.0 = (self.0 ^ u64::from(value)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }
}
