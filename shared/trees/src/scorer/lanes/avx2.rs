//! The inner loop of lanes with AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi8, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_load_si256, _mm256_set1_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_storeu_si256, _mm256_sub_epi8, _mm256_xor_si256,
};

use super::{COLUMNS_MAX, LANES, LaneStep, RowBins};

/// Columns of a table, as many as a shuffle chooses from.
const TABLE: usize = 16;
/// Vectors of a group.
const VECTORS: usize = LANES / 32;

/// Computes [`super::exits`]; the caller has checked that the processor has AVX2.
#[inline]
pub(super) fn exits(steps: &[LaneStep], bins: &RowBins, n_columns: usize) -> [u8; LANES] {
    // SAFETY: the caller of `super::exits` has checked the instructions.
    unsafe {
        match n_columns.div_ceil(TABLE) {
            0..=2 => exits_avx2::<1>(steps, bins),
            3 => exits_avx2::<2>(steps, bins),
            _ => exits_avx2::<{ COLUMNS_MAX / TABLE - 1 }>(steps, bins),
        }
    }
}

#[target_feature(enable = "avx2")]
fn exits_avx2<const OTHERS: usize>(steps: &[LaneStep], bins: &RowBins) -> [u8; LANES] {
    let table = |at: usize| {
        // SAFETY: a table has 16 bytes, and there are at most as many as the bins fill.
        let bins = unsafe { _mm_loadu_si128(bins.as_ptr().add(at * TABLE).cast()) };
        _mm256_broadcastsi128_si256(bins)
    };
    // Each table but the first as what distinguishes it from the one before it.
    let others: [_; OTHERS] = std::array::from_fn(|at| _mm256_xor_si256(table(at), table(at + 1)));
    let first = table(0);
    let mut cursors = [_mm256_setzero_si256(); VECTORS];
    for step in steps {
        for (at, cursors) in cursors.iter_mut().enumerate() {
            // SAFETY: each list has 64 bytes and, in a structure that is aligned to 64, is aligned to 64.
            let (columns, thresholds, firsts, moves) = unsafe {
                (
                    _mm256_load_si256(step.columns.as_ptr().cast::<__m256i>().add(at)),
                    _mm256_load_si256(step.thresholds.as_ptr().cast::<__m256i>().add(at)),
                    _mm256_load_si256(step.firsts.as_ptr().cast::<__m256i>().add(at)),
                    _mm256_load_si256(step.moves.as_ptr().cast::<__m256i>().add(at)),
                )
            };
            // A shuffle looks at the lowest four bits, and yields 0 where the top bit is set, as it is in negative numbers: those of
            // columns that lie in a table before.
            let mut bins = _mm256_shuffle_epi8(first, columns);
            for (at, other) in others.iter().enumerate() {
                let columns = _mm256_sub_epi8(columns, _mm256_set1_epi8(((at + 1) * TABLE) as i8));
                bins = _mm256_xor_si256(bins, _mm256_shuffle_epi8(*other, columns));
            }
            // What does not depend on the cursors comes first: the chain from cursors to cursors is three instructions.
            let moves = _mm256_and_si256(moves, _mm256_cmpgt_epi8(bins, thresholds));
            let moves = _mm256_and_si256(moves, _mm256_cmpeq_epi8(*cursors, firsts));
            *cursors = _mm256_add_epi8(*cursors, moves);
        }
    }
    let mut exits = [0; LANES];
    for (exits, cursors) in exits.as_chunks_mut::<{ LANES / VECTORS }>().0.iter_mut().zip(cursors) {
        // SAFETY: a vector has 32 bytes, as the chunk.
        unsafe { _mm256_storeu_si256(exits.as_mut_ptr().cast(), cursors) };
    }
    exits
}
