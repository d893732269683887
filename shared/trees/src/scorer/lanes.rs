//! Leaf cursors for one row: the same splits as in [`super::cursors`], but of 64 trees at once instead of 64 rows.
//!
//! A lane is a tree. Step `k` is the `k`-th split of each tree of a group, so a row's bins are looked up by the column of each lane: the
//! bins of all columns fit into a few registers, from which an instruction takes a byte for each lane. A split that sends the row
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

/// Columns that the registers hold.
pub(super) const COLUMNS_MAX: usize = 64;

/// The bins of a row, with the top bit flipped, by column.
pub(super) type RowBins = [i8; COLUMNS_MAX];

/// One split of each tree of a group. A tree that has no further splits has one that sends no row right.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct LaneStep {
    pub(super) columns: [u8; LANES],
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
        Self { columns: [0; LANES], thresholds: [i8::MAX; LANES], firsts: [0; LANES], moves: [0; LANES] };
}

/// Returns whether [`exits`] has instructions for this processor, which has the `vectors`.
pub(super) fn are_supported(vectors: Vectors) -> bool {
    vectors.have_avx2() || cfg!(target_arch = "aarch64")
}

/// Returns the exit leaf of each tree of a group, whose splits are on the first `n_columns` columns. The caller has checked [`are_supported`]: elsewhere, no cursor moves.
#[inline]
pub(super) fn exits(steps: &[LaneStep], bins: &RowBins, n_columns: usize, vectors: Vectors) -> [u8; LANES] {
    #[cfg(target_arch = "x86_64")]
    return match vectors {
        Vectors::Avx512 => avx512::exits(steps, bins),
        _ => avx2::exits(steps, bins, n_columns),
    };
    #[cfg(target_arch = "aarch64")]
    return {
        let _ = (n_columns, vectors);
        neon::exits(steps, bins)
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = (steps, bins, n_columns, vectors);
        [0; LANES]
    }
}
