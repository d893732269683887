//! The inner loops of leaf cursors with AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_blendv_epi8, _mm256_broadcastsi128_si256,
    _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_storeu_si256,
};

use super::blocks::{Bounds, COLUMNS_MAX, SPLITS_MAX, TreeComparisons};
use super::{Bins, ROWS, Step};

/// Rows of a vector.
const LANES: usize = 32;

/// Computes [`super::exits`]; the caller has checked that the processor has AVX2.
pub(super) fn exits(steps: &[Step], bins: &[Bins], cursors: &mut [u8; ROWS]) {
    // SAFETY: the caller has checked the instructions.
    unsafe { exits_avx2(steps, bins, cursors) }
}

#[target_feature(enable = "avx2")]
fn exits_avx2(steps: &[Step], bins: &[Bins], cursors: &mut [u8; ROWS]) {
    let zero = _mm256_setzero_si256();
    // Named, because an array of them would stay in memory: 1.5 times as slow.
    let (mut c0, mut c1, mut c2, mut c3) = (zero, zero, zero, zero);
    let (mut c4, mut c5, mut c6, mut c7) = (zero, zero, zero, zero);
    for step in steps {
        let threshold = _mm256_set1_epi8(step.threshold);
        let first = _mm256_set1_epi8(step.first as i8);
        let second = _mm256_set1_epi8(step.second as i8);
        let bins = bins[usize::from(step.column)].as_ptr().cast::<__m256i>();
        macro_rules! move_cursors {
            ($cursors:ident, $vector:literal) => {
                // SAFETY: eight vectors fill the bins of a column.
                let bins = unsafe { _mm256_loadu_si256(bins.add($vector)) };
                let right = _mm256_cmpgt_epi8(bins, threshold);
                let moves = _mm256_and_si256(right, _mm256_cmpeq_epi8($cursors, first));
                $cursors = _mm256_blendv_epi8($cursors, second, moves);
            };
        }
        move_cursors!(c0, 0);
        move_cursors!(c1, 1);
        move_cursors!(c2, 2);
        move_cursors!(c3, 3);
        move_cursors!(c4, 4);
        move_cursors!(c5, 5);
        move_cursors!(c6, 6);
        move_cursors!(c7, 7);
    }
    let vectors = [c0, c1, c2, c3, c4, c5, c6, c7];
    for (cursors, vector) in cursors.as_chunks_mut::<LANES>().0.iter_mut().zip(vectors) {
        // SAFETY: a vector has as many bytes as the chunk.
        unsafe { _mm256_storeu_si256(cursors.as_mut_ptr().cast(), vector) };
    }
}

/// Computes [`Bounds::decided`]; the caller has checked that the processor has AVX2.
pub(super) fn decided(bounds: &Bounds, comparisons: TreeComparisons) -> [u64; 2] {
    // SAFETY: the caller has checked the instructions.
    unsafe { decided_avx2(bounds, comparisons) }
}

#[target_feature(enable = "avx2")]
fn decided_avx2(bounds: &Bounds, comparisons: TreeComparisons) -> [u64; 2] {
    let (mut all_left, mut all_right) = (0, 0);
    for half in 0..SPLITS_MAX / LANES {
        let at = half * LANES;
        // SAFETY: both arrays have a vector from here on.
        let (columns, thresholds) = unsafe {
            let columns = comparisons.columns.as_ptr().add(at).cast();
            let thresholds = comparisons.thresholds.as_ptr().add(at).cast();
            (_mm256_loadu_si256(columns), _mm256_loadu_si256(thresholds))
        };
        let (least, most) = (bytes_at(&bounds.least, columns), bytes_at(&bounds.most, columns));
        let above = [_mm256_cmpgt_epi8(most, thresholds), _mm256_cmpgt_epi8(least, thresholds)];
        let [some_right, right] = above.map(|above| u64::from(_mm256_movemask_epi8(above) as u32));
        all_left |= (some_right ^ u64::from(u32::MAX)) << at;
        all_right |= right << at;
    }
    [all_left, all_right]
}

/// Returns the bytes of a table at these positions, of which the instruction looks up 16 at once.
#[target_feature(enable = "avx2")]
fn bytes_at(table: &[i8; COLUMNS_MAX], positions: __m256i) -> __m256i {
    const PART: usize = 16;
    let mut found = _mm256_setzero_si256();
    for part in 0..COLUMNS_MAX / PART {
        // SAFETY: the table has a part from here on.
        let part_table = unsafe { _mm_loadu_si128(table.as_ptr().add(part * PART).cast()) };
        let here = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(part_table), positions);
        let is_here = _mm256_cmpgt_epi8(positions, _mm256_set1_epi8((part * PART) as i8 - 1));
        found = _mm256_blendv_epi8(found, here, is_here);
    }
    found
}
