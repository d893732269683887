//! The inner loop of lanes with AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi8, _mm256_and_si256, _mm256_blendv_epi8,
    _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_load_si256, _mm256_or_si256,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_storeu_si256,
    _mm256_xor_si256,
};

use super::{FEATURES_MAX, LANES, LaneStep, RowBins};

/// Bytes that a shuffle chooses from.
const TABLE: usize = 16;
/// Vectors of a group.
const VECTORS: usize = LANES / 32;

const _: () = assert!(FEATURES_MAX == 2 * TABLE);

/// Computes [`super::exits`]; the caller has checked that the processor has AVX2.
#[inline]
pub(super) fn exits(steps: &[LaneStep], bins: &RowBins) -> [u8; LANES] {
    // SAFETY: the caller of `super::exits` has checked the instructions.
    unsafe {
        if bins.has_missing { exits_avx2::<true>(steps, bins) } else { exits_avx2::<false>(steps, bins) }
    }
}

/// Looks bins up among those for splits that send missing values right, and if values `ARE_MISSING`, among those for the other splits, too.
#[target_feature(enable = "avx2")]
fn exits_avx2<const ARE_MISSING: bool>(steps: &[LaneStep], bins: &RowBins) -> [u8; LANES] {
    let table = |left: usize, half: usize| {
        // SAFETY: a list of bins has two tables.
        let bins = unsafe { _mm_loadu_si128(bins.bins[left].as_ptr().add(half * TABLE).cast()) };
        _mm256_broadcastsi128_si256(bins)
    };
    let tables = [0, 1].map(|left| [table(left, 0), table(left, 1)]);
    // A shuffle looks at the lowest four bits, and yields 0 where the top bit is set.
    let look_up = |[first, second]: [__m256i; 2], features: __m256i| {
        let others = _mm256_xor_si256(features, _mm256_set1_epi8(i8::MIN));
        _mm256_or_si256(_mm256_shuffle_epi8(first, features), _mm256_shuffle_epi8(second, others))
    };
    let mut cursors = [_mm256_setzero_si256(); VECTORS];
    for step in steps {
        for (at, cursors) in cursors.iter_mut().enumerate() {
            // SAFETY: each list has 64 bytes and, in a structure that is aligned to 64, is aligned to 64.
            let (features, thresholds, firsts, moves) = unsafe {
                (
                    _mm256_load_si256(step.features.as_ptr().cast::<__m256i>().add(at)),
                    _mm256_load_si256(step.thresholds.as_ptr().cast::<__m256i>().add(at)),
                    _mm256_load_si256(step.firsts.as_ptr().cast::<__m256i>().add(at)),
                    _mm256_load_si256(step.moves.as_ptr().cast::<__m256i>().add(at)),
                )
            };
            let mut bins = look_up(tables[0], features);
            if ARE_MISSING {
                // The bit that states the second list becomes the top bit, by which a blend chooses.
                let is_left = _mm256_slli_epi16::<2>(features);
                bins = _mm256_blendv_epi8(bins, look_up(tables[1], features), is_left);
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
