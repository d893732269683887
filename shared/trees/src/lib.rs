//! Tree ensembles: one flat serving form, valid by construction; gradient boosting that trains into it; a kernel that
//! scores it fast.
//!
//! Map, in the order data meets them: [`boost`] grows an ensemble by histogram gradient boosting; [`Ensemble`] is what
//! serves, and [`Tree`], [`Node`], [`Split`] and [`Child`] are how a trainer or an importer describes what it grew;
//! [`Scorer`] computes the same sums from tables of leaf masks; [`import`] reads models that other libraries trained; [`Explainer`] says what each feature added.
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
