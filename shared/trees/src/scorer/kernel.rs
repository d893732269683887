//! The inner loops. The one file of this crate with `unsafe`: without bounds checks, since every index is checked when
//! the tables are made.
#![allow(unsafe_code)]

use super::ROWS_PER_RUN;
use super::tables::{LEAVES_MAX, Leaves, Masks, TREES_PER_GROUP, Tables};

/// Bundles that a row's bins are kept for on the stack.
pub(super) const BUNDLES_MAX: usize = 32;
/// Rows whose sums grow side by side: an addition waits for the one before it, so there have to be several.
const ROWS_ABREAST: usize = 4;

/// Whether the processor has what the fast loop needs.
pub(super) fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Sums of up to [`ROWS_PER_RUN`] rows of `width` values; `has_avx2` must come from [`has_avx2`].
pub(super) fn score(tables: &Tables, rows: &[f32], width: usize, sums: &mut [f64], has_avx2: bool) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2 {
        // SAFETY: the processor has AVX2 and BMI1, as `has_avx2` found out.
        return unsafe { score_avx2(tables, rows, width, sums) };
    }
    let _ = has_avx2;
    score_any(tables, rows, width, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1")]
fn score_avx2(tables: &Tables, rows: &[f32], width: usize, sums: &mut [f64]) {
    score_any(tables, rows, width, sums);
}

// Compiled twice: for every processor, and with AVX2 where it is inlined above. The compiler turns the ANDs of 16
// words into two instructions there, four with SSE2 or NEON.
#[inline(always)]
fn score_any(tables: &Tables, rows: &[f32], width: usize, sums: &mut [f64]) {
    let n_rows = sums.len().min(ROWS_PER_RUN);
    let n_bundles = tables.n_bundles();
    if n_rows == 0 || n_bundles > BUNDLES_MAX || rows.len() < n_rows * width {
        return;
    }
    let mut cells = [[0u32; BUNDLES_MAX]; ROWS_PER_RUN];
    for (row, cells) in rows.chunks_exact(width.max(1)).zip(&mut cells[..n_rows]) {
        bin(tables, row, cells);
    }
    sums.fill(tables.base);
    let groups = tables.masks.chunks_exact(tables.n_cells.max(1)).zip(&tables.leaves);
    for (group, (masks, leaves)) in groups.enumerate() {
        let n_trees = TREES_PER_GROUP.min(tables.n_trees - group * TREES_PER_GROUP);
        // SAFETY: `bin` wrote cells below `n_cells`, the length of `masks`, for `n_rows` rows and `n_bundles` bundles.
        unsafe {
            match n_bundles {
                1 => add_group::<1>(masks, leaves, n_trees, &cells[..n_rows], 1, sums),
                2 => add_group::<2>(masks, leaves, n_trees, &cells[..n_rows], 2, sums),
                3 => add_group::<3>(masks, leaves, n_trees, &cells[..n_rows], 3, sums),
                4 => add_group::<4>(masks, leaves, n_trees, &cells[..n_rows], 4, sums),
                5 => add_group::<5>(masks, leaves, n_trees, &cells[..n_rows], 5, sums),
                6 => add_group::<6>(masks, leaves, n_trees, &cells[..n_rows], 6, sums),
                _ => add_group::<0>(masks, leaves, n_trees, &cells[..n_rows], n_bundles, sums),
            }
        }
    }
    if tables.n_cells == 0 {
        // Every tree is its only leaf.
        let all = tables.leaves.iter().flatten().take(tables.n_trees);
        all.for_each(|leaves| sums.iter_mut().for_each(|sum| *sum += leaves[0]));
    }
}

/// The cell of each bundle for one row.
#[inline(always)]
fn bin(tables: &Tables, row: &[f32], cells: &mut [u32; BUNDLES_MAX]) {
    let mut from = 0;
    for ((end, start), cell) in tables.bundles.iter().zip(cells) {
        let joint = |part: &super::tables::Part| part.bins.of(row[part.feature]) * part.stride;
        *cell = start + tables.parts[from..*end].iter().map(joint).sum::<u32>();
        from = *end;
    }
}

/// Adds the exit leaves of a group's trees, in their order, to the sums of all rows. `BUNDLES` is `n_bundles`, or 0 if
/// that is not known to the compiler.
///
/// # Safety
/// `cells` and `sums` are of one length; the first `n_bundles` (at least 1, at most [`BUNDLES_MAX`]) cells of each row
/// are below `masks.len()`; `n_trees` is at most [`TREES_PER_GROUP`].
#[inline(always)]
unsafe fn add_group<const BUNDLES: usize>(
    masks: &[Masks],
    leaves: &Leaves,
    n_trees: usize,
    cells: &[[u32; BUNDLES_MAX]],
    n_bundles: usize,
    sums: &mut [f64],
) {
    let n_bundles = if BUNDLES == 0 { n_bundles } else { BUNDLES };
    let exits = |cells: &[u32; BUNDLES_MAX]| {
        // SAFETY: the caller's promise about cells.
        let mut all = unsafe { masks.get_unchecked(cells[0] as usize).0 };
        for &cell in &cells[1..n_bundles] {
            // SAFETY: the same.
            let other = unsafe { &masks.get_unchecked(cell as usize).0 };
            all.iter_mut().zip(other).for_each(|(all, other)| *all &= other);
        }
        all
    };
    let mut abreast = sums.chunks_exact_mut(ROWS_ABREAST);
    let mut cells_abreast = cells.chunks_exact(ROWS_ABREAST);
    for (sums, cells) in (&mut abreast).zip(&mut cells_abreast) {
        let masks: [[u32; TREES_PER_GROUP]; ROWS_ABREAST] = std::array::from_fn(|row| exits(&cells[row]));
        let mut sum: [f64; ROWS_ABREAST] = std::array::from_fn(|row| sums[row]);
        if n_trees == TREES_PER_GROUP {
            for tree in 0..TREES_PER_GROUP {
                for row in 0..ROWS_ABREAST {
                    sum[row] += exit_value(&leaves[tree], masks[row][tree]);
                }
            }
        } else {
            for tree in 0..n_trees {
                for row in 0..ROWS_ABREAST {
                    sum[row] += exit_value(&leaves[tree], masks[row][tree]);
                }
            }
        }
        sums.copy_from_slice(&sum);
    }
    for (sum, cells) in abreast.into_remainder().iter_mut().zip(cells_abreast.remainder()) {
        let masks = exits(cells);
        for (leaves, mask) in leaves[..n_trees].iter().zip(masks) {
            *sum += exit_value(leaves, mask);
        }
    }
}

/// The value of the first leaf left; one always is.
#[inline(always)]
fn exit_value(leaves: &[f64; LEAVES_MAX], mask: u32) -> f64 {
    // The last leaf is ruled out by no split, so setting its bit changes nothing but what the compiler knows.
    leaves[(mask | 1 << (LEAVES_MAX - 1)).trailing_zeros() as usize]
}
