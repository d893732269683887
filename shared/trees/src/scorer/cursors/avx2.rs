//! The inner loop of leaf cursors with AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_blendv_epi8, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_loadu_si256,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_storeu_si256,
};

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
