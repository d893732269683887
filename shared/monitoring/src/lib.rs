//! Describes trips and checks whether they are as expected. Pure: takes trips and counts, returns checks.
//!
//! Map: [`profile`] counts trips, predictions and outcomes; [`gates`] checks whether a month may be used.
//!
//! Deliberately absent: files, stores, clocks, and names of CloudWatch metrics.

pub mod gates;
pub mod profile;

pub use profile::{Profile, TripPrediction};
