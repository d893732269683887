//! Values with counts, which is all that the statistics need of a column.

use crate::profile::{Counts, Grid, Histogram};

/// Distinct values in ascending order, each with the rows that have it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    values: Vec<f64>,
    rows: Vec<u64>,
}

impl Distribution {
    /// Collects values, in any order; those that are not finite, and those without rows, are left out.
    pub fn new(rows: impl IntoIterator<Item = (f64, u64)>) -> Self {
        let mut rows: Vec<(f64, u64)> =
            rows.into_iter().filter(|(value, rows)| value.is_finite() && *rows > 0).collect();
        rows.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let mut distribution = Self::default();
        for (value, rows) in rows {
            match (distribution.values.last(), distribution.rows.last_mut()) {
                (Some(last), Some(present)) if *last == value => *present += rows,
                _ => {
                    distribution.values.push(value);
                    distribution.rows.push(rows);
                }
            }
        }
        distribution
    }

    /// Takes the cells of a code as its values.
    pub fn from_codes(counts: &Counts) -> Self {
        Self::new(counts.iter().map(|(cell, rows)| (f64::from(cell), rows)))
    }

    /// Takes the middles of the cells of a histogram as its values. Values beyond the grid lie one cell outside it, so that one of them
    /// cannot move a mean far.
    pub fn from_histogram(histogram: &Histogram, grid: Grid) -> Self {
        let at = |cell: i32| f64::from(cell) / grid.cells_a_unit;
        let beyond = [(at(grid.first - 1), histogram.below), (at(grid.last + 1), histogram.above)];
        Self::new(histogram.cells.iter().map(|(cell, rows)| (at(cell), rows)).chain(beyond))
    }

    /// Returns the number of rows.
    pub fn total(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the value at a position in ascending order, with its rows.
    pub(super) fn at(&self, position: usize) -> Option<(f64, u64)> {
        Some((*self.values.get(position)?, self.rows[position]))
    }

    /// Iterates over the values with their rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (f64, u64)> {
        self.values.iter().copied().zip(self.rows.iter().copied())
    }

    /// Returns the distinct values, ascending.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Returns the rows with exactly this value.
    pub fn rows_of(&self, value: f64) -> u64 {
        self.values.binary_search_by(|own| own.total_cmp(&value)).map_or(0, |at| self.rows[at])
    }

    /// Returns the mean; none without rows.
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.iter().map(|(value, rows)| value * rows as f64).sum();
        (!self.is_empty()).then(|| sum / self.total() as f64)
    }

    /// Returns the standard deviation of the rows, not an estimate for others (divided by n); none without rows.
    pub fn standard_deviation(&self) -> Option<f64> {
        let mean = self.mean()?;
        let squares: f64 = self.iter().map(|(value, rows)| (value - mean).powi(2) * rows as f64).sum();
        Some((squares / self.total() as f64).sqrt())
    }

    /// Returns the rows in each bin between neighbouring `edges`, ascending: values on an edge belong to the bin above it, on the last
    /// one to the last bin.
    pub fn binned(&self, edges: &[f64]) -> Vec<u64> {
        let mut bins = vec![0; edges.len().saturating_sub(1)];
        for (value, rows) in self.iter() {
            let above = edges.partition_point(|edge| *edge <= value);
            let is_last = edges.last() == Some(&value);
            if let Some(bin) = above.checked_sub(1 + usize::from(is_last)).and_then(|at| bins.get_mut(at)) {
                *bin += rows;
            }
        }
        bins
    }
}

/// Returns the distinct values of both, ascending.
pub(super) fn all_values(one: &Distribution, other: &Distribution) -> Vec<f64> {
    let mut values = [one.values(), other.values()].concat();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}
