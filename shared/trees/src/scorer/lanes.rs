//! Leaf cursors for one row: the same splits as in [`super::cursors`], but of 64 trees at once instead of 64 rows.
//!
//! A lane is a tree. Step `k` is the `k`-th split of each tree of a group, so a row's bins are looked up by the feature of each lane: the
//! bins of all features fit into a few registers, from which an instruction takes a byte for each lane. A split that sends the row
//! right moves the cursor from the first leaf of its left subtree to that of its right one.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use super::vectors::Vectors;

/// Trees of a group: several vectors of them, because each split waits for the cursors that the one before it moved.
pub(super) const LANES: usize = 64;

/// Features that the registers hold.
pub(super) const FEATURES_MAX: usize = 32;

/// The bins of a row, with the top bit flipped.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct RowBins {
    /// By feature, for splits that send missing values right, and for those that send them left.
    bins: [[i8; FEATURES_MAX]; 2],
    /// Whether a value is missing: both lists are the same otherwise, which spares AVX2 half of its work.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    has_missing: bool,
}

impl RowBins {
    /// Of a row without features.
    pub(super) const NONE: Self = Self { bins: [[0; FEATURES_MAX]; 2], has_missing: false };

    /// Sets the bin of the feature in this place, with the top bit flipped.
    pub(super) fn set(&mut self, place: usize, bin: i8) {
        self.bins.iter_mut().for_each(|bins| bins[place] = bin);
    }

    /// States that the feature in this place is missing.
    pub(super) fn set_missing(&mut self, place: usize) {
        self.bins[0][place] = i8::MAX;
        self.bins[1][place] = i8::MIN;
        self.has_missing = true;
    }
}

/// Returns what stands for a split on the feature in this place: its position in [`RowBins::bins`]. On x86-64 the top bit states that
/// it is in the second half of a list, since AVX2 looks up 16 bytes at once, and 0 where that bit is set; AVX-512 does not look at it.
pub(super) fn looked_up(place: usize, missing_left: bool) -> u8 {
    let second = cfg!(target_arch = "x86_64") && place >= FEATURES_MAX / 2;
    place as u8 + u8::from(missing_left) * FEATURES_MAX as u8 + u8::from(second) * 0x80
}

/// One split of each tree of a group. A tree that has no further splits has one that sends no row right.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct LaneStep {
    /// The features, as [`looked_up`] states them.
    pub(super) features: [u8; LANES],
    /// The thresholds' bins, with the top bit flipped.
    pub(super) thresholds: [i8; LANES],
    /// First leaf of each left subtree.
    pub(super) firsts: [u8; LANES],
    /// Leaves of each left subtree: the way from its first leaf to that of the right subtree.
    pub(super) moves: [u8; LANES],
}

impl LaneStep {
    /// Sends no row right: no bin is above the largest.
    pub(super) const NONE: Self =
        Self { features: [0; LANES], thresholds: [i8::MAX; LANES], firsts: [0; LANES], moves: [0; LANES] };
}

/// Returns whether [`exits`] has instructions for this processor, which has the `vectors`.
pub(super) fn are_supported(vectors: Vectors) -> bool {
    vectors.have_avx2() || cfg!(target_arch = "aarch64")
}

/// Returns the exit leaf of each tree of a group. The caller has checked [`are_supported`]: elsewhere, no cursor moves.
#[inline]
pub(super) fn exits(steps: &[LaneStep], bins: &RowBins, vectors: Vectors) -> [u8; LANES] {
    #[cfg(target_arch = "x86_64")]
    return match vectors {
        Vectors::Avx512 => avx512::exits(steps, bins),
        _ => avx2::exits(steps, bins),
    };
    #[cfg(target_arch = "aarch64")]
    return {
        let _ = vectors;
        neon::exits(steps, bins)
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = (steps, bins, vectors);
        [0; LANES]
    }
}
