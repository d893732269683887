//! The inner loop of lanes with NEON, which every 64-bit Arm processor has.
#![allow(unsafe_code)]

use std::arch::aarch64::{
    int8x16x4_t, uint8x16_t, vaddq_u8, vandq_u8, vceqq_u8, vcgtq_s8, vdupq_n_u8, vld1q_s8, vld1q_u8,
    vqtbl4q_s8, vst1q_u8,
};

use super::{FEATURES_MAX, LANES, LaneStep, RowBins};

/// Lanes of a register.
const WIDTH: usize = 16;
const REGISTERS: usize = LANES / WIDTH;

const _: () = assert!(2 * FEATURES_MAX == 4 * WIDTH);

/// Computes [`super::exits`].
#[inline]
pub(super) fn exits(steps: &[LaneStep], bins: &RowBins) -> [u8; LANES] {
    // SAFETY: the bins and each list fill four registers; every 64-bit Arm processor has NEON.
    unsafe {
        let table = |at: usize| vld1q_s8(bins.bins.as_flattened().as_ptr().add(at * WIDTH));
        let tables = int8x16x4_t(table(0), table(1), table(2), table(3));
        let mut cursors: [uint8x16_t; REGISTERS] = [vdupq_n_u8(0); REGISTERS];
        for step in steps {
            for (register, cursors) in cursors.iter_mut().enumerate() {
                let at = register * WIDTH;
                let bins = vqtbl4q_s8(tables, vld1q_u8(step.features.as_ptr().add(at)));
                let is_right = vcgtq_s8(bins, vld1q_s8(step.thresholds.as_ptr().add(at)));
                let moves = vandq_u8(vld1q_u8(step.moves.as_ptr().add(at)), is_right);
                let is_at = vceqq_u8(*cursors, vld1q_u8(step.firsts.as_ptr().add(at)));
                *cursors = vaddq_u8(*cursors, vandq_u8(moves, is_at));
            }
        }
        let mut exits = [0; LANES];
        for (register, cursors) in cursors.into_iter().enumerate() {
            vst1q_u8(exits.as_mut_ptr().add(register * WIDTH), cursors);
        }
        exits
    }
}
