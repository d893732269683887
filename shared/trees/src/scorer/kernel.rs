//! The inner loops of leaf masks. `unsafe`, which stands only here and in the folders `cursors` and `lanes`, spares the loops their bounds
//! checks: the construction of the tables ensures that every index is in bounds.
#![allow(unsafe_code)]

use super::tables::{Bins, LEAVES_MAX, Masks, Part, TREES_PER_GROUP, Tables};
#[cfg(target_arch = "x86_64")]
use super::tables::{RUNG, Rung};

/// Largest number of bundles for which the cells of a row are kept on the stack.
pub(super) const BUNDLES_MAX: usize = 32;
/// Number of rows whose sums are computed side by side, because each addition waits for the one before it.
#[cfg(target_arch = "x86_64")]
const ABREAST: usize = 8;

/// The leaves of each tree of a group that are still reachable, for one row.
type Left = [u32; TREES_PER_GROUP];

/// The trees of one group: the masks of its cells, and its leaf values.
#[derive(Clone, Copy)]
struct Group<'a> {
    masks: &'a [Masks],
    /// Leaf values of at most [`TREES_PER_GROUP`] trees.
    leaves: &'a [[f64; LEAVES_MAX]],
}

/// Computes the sums of rows of `width` values, one for each of `sums`; `cells` is scratch space for one cell of each
/// row and bundle. `has_avx2` is true only if the processor has the instructions of `Vectors::Avx2`.
pub(super) fn score(
    tables: &Tables,
    rows: &[f32],
    width: usize,
    cells: &mut [u32],
    sums: &mut [f64],
    has_avx2: bool,
) {
    let n_bundles = tables.n_bundles();
    let cells = &mut cells[..sums.len() * n_bundles];
    bin(tables, &rows[..sums.len() * width], width, cells);
    add_groups(tables, cells, sums, has_avx2);
}

/// Sets `sums` to the sums over all trees for rows whose cells [`bin`] has written.
fn add_groups(tables: &Tables, cells: &[u32], sums: &mut [f64], has_avx2: bool) {
    sums.fill(tables.base);
    for (group, leaves) in tables.leaves.iter().enumerate() {
        let leaves = &leaves[..TREES_PER_GROUP.min(tables.n_trees - group * TREES_PER_GROUP)];
        let masks = &tables.by_group[group * tables.n_cells..][..tables.n_cells];
        // SAFETY: `bin` wrote cells below `n_cells`, the length of `masks`, for every row and bundle, and `has_avx2`
        // is true only if the processor has the instructions.
        unsafe { add_group(Group { masks, leaves }, cells, tables.n_bundles(), sums, has_avx2) };
    }
}

/// Computes the sum of one row; `cells` is scratch space for one cell of each bundle. A row uses few cells, but in
/// all groups, so it reads the tables that are ordered by cell.
pub(super) fn score_row(tables: &Tables, row: &[f32], cells: &mut [u32], has_avx2: bool) -> f64 {
    let n_bundles = tables.n_bundles();
    let cells = &mut cells[..n_bundles];
    #[cfg(target_arch = "x86_64")]
    if has_avx2 {
        // SAFETY: the processor has the instructions that `has_avx2` checks.
        unsafe { bin_row_avx2(tables, row, cells) };
        // SAFETY: as above; a joint bin is below its bundle's length, so a cell is below `n_cells`.
        return unsafe {
            match n_bundles {
                1 => row_avx2::<1>(tables, cells),
                2 => row_avx2::<2>(tables, cells),
                3 => row_avx2::<3>(tables, cells),
                4 => row_avx2::<4>(tables, cells),
                5 => row_avx2::<5>(tables, cells),
                6 => row_avx2::<6>(tables, cells),
                7 => row_avx2::<7>(tables, cells),
                8 => row_avx2::<8>(tables, cells),
                _ => row_avx2::<0>(tables, cells),
            }
        };
    }
    let _ = has_avx2;
    let mut sum = [0.0];
    bin(tables, row, row.len(), cells);
    add_groups(tables, cells, &mut sum, false);
    sum[0]
}

