//! Tree ensembles, whatever trained them: one flat serving form, valid by construction.
//!
//! Map: [`Ensemble`] is what serves; [`Tree`], [`Node`] and [`Child`] are how a trainer or an importer describes
//! what it grew; [`EnsembleError`] says what was wrong with a description.
//!
//! This crate knows nothing of taxis, files, clocks or threads of others: numbers in, numbers out.

mod ensemble;

pub use ensemble::{Child, Ensemble, EnsembleError, Node, Tree, at_most};
