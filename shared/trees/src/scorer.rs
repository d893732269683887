//! Fast scoring: the same sums as [`Ensemble::predict`], bit for bit.
//!
//! Ensembles whose trees have at most 32 leaves are scored from tables of leaf masks, larger ones by leaf cursors ([`cursors`], and
//! [`lanes`] for single rows), and what neither holds is walked node by node. The method of masks follows QuickScorer (Lucchese et al., SIGIR 2015), made dense by binning. A tree of up to 32 leaves is
//! a word with one bit for each leaf, in order from left to right. A split that sends a row right makes the leaves of
//! its left subtree unreachable; the first leaf that no split has ruled out is the exit. Which leaves the splits on
//! one feature rule out depends only on the feature's bin, so it is a table, and a row's exit leaf is the lowest bit
//! of the AND of one entry for each feature. The masks of [`TREES_PER_GROUP`] trees fill a cache line and are looked
//! up at once.
//!
//! Features with few bins share a joint table.

mod cursors;
mod kernel;
mod lanes;
mod tables;
mod thresholds;
mod vectors;

use serde::{Deserialize, Serialize};

use crate::ensemble::Ensemble;
use cursors::Cursors;
use tables::Tables;
use thresholds::Thresholds;
use vectors::Vectors;

/// Number of rows that are binned before their trees are looked up: enough to reuse a group's tables many times while
/// they are in the cache. At 300 trees, runs of 128 rows took 1.2 times as long.
const ROWS_PER_RUN: usize = 2048;

/// Implementation that computes the sums; all give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernel {
    /// The fastest one that this processor supports.
    #[default]
    Auto,
    /// The fastest one without AVX-512, which AWS Lambda's processors do not offer.
    Avx2,
    /// Leaf masks or cursors, in code for any processor.
    Portable,
    /// Walk from node to node.
    Walk,
}

/// An ensemble with the tables that score it fast. Only the ensemble is serialized; the tables are recomputed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Ensemble", into = "Ensemble")]
pub struct Scorer {
    ensemble: Ensemble,
    form: Form,
    vectors: Vectors,
}

/// The form in which an ensemble is scored.
#[derive(Debug, Clone)]
enum Form {
    /// Tables of leaf masks.
    Masks(Tables),
    /// Steps of leaf cursors.
    Cursors(Cursors),
    /// The ensemble itself: a tree has too many leaves, a feature is split both by order and by category, or there would be too many
    /// bins.
    Walk,
}

impl PartialEq for Scorer {
    /// Compares the ensembles; the tables follow from them.
    fn eq(&self, other: &Self) -> bool {
        self.ensemble == other.ensemble
    }
}

impl Scorer {
    /// Prepares the fastest form, which takes a few milliseconds for 300 trees of 31 leaves or 600 of 127.
    pub fn new(ensemble: Ensemble) -> Self {
        Self::on(ensemble, Vectors::of_this_processor())
    }

    /// Prepares it for these instructions, which the processor has.
    fn on(ensemble: Ensemble, vectors: Vectors) -> Self {
        let thresholds = Thresholds::of(&ensemble);
        let cursors = || Cursors::new(&ensemble, &thresholds, vectors).map_or(Form::Walk, Form::Cursors);
        let form = Tables::new(&ensemble, &thresholds).map_or_else(cursors, Form::Masks);
        Self { form, ensemble, vectors }
    }

    /// Returns the ensemble.
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// Returns the form in which batches are scored: `masks`, `cursors` or `walk`.
    pub fn form(&self) -> &'static str {
        match self.form {
            Form::Masks(_) => "masks",
            Form::Cursors(_) => "cursors",
            Form::Walk => "walk",
        }
    }

    /// Returns the sum for one row of `n_features` values without allocating; values that a short row lacks are
    /// missing.
    pub fn predict_row(&self, row: &[f32]) -> f64 {
        let width = self.ensemble.n_features();
        match &self.form {
            Form::Masks(tables) if row.len() >= width && tables.n_bundles() <= kernel::BUNDLES_MAX => {
                let mut cells = [0; kernel::BUNDLES_MAX];
                kernel::score_row(tables, &row[..width], &mut cells, self.vectors.have_avx2())
            }
            Form::Cursors(cursors) if row.len() >= width && cursors.has_rows() => {
                cursors.score_row(row, self.vectors)
            }
            _ => self.ensemble.predict_row(row),
        }
    }

    /// Returns the sums for `rows`, row-major with `n_features` values each: `[n_rows]`.
    pub fn predict(&self, rows: &[f32]) -> Vec<f64> {
        self.predict_by(Kernel::Auto, rows)
    }

    /// Returns the number of rows up to which one after another is faster than all at once, as measured: a message is one row.
    fn rows_one_by_one(&self) -> usize {
        match &self.form {
            Form::Masks(_) => 4,
            Form::Cursors(cursors) if cursors.has_rows() => 64,
            Form::Cursors(_) => 8,
            Form::Walk => 0,
        }
    }

    /// Computes [`Scorer::predict`] by the given implementation, to compare implementations.
    pub fn predict_by(&self, kernel: Kernel, rows: &[f32]) -> Vec<f64> {
        let width = self.ensemble.n_features().max(1);
        let vectors = match kernel {
            Kernel::Auto => self.vectors,
            Kernel::Avx2 => self.vectors.min(Vectors::Avx2),
            Kernel::Portable | Kernel::Walk => Vectors::Portable,
        };
        if kernel == Kernel::Auto && rows.len() / width <= self.rows_one_by_one() {
            return rows.chunks_exact(width).map(|row| self.predict_row(row)).collect();
        }
        match &self.form {
            Form::Masks(tables) if kernel != Kernel::Walk => {
                let mut sums = vec![0.0; rows.len() / width];
                let mut cells = vec![0; sums.len().min(ROWS_PER_RUN) * tables.n_bundles()];
                for (rows, sums) in rows.chunks(ROWS_PER_RUN * width).zip(sums.chunks_mut(ROWS_PER_RUN)) {
                    kernel::score(tables, rows, width, &mut cells, sums, vectors.have_avx2());
                }
                sums
            }
            Form::Cursors(cursors) if kernel != Kernel::Walk => {
                let mut sums = vec![0.0; rows.len() / width];
                cursors.score(rows, width, &mut sums, vectors);
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
