//! Tree ensembles: one flat form for serving, valid by construction; gradient boosting that trains into it; and a
//! kernel that scores it fast.
//!
//! Map, in the order that data passes through: [`boost`] grows an ensemble by histogram gradient boosting;
//! [`Ensemble`] is the form that serves, and a trainer or an importer describes its trees by [`Tree`], [`Node`],
//! [`Split`] and [`Child`]; [`Scorer`] computes the same sums from tables of leaf masks; [`import`] reads models that
//! other libraries trained; [`Explainer`] computes the Shapley value of each feature.
//!
//! This crate knows nothing of taxis, files, clocks or the environment: numbers in, numbers out.

pub mod boost;
mod ensemble;
mod explain;
pub mod import;
mod position;
mod scorer;

pub use ensemble::{Categories, Child, Ensemble, EnsembleError, Node, Split, Tree, at_most};
pub use explain::{Explainer, TooDeep};
pub use scorer::{Kernel, Scorer};
