//! The inner loop of lanes with AVX-512: all trees of a group in one vector, and all bins in one table, from which its permutations
//! of bytes (VBMI) look them up.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    _mm512_cmpeq_epi8_mask, _mm512_cmpgt_epi8_mask, _mm512_load_si512, _mm512_mask_add_epi8,
    _mm512_maskz_loadu_epi8, _mm512_permutexvar_epi8, _mm512_setzero_si512, _mm512_storeu_si512,
};

use super::{FEATURES_MAX, LANES, LaneStep, RowBins};

const _: () = assert!(2 * FEATURES_MAX == 64 && LANES == 64);

/// Computes [`super::exits`]; the caller has checked that the processor has AVX-512 with BW and VBMI.
#[inline]
pub(super) fn exits(steps: &[LaneStep], bins: &RowBins) -> [u8; LANES] {
    // SAFETY: the caller has checked the instructions.
    unsafe { exits_avx512(steps, bins) }
}

#[target_feature(enable = "avx512bw,avx512vbmi")]
fn exits_avx512(steps: &[LaneStep], bins: &RowBins) -> [u8; LANES] {
    // SAFETY: the bins fill a vector, and are aligned to 64.
    let table = unsafe { _mm512_load_si512(bins.bins.as_ptr().cast()) };
    let mut cursors = _mm512_setzero_si512();
    for step in steps {
        // SAFETY: each list has 64 bytes and, in a structure that is aligned to 64, is aligned to 64.
        let (features, thresholds, firsts) = unsafe {
            (
                _mm512_load_si512(step.features.as_ptr().cast()),
                _mm512_load_si512(step.thresholds.as_ptr().cast()),
                _mm512_load_si512(step.firsts.as_ptr().cast()),
            )
        };
        // What does not depend on the cursors comes first: the chain from cursors to cursors is two instructions. Loading the moves by the
        // mask keeps the compiler from comparing the cursors before it.
        let right = _mm512_cmpgt_epi8_mask(_mm512_permutexvar_epi8(features, table), thresholds);
        // SAFETY: as above.
        let moves = unsafe { _mm512_maskz_loadu_epi8(right, step.moves.as_ptr().cast()) };
        let reached = _mm512_cmpeq_epi8_mask(cursors, firsts);
        cursors = _mm512_mask_add_epi8(cursors, reached, cursors, moves);
    }
    let mut exits = [0; LANES];
    // SAFETY: a vector has 64 bytes.
    unsafe { _mm512_storeu_si512(exits.as_mut_ptr().cast(), cursors) };
    exits
}
