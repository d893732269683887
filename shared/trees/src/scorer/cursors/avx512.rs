//! The inner loop of leaf cursors with AVX-512: 64 rows a vector, and comparisons that yield masks.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m512i, _mm512_cmpgt_epi8_mask, _mm512_loadu_si512, _mm512_mask_cmpeq_epi8_mask, _mm512_mask_mov_epi8,
    _mm512_set1_epi8, _mm512_setzero_si512, _mm512_storeu_si512,
};

use super::{Bins, ROWS, Step};

/// Rows of a vector.
const LANES: usize = 64;

/// Computes [`super::exits`]; the caller has checked that the processor has AVX-512 with instructions for bytes (BW).
pub(super) fn exits(steps: &[Step], bins: &[Bins], cursors: &mut [u8; ROWS]) {
    // SAFETY: the caller has checked the instructions.
    unsafe { exits_avx512(steps, bins, cursors) }
}

#[target_feature(enable = "avx512bw")]
fn exits_avx512(steps: &[Step], bins: &[Bins], cursors: &mut [u8; ROWS]) {
    let zero = _mm512_setzero_si512();
    // Named, as in the loop with AVX2.
    let (mut c0, mut c1, mut c2, mut c3) = (zero, zero, zero, zero);
    for step in steps {
        let threshold = _mm512_set1_epi8(step.threshold);
        let first = _mm512_set1_epi8(step.first as i8);
        let second = _mm512_set1_epi8(step.second as i8);
        let bins = bins[usize::from(step.column)].as_ptr().cast::<__m512i>();
        macro_rules! move_cursors {
            ($cursors:ident, $vector:literal) => {
                // SAFETY: four vectors fill the bins of a column.
                let bins = unsafe { _mm512_loadu_si512(bins.add($vector)) };
                let right = _mm512_cmpgt_epi8_mask(bins, threshold);
                let moves = _mm512_mask_cmpeq_epi8_mask(right, $cursors, first);
                $cursors = _mm512_mask_mov_epi8($cursors, moves, second);
            };
        }
        move_cursors!(c0, 0);
        move_cursors!(c1, 1);
        move_cursors!(c2, 2);
        move_cursors!(c3, 3);
    }
    for (cursors, vector) in cursors.as_chunks_mut::<LANES>().0.iter_mut().zip([c0, c1, c2, c3]) {
        // SAFETY: a vector has as many bytes as the chunk.
        unsafe { _mm512_storeu_si512(cursors.as_mut_ptr().cast(), vector) };
    }
}
