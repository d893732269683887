//! Lookup of a value's position among sorted thresholds, in a few comparisons.

/// Sorted thresholds with a grid of equal cells over the range of the finite ones. Each cell stores how many thresholds lie in the
/// cells before it, so a lookup only compares the few thresholds of one cell.
#[derive(Debug, Clone)]
pub(crate) struct Positions {
    /// Ascending and distinct thresholds, then `in_cell` times NaN, so that comparisons past the end are false.
    thresholds: Vec<f32>,
    low: f32,
    cells_per_unit: f32,
    /// Number of thresholds in the cells before each cell.
    before: Vec<u16>,
    /// Largest number of thresholds in one cell; 0 if the grid is not used and a binary search replaces it.
    in_cell: usize,
    len: usize,
}

/// With more thresholds than this in a cell, a binary search is faster.
const IN_CELL_MAX: usize = 6;

impl Positions {
    /// Builds the grid; thresholds have to be ascending, distinct, not NaN, and fewer than 65,536.
    pub(crate) fn new(mut thresholds: Vec<f32>) -> Self {
        let len = thresholds.len();
        // Thresholds at infinity, between missing and other values, do not widen the grid: they are in its first and last cell.
        let mut finite = thresholds.iter().copied().filter(|at| at.is_finite());
        let low = finite.next().unwrap_or(0.0);
        let high = finite.next_back().unwrap_or(low);
        let cells = (len * 16).next_power_of_two().clamp(16, 4096);
        let per_unit = (cells - 1) as f32 / (high - low);
        let cells_per_unit = if per_unit.is_finite() { per_unit } else { 0.0 };
        let mut grid =
            Self { thresholds: Vec::new(), low, cells_per_unit, before: vec![0; cells], in_cell: 0, len };
        let mut counts = vec![0u16; cells];
        thresholds.iter().for_each(|&at| counts[grid.cell(at)] += 1);
        let mut sum = 0;
        for (before, count) in grid.before.iter_mut().zip(&counts) {
            *before = sum;
            sum += count;
        }
        let most = counts.iter().copied().max().map_or(0, usize::from);
        grid.in_cell = if most <= IN_CELL_MAX { most } else { 0 };
        thresholds.extend(std::iter::repeat_n(f32::NAN, grid.in_cell));
        grid.thresholds = thresholds;
        grid
    }

    /// Returns the number of thresholds.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the thresholds in ascending order.
    pub(crate) fn thresholds(&self) -> &[f32] {
        &self.thresholds[..self.len]
    }

    /// Returns the number of thresholds below `value`, the position of the first `t` with `value <= t`; 0 for NaN.
    #[inline]
    pub(crate) fn position(&self, value: f32) -> usize {
        if self.in_cell == 0 {
            return self.thresholds().partition_point(|&at| at < value);
        }
        let before = usize::from(self.before[self.cell(value)]);
        self.thresholds[before..before + self.in_cell]
            .iter()
            .fold(before, |sum, &at| sum + usize::from(at < value))
    }

    /// Returns the cell of a value. It is never before the cell of a smaller value, because rounding is monotone.
    #[inline]
    fn cell(&self, value: f32) -> usize {
        // These comparisons are false for NaN, so each compiles to one instruction.
        let at = (value - self.low) * self.cells_per_unit;
        let at = if at > 0.0 { at } else { 0.0 };
        let last = (self.before.len() - 1) as f32;
        let at = if at < last { at } else { last };
        // In a sum with 2^23, a float has its nearest integer in its low bits.
        ((at + 8_388_608.0).to_bits() & 0xFFFF) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(mut thresholds: Vec<f32>, values: &[f32]) -> Result<(), TestCaseError> {
        thresholds.retain(|at| !at.is_nan());
        thresholds.sort_unstable_by(f32::total_cmp);
        thresholds.dedup_by(|a, b| *a == *b);
        let positions = Positions::new(thresholds.clone());
        let all = thresholds
            .iter()
            .flat_map(|at| [*at, at.next_up(), at.next_down()])
            .chain(values.iter().copied());
        for value in all.chain([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0]) {
            let expected = thresholds.iter().filter(|at| **at < value).count();
            prop_assert_eq!(positions.position(value), expected, "{} among {:?}", value, thresholds);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_position_counts_the_thresholds_below(
            wild in prop::collection::vec(any::<f32>(), 0..40),
            tame in prop::collection::vec((0u16..4000).prop_map(|at| f32::from(at) / 100.0), 0..300),
            values in prop::collection::vec(any::<f32>(), 0..20),
        ) {
            check(wild, &values)?;
            check(tame, &values)?;
        }
    }

    #[test]
    fn thresholds_at_the_ends_of_the_number_line() {
        check(vec![f32::NEG_INFINITY, -1.0, f32::MAX, f32::INFINITY], &[5.0]).unwrap();
        check(vec![f32::MIN, f32::MAX], &[0.0]).unwrap();
        assert_eq!(Positions::new(Vec::new()).position(7.0), 0);
    }
}
