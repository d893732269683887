//! Exact counts by cell; they merge by addition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Rows by cell number, dense between the first and the last non-empty cell. Equal counts have the same form, so that
/// merging in any order gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Counts {
    /// Number of the first cell.
    from: i32,
    /// Rows of that cell and those after it; the first and the last are not 0.
    rows: Vec<u64>,
}

/// Limit of the cells, and of the distance of the first from 0: a stored value must not exhaust the memory.
const CELLS_MAX: usize = 1 << 14;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    from: i32,
    rows: Vec<u64>,
}

impl TryFrom<Stored> for Counts {
    type Error = String;
    fn try_from(Stored { from, rows }: Stored) -> Result<Self, String> {
        let is_near = from.unsigned_abs() as usize <= CELLS_MAX && rows.len() <= CELLS_MAX;
        let is_trimmed =
            rows.first() != Some(&0) && rows.last() != Some(&0) && (from == 0 || !rows.is_empty());
        if is_near && is_trimmed {
            return Ok(Self { from, rows });
        }
        Err(format!(
            "counts from cell {from} over {} cells: expected at most {CELLS_MAX} cells, the first and the last not 0",
            rows.len()
        ))
    }
}

impl Counts {
    /// Adds `rows` to `cell`.
    pub fn add(&mut self, cell: i32, rows: u64) {
        if rows == 0 {
            return;
        }
        if self.rows.is_empty() {
            self.from = cell;
        }
        if cell < self.from {
            let missing = self.from.abs_diff(cell) as usize;
            self.rows.splice(0..0, std::iter::repeat_n(0, missing));
            self.from = cell;
        }
        let at = cell.abs_diff(self.from) as usize;
        if at >= self.rows.len() {
            self.rows.resize(at + 1, 0);
        }
        self.rows[at] += rows;
    }

    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(cell, rows)| self.add(cell, rows));
    }

    /// Returns the rows of `cell`.
    pub fn get(&self, cell: i32) -> u64 {
        let at = usize::try_from(i64::from(cell) - i64::from(self.from)).ok();
        at.and_then(|at| self.rows.get(at)).copied().unwrap_or_default()
    }

    /// Iterates over the cells with their rows, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (i32, u64)> {
        (self.from..).zip(self.rows.iter().copied())
    }

    /// Returns the rows of all cells.
    pub fn total(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// Returns the rows of the fullest cell; 0 without any.
    pub fn most(&self) -> u64 {
        self.rows.iter().copied().max().unwrap_or_default()
    }

    /// Returns the rows of the cells `0..n`.
    pub fn table(&self, n: usize) -> Vec<u64> {
        (0..n as i32).map(|cell| self.get(cell)).collect()
    }
}

/// Values in cells of equal width; those beyond the outermost cells are only counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Rows by cell.
    pub cells: Counts,
    /// Rows below the first possible cell.
    pub below: u64,
    /// Rows above the last possible cell.
    pub above: u64,
    /// The greatest value; none without any.
    pub max: Option<f64>,
}

/// The cells of a histogram: cell `c` holds the values nearest to `c` cell widths.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// Number of cells in one unit of the value.
    pub cells_a_unit: f64,
    /// Number of the first possible cell.
    pub first: i32,
    /// Number of the last possible cell.
    pub last: i32,
    /// Whether values lie in the middle of their cells; otherwise they are assumed to be spread evenly over them.
    pub is_exact: bool,
}

impl Histogram {
    /// Adds one value. What is not a number is not added; infinities lie below or above.
    pub fn add(&mut self, value: f64, grid: Grid) {
        if value.is_nan() {
            return;
        }
        let cell = (value * grid.cells_a_unit).round();
        if cell < f64::from(grid.first) {
            self.below += 1;
        } else if cell > f64::from(grid.last) {
            self.above += 1;
        } else {
            self.cells.add(cell as i32, 1);
        }
        // A zero has no sign here, and JSON has no infinities: the same profile has one form.
        let value = value.clamp(f64::MIN, f64::MAX) + 0.0;
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
    }

    /// Adds the values of another part.
    pub fn merge(&mut self, other: &Self) {
        self.cells.merge(&other.cells);
        self.below += other.below;
        self.above += other.above;
        self.max = match (self.max, other.max) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }

    /// Returns how many values were added.
    pub fn total(&self) -> u64 {
        self.below + self.cells.total() + self.above
    }

    /// Returns the value at `rank` in ascending order, from 0, to the width of a cell: the first possible cell for
    /// values below it, the greatest value for those above the last. None if there are not as many values.
    pub fn at_rank(&self, rank: u64, grid: Grid) -> Option<f64> {
        let Some(mut rank) = rank.checked_sub(self.below) else {
            return Some(f64::from(grid.first) / grid.cells_a_unit);
        };
        for (cell, rows) in self.cells.iter() {
            if rank < rows {
                let within = if grid.is_exact { 0.0 } else { (rank as f64 + 0.5) / rows as f64 - 0.5 };
                return Some((f64::from(cell) + within) / grid.cells_a_unit);
            }
            rank -= rows;
        }
        self.max.filter(|_| rank < self.above)
    }
}

/// Rows by name, for a small number of names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sparse(BTreeMap<String, u64>);

impl Sparse {
    /// Adds `rows` of `name`.
    pub fn add(&mut self, name: &str, rows: u64) {
        match self.0.get_mut(name) {
            Some(present) => *present += rows,
            None if rows == 0 => (),
            None => drop(self.0.insert(name.into(), rows)),
        }
    }

    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, rows)| self.add(name, *rows));
    }

    /// Returns the rows of all names.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns the rows of `name`.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}