/// Writes the position in `tables.by_cell` of each bundle's cell for one row; `bin` returns a value's bin in a part.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn bin_row(tables: &Tables, row: &[f32], cells: &mut [u32], bin: impl Fn(&Part, f32) -> u32) {
    let n_groups = tables.leaves.len() as u32;
    let mut from = 0;
    for ((end, start), cell) in tables.bundles.iter().zip(cells) {
        let joint = |part: &Part| bin(part, row[part.feature]) * part.stride;
        *cell = (start + tables.parts[from..*end].iter().map(joint).sum::<u32>()) * n_groups;
        from = *end;
    }
}

/// Computes [`bin_row`] by comparing sixteen thresholds at a time, without branches that could be mispredicted.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn bin_row_avx2(tables: &Tables, row: &[f32], cells: &mut [u32]) {
    use std::arch::x86_64::{_CMP_LT_OQ, _mm256_cmp_ps, _mm256_load_ps, _mm256_movemask_ps, _mm256_set1_ps};
    let below = |rung: &Rung, value: f32| {
        let value = _mm256_set1_ps(value);
        // SAFETY: a rung has 64 bytes and is aligned to 64.
        let (low, high) =
            unsafe { (_mm256_load_ps(rung.0.as_ptr()), _mm256_load_ps(rung.0.as_ptr().add(RUNG / 2))) };
        let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(low, value)) as u32;
        let high = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(high, value)) as u32;
        (low | high << (RUNG / 2)).count_ones()
    };
    bin_row(tables, row, cells, |part, value| match (&part.bins, part.ladder.split_first()) {
        (Bins::Numeric(_, missing), Some((chunks, ladder))) => {
            let chunk = below(chunks, value);
            let position = chunk * RUNG as u32 + below(&ladder[chunk as usize], value);
            if value.is_nan() { *missing } else { position }
        }
        (bins, _) => bins.bin(value),
    });
}

/// Computes the sum of one row with AVX2. `cells` are positions in `tables.by_cell` for the first group.
///
/// # Safety
/// Each cell plus the number of groups is at most the length of `tables.by_cell`; the processor has AVX2 and BMI1;
/// `BUNDLES` is the length of `cells`, or 0.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1")]
unsafe fn row_avx2<const BUNDLES: usize>(tables: &Tables, cells: &[u32]) -> f64 {
    use std::arch::x86_64::{
        _mm_add_sd, _mm_cvtsd_f64, _mm_load_sd, _mm_set_sd, _mm256_and_si256, _mm256_load_si256,
        _mm256_set1_epi32, _mm256_store_si256, _tzcnt_u32,
    };

    let n_bundles = if BUNDLES == 0 { cells.len() } else { BUNDLES };
    let masks = tables.by_cell.as_ptr();
    let left_of = |group: usize| {
        let mut low = _mm256_set1_epi32(-1);
        let mut high = low;
        for bundle in 0..n_bundles {
            // SAFETY: the caller ensures the bounds; `Masks` has 64 bytes and is aligned to 64.
            unsafe {
                let at = masks.add(*cells.get_unchecked(bundle) as usize + group).cast();
                low = _mm256_and_si256(low, _mm256_load_si256(at));
                high = _mm256_and_si256(high, _mm256_load_si256(at.add(1)));
            }
        }
        let mut left = Masks([0; TREES_PER_GROUP]);
        // SAFETY: `left` has 64 bytes and is aligned to 64.
        unsafe {
            let left = left.0.as_mut_ptr().cast();
            _mm256_store_si256(left, low);
            _mm256_store_si256(left.add(1), high);
        }
        left.0
    };
    // SAFETY: a mask has a bit, so its trailing zeros are fewer than `LEAVES_MAX`.
    let exit = |leaves: &[f64; LEAVES_MAX], left: u32| unsafe {
        _mm_load_sd(leaves.as_ptr().add(_tzcnt_u32(left) as usize))
    };
    let mut sum = _mm_set_sd(tables.base);
    let (groups, others) = tables.leaves.as_flattened()[..tables.n_trees].as_chunks::<TREES_PER_GROUP>();
    for (group, leaves) in groups.iter().enumerate() {
        let left = left_of(group);
        for tree in 0..TREES_PER_GROUP {
            sum = _mm_add_sd(sum, exit(&leaves[tree], left[tree]));
        }
    }
    if !others.is_empty() {
        for (leaves, left) in others.iter().zip(left_of(groups.len())) {
            sum = _mm_add_sd(sum, exit(leaves, left));
        }
    }
    _mm_cvtsd_f64(sum)
}

