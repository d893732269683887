//! Histograms: sums of gradients by bin. They are sums of integers, so they depend neither on the order of rows nor
//! on how rows are shared among threads.

use std::ops::{AddAssign, SubAssign};

use super::layout::Layout;
use super::quantize::{COUNT_BITS, HESSIAN_BITS};
use super::shard::PackedRow;

/// Sums over the rows of a bin, or of a leaf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Sum of gradients, in quantization steps.
    pub(super) gradient: i64,
    /// Sum of hessians, in quantization steps.
    pub(super) hessian: i64,
    /// Number of rows.
    pub(super) rows: u32,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.gradient += other.gradient;
        self.hessian += other.hessian;
        self.rows += other.rows;
    }
}

impl SubAssign for Sums {
    fn sub_assign(&mut self, other: Self) {
        self.gradient -= other.gradient;
        self.hessian -= other.hessian;
        self.rows -= other.rows;
    }
}

/// [`Sums`] packed into one or two integers, so that adding them is fast.
pub(super) trait Cell: Copy + Default + Send + Sync + AddAssign + SubAssign {
    /// Returns what one row adds, from its packed gradient.
    fn unpack(packed: i32) -> Self;
    /// Unpacks the sums.
    fn sums(self) -> Sums;
}

/// Gradient and count in one integer, for rows whose hessians are all 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plain(i64);

/// Gradient and count in one integer, hessian in the other.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(16))]
pub(super) struct Curved([i64; 2]);

impl AddAssign for Plain {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl SubAssign for Plain {
    #[inline(always)]
    fn sub_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}

impl AddAssign for Curved {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        self.0 = [self.0[0].wrapping_add(other.0[0]), self.0[1].wrapping_add(other.0[1])];
    }
}

impl SubAssign for Curved {
    #[inline(always)]
    fn sub_assign(&mut self, other: Self) {
        self.0 = [self.0[0].wrapping_sub(other.0[0]), self.0[1].wrapping_sub(other.0[1])];
    }
}

const COUNT_MASK: i64 = (1 << COUNT_BITS) - 1;

impl Cell for Plain {
    #[inline(always)]
    fn unpack(packed: i32) -> Self {
        Self((i64::from(packed) << COUNT_BITS) + 1)
    }

    #[inline(always)]
    fn sums(self) -> Sums {
        let rows = (self.0 & COUNT_MASK) as u32;
        Sums { gradient: self.0 >> COUNT_BITS, hessian: rows.into(), rows }
    }
}

impl Cell for Curved {
    #[inline(always)]
    fn unpack(packed: i32) -> Self {
        let gradient = i64::from(packed >> HESSIAN_BITS);
        Self([(gradient << COUNT_BITS) + 1, i64::from(packed & ((1 << HESSIAN_BITS) - 1))])
    }

    #[inline(always)]
    fn sums(self) -> Sums {
        let [gradient, hessian] = self.0;
        Sums { gradient: gradient >> COUNT_BITS, hessian, rows: (gradient & COUNT_MASK) as u32 }
    }
}

/// Fills `histogram`, `[layout.n_cells]`, with the sums over `rows`; `packed` holds all rows of the shard by block.
pub(super) fn fill<C: Cell>(histogram: &mut [C], layout: &Layout, packed: &[Vec<PackedRow>], rows: &[u32]) {
    histogram.fill(C::default());
    for (block, packed) in layout.blocks.iter().zip(packed) {
        let cells = &mut histogram[block.cells.clone()];
        match block.bundles.len() {
            1 => add_rows::<C, 1>(cells, packed, rows),
            2 => add_rows::<C, 2>(cells, packed, rows),
            3 => add_rows::<C, 3>(cells, packed, rows),
            4 => add_rows::<C, 4>(cells, packed, rows),
            5 => add_rows::<C, 5>(cells, packed, rows),
            _ => add_rows::<C, 6>(cells, packed, rows),
        }
    }
}

/// Adds rows to the histogram of a block. Rows are loaded in runs before any is added, so that the processor waits
/// for many cache lines at once.
fn add_rows<C: Cell, const BUNDLES: usize>(cells: &mut [C], packed: &[PackedRow], rows: &[u32]) {
    const RUN: usize = 64;
    let mut near = [PackedRow::default(); RUN];
    for run in rows.chunks(RUN) {
        let near = &mut near[..run.len()];
        near.iter_mut().zip(run).for_each(|(near, &row)| *near = packed[row as usize]);
        for row in near {
            let one = C::unpack(row.gradient);
            for bundle in 0..BUNDLES {
                cells[usize::from(row.cells[bundle])] += one;
            }
        }
    }
}
