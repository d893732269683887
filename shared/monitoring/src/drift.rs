//! Whether two sets of trips are alike, column by column, by the statistics that people know.
//!
//! They are reported, and ring no alarm: on taxi trips the usual thresholds are passed on nearly every day. [`statistics`] has the
//! distances and tests; [`columns`] applies them to profiles as Evidently chooses them.

mod columns;
mod distribution;
pub mod statistics;

pub use columns::{ColumnDrift, DatasetDrift, Method, MovedCode};
pub use distribution::Distribution;

#[cfg(test)]
mod tests;