/// Writes the cell of each bundle for every row, feature by feature, so that a feature's bins stay in the cache.
fn bin(tables: &Tables, rows: &[f32], width: usize, cells: &mut [u32]) {
    let n_bundles = tables.n_bundles();
    let mut from = 0;
    for (bundle, (end, start)) in tables.bundles.iter().enumerate() {
        cells[bundle..].iter_mut().step_by(n_bundles).for_each(|cell| *cell = *start);
        for Part { feature, bins, stride, .. } in &tables.parts[from..*end] {
            let values = rows[*feature..].iter().step_by(width);
            let values = values.zip(cells[bundle..].iter_mut().step_by(n_bundles));
            match bins {
                Bins::Numeric(positions, missing) => values.for_each(|(value, cell)| {
                    let bin = if value.is_nan() { *missing } else { positions.position(*value) as u32 };
                    *cell += bin * stride;
                }),
                Bins::Categories(..) => values.for_each(|(value, cell)| *cell += bins.bin(*value) * stride),
            }
        }
        from = *end;
    }
}

/// Adds the exit leaves of a group's trees, in the order of the trees, to the sums of all rows.
///
/// # Safety
/// `cells` has `n_bundles` entries for each of `sums`, all below `group.masks.len()`; `has_avx2` is true only if the
/// processor has the instructions.
unsafe fn add_group(group: Group<'_>, cells: &[u32], n_bundles: usize, sums: &mut [f64], has_avx2: bool) {
    // A small number of bundles is a constant, so that the compiler unrolls the loops over them.
    macro_rules! by_bundles {
        ($add:ident) => {
            match n_bundles {
                // Without splits, every tree is a single leaf.
                0 => group.leaves.iter().for_each(|leaf| sums.iter_mut().for_each(|sum| *sum += leaf[0])),
                1 => $add::<1>(group, cells, 1, sums),
                2 => $add::<2>(group, cells, 2, sums),
                3 => $add::<3>(group, cells, 3, sums),
                4 => $add::<4>(group, cells, 4, sums),
                5 => $add::<5>(group, cells, 5, sums),
                6 => $add::<6>(group, cells, 6, sums),
                7 => $add::<7>(group, cells, 7, sums),
                8 => $add::<8>(group, cells, 8, sums),
                _ => $add::<0>(group, cells, n_bundles, sums),
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    if has_avx2 {
        // SAFETY: the caller ensures all conditions.
        return unsafe { by_bundles!(add_avx2) };
    }
    let _ = has_avx2;
    // SAFETY: the caller ensures that the cells are in bounds.
    unsafe { by_bundles!(add_portable) }
}

/// Does what [`add_group`] does, in code for any processor; the compiler vectorises it for SSE2 or NEON.
///
/// # Safety
/// As for [`add_group`]; `BUNDLES` is `n_bundles`, or 0.
unsafe fn add_portable<const BUNDLES: usize>(
    group: Group<'_>,
    cells: &[u32],
    n_bundles: usize,
    sums: &mut [f64],
) {
    let n_bundles = if BUNDLES == 0 { n_bundles } else { BUNDLES };
    let left_of = |cells: &[u32]| -> Left {
        // SAFETY: the caller ensures that the cells are in bounds.
        let mut left = unsafe { group.masks.get_unchecked(*cells.get_unchecked(0) as usize).0 };
        for bundle in 1..n_bundles {
            // SAFETY: as above.
            let other = unsafe { &group.masks.get_unchecked(*cells.get_unchecked(bundle) as usize).0 };
            for tree in 0..TREES_PER_GROUP {
                left[tree] &= other[tree];
            }
        }
        left
    };
    let mut sums = sums.chunks_exact_mut(4);
    let mut cells = cells.chunks_exact(4 * n_bundles);
    for (sums, cells) in (&mut sums).zip(&mut cells) {
        let row = |row: usize| left_of(&cells[row * n_bundles..]);
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        for (tree, leaves) in group.leaves.iter().enumerate().take(TREES_PER_GROUP) {
            sums[0] += exit_value(leaves, a[tree]);
            sums[1] += exit_value(leaves, b[tree]);
            sums[2] += exit_value(leaves, c[tree]);
            sums[3] += exit_value(leaves, d[tree]);
        }
    }
    for (sum, cells) in sums.into_remainder().iter_mut().zip(cells.remainder().chunks(n_bundles)) {
        let left = left_of(cells);
        group.leaves.iter().zip(left).for_each(|(leaves, left)| *sum += exit_value(leaves, left));
    }
}

/// Returns the value of the first leaf that is left; there always is one.
#[inline(always)]
fn exit_value(leaves: &[f64; LEAVES_MAX], left: u32) -> f64 {
    // If no other leaf is left, the last one is the exit, so setting its bit changes no result. It proves to the
    // compiler that a bit is set, which removes the bounds check.
    leaves[(left | 1 << (LEAVES_MAX - 1)).trailing_zeros() as usize]
}

/// Does what [`add_group`] does with AVX2: eight masks at a time, and the sums of eight rows side by side.
///
/// # Safety
/// As for [`add_group`], on a processor with AVX2 and BMI1; `BUNDLES` is `n_bundles`, or 0.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1")]
unsafe fn add_avx2<const BUNDLES: usize>(
    group: Group<'_>,
    cells: &[u32],
    n_bundles: usize,
    sums: &mut [f64],
) {
    use std::arch::x86_64::{
        __m128d, _mm_add_sd, _mm_cvtsd_f64, _mm_load_sd, _mm_set_sd, _mm256_and_si256, _mm256_load_si256,
        _mm256_store_si256, _tzcnt_u32,
    };
    #[repr(align(64))]
    struct Aligned([Left; ABREAST]);

    let n_bundles = if BUNDLES == 0 { n_bundles } else { BUNDLES };
    let (masks, n_rows) = (group.masks.as_ptr(), sums.len());
    let mut lefts = Aligned([[0; TREES_PER_GROUP]; ABREAST]);
    let mut row = 0;
    while row < n_rows {
        // The last run may have fewer rows: its spare lanes repeat the last row and are not written back.
        let n_abreast = ABREAST.min(n_rows - row);
        for (lane, left) in lefts.0.iter_mut().enumerate() {
            let at = (row + lane.min(n_abreast - 1)) * n_bundles;
            // SAFETY: `at` is the first cell of a row; the caller ensures that cells are in bounds of `masks`;
            // `Masks` and `Left` have 64 bytes and are aligned to 64.
            unsafe {
                let first = masks.add(*cells.get_unchecked(at) as usize).cast();
                let (mut low, mut high) = (_mm256_load_si256(first), _mm256_load_si256(first.add(1)));
                for bundle in 1..n_bundles {
                    let other = masks.add(*cells.get_unchecked(at + bundle) as usize).cast();
                    low = _mm256_and_si256(low, _mm256_load_si256(other));
                    high = _mm256_and_si256(high, _mm256_load_si256(other.add(1)));
                }
                let left = left.as_mut_ptr().cast();
                _mm256_store_si256(left, low);
                _mm256_store_si256(left.add(1), high);
            }
        }
        // SAFETY: a mask has a bit, so its trailing zeros are fewer than `LEAVES_MAX`.
        let exit = |leaves: &[f64; LEAVES_MAX], left: u32| unsafe {
            _mm_load_sd(leaves.as_ptr().add(_tzcnt_u32(left) as usize))
        };
        let mut sum: [__m128d; ABREAST] = [_mm_set_sd(0.0); ABREAST];
        for (sum, start) in sum.iter_mut().zip(&sums[row..row + n_abreast]) {
            *sum = _mm_set_sd(*start);
        }
        for (tree, leaves) in group.leaves.iter().enumerate().take(TREES_PER_GROUP) {
            for (sum, left) in sum.iter_mut().zip(&lefts.0) {
                *sum = _mm_add_sd(*sum, exit(leaves, left[tree]));
            }
        }
        for (sum, end) in sum.iter().zip(&mut sums[row..row + n_abreast]) {
            *end = _mm_cvtsd_f64(*sum);
        }
        row += n_abreast;
    }
}
