//! The same sums as [`Ensemble::predict`], bit for bit, from tables of leaf masks.
//!
//! After QuickScorer (Lucchese et al., SIGIR 2015), made dense by binning. A tree of up to 32 leaves is a word with a
//! bit for each leaf, in order from left to right. A split that sends a row right makes the leaves of its left subtree
//! unreachable; the first leaf that no split has ruled out is the exit. What the splits on one feature rule out
//! depends on the feature's bin alone, so that is a table, and a row's exit leaf is the lowest bit of the AND of one
//! entry for each feature. [`TREES_PER_GROUP`] trees stand side by side in a cache line and are looked up at once.
//!
//! Features of few bins share a joint table. An ensemble with a larger tree is walked plainly.

mod kernel;
mod tables;

use serde::{Deserialize, Serialize};

use crate::ensemble::Ensemble;
use tables::Tables;

/// Rows that are binned before their trees are looked up: so many that a group's tables, once fetched, are read again
/// and again. At 300 trees, runs of 128 rows took 1.2 times as long.
const ROWS_PER_RUN: usize = 2048;

/// Which way of computing to take; all give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernel {
    /// The fastest that this processor runs.
    #[default]
    Auto,
    /// Leaf masks in code that every processor runs.
    Portable,
    /// Node by node.
    Walk,
}

/// An ensemble with the tables that score it fast. It is written as the ensemble; the tables are computed again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Ensemble", into = "Ensemble")]
pub struct Scorer {
    ensemble: Ensemble,
    /// None where a tree has too many leaves, or a feature is split both by order and by category.
    tables: Option<Tables>,
    has_avx2: bool,
}

impl PartialEq for Scorer {
    /// Tables are a function of the ensemble.
    fn eq(&self, other: &Self) -> bool {
        self.ensemble == other.ensemble
    }
}

impl Scorer {
    /// Computes the tables: for 300 trees of 31 leaves a few milliseconds.
    pub fn new(ensemble: Ensemble) -> Self {
        Self { tables: Tables::new(&ensemble), ensemble, has_avx2: kernel::has_avx2() }
    }

    /// What is scored.
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// Whether the tables serve, and not the plain walk.
    pub fn is_tabulated(&self) -> bool {
        self.tables.is_some()
    }

    /// The sum for one row of `n_features` values, without allocating. Values that a short row lacks count as missing.
    pub fn predict_row(&self, row: &[f32]) -> f64 {
        let width = self.ensemble.n_features();
        match &self.tables {
            Some(tables) if row.len() >= width && tables.n_bundles() <= kernel::BUNDLES_MAX => {
                let mut cells = [0; kernel::BUNDLES_MAX];
                kernel::score_row(tables, &row[..width], &mut cells, self.has_avx2)
            }
            _ => self.ensemble.predict_row(row),
        }
    }

    /// The sums for `rows`, row-major, `n_features` values each: `[n_rows]`.
    pub fn predict(&self, rows: &[f32]) -> Vec<f64> {
        self.predict_by(Kernel::Auto, rows)
    }

    /// [`Scorer::predict`] computed in the way that is named; for comparing them.
    pub fn predict_by(&self, kernel: Kernel, rows: &[f32]) -> Vec<f64> {
        let width = self.ensemble.n_features().max(1);
        match &self.tables {
            Some(tables) if kernel != Kernel::Walk => {
                let mut sums = vec![0.0; rows.len() / width];
                let mut cells = vec![0; sums.len().min(ROWS_PER_RUN) * tables.n_bundles()];
                let has_avx2 = self.has_avx2 && kernel == Kernel::Auto;
                for (rows, sums) in rows.chunks(ROWS_PER_RUN * width).zip(sums.chunks_mut(ROWS_PER_RUN)) {
                    kernel::score(tables, rows, width, &mut cells, sums, has_avx2);
                }
                sums
            }
            _ => self.ensemble.predict(rows),
        }
    }
}

impl From<Ensemble> for Scorer {
    fn from(ensemble: Ensemble) -> Self {
        Self::new(ensemble)
    }
}

impl From<Scorer> for Ensemble {
    fn from(scorer: Scorer) -> Self {
        scorer.ensemble
    }
}

#[cfg(test)]
mod tests;
